"""From a budget to a plan: what is not said is filled in, all is tried, the best is explained.

The one rule: whatever the plan takes for granted is in its constants, with a mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vecsmith.planning.accelerators import Accelerator, find_accelerator
from vecsmith.planning.budget import Budget, Precision
from vecsmith.planning.candidates import Candidate, Menu
from vecsmith.planning.catalogue import CatalogueEntry
from vecsmith.planning.explaining import explain_preset, preset_cautions
from vecsmith.planning.inputs import Data, Limits, Settings
from vecsmith.planning.plan import Plan
from vecsmith.planning.presets import Mark, Preset, load_preset
from vecsmith.planning.problem import (
    Problem,
    constants_of,
    paper_data,
    paper_limits,
    paper_menu,
    paper_models,
)
from vecsmith.planning.ranking import SizeRule
from vecsmith.planning.serving import Serving
from vecsmith.planning.solving import Solution, solve
from vecsmith.planning.spending import Device, Spending, spend

if TYPE_CHECKING:
    from vecsmith.planning.laws.fitted import FittedLaws


def make_plan(
    budget: Budget | float,
    *,
    catalogue: Sequence[CatalogueEntry] | None = None,
    laws: FittedLaws | None = None,
    data: Data | None = None,
    memory: float | None = None,
    serving: Serving | None = None,
    settings: Settings | None = None,
    limits: Limits | None = None,
    menu: Menu | None = None,
    learning_rates: Mapping[str, float] | None = None,
    size_rule: SizeRule | None = None,
    accelerator: Accelerator | str | None = None,
    mfu: float | None = None,
    mfu_mark: Mark = "given",
    price_per_hour: float | None = None,
    carbon_intensity: float | None = None,
) -> Plan:
    """The best way to spend a budget on turning a language model into an embedder.

    Without laws the published recipe decides (Ziarko et al. 2024, algorithm 1): its threshold the
    method, a rule marked as assumed the size, and no loss is predicted. With laws fitted to runs
    of one's own the candidate of the lowest predicted loss is taken.

    Args:
        budget: What there is to spend; a number is counted FLOP.
        catalogue: Models to choose from; those of the paper when None.
        laws: Fitted to runs, as `fit_laws` gives them.
        data: The pairs; the paper's when None.
        memory: Bytes of one accelerator; no limit when None.
        serving: How the model will be used, if its cost is to count.
        settings: Of the recipe; the paper's when None.
        limits: What a sensible run keeps to.
        menu: Ways of tuning to consider.
        learning_rates: By method, in place of the recipe's.
        size_rule: How the size is chosen without laws.
        accelerator: For time and energy; the paper's when None.
        mfu: Share of its peak that is reached; three assumed ones when None.
        mfu_mark: Where `mfu` comes from.
        price_per_hour: Of one accelerator, for money.
        carbon_intensity: Grams of CO2 a kWh.

    Raises:
        ValueError: If no candidate makes sense; the message says what stands in the way.

    Example:
        >>> plan = make_plan(Budget(flops=1e16))
        >>> plan.chosen.tuning.method
        'full'
    """
    preset = load_preset()
    accelerator = _accelerator(accelerator, preset)
    precision: Precision = "bfloat16" if "bfloat16" in accelerator.peak_flops else "float32"
    problem = Problem(
        budget=budget if isinstance(budget, Budget) else Budget(flops=budget),
        catalogue=tuple(paper_models(preset) if catalogue is None else catalogue),
        preset=preset,
        data=data or paper_data(preset),
        settings=settings or Settings.of_preset(preset, precision=precision),
        limits=_with_memory(limits or paper_limits(preset), memory),
        menu=menu or paper_menu(preset),
        serving=serving,
        learning_rates=dict(learning_rates or {}),
        size_rule=size_rule or preset["size_rule"],
    )
    solution = solve(problem)
    device = Device(
        accelerator=accelerator,
        precision=problem.settings.precision,
        n_devices=problem.limits.n_devices,
        price_per_hour=price_per_hour,
        carbon_intensity=carbon_intensity,
    )
    return Plan(
        budget=problem.budget,
        chosen=solution.chosen,
        runner_up=solution.runner_up,
        ranked=solution.ranking.candidates,
        refused=solution.refused,
        evidence=preset.name,
        ranked_by=solution.ranking.by,
        settings=problem.settings,
        data=problem.data,
        limits=problem.limits,
        serving=serving,
        accelerator=accelerator.name,
        spending=_spending(problem, solution, device, mfu=mfu, mark=mfu_mark),
        explanation=explain_preset(problem, solution.ranking),
        cautions=preset_cautions(problem, solution.ranking),
        constants=constants_of(problem),
    )


def _spending(
    problem: Problem, solution: Solution, device: Device, *, mfu: float | None, mark: Mark
) -> tuple[Spending, ...]:
    """A row for the share of the peak that is known, or one for each that is assumed.

    Hours buy other FLOP at each share, and so another plan.
    """
    shares = problem.preset["mfu"] if mfu is None else (mfu,)
    mark = "assumed" if mfu is None else mark
    rows = []
    for share in shares:
        chosen: Candidate | None = solution.chosen
        if problem.budget.mfu not in (None, share):
            chosen = _chosen_at(problem, share)
        if chosen is not None:
            rows.append(spend(chosen, device, mfu=share, mark=mark))
    return tuple(rows)


def _chosen_at(problem: Problem, mfu: float) -> Candidate | None:
    """The best candidate if the budget's hours were used at another share of the peak."""
    budget = problem.budget
    assert budget.mfu is not None
    flops = budget.flops * mfu / budget.mfu
    try:
        return solve(replace(problem, budget=replace(budget, flops=flops, mfu=mfu))).chosen
    except ValueError:  # nothing makes sense with so little
        return None


def _with_memory(limits: Limits, memory: float | None) -> Limits:
    return limits if memory is None else replace(limits, memory=memory)


def _accelerator(named: Accelerator | str | None, preset: Preset) -> Accelerator:
    if isinstance(named, Accelerator):
        return named
    return find_accelerator(named or preset["reference_accelerator"])
