"""From a budget to a plan: what is not said is filled in, all is tried, the best is explained.

The one rule: whatever the plan takes for granted is in its constants, with a mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from vecsmith.planning.catalogue.accelerators import Accelerator, find_accelerator
from vecsmith.planning.catalogue.models import CatalogueEntry
from vecsmith.planning.choosing.budget import Budget, check_share_of_peak
from vecsmith.planning.choosing.candidates import Candidate, Menu
from vecsmith.planning.choosing.explaining import explain_preset, padding_caution, preset_cautions
from vecsmith.planning.choosing.explaining_laws import explain_laws, laws_cautions, laws_name
from vecsmith.planning.choosing.plan import Plan
from vecsmith.planning.choosing.presets import Mark, load_preset
from vecsmith.planning.choosing.problem import Problem, constants_of, state_problem
from vecsmith.planning.choosing.ranking import SizeRule
from vecsmith.planning.choosing.serving import Serving
from vecsmith.planning.choosing.solving import Solution, solve
from vecsmith.planning.choosing.spending import Device, Spending, spend
from vecsmith.planning.choosing.statics import StaticAlternative, static_line
from vecsmith.planning.inputs import Data, Limits, Settings
from vecsmith.results.fields import Block

if TYPE_CHECKING:
    from vecsmith.planning.laws.fitted import FittedLaws

_HELD_OUT: Final = ("held_out_pairs", "held_out_batch")


def make_plan(
    budget: Budget | float,
    *,
    catalogue: Sequence[CatalogueEntry] | None = None,
    laws: FittedLaws | None = None,
    data: Data | Mapping[str, Any] | None = None,
    memory: float | None = None,
    serving: Serving | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    limits: Limits | Mapping[str, Any] | None = None,
    menu: Menu | Mapping[str, Any] | None = None,
    learning_rates: Mapping[str, float] | None = None,
    size_rule: SizeRule | None = None,
    accelerator: Accelerator | str | None = None,
    mfu: float | None = None,
    mfu_mark: Mark = "given",
    price_per_hour: float | None = None,
    carbon_intensity: float | None = None,
    statics: Sequence[StaticAlternative] = (),
) -> Plan:
    """The best way to spend a budget on turning a language model into an embedder.

    Without laws the published recipe decides (Ziarko et al. 2024, algorithm 1): its threshold the
    method, a rule marked as assumed the size, and no loss is predicted. With laws fitted to runs
    of one's own the candidate of the lowest predicted loss is taken.

    Args:
        budget: What there is to spend; a number is counted FLOP.
        catalogue: Models to choose from; when None those of the paper, or of the laws' runs.
        laws: Fitted to runs, as `fit_laws` gives them.
        data: The pairs; when None the paper's, or those of the laws' runs.
        memory: Bytes of one accelerator; when None those of `accelerator`, and no limit where that
            is None too.
        serving: How the model will be used, if its cost is to count.
        settings: Of the recipe, or some by name; the others are the paper's, or the runs'.
        limits: What a sensible run keeps to, or some by name.
        menu: Ways of tuning to consider, or some by name.
        learning_rates: By method, in place of the recipe's.
        size_rule: How the size is chosen without laws.
        accelerator: For time and energy; the paper's when None.
        mfu: Share of its peak that is reached; three assumed ones when None.
        mfu_mark: Where `mfu` comes from.
        price_per_hour: Of one accelerator, for money.
        carbon_intensity: Grams of CO2 a kWh.
        statics: Static models to show beside the plan, see `static_alternative`.

    Raises:
        ValueError: If no candidate makes sense; the message says what stands in the way.

    Example:
        >>> plan = make_plan(Budget(flops=1e16))
        >>> plan.chosen.tuning.method
        'full'
    """
    if mfu is not None:
        check_share_of_peak(mfu)
    named = _accelerator(accelerator)
    problem = state_problem(
        budget if isinstance(budget, Budget) else Budget(flops=budget),
        catalogue=catalogue,
        laws=laws,
        data=data,
        settings=settings,
        limits=limits,
        menu=menu,
        memory=_memory(memory, limits, named) if accelerator is not None else memory,
        serving=serving,
        learning_rates=learning_rates,
        size_rule=size_rule,
        precision="bfloat16" if "bfloat16" in named.peak_flops else "float32",
    )
    solution = solve(problem)
    device = Device(
        accelerator=named,
        precision=problem.settings.precision,
        n_devices=problem.limits.n_devices,
        price_per_hour=price_per_hour,
        carbon_intensity=carbon_intensity,
    )
    explanation, cautions = _words(problem, solution)
    cautions = (*cautions, *padding_caution(problem))
    return Plan(
        budget=problem.budget,
        chosen=solution.chosen,
        runner_up=solution.runner_up,
        ranked=solution.ranking.candidates,
        refused=solution.refused,
        evidence=problem.preset.name if problem.laws is None else laws_name(problem.laws),
        ranked_by=solution.ranking.by,
        settings=problem.settings,
        data=problem.data,
        limits=problem.limits,
        serving=serving,
        accelerator=named.name,
        spending=_spending(problem, solution, device, mfu=mfu, mark=mfu_mark),
        statics=tuple(statics),
        explanation=(*explanation, *(static_line(each, solution.chosen) for each in statics)),
        cautions=cautions,
        constants=constants_of(problem, solution.chosen),
        # a predicted loss holds for as many pairs as it was measured on
        **({} if laws is None else _held_out(laws)),
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


def _words(problem: Problem, solution: Solution) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Explanation and cautions."""
    if problem.laws is not None:
        return explain_laws(problem, solution), laws_cautions(problem, solution)
    ranking = solution.ranking
    return explain_preset(problem, ranking), preset_cautions(problem, ranking)


def _held_out(laws: FittedLaws) -> dict[str, int | None]:
    """On how many pairs the laws' losses were measured, as far as they say."""
    block = Block(dict(laws.settings), "laws: settings")
    return {name: block.optional_count(name) if block.has(name) else None for name in _HELD_OUT}


def _memory(
    memory: float | None, limits: Limits | Mapping[str, Any] | None, accelerator: Accelerator
) -> float | None:
    """Bytes that were given, or those of the accelerator; None where the limits say some."""
    if memory is not None:
        return memory
    own = limits.get("memory") if isinstance(limits, Mapping) else getattr(limits, "memory", None)
    return accelerator.memory if own is None else None


def _accelerator(named: Accelerator | str | None) -> Accelerator:
    if isinstance(named, Accelerator):
        return named
    return find_accelerator(named or load_preset()["reference_accelerator"])
