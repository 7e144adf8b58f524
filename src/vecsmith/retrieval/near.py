"""The graph or cells of a segment, built from its prefixes as they are kept.

Only a segment that is long enough has one; the rows of others are scanned by the same prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from vecsmith.retrieval.approximate import TRAINING_ROWS, ApproximateRows, Approximation
from vecsmith.retrieval.plan import Stage
from vecsmith.retrieval.searching import Segment
from vecsmith.retrieval.storage.segments import row_blocks

# To scan fewer takes less than to walk a graph
FEWEST_ROWS: Final = 20_000
# Efforts that are tried: efSearch of a graph, cells visited of cells
_EFFORTS: Final = {"hnsw": (32, 64, 128, 256, 512), "ivf": (2, 4, 8, 16, 32, 64)}
_KEPT_OF_CELLS: Final = 512


def near_dim(dims: Sequence[int], dim: int) -> int:
    """The prefix that a graph is built over: the shortest of at least an eighth of all dims.

    Shorter ones need long shortlists, longer ones make every step of a walk dearer.
    """
    return min((d for d in dims if d >= min(dim, max(dim / 8, 32))), default=dim)


def near_stages(how: Approximation, dim: int) -> list[Stage]:
    """First stages to be tried."""
    return [
        Stage(
            dim=dim,
            keep=effort if how == "hnsw" else _KEPT_OF_CELLS,
            kind="int8",
            how=how,
            effort=effort,
        )
        for effort in _EFFORTS[how]
    ]


def fits(segment: Segment, asked: tuple[Approximation, int] | None) -> bool:
    """Whether the segment has the graph or cells of this kind and dim, over all of its rows."""
    near = segment.near
    return near is not None and (near.how, near.dim, len(near)) == (*(asked or ()), len(segment))


def with_near(
    segment: Segment, how: Approximation, dim: int, *, n_threads: int, seed: int = 0
) -> Segment:
    """The segment with a graph or cells over its first `dim` dims, if it is long enough.

    Raises:
        MissingExtraError: If faiss is not installed.
    """
    if len(segment) < FEWEST_ROWS or fits(segment, (how, dim)):
        return segment
    arrays = segment.arrays
    n = min(len(arrays), TRAINING_ROWS)
    sample = np.sort(np.random.default_rng(seed).choice(len(arrays), size=n, replace=False))
    built = ApproximateRows.build(
        (arrays.centred(places, dim) for places in row_blocks(len(arrays), arrays.layout.dim)),
        arrays.centred(sample, dim),
        how=how,
        similarity=arrays.layout.similarity,
        n_rows=len(arrays),
        n_threads=n_threads,
        seed=seed,
    )
    return replace(segment, near=built)
