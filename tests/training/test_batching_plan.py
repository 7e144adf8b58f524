"""Which rows stand together: no text twice in a batch, no row twice in a pass, no long search."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vecsmith.training.bag import Keys
from vecsmith.training.batch_plan import (
    SharedTexts,
    n_batches_of,
    rows_of_pass,
    shared_texts,
)


def keys_of(*columns: object) -> list[Keys]:
    """Keys spread over 64 bits, as those of texts are, of columns of whole numbers."""
    spread = np.uint64(0x9E3779B97F4A7C15)
    return [np.asarray(column, dtype=np.uint64) * spread + np.uint64(7) for column in columns]


def a_pass(
    keys: list[Keys], batch_size: int, *, seed: int = 0, drop_last: bool = False
) -> list[NDArray[np.int64]]:
    shared = shared_texts(keys)
    n_batches = n_batches_of(len(keys[0]), batch_size, shared=shared, drop_last=drop_last)
    return list(
        rows_of_pass(
            len(keys[0]),
            n_batches=n_batches,
            batch_size=batch_size,
            shared=shared,
            generator=np.random.default_rng(seed),
        )
    )


def texts_twice(batch: NDArray[np.int64], keys: list[Keys]) -> list[int]:
    """Texts that two rows of a batch have."""
    counts = Counter(key for row in batch for key in {int(column[row]) for column in keys})
    return [key for key, count in counts.items() if count > 1]


some_texts = st.integers(0, 12)
some_rows = st.lists(st.tuples(some_texts, some_texts, some_texts), min_size=1, max_size=60)


@settings(max_examples=300)
@given(some_rows, st.integers(1, 20), st.booleans(), st.integers(0, 5))
def test_whatever_repeats_no_text_stands_twice_in_a_batch_and_no_row_twice_in_a_pass(
    rows: list[tuple[int, int, int]], batch_size: int, drop_last: bool, seed: int
) -> None:
    keys = keys_of(*zip(*rows, strict=True))
    batches = a_pass(keys, batch_size, seed=seed, drop_last=drop_last)
    assert not any(texts_twice(batch, keys) for batch in batches)
    given_rows = np.concatenate([*batches, np.empty(0, dtype=np.int64)]).tolist()
    assert len(given_rows) == len(set(given_rows))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    most = len(rows) // batch_size if drop_last else -(-len(rows) // batch_size)
    assert len(batches) <= most


@given(some_rows)
def test_shared_texts_are_those_a_plain_count_finds(rows: list[tuple[int, int, int]]) -> None:
    keys = keys_of(*zip(*rows, strict=True))
    shared = shared_texts(keys)
    everywhere = Counter(text for row in rows for text in row)
    expected = [i for i, row in enumerate(rows) if any(everywhere[text] > 1 for text in row)]
    assert shared.rows.tolist() == expected
    # one number for one text, whatever its column
    numbers: dict[int, int] = {}
    for i, own in zip(expected, shared.texts.tolist(), strict=True):
        for text, number in zip(rows[i], own, strict=True):
            assert (number >= 0) == (everywhere[text] > 1)
            if number >= 0:
                assert numbers.setdefault(text, number) == number
    assert len(set(numbers.values())) == len(numbers)
    assert int(shared.counts.sum()) == len(expected)


def test_without_repeated_texts_a_pass_gives_every_row_once_in_full_batches() -> None:
    keys = keys_of(range(1000), range(1000, 2000))
    batches = a_pass(keys, 64)
    assert [len(batch) for batch in batches] == [64] * 15 + [40]
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
    assert [len(batch) for batch in a_pass(keys, 64, drop_last=True)] == [64] * 15


def test_displaced_rows_come_in_a_later_batch_of_the_same_pass() -> None:
    # each of 100 texts in ten rows, as a sentence with paraphrases: 20 batches have room for all
    keys = keys_of(np.arange(1000) // 10, np.arange(1000) + 10_000)
    for seed in range(5):
        batches = a_pass(keys, 50, seed=seed)
        assert [len(batch) for batch in batches] == [50] * 20
        assert not any(texts_twice(batch, keys) for batch in batches)
        assert sorted(np.concatenate(batches).tolist()) == list(range(1000))


def test_the_rows_of_one_text_are_spread_over_the_whole_pass() -> None:
    # one text in 8 of 4096 rows: the i-th of them in the i-th eighth of the 64 batches
    keys = keys_of(np.where(np.arange(4096) < 8, 99_999, np.arange(4096)), np.arange(4096) + 10_000)
    for seed in range(5):
        batches = a_pass(keys, 64, seed=seed)
        places = [i for i, batch in enumerate(batches) for row in batch if row < 8]
        # a batch begins where it is its turn, give or take a few rows
        assert all(8 * i - 1 <= place <= 8 * i + 8 for i, place in enumerate(sorted(places)))


def test_every_row_is_as_likely_to_stand_in_any_batch() -> None:
    # chi-square over 16 batches, 15 degrees of freedom: beyond 37.7 once in a thousand rows
    keys = keys_of(np.arange(256) // 4, np.arange(256) + 1000)
    found = np.zeros((256, 16))
    for seed in range(400):
        for i, batch in enumerate(a_pass(keys, 16, seed=seed)):
            found[batch, i] += 1
    statistic = ((found - 25) ** 2 / 25).sum(axis=1)
    assert (statistic > 37.7).mean() < 0.02
    assert abs(statistic.mean() - 15) < 1.5


def test_a_text_in_more_rows_than_there_are_batches_is_once_in_each_by_other_rows() -> None:
    # half of 2000 rows have one text
    keys = keys_of(np.where(np.arange(2000) % 2, np.arange(2000), 5_000), np.arange(2000) + 10_000)
    shared = shared_texts(keys)
    n_batches = n_batches_of(2000, 100, shared=shared, drop_last=False)
    assert n_batches == 20  # (1000 + 20) rows make batches of 51, more than half full
    assert shared.n_left_out(20) == 980
    chosen = set()
    for seed in range(3):
        batches = a_pass(keys, 100, seed=seed)
        assert [len(batch) for batch in batches][:-1] == [51] * 19
        assert sum((batch % 2 == 0).sum() for batch in batches) >= 19
        chosen |= {int(row) for batch in batches for row in batch if row % 2 == 0}
    assert len(chosen) > 50  # 60 draws, few of them twice


def test_where_texts_repeat_too_often_for_so_many_batches_there_are_fewer() -> None:
    # 40 texts in 50 rows each beside 40 others: at most 40 + 40 / n rows in each of n batches
    keys = keys_of(
        np.concatenate([np.arange(2000) // 50, np.arange(40) + 100]), np.arange(2040) + 1000
    )
    shared = shared_texts(keys)
    assert n_batches_of(2040, 60, shared=shared, drop_last=False) == 34
    assert n_batches_of(2040, 100, shared=shared, drop_last=False) == 4  # 40 + 10 is half of 100
    assert n_batches_of(2040, 60, shared=shared, drop_last=True) == 2  # 40 + 20 is 60
    assert [len(batch) >= 54 for batch in a_pass(keys, 60, drop_last=True)] == [True, True]


def test_a_grid_of_all_pairs_is_cut_without_a_long_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 120 x 120 rows, each text in 120: the hardest case, every row shares both its texts
    rows = np.arange(14_400)
    keys = keys_of(rows // 120, rows % 120 + 1000)
    asked = 0

    class Counting(set[int]):
        def isdisjoint(self, other: object) -> bool:
            nonlocal asked
            asked += 1
            return super().isdisjoint(other)  # type: ignore[arg-type]

    monkeypatch.setattr("vecsmith.training.batch_plan.set", Counting, raising=False)
    batches = a_pass(keys, 64)
    assert not any(texts_twice(batch, keys) for batch in batches)
    assert len(batches) == 225
    # each batch asks rows that follow once and at most four waiting ones for each of its own
    assert asked <= 14_400 + 225 * 4 * 64
    assert sum(len(batch) for batch in batches) > 0.9 * 225 * 64


def test_any_rows_may_meet_where_nothing_is_said_of_texts() -> None:
    batches = list(
        rows_of_pass(10, n_batches=3, batch_size=4, shared=None, generator=np.random.default_rng(0))
    )
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(np.concatenate(batches).tolist()) == list(range(10))


def test_keys_that_are_not_spread_are_found_all_the_same() -> None:
    columns = [np.array([1, 2, 3, 1, 5], dtype=np.uint64), np.array([9, 3, 8, 7, 6], np.uint64)]
    shared: SharedTexts = shared_texts(columns)
    assert shared.rows.tolist() == [0, 1, 2, 3]
    assert shared.texts.tolist() == [[0, -1], [-1, 1], [1, -1], [0, -1]]
