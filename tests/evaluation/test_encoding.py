"""Views of vectors: prefix, unit length, rounding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from sentence_transformers.util.quantization import quantize_embeddings

from vecsmith import StaticModel
from vecsmith.evaluation.encoding import apply_view, distinct, encode_role, is_unit
from vecsmith.results import View

VECTORS = np.random.default_rng(0).normal(size=(50, 64)).astype(np.float32)
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
SAVED = Path(__file__).parents[1] / "saved" / "0.1.0" / "float32"


def cosines(rows: Any) -> Any:
    rows = rows.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def test_a_prefix_view_is_what_the_model_gives_for_that_prefix() -> None:
    model = StaticModel.from_pretrained(SAVED)
    texts = ["the cat", "a dog sat here", "", "issues of art"]
    for normalize in (True, False):
        full = model.encode(texts, normalize=normalize)
        for dim in (1, model.dim // 2, model.dim):
            view = apply_view(full, View(dim), unit=normalize)
            expected = model.encode(texts, normalize=normalize, truncate_dim=dim)
            assert np.allclose(view, expected, atol=1e-6)


def test_binary_cosine_is_the_hamming_distance_of_sentence_transformers_bits() -> None:
    bits = np.asarray(quantize_embeddings(VECTORS, precision="ubinary"))
    distances = np.unpackbits(bits[:, None] ^ bits[None], axis=2).sum(axis=2)
    view = apply_view(VECTORS, View(64, "binary"), unit=False)
    assert np.allclose(cosines(view), 1 - 2 * distances / 64)


def test_int8_and_float16_round_as_encode_does() -> None:
    model = StaticModel.from_pretrained(SAVED)
    texts = ["the cat", "a dog sat here", "issues of art"]
    full = model.encode(texts)
    precisions: tuple[Literal["int8", "float16"], ...] = ("int8", "float16")
    for precision in precisions:
        view = apply_view(full, View(model.dim, precision), unit=is_unit(full))
        codes = model.encode(texts, dtype=precision).astype(np.float64)
        if precision == "int8":  # codes at the scale of their vectors
            codes *= np.abs(full).max(axis=1, keepdims=True).astype(np.float64) / 127
        assert view == pytest.approx(codes, rel=1e-6)


def test_bytes_of_a_view_are_those_of_its_numbers() -> None:
    sizes = [View(100, precision).n_bytes for precision in ("float32", "float16", "int8", "binary")]
    assert sizes == [400, 200, 100, 13]


def test_unit_length_is_seen_also_with_empty_texts_and_rounded_vectors() -> None:
    assert is_unit(np.vstack([UNIT, np.zeros((1, 64), np.float32)]))
    assert is_unit(UNIT.astype(np.float16).astype(np.float32))
    assert not is_unit(VECTORS)


def test_equal_texts_are_encoded_once_and_find_their_place() -> None:
    texts, places = distinct(["b", "a", "b", "", "a"])
    assert texts == ["b", "a", ""]
    assert [texts[place] for place in places] == ["b", "a", "b", "", "a"]


class Prompted:
    def encode(self, texts: Sequence[str], /) -> Any:
        return np.array([[len(text), 0.0] for text in texts])

    def encode_query(self, texts: Sequence[str], /) -> Any:
        return np.array([[len(text), 1.0] for text in texts])


def test_queries_go_through_encode_query_where_there_is_one() -> None:
    assert encode_role(Prompted(), ["ab"], "query").tolist() == [[2, 1]]
    assert encode_role(Prompted(), ["ab"], "document").tolist() == [[2, 0]]
    assert encode_role(Prompted(), ["ab"], "text").dtype == np.float32


class Broken:
    def __init__(self, vectors: Any) -> None:
        self.vectors = vectors

    def encode(self, texts: Sequence[str], /) -> Any:
        return self.vectors


def test_vectors_that_do_not_fit_the_texts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \[2, 3\] for 1 texts, expected \[1, D\]"):
        encode_role(Broken(np.ones((2, 3))), ["a"], "text")
    with pytest.raises(ValueError, match="not finite for 1 of 2 texts, the first 'b'"):
        encode_role(Broken([[1.0], [np.nan]]), ["a", "b"], "text")
    with pytest.raises(ValueError, match="a prefix of 65 dims of vectors of 64"):
        apply_view(VECTORS, View(65), unit=False)
