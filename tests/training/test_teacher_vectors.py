from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")

from tests.training.toy_runs import word_pairs
from vecsmith.corpora import Limits
from vecsmith.errors import FormatError
from vecsmith.tokenizer import Tokenizer
from vecsmith.training import teacher_vectors
from vecsmith.training.bag import Bag, TextKeys
from vecsmith.training.pair_sources import open_sources
from vecsmith.training.teacher_vectors import TeacherVectors, build_teacher_vectors


class Letters:
    """Counts letters, and how many texts it was asked for."""

    fingerprint = "letters"

    def __init__(self) -> None:
        self.n_texts = 0

    def encode(self, texts: list[str]) -> np.ndarray:
        self.n_texts += len(texts)
        return np.array([[text.count(letter) + 0.1 for letter in "aeiot"] for text in texts])


class TwoSided(Letters):
    """Another vector for a query than for a document."""

    def encode_query(self, texts: list[str]) -> np.ndarray:
        return self.encode(texts)

    def encode_document(self, texts: list[str]) -> np.ndarray:
        return -self.encode(texts)


@pytest.fixture
def tokenizer(tiny_tokenizer_json: str) -> Tokenizer:
    return Tokenizer(tiny_tokenizer_json)


def keys_of(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    ids, offsets = tokenizer.encode_batch(texts)
    return TextKeys(tokenizer.n_ids).of(Bag(ids, offsets).without(tokenizer.unk_id))


def build(rows: Any, tokenizer: Tokenizer, teacher: Any, folder: Path) -> TeacherVectors:
    return build_teacher_vectors(
        open_sources(rows),
        tokenizer,
        teacher,
        folder,
        max_length=None,
        unk_id_dropped=tokenizer.unk_id,
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / lengths)


def test_each_text_is_read_once_and_found_by_its_key(tmp_path: Path, tokenizer: Tokenizer) -> None:
    rows = word_pairs(50)
    rows += [(rows[0][0], rows[1][1]), (rows[3][0], rows[2][0])]
    texts = sorted({text for row in rows for text in row})
    teacher = Letters()
    vectors = build(rows, tokenizer, teacher, tmp_path)
    assert teacher.n_texts == len(vectors) == len(texts)
    for side in ("query", "document"):
        found = vectors.of(keys_of(tokenizer, texts), side)
        np.testing.assert_allclose(found, unit(Letters().encode(texts)), atol=1e-3)
    assert build(rows, tokenizer, teacher, tmp_path).has(keys_of(tokenizer, texts)).all()
    assert teacher.n_texts == len(texts)  # opened again, nothing was read


def test_a_teacher_with_two_sides_reads_anchors_as_queries(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    rows = [("hello cat", "the dog"), ("the dog", "a mat")]
    vectors = build(rows, tokenizer, TwoSided(), tmp_path)
    keys = keys_of(tokenizer, ["the dog"])
    expected = unit(Letters().encode(["the dog"]))
    np.testing.assert_allclose(vectors.of(keys, "query"), expected, atol=1e-3)
    np.testing.assert_allclose(vectors.of(keys, "document"), -expected, atol=1e-3)


def test_a_pass_that_stopped_goes_on_after_its_last_file(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher_vectors, "_SHARD_TEXTS", 10)
    monkeypatch.setattr(teacher_vectors, "_LIMITS", Limits(max_rows=7))
    sets = {"one": word_pairs(40), "two": word_pairs(40, seed=9)}

    class Dying(Letters):
        def encode(self, texts: list[str]) -> np.ndarray:
            if self.n_texts:
                raise KeyboardInterrupt
            return super().encode(texts)

    with pytest.raises(KeyboardInterrupt):
        build(sets, tokenizer, Dying(), tmp_path)
    n_files = len(list(tmp_path.iterdir()))
    assert n_files == 1
    teacher = Letters()
    vectors = build(sets, tokenizer, teacher, tmp_path)
    texts = sorted({text for rows in sets.values() for row in rows for text in row})
    assert vectors.has(keys_of(tokenizer, texts)).all()
    assert teacher.n_texts < len(texts)


def test_vectors_of_other_texts_or_another_teacher_are_refused(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    build(word_pairs(5), tokenizer, Letters(), tmp_path)
    with pytest.raises(FormatError, match="of other texts or of another teacher"):
        build(word_pairs(6), tokenizer, Letters(), tmp_path)
    other = Letters()
    other.fingerprint = "other"
    with pytest.raises(FormatError, match="of other texts or of another teacher"):
        build(word_pairs(5), tokenizer, other, tmp_path)


def test_a_text_without_a_vector_is_an_error(tmp_path: Path, tokenizer: Tokenizer) -> None:
    vectors = build(word_pairs(5), tokenizer, Letters(), tmp_path)
    with pytest.raises(FormatError, match="no vector of 1 texts"):
        vectors.of(keys_of(tokenizer, ["zebra zebra"]), "query")


@pytest.mark.parametrize("broken", [np.full((2, 3), np.nan), np.zeros(2), np.zeros((3, 3))])
def test_a_teacher_that_gives_no_vectors_is_refused(
    tmp_path: Path, tokenizer: Tokenizer, broken: np.ndarray
) -> None:
    class Broken(Letters):
        def encode(self, texts: list[str]) -> np.ndarray:
            return broken

    with pytest.raises(ValueError, match="expected one finite vector each"):
        build([("hello", "cat")], tokenizer, Broken(), tmp_path)
