from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from vecsmith.corpora import open_corpus, texts_of
from vecsmith.corpora.hashing import SeenHashes, text_hashes
from vecsmith.errors import FormatError


def test_each_text_is_given_once_and_every_skip_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(b"one\n\ntwo\n \t\none\nbroken \xff byte\nthree\nONE\n")
    texts = texts_of(path)
    for _ in range(2):
        assert list(texts) == ["one", "two", "broken \ufffd byte", "three", "ONE"]
        assert texts.report.line() == (
            "5 of 8 texts; left out: 2 empty, 1 repeated; 1 with broken characters"
        )
    assert texts.n_texts is None
    nulls = texts_of([{"text": "a"}, {"text": None}, {"other": 1}])
    assert list(nulls) == ["a"]
    assert (nulls.n_texts, nulls.report.n_null) == (3, 2)


def test_the_column_is_told_or_asked_for() -> None:
    assert list(texts_of([{"id": 1, "text": "a", "title": "t"}])) == ["a"]
    assert list(texts_of([{"id": 1, "body_text": "a"}])) == ["a"]
    assert list(texts_of([{"id": 1, "text": "a", "title": "t"}], column="title")) == ["t"]
    with pytest.raises(ValueError, match=r"columns 'x', 'y', expected one named 'text'"):
        texts_of([{"x": "a", "y": "b"}])
    with pytest.raises(ValueError, match=r"column 'z' is absent, expected one of 'x', 'y'"):
        texts_of([{"x": "a", "y": "b"}], column="z")
    with pytest.raises(FormatError, match=r"row 1: 'n' is a number, expected a string"):
        list(texts_of([{"n": 5, "text": "a"}], column="n"))


def test_a_fingerprint_is_of_texts_and_column() -> None:
    rows = [{"a": "x", "b": "y"}]
    one = texts_of(rows, column="a").fingerprint
    assert texts_of(rows, column="a").fingerprint == one
    assert texts_of(rows, column="b").fingerprint != one


def test_hashes_are_seen_as_a_set_sees_them() -> None:
    draw = random.Random(2)
    seen, expected = SeenHashes(), set[int]()
    for _ in range(200):
        hashes = [draw.randrange(4000) * 2**50 for _ in range(draw.randrange(60))]
        is_new = seen.add(np.array(hashes, dtype=np.uint64)).tolist()
        for value, new in zip(hashes, is_new, strict=True):
            assert new == (value not in expected)
            expected.add(value)
        assert len(seen) == len(expected)


def test_hashes_of_texts_are_the_same_on_every_machine() -> None:
    hashes = text_hashes(["", "abc", "한국어", "\ud800"])
    assert hashes.dtype == np.uint64
    # BLAKE2b of 8 bytes, little-endian, of the UTF-8: `printf abc | b2sum -l 64`
    assert [int(value).to_bytes(8, "little").hex() for value in hashes[:2].tolist()] == [
        "e4a6a0577479b2b4",
        "d8bb14d833d59559",
    ]
    assert len(set(hashes.tolist())) == 4


def test_shared_abstracts_are_read_as_their_file_holds_them(shared_data: Path) -> None:
    path = shared_data / "papers" / "pairs.parquet"
    expected = pytest.importorskip("pyarrow.parquet").read_table(path)["positive"].to_pylist()
    texts = texts_of(path, column="positive")
    assert list(texts) == list(dict.fromkeys(expected))
    assert texts.n_texts == texts.report.n_read == len(expected)


def test_a_text_in_the_place_of_a_column_is_refused() -> None:
    with pytest.raises(TypeError, match="column 'text' is one text, expected a list of them"):
        texts_of({"text": "hello"})


def test_values_that_no_run_knows_again_are_refused() -> None:
    with pytest.raises(TypeError, match="expected texts, numbers and dates"):
        _ = open_corpus([("a", object())]).fingerprint


def test_half_characters_have_hashes_of_their_own() -> None:
    assert len(set(text_hashes(["a?", "a\ud800", "a\ud801"]).tolist())) == 3
