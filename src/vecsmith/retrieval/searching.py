"""A plan carried out over the segments of an index.

The first stage scores every row that is alive and allowed; each later one scores what the one
before kept. The one rule: where all rows fit into the shortlists the answer is the exact one, and
equal scores go to the row that came first.

Shapes: Q queries, N rows, K rows that go on from a stage.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._similarity import unit_rows
from vecsmith._typing import FloatArray
from vecsmith.retrieval import _kernels
from vecsmith.retrieval.approximate import ApproximateRows
from vecsmith.retrieval.exact import Similarity
from vecsmith.retrieval.plan import SearchPlan, Stage
from vecsmith.retrieval.storage.ids import IdKind, RowIds
from vecsmith.retrieval.storage.segments import Arrays, Layout, row_blocks

Places = NDArray[np.int64]
Found = tuple[Places, FloatArray]
# Rows beyond those asked for whose scores are taken again in float64, where float32 or rounded
# products may have put near ones into another order
_SPARE: Final = 16
# How many times as many are looked at where these may not be enough
_WIDER: Final = 16


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows that came together; not to be changed.

    Attributes:
        arrays: Vectors and what stages read.
        ids: Of the rows.
        alive: Which rows were not deleted, [N] bool; None for all.
        near: A graph or cells over their prefixes; None where they are scanned.
        files: Names of the files that hold the arrays and ids, by name; None before it was saved.
    """

    arrays: Arrays
    ids: RowIds
    alive: NDArray[np.bool_] | None = None
    near: ApproximateRows | None = None
    files: Any = None

    def __len__(self) -> int:
        return len(self.arrays)

    @property
    def n_alive(self) -> int:
        """Rows that were not deleted."""
        return len(self) if self.alive is None else int(np.count_nonzero(self.alive))


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of an index, segment after segment: row p of the index is its *place*.

    Attributes:
        layout: What arrays there are.
        segments: In the order of places.
    """

    layout: Layout
    segments: tuple[Segment, ...]

    def __len__(self) -> int:
        return sum(map(len, self.segments))

    @property
    def n_alive(self) -> int:
        """Rows that were not deleted."""
        return sum(segment.n_alive for segment in self.segments)

    @property
    def firsts(self) -> list[int]:
        """Place of the first row of each segment, and behind the last the number of rows."""
        return list(itertools.accumulate(map(len, self.segments), initial=0))

    def alive(self) -> NDArray[np.bool_]:
        """Which places hold a row, [N]."""
        masks = [
            np.ones(len(segment), dtype=bool) if segment.alive is None else segment.alive
            for segment in self.segments
        ]
        return np.concatenate(masks) if masks else np.zeros(0, dtype=bool)

    def alive_places(self) -> Places:
        """Places that hold a row, ascending."""
        return np.flatnonzero(self.alive()).astype(np.int64)

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays, in memory or mapped."""
        return sum(
            array.nbytes for segment in self.segments for array in segment.arrays.by_name.values()
        )

    def ids_at(self, places: Places, kind: IdKind) -> NDArray[Any]:
        """Ids at places of any shape; -1 or None at a place below 0."""
        found = np.full(places.shape, *((-1, np.int64) if kind == "int" else (None, object)))
        for first, segment in zip(self.firsts, self.segments, strict=False):
            here = (places >= first) & (places < first + len(segment))
            found[here] = segment.ids.take(places[here] - first)
        return found

    def without(self, places: Places) -> Rows:
        """The rows without those at `places`."""
        segments = []
        for first, segment in zip(self.firsts, self.segments, strict=False):
            own = places[(places >= first) & (places < first + len(segment))] - first
            if len(own):
                alive = np.ones(len(segment), bool) if segment.alive is None else segment.alive
                alive = alive.copy()  # a search may be reading the old one
                alive[own] = False
                segment = replace(segment, alive=alive)
            segments.append(segment)
        return replace(self, segments=tuple(segments))

    def places_of(self, ids: NDArray[np.int64] | Sequence[str]) -> Places:
        """Place of each id, -1 where it is not or no more."""
        found = np.full(len(ids), -1, dtype=np.int64)
        for first, segment in zip(self.firsts, self.segments, strict=False):
            if (segment.ids.kind == "int") != isinstance(ids, np.ndarray):
                continue
            rows = segment.ids.rows_of(ids)
            here = rows >= 0
            if segment.alive is not None:
                here[here] = segment.alive[rows[here]]
            found[here] = rows[here] + first
        return found

    def vectors(self, places: Places) -> FloatArray:
        """Vectors at `places`, [len(places), D], rounded as they are kept."""
        found = np.zeros((len(places), self.layout.dim), dtype=np.float32)
        for first, segment in zip(self.firsts, self.segments, strict=False):
            here = (places >= first) & (places < first + len(segment))
            found[here] = segment.arrays.vectors(places[here] - first)
        return found


