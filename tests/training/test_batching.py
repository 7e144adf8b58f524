"""Streams of batches: what a batch holds, which sets come when, and going on after a restart."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.pair_sets import pairs_of, random_pairs, store_of
from vecsmith.corpora import open_pairs
from vecsmith.training.bag import TextKeys
from vecsmith.training.batching import Batch, BatchStream
from vecsmith.training.token_store import TokenStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_json: str) -> TokenStore:
    """Three sets: 500 pairs, 90 with a negative, 40 with a score."""
    triples = [(a, p, f"{a} cat") for a, p in random_pairs(90, seed=1)]
    graded = [(a, p, i / 40) for i, (a, p) in enumerate(random_pairs(40, seed=2))]
    return store_of(
        tiny_tokenizer_json,
        tmp_path_factory.mktemp("store"),
        pairs_of(random_pairs(500), name="pairs"),
        pairs_of(triples, "anchor", "positive", "negative_1", name="triples"),
        pairs_of(graded, "anchor", "positive", "score", name="graded"),
    )


@pytest.fixture(scope="module")
def chat(
    tmp_path_factory: pytest.TempPathFactory, shared_data: Path, minilm_tokenizer_json: str
) -> TokenStore:
    """Korean chat: one reply stands in dozens of rows."""
    pairs = open_pairs(shared_data / "chatbot_ko" / "pairs.parquet")
    return store_of(minilm_tokenizer_json, tmp_path_factory.mktemp("chat"), pairs)


def exact(batch: Batch) -> dict[str, Any]:
    """Everything in a batch, to the bit."""
    return {
        "source": batch.source,
        "place": (batch.epoch, batch.index),
        "rows": batch.rows.tolist(),
        "scores": None if batch.scores is None else batch.scores.tobytes(),
        "keys": {role: keys.tobytes() for role, keys in batch.keys.items()},
        "columns": {
            role: (bag.ids.tobytes(), bag.offsets.tobytes()) for role, bag in batch.columns.items()
        },
    }


def rows_by_set(batches: list[Batch]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for batch in batches:
        found.setdefault(batch.source, []).extend(batch.rows.tolist())
    return found


def test_a_batch_has_the_texts_keys_and_scores_of_its_rows(store: TokenStore) -> None:
    sources = {source.name: source for source in store.sources}
    keys_of = TextKeys(1000)
    stream = BatchStream(store, batch_size=16, seed=0)
    for batch in islice(stream, stream.n_batches):
        source = sources[batch.source]
        assert tuple(batch.columns) == tuple(batch.keys) == source.text_roles
        assert len(batch) == len(batch.rows) <= 16
        for role, bag in batch.columns.items():
            alone = [source.bag(role, batch.rows[i : i + 1]).ids for i in range(len(batch))]
            assert [part.tolist() for part in np.split(bag.ids, bag.offsets[1:-1])] == [
                ids.tolist() for ids in alone
            ]
            assert (batch.keys[role] == keys_of.of(bag)).all()
            assert bag.ids.dtype == np.uint32
            assert bag.offsets.dtype == np.int64
        if batch.source == "graded":
            assert batch.scores is not None
            assert np.allclose(batch.scores, batch.rows / 40)
        else:
            assert batch.scores is None


def test_proportional_gives_every_row_of_every_set_once_an_epoch(store: TokenStore) -> None:
    stream = BatchStream(store, batch_size=16, seed=0)
    assert stream.n_batches_by_source == [32, 6, 3]
    assert stream.n_left_out_by_source == [0, 0, 0]
    for epoch in range(3):
        batches = list(islice(stream, stream.n_batches))
        assert {batch.epoch for batch in batches} == {epoch}
        assert [batch.index for batch in batches] == list(range(41))
        found = rows_by_set(batches)
        expected = {source.name: list(range(len(source))) for source in store.sources}
        assert {name: sorted(rows) for name, rows in found.items()} == expected


def test_orders_differ_by_epoch_and_by_seed_and_are_the_same_for_the_same(
    store: TokenStore,
) -> None:
    def orders(seed: int) -> list[list[int]]:
        stream = BatchStream(store, batch_size=16, seed=seed)
        return [rows_by_set(list(islice(stream, stream.n_batches)))["pairs"] for _ in range(2)]

    first, again, other = orders(0), orders(0), orders(1)
    assert first == again
    assert first[0] != first[1]
    assert first[0] != other[0]
    # and the sets come in another order
    stream = BatchStream(store, batch_size=16, seed=0)
    names = [[b.source for b in islice(stream, stream.n_batches)] for _ in range(2)]
    assert names[0] != names[1]
    assert Counter(names[0]) == Counter(names[1])


@pytest.mark.parametrize("sampling", ["proportional", "round_robin", "temperature"])
@pytest.mark.parametrize("n_given", [0, 1, 17, 40, 41, 42, 100])
def test_a_restored_stream_gives_the_same_batches_bit_for_bit(
    store: TokenStore, sampling: Any, n_given: int
) -> None:
    def stream() -> BatchStream:
        return BatchStream(store, batch_size=16, seed=3, sampling=sampling)

    first = stream()
    for _ in islice(first, n_given):
        pass
    state = json.loads(json.dumps(first.state()))
    expected = [exact(batch) for batch in islice(first, 60)]
    later = stream()
    next(later)  # where it stood before does not matter
    later.restore(state)
    assert [exact(batch) for batch in islice(later, 60)] == expected


def test_a_restored_stream_gives_the_same_batches_where_rows_were_waiting(
    chat: TokenStore,
) -> None:
    stream = BatchStream(chat, batch_size=512, seed=0)
    for n_given in (5, 30):
        first = BatchStream(chat, batch_size=512, seed=0)
        for _ in islice(first, n_given):
            pass
        stream.restore(first.state())
        assert [exact(b) for b in islice(stream, 4)] == [exact(b) for b in islice(first, 4)]


@pytest.mark.parametrize(
    "change",
    [{"batch_size": 17}, {"seed": 4}, {"sampling": "round_robin"}, {"unique": False}],
)
def test_the_state_of_another_stream_is_refused(store: TokenStore, change: dict[str, Any]) -> None:
    options: dict[str, Any] = {"batch_size": 16, "seed": 3}
    state = BatchStream(store, **options).state()
    (name,) = change
    with pytest.raises(ValueError, match=rf"a stream with \{{'{name}'"):
        BatchStream(store, **(options | change)).restore(state)


def test_a_state_that_lies_nowhere_is_refused(store: TokenStore) -> None:
    stream = BatchStream(store, batch_size=16, seed=0)
    for place in ({"index": 42}, {"index": -1}, {"epoch": -1}):
        with pytest.raises(ValueError, match="expected one of 41"):
            stream.restore({**stream.state(), **place})


@pytest.mark.parametrize("batch_size", [64, 512, 2048])
def test_no_text_stands_twice_in_a_batch_of_chat(chat: TokenStore, batch_size: int) -> None:
    stream = BatchStream(chat, batch_size=batch_size, seed=0)
    rows: list[int] = []
    for batch in islice(stream, stream.n_batches):
        keys = np.concatenate(list(batch.keys.values()))
        assert len(np.unique(keys)) == len(keys)
        # the keys say what the tokens say
        texts = {
            tuple(part.tolist())
            for bag in batch.columns.values()
            for part in np.split(bag.ids, bag.offsets[1:-1])
        }
        assert len(texts) == len(keys)
        rows += batch.rows.tolist()
    assert len(rows) == len(set(rows))
    n_left_out = len(chat) - len(rows)
    assert stream.n_left_out_by_source[0] <= n_left_out
    assert n_left_out <= stream.n_left_out_by_source[0] + 0.01 * len(chat)


def test_with_unique_off_every_row_comes_and_texts_repeat(chat: TokenStore) -> None:
    stream = BatchStream(chat, batch_size=512, seed=0, unique=False)
    batches = list(islice(stream, stream.n_batches))
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(chat)))
    keys = np.concatenate(list(batches[0].keys.values()))
    assert len(np.unique(keys)) < len(keys)


def test_pairs_with_scores_stay_as_they_are_drawn(tmp_path: Path, tiny_tokenizer_json: str) -> None:
    rows = [("the cat", f"dog {i % 3}", i / 30) for i in range(30)]
    source = pairs_of(rows, "anchor", "positive", "score")
    store = store_of(tiny_tokenizer_json, tmp_path, source)
    stream = BatchStream(store, batch_size=10, seed=0)
    assert [len(batch) for batch in islice(stream, 3)] == [10, 10, 10]


def test_temperature_takes_shares_in_proportion_to_a_power_of_the_rows(store: TokenStore) -> None:
    # of 41 batches, 500, 90 and 40 rows: square roots 22.36, 9.49, 6.32 -> 24.02, 10.19, 6.79
    stream = BatchStream(store, batch_size=16, seed=0, sampling="temperature", alpha=0.5)
    assert stream.n_batches_by_source == [24, 10, 7]
    batches = list(islice(stream, stream.n_batches))
    assert Counter(b.source for b in batches) == {"pairs": 24, "triples": 10, "graded": 7}
    # 500, 90, 40 -> 32.54, 5.86, 2.60
    linear = BatchStream(store, batch_size=16, seed=0, sampling="temperature", alpha=1)
    assert linear.n_batches_by_source == [32, 6, 3]
    even = BatchStream(store, batch_size=16, seed=0, sampling="temperature", alpha=0)
    assert even.n_batches_by_source == [14, 14, 13]


def test_a_set_that_is_drawn_seldom_goes_on_where_the_last_epoch_stopped(
    store: TokenStore,
) -> None:
    stream = BatchStream(store, batch_size=16, seed=0, sampling="temperature", alpha=0)
    counts: Counter[int] = Counter()
    for batch in islice(stream, 16 * stream.n_batches):
        if batch.source == "pairs":
            counts.update(batch.rows.tolist())
    # 16 * 14 batches are seven passes of 32
    assert set(counts.values()) == {7}
    assert len(counts) == 500


def test_round_robin_takes_the_sets_in_turn(store: TokenStore) -> None:
    stream = BatchStream(store, batch_size=16, seed=0, sampling="round_robin")
    assert stream.n_batches == 9
    names = [batch.source for batch in islice(stream, 9)]
    assert names == ["pairs", "triples", "graded"] * 3


def test_drop_last_leaves_out_what_fills_no_batch(store: TokenStore) -> None:
    stream = BatchStream(store, batch_size=16, seed=0, drop_last=True)
    assert stream.n_batches_by_source == [31, 5, 2]
    assert {len(batch) for batch in islice(stream, 2 * stream.n_batches)} == {16}
    with pytest.raises(ValueError, match="graded: 40 rows do not fill a batch of 41"):
        BatchStream(store, batch_size=41, seed=0, drop_last=True)


def test_a_batch_larger_than_a_set_is_the_whole_set(store: TokenStore) -> None:
    stream = BatchStream(store, batch_size=10_000, seed=0)
    assert sorted(len(batch) for batch in islice(stream, 3)) == [40, 90, 500]


def test_texts_that_repeat_beyond_use_are_refused(tmp_path: Path, tiny_tokenizer_json: str) -> None:
    rows = [
        (anchor, ["yes", "no", "maybe"][i % 3]) for i, (anchor, _) in enumerate(random_pairs(90))
    ]
    store = store_of(tiny_tokenizer_json, tmp_path, pairs_of(rows))
    with pytest.raises(ValueError, match="a batch holds at most 3 of 90 rows"):
        BatchStream(store, batch_size=32, seed=0)
    assert BatchStream(store, batch_size=32, seed=0, unique=False).n_batches == 3
    assert BatchStream(store, batch_size=3, seed=0).n_batches == 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"sampling": "both"}, "sampling 'both'"),
        ({"alpha": 1.5}, "alpha is 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(
    store: TokenStore, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        BatchStream(store, **({"batch_size": 4, "seed": 0} | options))
