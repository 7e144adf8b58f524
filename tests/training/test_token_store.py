"""What a token store keeps of sets of pairs, and what it leaves out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.pair_sets import pairs_of, random_pairs, random_words, store_of
from vecsmith.corpora import open_pairs
from vecsmith.corpora.decontamination import Decontaminator
from vecsmith.errors import FormatError
from vecsmith.tokenizer import Tokenizer
from vecsmith.training import token_store
from vecsmith.training.bag import Bag
from vecsmith.training.stored_source import StoredSource
from vecsmith.training.token_store import TokenStore, build_store


def lists_of(bag: Bag) -> list[list[int]]:
    return [part.tolist() for part in np.split(bag.ids, bag.offsets[1:-1])]


def all_of(source: StoredSource, role: str) -> list[list[int]]:
    return lists_of(source.bag(role, np.arange(len(source))))


def ids_of_tokenizers(
    tokenizer_json: str, texts: list[str], *, dropped: int | None, max_length: int | None = None
) -> list[list[int]]:
    tokenizers = pytest.importorskip("tokenizers")
    reference = tokenizers.Tokenizer.from_str(tokenizer_json)
    reference.no_padding()
    reference.no_truncation()
    encodings = reference.encode_batch(texts, add_special_tokens=False)
    return [[i for i in e.ids[:max_length] if i != dropped] for e in encodings]


@pytest.mark.parametrize("max_length", [None, 3])
def test_ids_are_those_of_tokenizers_without_the_unknown_token(
    tmp_path: Path, tiny_tokenizer_json: str, max_length: int | None
) -> None:
    rows = [(f"{a} é 猫 dog", f"cat {p} ☃") for a, p in random_pairs(100)]
    store = store_of(tiny_tokenizer_json, tmp_path, pairs_of(rows), max_length=max_length)
    (source,) = store.sources
    assert len(source) == len(store) == 100
    for role, texts in zip(("anchor", "positive"), map(list, zip(*rows, strict=True)), strict=True):
        expected = ids_of_tokenizers(tiny_tokenizer_json, texts, dropped=1, max_length=max_length)
        assert all_of(source, role) == expected


def test_real_pairs_come_back_with_the_tokens_of_the_texts_they_were(
    tmp_path: Path, shared_data: Path, minilm_tokenizer_json: str
) -> None:
    pairs = open_pairs(shared_data / "chatbot_ko" / "pairs.parquet")
    tokenizer = Tokenizer(minilm_tokenizer_json)
    store = build_store([pairs], tokenizer, tmp_path, unk_id_dropped=tokenizer.unk_id)
    (source,) = store.sources
    texts: dict[str, list[str | None]] = {"anchor": [], "positive": []}
    for part in pairs.read():
        for role in texts:
            texts[role] += part.texts[role]
    numbers = source.numbers()
    for role in texts:
        kept = [texts[role][i] or "" for i in numbers]
        expected = ids_of_tokenizers(minilm_tokenizer_json, kept, dropped=tokenizer.unk_id)
        assert all_of(source, role) == expected
    report = source.report
    assert report.n_read == len(texts["anchor"]) == 11823
    assert report.n_kept + sum(report.skipped.values()) == report.n_read
    # an English vocabulary has no token for some Korean texts; some replies repeat the utterance
    assert set(report.skipped) == {"no tokens", "anchor equal to positive"}


def test_each_row_left_out_is_counted_once_under_the_first_reason(
    tmp_path: Path, tiny_tokenizer_json: str
) -> None:
    class Matcher:
        fingerprint = "the word dog"

        def matches(self, texts: Any) -> Any:
            return np.array(["dog" in text for text in texts], dtype=np.uint8)

    rows = [
        ("hello", "world", "cat", 1.0),
        (None, "world", "cat", 1.0),
        ("hello", None, None, None),
        ("hello", "world", "cat", None),
        ("hello", "world", "cat", float("nan")),
        ("hello", "world", "cat", float("inf")),
        ("hello", "world", "cat", 1e39),
        ("the dog", "world", "cat", 1.0),
        ("the dog", "☃", "cat", 1.0),
        ("☃", "world", "cat", 1.0),
        ("", "world", "cat", 1.0),
        ("hello", "  Hello ", "cat", 1.0),
        ("hello", "world", "World", 1.0),
        ("hello", "world", "HELLO", 1.0),
        ("world", "hello", "cat", -3.5),
    ]
    source = pairs_of(rows, "anchor", "positive", "negative_1", "score")
    store = store_of(tiny_tokenizer_json, tmp_path, source, decontaminator=Matcher())
    (report,) = store.reports
    assert report.skipped == {
        "anchor equal to positive": 1,
        "contaminated": 2,
        "missing score": 4,
        "missing text": 2,
        "negative equal to anchor or positive": 2,
        "no tokens": 2,
    }
    assert (report.n_read, report.n_kept, report.score_range) == (15, 2, (-3.5, 1.0))
    assert store.sources[0].numbers().tolist() == [0, 14]
    scores = store.sources[0].scores()
    assert scores is not None
    assert scores.tolist() == [1.0, -3.5]
    assert str(report).startswith("set: 2 of 15 rows (left out: 1 anchor equal to positive, 2 con")


def test_pairs_with_a_text_of_an_evaluation_set_are_left_out(
    tmp_path: Path, tiny_tokenizer_json: str
) -> None:
    rows = [*random_pairs(20), ("The cat sat, on the mat!", "a dog"), ("a dog", "play ing cats")]
    matcher = Decontaminator(["the cat sat on the mat", "Play-ing cats"])
    store = store_of(tiny_tokenizer_json, tmp_path, pairs_of(rows), decontaminator=matcher)
    assert store.reports[0].skipped == {"contaminated": 2}
    assert store.sources[0].numbers().tolist() == list(range(20))
    with pytest.raises(FormatError, match=r"made with \{'decontaminator'"):
        store_of(tiny_tokenizer_json, tmp_path, pairs_of(rows))


def test_sets_keep_their_own_roles_and_get_names_of_their_own(
    tmp_path: Path, tiny_tokenizer_json: str
) -> None:
    rows = random_pairs(30)
    three = pairs_of([(a, p, "cat") for a, p in rows], "anchor", "positive", "negative_1")
    turned = pairs_of([("dog", p, a) for a, p in rows], "negative_1", "positive", "anchor")
    graded = pairs_of([(a, p, 0.5) for a, p in rows], "anchor", "positive", "score")
    store = store_of(tiny_tokenizer_json, tmp_path, three, turned, graded)
    assert [source.name for source in store.sources] == ["set", "set (2)", "set (3)"]
    assert [source.text_roles for source in store.sources] == [
        ("anchor", "positive", "negative_1"),
        ("anchor", "positive", "negative_1"),
        ("anchor", "positive"),
    ]
    assert [source.has_scores for source in store.sources] == [False, False, True]
    assert all_of(store.sources[0], "anchor") == all_of(store.sources[1], "anchor")


def test_shards_change_nothing_but_the_files(
    tmp_path: Path, tiny_tokenizer_json: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = random_pairs(200)
    whole = store_of(tiny_tokenizer_json, tmp_path / "whole", pairs_of(rows)).sources[0]
    monkeypatch.setattr(token_store, "SHARD_ROWS", 20)
    many = store_of(tiny_tokenizer_json, tmp_path / "many", pairs_of(rows)).sources[0]
    assert len(list((tmp_path / "many").glob("*.safetensors"))) == 10
    places = np.random.default_rng(0).permutation(200)[:150]
    for role in whole.text_roles:
        assert lists_of(whole.bag(role, places)) == lists_of(many.bag(role, places))
        assert (whole.keys(role, places) == many.keys(role, places)).all()
    assert (whole.numbers() == many.numbers()).all()
    assert whole.report == many.report


def test_ids_above_sixteen_bits_survive(tmp_path: Path, tiny_tokenizer_json: str) -> None:
    settings = json.loads(tiny_tokenizer_json)
    words = random_words(70_000)
    settings["model"]["vocab"] |= {word: 1000 + i for i, word in enumerate(words)}
    rows = list(zip(words[-100:], words[-200:-100], strict=True))
    (source,) = store_of(json.dumps(settings), tmp_path, pairs_of(rows)).sources
    expected = [[70_900 + i] for i in range(100)]
    assert all_of(source, "anchor") == expected


def test_a_finished_store_is_opened_without_reading_the_pairs(
    tmp_path: Path, tiny_tokenizer_json: str
) -> None:
    pairs = pairs_of(random_pairs(20))
    first = store_of(tiny_tokenizer_json, tmp_path, pairs)
    again = store_of(tiny_tokenizer_json, tmp_path, pairs)
    assert pairs.starts == [None]
    assert again.fingerprint == first.fingerprint == TokenStore(tmp_path).fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": pairs_of(random_pairs(20, seed=1))}, r"holds a token store of \['set'\]"),
        ({"pairs": pairs_of(random_pairs(20), name="other")}, r"expected \['other'\]"),
        ({"max_length": 5}, r"made with \{'max_length': None\}, expected \{'max_length': 5\}"),
        ({"cased": True}, r"made with \{'tokenizer': "),
    ],
)
def test_a_store_of_something_else_is_refused(
    tmp_path: Path, tiny_tokenizer_json: str, change: dict[str, Any], message: str
) -> None:
    pairs = pairs_of(random_pairs(20))
    store_of(tiny_tokenizer_json, tmp_path, pairs)
    tokenizer_json = tiny_tokenizer_json
    if change == {"cased": True}:
        tokenizer_json = tiny_tokenizer_json.replace('"lowercase": true', '"lowercase": false')
    length = change.get("max_length")
    with pytest.raises(FormatError, match=message):
        store_of(tokenizer_json, tmp_path, change.get("pairs", pairs), max_length=length)


def test_pairs_that_are_all_alike_are_refused_with_their_count(
    tmp_path: Path, tiny_tokenizer_json: str
) -> None:
    rows = [("hello world", "Hello  World")] * 25
    with pytest.raises(ValueError, match=r"set: 0 of 25 rows .*25 anchor equal to positive"):
        store_of(tiny_tokenizer_json, tmp_path, pairs_of(rows))


def test_no_set_at_all_is_refused(tmp_path: Path, tiny_tokenizer_json: str) -> None:
    with pytest.raises(ValueError, match="no set of pairs"):
        store_of(tiny_tokenizer_json, tmp_path)


def test_a_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no finished token store"):
        TokenStore(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "gone", "other", "offsets"])
def test_a_broken_shard_is_an_error_that_names_it(
    tmp_path: Path, tiny_tokenizer_json: str, damage: str
) -> None:
    store_of(tiny_tokenizer_json, tmp_path / "a", pairs_of(random_pairs(20)))
    store_of(tiny_tokenizer_json, tmp_path / "b", pairs_of(random_pairs(30)))
    path = tmp_path / "a" / "set-000-00000.safetensors"
    raw = path.read_bytes()
    if damage == "cut":
        path.write_bytes(raw[:-10])
    elif damage == "gone":
        path.unlink()
    elif damage == "other":
        path.write_bytes((tmp_path / "b" / path.name).read_bytes())
    else:
        header = 8 + int.from_bytes(raw[:8], "little")
        entry = json.loads(raw[8:header])["anchor.offsets"]["data_offsets"]
        spoilt = np.frombuffer(raw[header + entry[0] : header + entry[1]], dtype=np.int64) + 2**40
        path.write_bytes(raw[: header + entry[0]] + spoilt.tobytes() + raw[header + entry[1] :])
    with pytest.raises(FormatError, match=r"set-000-00000|offsets of 'anchor'"):
        TokenStore(tmp_path / "a").sources[0].bag("anchor", np.arange(20))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"settings": {}, "sources": [{"name": "a"}]}', '{"settings": 1}']
)
def test_a_broken_record_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(FormatError, match=r"store\.json"):
        TokenStore(tmp_path)


def test_a_row_that_is_not_there_is_an_index_error(
    tmp_path: Path, tiny_tokenizer_json: str
) -> None:
    (source,) = store_of(tiny_tokenizer_json, tmp_path, pairs_of(random_pairs(20))).sources
    for row in (-1, 20):
        with pytest.raises(IndexError, match="expected rows 0 to 19"):
            source.bag("anchor", np.array([row]))
    assert len(source.bag("anchor", np.array([], dtype=np.int64))) == 0
