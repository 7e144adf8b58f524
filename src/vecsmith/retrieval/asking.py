"""What a caller of `search` asks for, made into a plan, a mask and places.

Shapes: N rows, Q queries, k hits.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.retrieval.learning import exact_plan
from vecsmith.retrieval.plan import SearchCost, SearchPlan
from vecsmith.retrieval.searching import Found, Places, Rows, Searcher, prepared
from vecsmith.retrieval.spending import spent
from vecsmith.retrieval.storage.ids import IdKind, one_kind, shown
from vecsmith.retrieval.storage.manifest import Settings

# A filter that leaves fewer rows than this is answered from whole vectors: to score so few takes
# less than a scan
_FEW_ALLOWED: Final = 2000
_CANDIDATE_BYTES: Final = 2**26
# Places and scores of a candidate, of two stages and while they are joined
_BYTES_EACH: Final = 64


def chosen_plan(
    settings: Settings, k: int, *, recall: float | None, plan: SearchPlan | None, exact: bool
) -> SearchPlan:
    """The plan to carry out for `k` hits.

    Raises:
        ValueError: If more than one is asked for, none was learnt for `recall`, or `plan` reads
            what the index does not have.
    """
    if sum([recall is not None, plan is not None, exact]) > 1:
        raise ValueError("recall, plan and exact are given together, expected at most one of them")
    if exact:
        return exact_plan(settings.layout, k)
    if plan is not None:
        return _scaled(_own(settings, plan), k)
    if recall is None:
        return _scaled(settings.plans[settings.chosen], k)
    for learnt in settings.plans:
        if _asked(learnt) >= recall:
            return _scaled(learnt, k)
    most = max(map(_asked, settings.plans))
    raise ValueError(
        f"recall {recall}, expected at most {most} as the plans of this index were learnt for; "
        "build it for more, or search with exact=True"
    )


def allowed_places(rows: Rows, filter: Any, kind: IdKind) -> NDArray[np.bool_]:
    """Which places a filter lets through, [N].

    Args:
        rows: Of the index.
        filter: A bool for each row that is alive, in order, or ids; those not there are ignored.
        kind: Of the index's ids.

    Raises:
        TypeError: If the ids are of another kind.
        ValueError: If there are not as many bools as rows.
    """
    allowed = np.zeros(len(rows), dtype=bool)
    given: Any = filter
    if isinstance(filter, str | bytes | np.generic):
        given = [filter]  # one id
    elif hasattr(filter, "__array__"):
        given = np.asarray(filter)
    elif not isinstance(filter, Collection):
        given = list(filter) if isinstance(filter, Iterable) else [filter]
    if isinstance(given, list | tuple) and given and isinstance(given[0], bool | np.bool_):
        given = np.asarray(given)
    if isinstance(given, np.ndarray) and given.dtype == bool:
        if given.shape != (rows.n_alive,):
            raise ValueError(
                f"a filter of shape {list(given.shape)}, expected a bool for each of the "
                f"{rows.n_alive} rows in the order of ids"
            )
        allowed[rows.alive_places()[given]] = True
        return allowed
    ids = one_kind(given if isinstance(given, np.ndarray) else list(given))
    if len(ids) and isinstance(ids, np.ndarray) != (kind == "int"):
        raise TypeError(
            f"a filter with the id {shown(ids, 0)}, expected "
            f"{'whole numbers' if kind == 'int' else 'texts'} as the ids of this index are, or "
            "bools"
        )
    places = rows.places_of(ids)
    allowed[places[places >= 0]] = True
    return allowed


def found(
    searcher: Searcher, queries: FloatArray, plan: SearchPlan, allowed: NDArray[np.bool_] | None
) -> tuple[Places, FloatArray, SearchCost]:
    """Places and similarities of the hits, each [Q, k], and what a query cost.

    Args:
        searcher: Over the rows.
        queries: As given, [Q, D].
        plan: Of layout and k as asked for.
        allowed: Which places may be found; None for all.
    """
    rows, k = searcher.rows, plan.k
    n_candidates = rows.n_alive
    few: Places | None = None
    if allowed is not None:
        allowed &= rows.alive()
        n_candidates = int(np.count_nonzero(allowed))
        if n_candidates <= max(_FEW_ALLOWED, plan.stages[0].keep):
            few = np.flatnonzero(allowed).astype(np.int64)
    if few is not None or n_candidates <= plan.stages[0].keep:
        plan = exact_plan(rows.layout, k)
    # so that what is held for candidates does not grow with the queries
    widest = max(min(plan.stages[0].keep, len(rows)), 0 if few is None else len(few))
    step = max(1, _CANDIDATE_BYTES // (_BYTES_EACH * widest + 64 * (k + 16) * rows.layout.dim + 1))
    places, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        places[block], scores[block] = _found(searcher, queries[block], plan, allowed, few)
    if few is not None:
        return places, scores, plan.cost(n_candidates)
    some = prepared(queries[:step][:16], rows.layout)  # a walk is counted of a few
    return places, scores, spent(rows, some, plan, allowed)


def _found(
    searcher: Searcher,
    given: FloatArray,
    plan: SearchPlan,
    allowed: NDArray[np.bool_] | None,
    few: Places | None,
) -> Found:
    queries = prepared(given, searcher.rows.layout)
    if few is not None:
        return searcher.among(queries, few, plan.k, given)
    if plan == exact_plan(searcher.rows.layout, plan.k):
        return searcher.exact(queries, plan.k, allowed, given)
    return searcher.decided(queries, searcher.run(queries, plan, allowed), plan.k, given)


def _own(settings: Settings, plan: SearchPlan) -> SearchPlan:
    layout = settings.layout
    fitted = layout.fitted(plan)
    missing = [
        stage
        for i, stage in enumerate(fitted.stages)
        if layout.part(stage, first=not i) not in layout.parts
    ]
    if missing:
        kept = sorted(f"{part.kind} {part.dim}" for part in layout.parts)
        raise ValueError(
            f"the plan reads {missing[0].kind} prefixes of {missing[0].dim} dims, expected some of "
            f"those that this index has: {', '.join(kept)}"
        )
    return fitted


def _scaled(plan: SearchPlan, k: int) -> SearchPlan:
    """The plan for `k` hits: shortlists grow with more hits than it was made for."""
    if k == plan.k:
        return plan
    grown = max(1.0, k / plan.k)
    stages = [replace(stage, keep=math.ceil(stage.keep * grown)) for stage in plan.stages[:-1]]
    last = replace(plan.stages[-1], keep=k)
    return replace(plan, stages=(*stages, last), recall=None)  # it was measured for another k


def _asked(plan: SearchPlan) -> float:
    if plan.recall is not None:
        return plan.recall.asked
    return float(len(plan.stages) == 1)  # every row is scored, or nobody measured
