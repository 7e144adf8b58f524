"""Static models beside a plan: microseconds a text and next to no training, but how good?

The one rule: a score stands beside a score of the same items or not at all; where there is none
the plan says "not comparable" and shows cost alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from vecsmith.planning.choosing.serving import Serving, ServingCost
from vecsmith.planning.wording import flops_text, n_bytes_text, percent_text
from vecsmith.results.comparison import ComparisonRow, compare

if TYPE_CHECKING:
    from vecsmith.planning.choosing.candidates import Candidate
    from vecsmith.results.result import EvalResult

StaticVerdict = Literal["better", "worse", "no difference shown", "not comparable"]
_BYTES_PER_NUMBER: Final = 4.0
_USUAL_USE: Final = Serving(queries_per_month=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticAlternative:
    """A static model, which a tuned language model would be used instead of.

    Attributes:
        model: Its name.
        dim: Numbers of a vector.
        n_bytes: Of its table of token vectors.
        serving: What encoding and scanning cost with it; for one query a month where nobody said.
        verdict: On its score against that of a tuned model.
        reason: Why they are not comparable; "" where they are.
        tuned_model: Whose score it is held against; "" without one.
        score: Its own, a fraction; None without one.
        tuned_score: The other's.
        low: Lower end of the 95 % interval of the difference of the two, paired over items.
        high: Its upper end.
        n_items: That both were scored on.
    """

    model: str
    dim: int
    n_bytes: float
    serving: ServingCost
    verdict: StaticVerdict = "not comparable"
    reason: str = "no evaluation of both on the same sets is given"
    tuned_model: str = ""
    score: float | None = None
    tuned_score: float | None = None
    low: float | None = None
    high: float | None = None
    n_items: int = 0


def static_alternative(
    model: str,
    *,
    dim: int,
    n_bytes: float,
    serving: Serving | None = None,
    own: EvalResult | None = None,
    tuned: EvalResult | None = None,
) -> StaticAlternative:
    """The static model with what it costs, and how it compares.

    Args:
        model: Its name.
        dim: Numbers of a vector.
        n_bytes: Of its table.
        serving: How it would be used.
        own: Its evaluation.
        tuned: That of a tuned language model on the same sets.
    """
    alone = StaticAlternative(
        model=model, dim=dim, n_bytes=n_bytes, serving=_cost(dim, serving or _USUAL_USE)
    )
    if own is None or tuned is None:
        return alone
    try:
        found = compare(own, tuned)
    except ValueError as error:
        return replace(alone, reason=str(error), tuned_model=tuned.model)
    rows = found.means or found.tasks
    if not rows:
        return replace(alone, reason="no task is in both evaluations", tuned_model=tuned.model)
    return _compared(alone, rows[0], tuned.model)


def static_line(static: StaticAlternative, chosen: Candidate) -> str:
    """What to know of it beside the chosen candidate, in words."""
    dearer = ""
    if chosen.serving is not None and static.serving.query_flops:
        ratio = chosen.serving.query_flops / static.serving.query_flops
        dearer = f", {ratio:,.0f} times less than the plan's model"
    size = f"{static.dim} dims, {n_bytes_text(static.n_bytes)}"
    cost = (
        f"the static model {static.model} ({size}) takes "
        f"{flops_text(static.serving.query_flops)} FLOP a query{dearer}"
    )
    if static.score is None or static.tuned_score is None:
        return f"{cost}; its quality is not comparable: {static.reason}"
    return (
        f"{cost}; it scores {percent_text(static.score)} where {static.tuned_model} scores "
        f"{percent_text(static.tuned_score)}, over {static.n_items:,} items: {static.verdict}"
    )


def _cost(dim: int, serving: Serving) -> ServingCost:
    """A token is one row of the table added to the sum: `dim` FLOP."""
    query = serving.tokens_per_query * dim
    return ServingCost(
        query_flops=query,
        queries_flops=serving.n_queries * query,
        documents_flops=serving.documents * serving.tokens_per_document * dim,
        search_flops=serving.n_queries * serving.documents * 2.0 * dim,
        index_bytes=serving.documents * dim * _BYTES_PER_NUMBER,
    )


def _compared(alone: StaticAlternative, row: ComparisonRow, tuned_model: str) -> StaticAlternative:
    return replace(
        alone,
        verdict=row.verdict,
        reason="",
        tuned_model=tuned_model,
        score=row.a.score,
        tuned_score=row.b.score,
        low=row.test.low,
        high=row.test.high,
        n_items=row.n_items,
    )
