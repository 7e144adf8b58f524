"""The engine's search: the best rows for a query, and the best of some candidates.

Shapes: N rows, Q queries, D dimensions, K candidates. What a score is, to the bit, stands in
`search.hpp`: float32 and float16 rows by sixteen running sums of fused multiply-adds, int8 rows by
whole numbers of the rounded query, bits by the number of signs that agree.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith import _core
from vecsmith._typing import FloatArray

Kind = Literal["float32", "float16", "int8", "bits"]

_DTYPES: Final[dict[Kind, type[np.generic]]] = {
    "float32": np.float32,
    "float16": np.float16,
    "int8": np.int8,
    "bits": np.uint8,
}

# One call of the engine cannot be interrupted: so many multiply-adds take about a second.
_CALL_PRODUCTS = 2**36
# Queries of one call beyond which more of them make nothing faster.
_FEWEST_QUERIES = 256


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to be searched; row n scores factors[n] * dot(query, row n) + offsets[n].

    Attributes:
        values: [N, dim or more], rows one behind the other or further apart; of bits
            [N, dim / 8 or more], the first dimension in the lowest bit.
        kind: What the values are.
        dim: How many dimensions count, from the first on.
        factors: float32 [N], or None for ones.
        offsets: float32 [N], or None for zeros.
    """

    values: NDArray[Any]
    kind: Kind
    dim: int
    factors: FloatArray | None = None
    offsets: FloatArray | None = None

    def __post_init__(self) -> None:
        """Raises TypeError where values are of another kind."""
        if self.values.dtype != _DTYPES[self.kind]:
            raise TypeError(
                f"{self.kind} rows are of {self.values.dtype}, "
                f"expected {np.dtype(_DTYPES[self.kind])}"
            )


def top_k(
    queries: FloatArray,
    rows: Rows,
    k: int,
    *,
    allowed: NDArray[Any] | None = None,
    n_threads: int = 1,
    first: int = 0,
) -> tuple[NDArray[np.int64], FloatArray]:
    """Places and scores of the `k` best rows for each query, [Q, k] each, best first.

    Equal scores come in the order of their places. Where there are fewer rows the place is -1 and
    the score -inf; a score that is NaN or -inf is never found.

    Args:
        queries: float32 [Q, D]; the first `rows.dim` columns are used.
        rows: What to search.
        k: How many to find, 1 or more.
        allowed: Which rows may be found, bool or uint8 [N]; None for all.
        n_threads: They share queries, or the rows where queries are few.
        first: What is added to each place.

    Raises:
        ValueError: If sizes do not fit, rows overlap or run backwards, or `k` is below 1.
        TypeError: If an array is of another type or order.
    """
    if k < 1:
        raise ValueError(f"k is {k}, expected 1 or more")
    mask = allowed.view(np.uint8) if allowed is not None and allowed.dtype == np.bool_ else allowed
    places, scores = _room(len(queries), k)
    for part in _parts(len(queries), len(rows.values) * rows.dim):
        _core.top_k(
            queries[part],
            rows.values,
            rows.dim,
            rows.factors,
            rows.offsets,
            mask,
            places[part],
            scores[part],
            max(1, n_threads),
            _cpu_level(),
        )
    if first:
        places[places >= 0] += first
    return places, scores


def rescore(
    queries: FloatArray, rows: Rows, candidates: NDArray[np.int64], k: int, *, n_threads: int = 1
) -> tuple[NDArray[np.int64], FloatArray]:
    """The same among `candidates` [Q, K] of each query alone; -1 is none, twice counts once.

    Raises:
        IndexError: If a candidate is no row.
        ValueError: If sizes do not fit, rows overlap or run backwards, or `k` is below 1.
        TypeError: If an array is of another type or order.
    """
    if k < 1:
        raise ValueError(f"k is {k}, expected 1 or more")
    places, scores = _room(len(queries), k)
    _core.rescore(
        queries,
        rows.values,
        rows.dim,
        rows.factors,
        rows.offsets,
        candidates,
        places,
        scores,
        max(1, n_threads),
        _cpu_level(),
    )
    return places, scores


def prefix_norms(
    values: NDArray[Any], dims: Sequence[int], *, squared: bool = False, n_threads: int = 1
) -> FloatArray:
    """Lengths of rows' prefixes, float32 [len(dims), N], in one pass over the rows.

    Args:
        values: float32 or float16 [N, D].
        dims: Prefix lengths, ascending.
        squared: Whether to leave the root out.
        n_threads: They share the rows.

    Raises:
        ValueError: If `dims` do not rise or rows are shorter, or are of another type.
    """
    out = np.empty((len(dims), len(values)), dtype=np.float32)
    _core.prefix_squares(values, list(dims), out, max(1, n_threads), _cpu_level())
    return out if squared else np.sqrt(out, out=out)


def _room(n_queries: int, k: int) -> tuple[NDArray[np.int64], FloatArray]:
    return np.empty((n_queries, k), dtype=np.int64), np.empty((n_queries, k), dtype=np.float32)


def _parts(n_queries: int, products: int) -> list[slice]:
    """Queries in stretches between which Ctrl-C is heard."""
    step = max(_FEWEST_QUERIES, _CALL_PRODUCTS // max(products, 1))
    return [slice(start, start + step) for start in range(0, n_queries, step)]


def _cpu_level() -> str:
    """As `vecsmith.tokenizer.cpu_level`, which searching does without."""
    try:
        return _core.cpu_level(os.environ.get("VECSMITH_CPU", "").strip().lower())
    except ValueError as error:
        raise ValueError(f"VECSMITH_CPU: {error}") from None
