"""What a search that was carried out cost: counted where that is known, estimated where it is not.

A scan scores every row that is alive and allowed. How many a walk through a graph scores depends on
the query and faiss does not say it of one: it is counted once of a few queries, and marked so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.retrieval.plan import SearchCost, SearchPlan
from vecsmith.retrieval.searching import Rows


def spent(
    rows: Rows, queries: FloatArray, plan: SearchPlan, allowed: NDArray[np.bool_] | None
) -> SearchCost:
    """What a query cost.

    Args:
        rows: That were searched.
        queries: That were asked, [Q, D].
        plan: That was carried out.
        allowed: Places that could be found, none of a deleted row, [N]; None for all alive.
    """
    n_scored = n_kept = 0
    first, is_estimated = plan.stages[0], False
    for start, segment in zip(rows.firsts, rows.segments, strict=False):
        own = segment.alive if allowed is None else allowed[start : start + len(segment)]
        n_own = len(segment) if own is None else int(np.count_nonzero(own))
        n_kept += min(first.keep, n_own)
        if first.how == "exact" or segment.near is None:
            n_scored += n_own
        else:
            share = n_own / max(len(segment), 1)
            n_scored += segment.near.estimated_scored(queries, first, share=share)
            is_estimated = True
    return plan.cost(
        len(rows),
        n_scored=n_scored,
        n_kept=None if first.how == "exact" else n_kept,
        is_estimated=is_estimated,
    )
