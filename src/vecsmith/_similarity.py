"""Similarities of vectors, by the names that sentence-transformers gives them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray

_LEAST_LENGTH, _MOST_LENGTH = 1e-15, 1e18
SimilarityName = Literal["cosine", "dot", "euclidean", "manhattan"]


def similarity(a: NDArray[Any], b: NDArray[Any], *, kind: SimilarityName) -> FloatArray:
    """Similarity of each row of `a` [N, D] with each of `b` [M, D], shape [N, M].

    Distances are negated, so that more is nearer. A single vector counts as one row.

    Raises:
        ValueError: If the vectors differ in length.
    """
    rows_a, rows_b = _two_rows(a, b)
    if kind == "euclidean":
        # In float32 the difference of near squares would leave nothing of a small distance.
        wide_a, wide_b = rows_a.astype(np.float64), rows_b.astype(np.float64)
        squares = (wide_a**2).sum(1)[:, None] + (wide_b**2).sum(1) - 2 * wide_a @ wide_b.T
        return _float32(-np.sqrt(np.maximum(squares, 0)))
    if kind == "manhattan":
        distances = np.empty((len(rows_a), len(rows_b)), dtype=np.float32)
        for row, distance in zip(rows_a, distances, strict=True):
            np.abs(row - rows_b).sum(1, out=distance)
        return -distances
    if kind == "cosine":
        rows_a, rows_b = unit_rows(rows_a), unit_rows(rows_b)
    return _float32(rows_a @ rows_b.T)


def similarity_pairwise(a: NDArray[Any], b: NDArray[Any], *, kind: SimilarityName) -> FloatArray:
    """Similarity of row i of `a` [N, D] with row i of `b` [N, D], shape [N].

    Raises:
        ValueError: If the shapes differ.
    """
    rows_a, rows_b = _two_rows(a, b)
    if rows_a.shape != rows_b.shape:
        raise ValueError(f"{len(rows_a)} and {len(rows_b)} vectors, expected as many of both")
    if kind == "euclidean":
        return _float32(-np.linalg.norm(rows_a - rows_b, axis=1))
    if kind == "manhattan":
        return _float32(-np.abs(rows_a - rows_b).sum(1))
    if kind == "cosine":
        rows_a, rows_b = unit_rows(rows_a), unit_rows(rows_b)
    return _float32((rows_a * rows_b).sum(1))


def unit_rows(rows: FloatArray) -> FloatArray:
    """The rows [N, D] at length 1; one of zeros stays as it is."""
    with np.errstate(over="ignore", under="ignore"):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: FloatArray = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    # Squares of so small or large values are beyond float32: there the lengths are wrong
    odd = np.flatnonzero((lengths < _LEAST_LENGTH) | (lengths > _MOST_LENGTH))
    if len(odd):
        wide = rows[odd].astype(np.float64)
        wide_lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        fits = np.isfinite(wide_lengths) & (wide_lengths > 0)
        unit[odd] = np.divide(wide, wide_lengths, out=np.zeros_like(wide), where=fits)
    return unit


def _two_rows(a: NDArray[Any], b: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    rows_a, rows_b = (np.atleast_2d(np.asarray(x, dtype=np.float32)) for x in (a, b))
    if rows_a.ndim != 2 or rows_b.ndim != 2 or rows_a.shape[1] != rows_b.shape[1]:
        raise ValueError(
            f"vectors of shapes {list(np.shape(a))} and {list(np.shape(b))}, "
            "expected [N, D] and [M, D]"
        )
    return rows_a, rows_b


def _float32(values: NDArray[Any]) -> FloatArray:
    as_float32: FloatArray = values.astype(np.float32, copy=False)
    return as_float32
