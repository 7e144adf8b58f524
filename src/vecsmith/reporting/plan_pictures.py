"""Pictures of a plan: what could be done with the budget, and what the laws say around it.

The one rule: without laws no loss is drawn, only what fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vecsmith.planning.wording import flops_text
from vecsmith.reporting.pictures import Picture
from vecsmith.reporting.pictures.candidates import CandidateMark, candidates_figure

if TYPE_CHECKING:
    from vecsmith.planning.choosing.candidates import Candidate
    from vecsmith.planning.choosing.plan import Plan
    from vecsmith.planning.laws.fitted import FittedLaws


def draw_plan_pictures(plan: Plan, laws: FittedLaws | None = None) -> Iterator[Picture]:
    """Yields the pictures that there is something to draw of.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    figure = _candidates(plan)
    if figure is not None:
        yield Picture("candidates", "Candidates", figure)
    if laws is not None:
        from vecsmith.reporting.law_pictures import draw_law_pictures

        yield from draw_law_pictures(laws, asked=plan.chosen.flops)


def _candidates(plan: Plan) -> Any | None:
    """Predicted loss by size where there is a law, else steps by size."""
    budget = f"{flops_text(plan.budget.flops)} FLOP"
    if all(each.predicted is not None for each in plan.ranked):
        return candidates_figure(
            [_mark(each, plan) for each in plan.ranked],
            measure="predicted loss",
            title=f"What {budget} could do",
            subtitle="a mark is a candidate, with the interval of its predicted loss; lines join "
            "the best of each size",
        )
    levels = {f"at least {plan.limits.min_steps:,} steps": float(plan.limits.min_steps)}
    if plan.data.pairs is not None:
        most = plan.limits.max_epochs * plan.data.pairs / plan.settings.batch_size
        passes = "one pass" if plan.limits.max_epochs == 1 else f"{plan.limits.max_epochs:g} passes"
        levels[f"{passes} over the pairs"] = most
    return candidates_figure(
        [_mark(each, plan) for each in plan.ranked],
        measure=f"steps of {plan.settings.batch_size:,} pairs",
        title=f"What makes sense with {budget}",
        subtitle="a mark is a candidate between the fewest steps and the most passes; lines join "
        "those of the fewest steps of each size",
        levels=levels,
    )


def _mark(candidate: Candidate, plan: Plan) -> CandidateMark:
    predicted = candidate.predicted
    words = "chosen" if candidate == plan.chosen else ""
    words = "runner-up" if candidate == plan.runner_up else words
    name = candidate.model.rsplit("/", 1)[-1]
    return CandidateMark(
        method=candidate.tuning.method,
        size=float(candidate.n_params),
        value=float(candidate.steps) if predicted is None else predicted.loss,
        low=None if predicted is None else predicted.low,
        high=None if predicted is None else predicted.high,
        words=f"{words}: {candidate.tuning} of {name}" if words else "",
    )
