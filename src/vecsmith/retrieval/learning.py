"""Plans of an index, learnt from held-out queries or from rows of its own.

The prefixes that a stage to be tried reads are made when it is tried; what no plan in the end
reads is let go again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.retrieval.approximate import Approximation
from vecsmith.retrieval.near import fits, near_dim, near_stages, with_near
from vecsmith.retrieval.plan import RowKind, SearchPlan, Stage
from vecsmith.retrieval.planning import Choice, choose_plan, even_halvings
from vecsmith.retrieval.searching import Found, Places, Rows, Searcher, Segment, prepared
from vecsmith.retrieval.storage.segments import (
    Arrays,
    Layout,
    Part,
    array_names,
    part_arrays,
    part_names,
    row_blocks,
)
from vecsmith.retrieval.storage.stores import Store

# Below so many rows an exact search takes less than a millisecond: there is nothing to gain
FEWEST_ROWS: Final = 2000
# Rows of the index that serve as queries where none are given; half of them judge
_SAMPLE: Final = 1000
_LONGEST: Final = 4096
# Queries whose steps through a graph are counted
_WALKS: Final = 100


@dataclass(slots=True)
class _Trial:
    """Stages over rows whose prefixes are made when they are asked for.

    Attributes:
        rows: With the prefixes made so far.
        store: Where more are made.
        n_threads: How many may run.
    """

    rows: Rows
    store: Store
    n_threads: int

    def exact_top_k(self, queries: FloatArray, k: int) -> Places:
        """Places of the best `k` by whole vectors, [Q, k]."""
        return self._searcher().exact_top_k(queries, k)

    def scan(self, queries: FloatArray, stage: Stage) -> Places:
        """Places of the best `stage.keep` of all rows, [Q, keep]."""
        self.rows = with_part(self.rows, self.rows.layout.part(stage, first=True), self.store)
        return self._searcher().scan(queries, stage)

    def rescore(self, queries: FloatArray, places: Places, stage: Stage) -> Found:
        """The best `stage.keep` of the places, and their scores."""
        self.rows = with_part(self.rows, self.rows.layout.part(stage, first=False), self.store)
        return self._searcher().rescore(queries, places, stage)

    def _searcher(self) -> Searcher:
        return Searcher(self.rows, self.n_threads)


def default_dims(dim: int) -> tuple[int, ...]:
    """Prefix lengths that plans may use where none are named: halvings, longest first."""
    return tuple(even_halvings(dim))


def exact_plan(layout: Layout, k: int) -> SearchPlan:
    """The plan that scores every whole vector."""
    return SearchPlan.exact(layout.dim, k=k, kind=layout.dtype)


def learnt(
    rows: Rows,
    queries: FloatArray | None,
    *,
    dims: Sequence[int],
    recall: float,
    k: int,
    store: Store,
    approximate: Approximation | None,
    seed: int,
    n_threads: int,
) -> tuple[Choice | None, Rows]:
    """The plans for `rows`, None where there are too few to gain by any, and the rows with them.

    Args:
        rows: With their whole vectors.
        queries: Held-out ones [Q, D]; None takes rows themselves, none its own neighbour.
        dims: Prefix lengths that stages may read.
        recall: Share of the true neighbours to find.
        k: True neighbours of a query.
        store: Where prefixes are made.
        approximate: Whether to try a graph or cells as well.
        seed: Of the sample and the halves.
        n_threads: How many may run.

    Raises:
        ValueError: If `k` or `recall` make no sense.
    """
    n_rows = rows.n_alive
    if n_rows < FEWEST_ROWS:
        return None, rows
    own: NDArray[np.int64] | None = None
    if queries is None:
        own = rows.alive_places()[_sample(n_rows, seed)]
        queries = rows.vectors(own)
    rows, firsts = _with_near(rows, approximate, dims, n_threads, seed)
    trial = _Trial(with_part(rows, rows.layout.whole, store), store, n_threads)
    choice = choose_plan(
        trial,
        prepared(queries, rows.layout),
        n_rows=n_rows,
        k=k,
        recall=recall,
        dims=dims,
        kinds=_kinds(rows.layout),
        full=rows.layout.dtype,
        firsts=firsts,
        n_scored=lambda stage: _n_scored(rows, queries, stage),
        own=own,
        # a shortlist of most of the rows is no shortlist
        most=max(min(_LONGEST, n_rows // 4), k),
        seed=seed,
    )
    return choice, trial.rows


def trimmed(rows: Rows, layout: Layout, store: Store) -> Rows:
    """The rows with what `layout` has, and nothing else."""
    for part in sorted(layout.parts, key=lambda part: part.name):
        rows = with_part(rows, part, store)
    kept = set(array_names(layout))
    unused = {name for segment in rows.segments for name in segment.arrays.by_name} - kept
    segments = [
        replace(
            segment,
            near=segment.near if fits(segment, layout.near) else None,
            arrays=Arrays(layout, {name: segment.arrays.by_name[name] for name in kept}),
        )
        for segment in rows.segments
    ]
    store.drop(unused)
    return Rows(layout, tuple(segments))


def with_part(rows: Rows, part: Part, store: Store) -> Rows:
    """The rows with the arrays of `part`, made where they are missing."""
    layout = replace(rows.layout, parts=rows.layout.parts | {part})
    segments = tuple(_with_part(segment, layout, part, store) for segment in rows.segments)
    return Rows(layout, segments)


def _with_part(segment: Segment, layout: Layout, part: Part, store: Store) -> Segment:
    shapes = part_names(layout, part)
    arrays = segment.arrays
    if set(shapes) <= set(arrays.by_name):
        return replace(segment, arrays=Arrays(layout, arrays.by_name))
    blocks = (
        part_arrays(layout, part, arrays, places) for places in row_blocks(len(arrays), layout.dim)
    )
    made = store.keep(shapes, blocks, n_rows=len(arrays))
    return replace(segment, arrays=Arrays(layout, {**arrays.by_name, **made}))


def _with_near(
    rows: Rows, how: Approximation | None, dims: Sequence[int], n_threads: int, seed: int
) -> tuple[Rows, list[Stage]]:
    """The rows with the graph or cells asked for, and the stages to try them by."""
    if how is None:
        return rows, []
    dim = near_dim(dims, rows.layout.dim)
    segments = [with_near(s, how, dim, n_threads=n_threads, seed=seed) for s in rows.segments]
    tried = near_stages(how, dim) if any(s.near is not None for s in segments) else []
    return replace(rows, segments=tuple(segments)), tried


def _n_scored(rows: Rows, queries: FloatArray, stage: Stage) -> int:
    """Rows that a walk scores, with those of segments that are scanned, as a mean over some."""
    sample = prepared(queries[:_WALKS], rows.layout)
    return sum(
        len(segment) if segment.near is None else segment.near.n_scored(sample, stage)
        for segment in rows.segments
    )


def _kinds(layout: Layout) -> tuple[RowKind, ...]:
    # signs know no distance: the length of a query would be needed beside those of the rows
    return ("int8",) if layout.similarity == "euclidean" else ("int8", "bits")


def _sample(n_rows: int, seed: int) -> NDArray[np.int64]:
    n = min(_SAMPLE, n_rows // 4)
    return np.sort(np.random.default_rng(seed).choice(n_rows, size=n, replace=False))
