"""An index from vectors: kept, searched for plans, and given the prefixes that they read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from vecsmith._progress import Advance, progress_bar
from vecsmith._typing import FloatArray
from vecsmith.retrieval.approximate import Approximation
from vecsmith.retrieval.exact import Similarity
from vecsmith.retrieval.learning import default_dims, exact_plan, learnt, trimmed
from vecsmith.retrieval.plan import SearchPlan
from vecsmith.retrieval.planning import Choice
from vecsmith.retrieval.searching import Rows, Segment
from vecsmith.retrieval.storage.blocks import length_of, query_rows, vector_blocks
from vecsmith.retrieval.storage.ids import Ids, checked_ids
from vecsmith.retrieval.storage.manifest import Settings
from vecsmith.retrieval.storage.segments import (
    MOST_DIMS,
    Arrays,
    Layout,
    StoreDtype,
    array_names,
    kept_vectors,
)
from vecsmith.retrieval.storage.stores import Store


def built(
    vectors: Any,
    *,
    ids: Any,
    similarity: Similarity,
    dims: Sequence[int] | None,
    dtype: StoreDtype,
    queries: Any,
    recall: float,
    k: int,
    store: Store,
    approximate: Approximation | None,
    seed: int,
    n_threads: int,
    show_progress_bar: bool,
) -> tuple[Rows, Settings]:
    """Rows and settings of a new index; see `AdaptiveIndex.build`."""
    for name, value, choices in (
        ("approximate", approximate, (None, *get_args(Approximation))),
        ("similarity", similarity, get_args(Similarity)),
        ("dtype", dtype, get_args(StoreDtype)),
    ):
        if value not in choices:
            raise ValueError(f"{name} {value!r:.60}, expected one of {list(choices)}")
    check_asked(recall, k)
    n_rows = length_of(vectors)
    own_ids = None if ids is None else checked_ids(ids, n_rows)  # before the long part
    with progress_bar("vectors", total=n_rows, show=show_progress_bar) as advance:
        rows = _kept(vectors, similarity, dtype, store, n_rows, advance)
    layout = rows.layout
    if dims is not None:
        check_dims(dims, layout.dim)
    of_all = (
        default_dims(layout.dim)
        if dims is None
        else tuple(sorted({int(d) for d in dims}, reverse=True))
    )
    given = None if queries is None else query_rows(queries, layout.dim)
    of_rows = _ids(own_ids, len(rows))
    rows = replace(rows, segments=tuple(replace(s, ids=of_rows) for s in rows.segments))
    settings, rows = planned(
        rows, given, dims=of_all, recall=recall, k=k, store=store, approximate=approximate,
        seed=seed, n_threads=n_threads, id_kind=of_rows.kind,
    )  # fmt: skip
    return rows, settings


def planned(
    rows: Rows,
    queries: FloatArray | None,
    *,
    dims: tuple[int, ...],
    recall: float,
    k: int,
    store: Store,
    approximate: Approximation | None,
    seed: int,
    n_threads: int,
    id_kind: Any,
) -> tuple[Settings, Rows]:
    """Settings with plans learnt for these rows, and the rows with what the plans read."""
    choice, rows = learnt(
        rows, queries, dims=dims, recall=recall, k=int(k), store=store, approximate=approximate,
        seed=seed, n_threads=n_threads,
    )  # fmt: skip
    plans, chosen = _plans(choice, rows.layout, int(k))
    settings = Settings(
        dim=rows.layout.dim,
        dtype=rows.layout.dtype,
        similarity=rows.layout.similarity,
        id_kind=id_kind,
        dims=dims,
        plans=plans,
        chosen=chosen,
        n_learnt=rows.n_alive,
        centre=rows.layout.centre,
    )
    return settings, trimmed(rows, settings.layout, store)


def check_asked(recall: float, k: int) -> None:
    """Refuses a recall that is no share and a k below 1.

    Raises:
        ValueError: If it is so.
    """
    if not 0 < recall <= 1:
        raise ValueError(f"recall is {recall!r:.60}, expected above 0 and at most 1")
    if not hasattr(k, "__index__") or k < 1:
        raise ValueError(f"k is {k!r:.60}, expected a whole number from 1")


def check_dims(dims: Sequence[int], dim: int) -> None:
    """Refuses prefix lengths that no plan could use.

    Raises:
        ValueError: If there is none, or one is not from 1 to `dim`.
    """
    wrong = [d for d in dims if isinstance(d, bool) or not 1 <= d <= dim]
    if wrong or not len(dims):
        raise ValueError(f"dims {list(dims)!r:.80}, expected numbers from 1 to {dim}")


def _plans(choice: Choice | None, layout: Layout, k: int) -> tuple[tuple[SearchPlan, ...], int]:
    if choice is None:
        return (exact_plan(layout, k),), 0
    return choice.frontier, choice.frontier.index(choice.plan)


def _kept(
    vectors: Any, similarity: Similarity, dtype: StoreDtype, store: Store, n_rows: int | None,
    advance: Advance,
) -> Rows:  # fmt: skip
    """The vectors as the index keeps them, without anything beside them."""
    mean = _Mean()
    blocks = map(mean.seen, vector_blocks(vectors))
    first = next(blocks, None)
    if first is None:
        layout = Layout(_dim_of_none(vectors), dtype, similarity)
        return Rows(layout, ())
    layout = Layout(first.shape[1], dtype, similarity)

    def kept() -> Iterator[Mapping[str, NDArray[Any]]]:
        yield kept_vectors(layout, first)
        advance(len(first))
        for block in blocks:
            yield kept_vectors(layout, block)
            advance(len(block))

    arrays = store.keep(array_names(layout), kept(), n_rows=n_rows)
    layout = replace(layout, centre=mean.centre(similarity))
    no_ids = Ids.of(np.zeros(0, dtype=np.int64))
    return Rows(layout, (Segment(Arrays(layout, arrays), no_ids),))


class _Mean:
    """The mean of rows that go by."""

    def __init__(self) -> None:
        self._sums: NDArray[np.float64] | None = None
        self._squares = 0.0
        self._n = 0

    def seen(self, rows: FloatArray) -> FloatArray:
        """The rows, counted in."""
        sums = rows.sum(axis=0, dtype=np.float64)
        self._sums = sums if self._sums is None else self._sums + sums
        self._squares += float(np.einsum("nd,nd->", rows, rows, dtype=np.float64))
        self._n += len(rows)
        return rows

    def centre(self, similarity: Similarity) -> tuple[float, ...] | None:
        """The mean where it is longer than rows are away from it, None where products may do."""
        if similarity != "euclidean" or self._sums is None or not self._n:
            return None
        mean = self._sums / self._n
        if 2 * float(mean @ mean) <= self._squares / self._n:
            return None
        return tuple(mean.astype(np.float32).tolist())


def _dim_of_none(vectors: Any) -> int:
    shape: tuple[int, ...] = np.shape(vectors) if length_of(vectors) is not None else ()
    if len(shape) != 2 or not shape[1]:
        raise ValueError(
            "there are no vectors, expected one or more; to begin with none give an array of "
            "shape [0, D]"
        )
    if shape[1] > MOST_DIMS:
        raise ValueError(f"vectors of {shape[1]} dims, expected at most {MOST_DIMS}")
    return int(shape[1])


def _ids(ids: NDArray[np.int64] | list[str] | None, n_rows: int) -> Ids:
    if ids is None:
        return Ids.of(np.arange(n_rows, dtype=np.int64))
    if len(ids) != n_rows:
        raise ValueError(f"{len(ids)} ids for {n_rows} vectors, expected one for each")
    return Ids.of(ids)