@dataclass(frozen=True, slots=True)
class Searcher:
    """Carries out stages over rows; what plans are learnt from as well.

    Attributes:
        rows: All rows.
        n_threads: How many may run.
    """

    rows: Rows
    n_threads: int = 1

    def run(
        self, queries: FloatArray, plan: SearchPlan, allowed: NDArray[np.bool_] | None
    ) -> Found:
        """Places and similarities of the best rows, each [Q, k].

        Args:
            queries: As `prepared` gives them, [Q, D].
            plan: As the layout fits it.
            allowed: Which places may be found, [N]; None for all.
        """
        plan = _within(_with_spare(plan, self.rows.layout), len(self.rows))
        places, scores = self._scan(queries, plan.stages[0], allowed)
        for stage in plan.stages[1:]:
            places, scores = self.rescore(queries, places, stage)
        return places, scores

    def among(
        self, queries: FloatArray, places: Places, k: int, given: NDArray[Any] | None = None
    ) -> Found:
        """The best `k` of the places [K] by whole vectors, for every query."""
        layout = self.rows.layout
        if _is_bounded(layout):
            originals = self._originals(queries, given)
            none = np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, np.float32)
            for i, query in enumerate(originals):
                none[0][i], none[1][i] = self._by_difference(query, places, k)
            return none
        stage = Stage(dim=layout.dim, keep=k + _SPARE, kind=layout.dtype)
        candidates = np.broadcast_to(places, (len(queries), len(places)))
        best = self.rescore(queries, np.ascontiguousarray(candidates), stage)
        return self.decided(queries, best, k, given)

    def scan(self, queries: FloatArray, stage: Stage) -> Places:
        """Places of the best `stage.keep` of all rows, [Q, keep]."""
        return self._scan(queries, stage, None)[0]

    def _scan(self, queries: FloatArray, stage: Stage, allowed: NDArray[np.bool_] | None) -> Found:
        part = self.rows.layout.part(stage, first=True)
        found = []
        for first, segment in zip(self.rows.firsts, self.rows.segments, strict=False):
            mask = segment.alive
            if allowed is not None:
                own = allowed[first : first + len(segment)]
                mask = own if mask is None else own & mask
            if stage.how == "exact" or segment.near is None:
                rows = segment.arrays.rows(part)
                found.append(
                    _kernels.top_k(
                        queries, rows, stage.keep,
                        allowed=mask, n_threads=self.n_threads, first=first,
                    )
                )  # fmt: skip
            else:
                places = segment.near.search(queries, stage, allowed=mask, n_threads=self.n_threads)
                places = np.where(places >= 0, places + first, -1)
                found.append((places, np.zeros(places.shape, dtype=np.float32)))
        if stage.how == "exact":
            return _merged(found, len(queries), stage.keep)
        return _together(found, len(queries), stage.keep)

    def rescore(self, queries: FloatArray, places: Places, stage: Stage) -> Found:
        """The best `stage.keep` of the places [Q, K], -1 where there is none."""
        part = self.rows.layout.part(stage, first=False)
        found = []
        for first, segment in zip(self.rows.firsts, self.rows.segments, strict=False):
            own = places - first
            own[(own < 0) | (own >= len(segment)) | (places < 0)] = -1
            better, scores = _kernels.rescore(
                queries, segment.arrays.rows(part), own, stage.keep, n_threads=self.n_threads
            )
            better[better >= 0] += first
            found.append((better, scores))
        return _merged(found, len(queries), stage.keep)

    def exact_top_k(self, queries: FloatArray, k: int) -> Places:
        """Places of the best `k` by whole vectors, [Q, k]: what recall is measured against."""
        return self.exact(queries, k, None)[0]

    def exact(
        self,
        queries: FloatArray,
        k: int,
        allowed: NDArray[np.bool_] | None,
        given: NDArray[Any] | None = None,
    ) -> Found:
        """The best `k` by whole vectors and their similarities, each [Q, k].

        Distances are of float32 products at first. Where these may be wrong by more than what is
        between the hits and the rows behind them, more rows are looked at, and in the end all.
        """
        layout = self.rows.layout
        originals = self._originals(queries, given)
        places = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        unsure = np.arange(len(queries))
        for width in (k, _WIDER * (k + _SPARE)):
            plan = SearchPlan.exact(layout.dim, k=width, kind=layout.dtype)
            best = self.run(queries[unsure], plan, allowed)
            places[unsure], scores[unsure] = self.decided(
                queries[unsure], best, k, originals[unsure]
            )
            if not _is_bounded(layout):
                return places, scores
            unsure = unsure[_is_unsure(queries[unsure], best, scores[unsure], layout)]
            if not len(unsure):
                return places, scores
        alive = self.rows.alive()
        every = np.flatnonzero(alive if allowed is None else allowed & alive)
        for i in unsure:
            places[i], scores[i] = self._by_difference(originals[i], every, k)
        return places, scores

    def _by_difference(self, query: NDArray[np.float64], places: Places, k: int) -> Found:
        """The best `k` of the places [K] for a query [D] by differences in float64, each [k]."""
        scores = np.empty(len(places), dtype=np.float64)
        for block in row_blocks(len(places), self.rows.layout.dim):
            wide = self.rows.vectors(places[block]).astype(np.float64)
            wide -= query
            scores[block] = -np.sqrt(np.einsum("nd,nd->n", wide, wide))
        best = _best(places[None], scores.astype(np.float32)[None], k)
        padded = _padded(*best, k)
        return padded[0][0], padded[1][0]

    def _originals(self, queries: FloatArray, given: NDArray[Any] | None) -> NDArray[np.float64]:
        """Queries as they were before the centre was taken from them."""
        layout = self.rows.layout
        if layout.similarity == "euclidean" and given is not None:
            return given.astype(np.float64)
        wide = queries.astype(np.float64)
        return wide if layout.centre is None else wide + np.array(layout.centre)

    def decided(
        self, queries: FloatArray, found: Found, k: int, given: NDArray[Any] | None = None
    ) -> Found:
        """The best `k` of what the last stage found, with their similarities.

        Args:
            queries: As `prepared` gives them, [Q, D].
            found: By the last stage.
            k: How many.
            given: The queries as they came; None where they are not known.
        """
        layout = self.rows.layout
        places, scores = found
        if not _has_spare(layout):
            return _padded(places[:, :k], scores[:, :k], k)
        flat = self.rows.vectors(np.maximum(places, 0).reshape(-1)).astype(np.float64)
        vectors = flat.reshape(*places.shape, layout.dim)
        again = _similarities(self._originals(queries, given), vectors, layout.similarity)
        again[places < 0] = -np.inf
        return _padded(*_best(places, again.astype(np.float32), k), k)


