"""Vectors as they come: one array, mapped or not, or blocks of any size, checked on the way.

Shapes: N rows, D dims.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.retrieval.storage.segments import MOST_DIMS, row_blocks


def vector_blocks(vectors: Any, *, dim: int | None = None) -> Iterator[FloatArray]:
    """The vectors in float32 blocks of bounded size, none of them a view of what was given.

    Args:
        vectors: An array [N, D] of numbers, or blocks of such rows one after another.
        dim: How long they have to be; None takes that of the first.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If a block is not [n, D], D changes, or a value is not finite.
    """
    n_before = 0
    for block in _blocks(vectors):
        if block.dtype.kind not in "fiu":
            raise TypeError(f"vectors of {block.dtype}, expected numbers")
        if block.ndim != 2 or block.shape[1] == 0:
            raise ValueError(f"vectors of shape {list(block.shape)}, expected [N, D]")
        if block.shape[1] > MOST_DIMS:
            raise ValueError(f"vectors of {block.shape[1]} dims, expected at most {MOST_DIMS}")
        dim = block.shape[1] if dim is None else dim
        if block.shape[1] != dim:
            raise ValueError(f"vectors of {block.shape[1]} dims, expected {dim}")
        for rows in row_blocks(len(block), dim):
            checked = _float32(block[rows])
            _check_finite(checked, n_before + rows.start)
            yield checked
        n_before += len(block)


def query_rows(queries: Any, dim: int) -> FloatArray:
    """Queries as float32 [Q, D]; a single one [D] as one row.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If the shape does not fit, or a value is not finite.
    """
    rows = np.asarray(queries)
    if rows.ndim not in (1, 2) or rows.shape[-1] != dim:
        raise ValueError(
            f"queries of shape {list(rows.shape)}, expected [Q, {dim}] or [{dim}] as the index "
            f"has vectors of {dim} dims"
        )
    if rows.dtype.kind not in "fiu":
        raise TypeError(f"queries of {rows.dtype}, expected numbers")
    found = _float32(np.atleast_2d(rows))
    _check_finite(found, 0, "query")
    return found


def length_of(vectors: Any) -> int | None:
    """How many rows there will be, None for blocks."""
    if isinstance(vectors, list | tuple) and np.ndim(vectors[0] if vectors else 0) == 2:
        return sum(map(len, vectors))
    return len(vectors) if isinstance(vectors, np.ndarray | list | tuple) else None


def _blocks(vectors: Any) -> Iterable[NDArray[Any]]:
    if isinstance(vectors, list | tuple) and np.ndim(vectors[0] if vectors else 0) == 2:
        return map(np.asanyarray, vectors)
    if hasattr(vectors, "__array__") or isinstance(vectors, list | tuple):
        # a mapped array stays mapped: only the blocks that are asked for are read
        return [np.asanyarray(vectors)]
    if isinstance(vectors, Iterable):
        return map(np.asanyarray, vectors)
    raise TypeError(f"vectors are {type(vectors).__name__}, expected an array [N, D] or blocks")


def _float32(rows: NDArray[Any]) -> FloatArray:
    with np.errstate(over="ignore"):
        found: FloatArray = np.array(rows, dtype=np.float32, order="C")
    return found


def _check_finite(rows: FloatArray, first: int, name: str = "vector") -> None:
    if np.isfinite(rows).all():
        return
    row = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
    odd = rows[row][~np.isfinite(rows[row])][0]
    raise ValueError(f"{name} {first + row} has the value {odd}, expected finite float32 numbers")
