"""From a budget to a plan: enumerate, cost, refuse, rank, explain.

The one rule: the real choice is discrete (a catalogue times methods times their numbers), so it is
made by trying all of it; there are no closed forms here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from vecsmith.planning.accelerators import Accelerator, find_accelerator
from vecsmith.planning.budget import Budget
from vecsmith.planning.candidates import Candidate, Menu, cost_candidate, tunings_for
from vecsmith.planning.catalogue import CatalogueEntry
from vecsmith.planning.explaining import explain_preset, preset_cautions
from vecsmith.planning.feasibility import Refusal, fit_memory, refuse
from vecsmith.planning.inputs import Data, Limits, Settings
from vecsmith.planning.learning_rates import learning_rate_for
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
from vecsmith.planning.ranking import Ranking, SizeRule, rank_by_preset
from vecsmith.planning.serving import Serving, cost_serving
from vecsmith.planning.spending import spend
from vecsmith.results.tuning import Tuning

if TYPE_CHECKING:
    from vecsmith.planning.laws.fitted import FittedLaws

_SHOWN_REASONS: Final = 3
_UNKNOWN_PEAK: Final = "pre-training peak unknown: learning rate assumed from Pythia's at this size"


def make_plan(
    budget: Budget | float,
    *,
    catalogue: Sequence[CatalogueEntry] | None = None,
    laws: FittedLaws | None = None,
    data: Data | None = None,
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
    problem = Problem(
        budget=budget if isinstance(budget, Budget) else Budget(flops=budget),
        catalogue=tuple(paper_models(preset) if catalogue is None else catalogue),
        preset=preset,
        data=data or paper_data(preset),
        settings=settings or Settings.of_preset(preset),
        limits=limits or paper_limits(preset),
        menu=menu or paper_menu(preset),
        serving=serving,
        learning_rates=dict(learning_rates or {}),
        size_rule=size_rule or preset["size_rule"],
    )
    candidates, refused = consider(problem)
    if not candidates:
        raise ValueError(_nothing_fits(problem, refused))
    ranking = rank_by_preset(
        candidates,
        preset,
        data=problem.data,
        settings=problem.settings,
        limits=problem.limits,
        size_rule=problem.size_rule,
    )
    device = _device(accelerator, preset)
    chosen = ranking.candidates[0]
    mfus: list[tuple[float, Mark]] = [(each, "assumed") for each in preset["mfu"]]
    if mfu is not None:
        mfus = [(mfu, mfu_mark)]
    return Plan(
        budget=problem.budget,
        chosen=chosen,
        runner_up=_runner_up(ranking),
        ranked=ranking.candidates,
        refused=tuple(refused),
        evidence=preset.name,
        ranked_by=ranking.by,
        settings=problem.settings,
        data=problem.data,
        limits=problem.limits,
        serving=serving,
        accelerator=device.name,
        spending=spend(
            chosen.device_flops,
            device,
            precision=problem.settings.precision,
            mfus=mfus,
            n_devices=problem.limits.n_devices,
            price_per_hour=price_per_hour,
            carbon_intensity=carbon_intensity,
        ),
        explanation=explain_preset(problem, ranking),
        cautions=preset_cautions(problem, ranking),
        constants=constants_of(problem),
    )


def consider(problem: Problem) -> tuple[list[Candidate], list[Refusal]]:
    """Every model with every way of tuning: those that make sense, and those that do not."""
    candidates, refused = [], []
    for entry in problem.catalogue:
        for tuning in tunings_for(entry.shape, problem.menu):
            outcome = _candidate(entry, tuning, problem)
            if isinstance(outcome, Candidate):
                candidates.append(outcome)
            else:
                refused.append(Refusal(model=entry.name, tuning=tuning, reason=outcome))
    return candidates, refused


def _candidate(entry: CatalogueEntry, tuning: Tuning, problem: Problem) -> Candidate | str:
    """The candidate, or why it makes no sense."""
    settings, limits = problem.settings, problem.limits
    try:
        fit = fit_memory(entry.shape, tuning, settings, limits)
        if isinstance(fit, str):
            return fit
        rate, mark = learning_rate_for(entry, tuning, problem.preset, problem.learning_rates)
        candidate = cost_candidate(
            entry,
            tuning,
            problem.budget,
            data=problem.data,
            settings=settings,
            learning_rate=rate,
            mini_batch=fit.mini_batch,
            gradient_checkpointing=fit.gradient_checkpointing,
            memory=asdict(fit.memory),
            serving=None if problem.serving is None else cost_serving(entry.shape, problem.serving),
            notes=(_UNKNOWN_PEAK,) if mark == "assumed" else (),
        )
    except ValueError as error:  # the tuning does not fit the model
        return str(error)
    return refuse(candidate, settings, limits) or candidate


def _runner_up(ranking: Ranking) -> Candidate | None:
    """The best candidate of another method; of another model where there is no other method."""
    chosen, *others = ranking.candidates
    of_methods = [each for each in others if each.tuning.method != chosen.tuning.method]
    of_models = [each for each in others if each.model != chosen.model]
    return next(iter([*of_methods, *of_models]), None)


def _device(accelerator: Accelerator | str | None, preset: Preset) -> Accelerator:
    if isinstance(accelerator, Accelerator):
        return accelerator
    return find_accelerator(accelerator or preset["reference_accelerator"])


def _nothing_fits(problem: Problem, refused: Sequence[Refusal]) -> str:
    """Why there is no plan: what stands in the way most often, with an example of each."""
    kinds = Counter(_kind(refusal) for refusal in refused)
    examples = {_kind(refusal): refusal for refusal in reversed(refused)}
    said = "; ".join(
        f"{count} as {examples[kind].tuning} of {examples[kind].model}: {examples[kind].reason}"
        for kind, count in kinds.most_common(_SHOWN_REASONS)
    )
    return (
        f"none of {len(refused)} candidates fits a budget of {problem.budget.flops:.3g} FLOP "
        f"({said}); change the budget, the batch size, the pairs, the memory or the catalogue"
    )


def _kind(refusal: Refusal) -> str:
    """The reason without its numbers."""
    return "".join(letter for letter in refusal.reason if letter.isalpha())