def prepared(queries: FloatArray, layout: Layout) -> FloatArray:
    """Queries as stages take them: of length 1 for the cosine, less the centre for distances."""
    if layout.similarity == "cosine":
        return np.ascontiguousarray(unit_rows(queries))
    if layout.centre is None:
        return np.ascontiguousarray(queries)
    return np.ascontiguousarray(layout.centred(queries), dtype=np.float32)


def _is_bounded(layout: Layout) -> bool:
    """Whether exact search is one of distances whose error is known (rounded queries: not so)."""
    return layout.similarity == "euclidean" and layout.dtype != "int8"


def _is_unsure(
    queries: FloatArray, found: Found, distances: FloatArray, layout: Layout
) -> NDArray[np.bool_]:
    """Whether a row that was not found may be nearer than the last hit, [Q].

    Stages score 2 q.x - |x|^2, less the centre c where there is one. The error of the product of
    D terms in sixteen running sums is at most (D / 16 + 5) 2^-24 |q| |x| (Higham 2002, section
    3.1), and a row that could be a hit is no longer than |q| and the distance of the last hit.
    """
    places, scores = found
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    centre = np.zeros(layout.dim) if layout.centre is None else np.array(layout.centre)
    last = -distances[:, -1].astype(np.float64)
    reach = lengths + np.where(np.isfinite(last), last, 0)
    products = lengths * (reach + np.linalg.norm(centre))
    error = 2.0**-24 * (2 * (layout.dim / 16 + 8) * products + 4 * reach**2)
    hit = lengths**2 - last**2 + 2 * queries.astype(np.float64) @ centre
    # a place that is empty says that every row was found
    unsure: NDArray[np.bool_] = (places[:, -1] >= 0) & ~(hit > scores[:, -1] + error)
    return unsure


def _has_spare(layout: Layout) -> bool:
    return layout.similarity == "euclidean" or layout.dtype == "int8"


def _with_spare(plan: SearchPlan, layout: Layout) -> SearchPlan:
    """The plan with the last stage keeping a few rows more, of those that reach it."""
    if not _has_spare(layout):
        return plan
    most = min((stage.keep for stage in plan.stages[:-1]), default=plan.k + _SPARE)
    last = replace(plan.stages[-1], keep=min(plan.k + _SPARE, most))
    return replace(plan, stages=(*plan.stages[:-1], last))


def _within(plan: SearchPlan, n_rows: int) -> SearchPlan:
    """The plan keeping no more rows than there are, whatever a file or a caller asks for."""
    most = max(n_rows, 1)
    if plan.stages[0].keep <= most:  # no later stage keeps more
        return plan
    return replace(
        plan, stages=tuple(replace(stage, keep=min(stage.keep, most)) for stage in plan.stages)
    )


def _padded(places: Places, scores: FloatArray, k: int) -> Found:
    """Places and scores [Q, k], of fewer rows with -1 and -inf behind them."""
    missing = k - places.shape[1]
    if missing <= 0:
        return places, scores
    return (
        np.pad(places, ((0, 0), (0, missing)), constant_values=-1),
        np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf),
    )


def _similarities(
    queries: NDArray[np.float64], vectors: NDArray[np.float64], similarity: Similarity
) -> NDArray[np.float64]:
    """Of query [Q, D] i with each of vectors [Q, K, D] i."""
    if similarity == "euclidean":
        distances: NDArray[np.float64] = np.linalg.norm(vectors - queries[:, None], axis=2)
        return -distances
    products: NDArray[np.float64] = np.einsum("qd,qkd->qk", queries, vectors)
    if similarity == "cosine":
        lengths = np.linalg.norm(vectors, axis=2)
        np.divide(products, lengths, out=products, where=lengths > 0)
    return products


def _merged(found: Sequence[Found], n_queries: int, k: int) -> Found:
    if len(found) == 1:
        return found[0]
    empty = (np.full((n_queries, k), -1, dtype=np.int64), np.full((n_queries, k), -np.inf))
    places = np.concatenate([places for places, _ in (*found, empty)], axis=1)
    scores = np.concatenate([scores for _, scores in (*found, empty)], axis=1)
    return _best(places, scores.astype(np.float32), k)


def _together(found: Sequence[Found], n_queries: int, k: int) -> Found:
    """All that segments found: a walk gives no scores that could be held against others'."""
    if not found:
        return _merged(found, n_queries, k)
    places, scores = (np.concatenate(side, axis=1) for side in zip(*found, strict=True))
    return np.ascontiguousarray(places), scores


def _best(places: Places, scores: FloatArray, k: int) -> Found:
    """The best `k` of each row, equal scores in the order of places, what is no row at the end."""
    last = np.where(places < 0, np.iinfo(np.int64).max, places)
    order = np.lexsort((last, -scores), axis=1)[:, :k]
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(scores, order, axis=1)


def usable_cores() -> int:
    """How many threads this process may run at once."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
