"""Why laws fitted to one's own runs lead to a plan, in plain words; and what they do not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vecsmith.planning.choosing.candidates import Candidate
from vecsmith.planning.choosing.explaining import (
    METHOD_WORDS,
    memory_lines,
    run_line,
    serving_lines,
)
from vecsmith.planning.choosing.predicting import probability_better
from vecsmith.planning.choosing.problem import Problem
from vecsmith.planning.choosing.ranking import LOSS_TOLERANCE
from vecsmith.planning.choosing.solving import Solution
from vecsmith.planning.wording import flops_text, percent_text, probability_text

if TYPE_CHECKING:
    from vecsmith.planning.laws.crossover import Crossover
    from vecsmith.planning.laws.fitted import FittedLaws


def explain_laws(problem: Problem, solution: Solution) -> tuple[str, ...]:
    """Why the laws lead to the first of the ranking."""
    assert problem.laws is not None
    laws, chosen = problem.laws, solution.chosen
    return (
        _loss_line(chosen, laws),
        *_runner_up_lines(solution, laws),
        *_crossover_lines(solution, laws),
        *_equals_lines(solution, laws),
        *_tuning_lines(chosen),
        run_line(chosen),
        *memory_lines(chosen),
        *serving_lines(solution.ranking),
    )


def laws_cautions(problem: Problem, solution: Solution) -> tuple[str, ...]:
    """What to know before one relies on the plan."""
    assert problem.laws is not None
    return tuple(_cautions(problem, problem.laws, solution.chosen))


def laws_name(laws: FittedLaws) -> str:
    """What to call the evidence."""
    n_runs = sum(len(law.observations) for law in laws.laws.values())
    return f"laws ({laws.form}) fitted to {n_runs} runs"


def _loss_line(chosen: Candidate, laws: FittedLaws) -> str:
    assert chosen.predicted is not None
    law, found = laws.law(chosen.tuning.method), chosen.predicted
    level = percent_text(found.level)
    return (
        f"lowest predicted loss: {found.loss:.4f} ({level} interval {found.low:.4f} to "
        f"{found.high:.4f}; of a single run {found.run_low:.4f} to {found.run_high:.4f}), by a law "
        f"fitted to {len(law.observations)} runs of {METHOD_WORDS[chosen.tuning.method]} that "
        f"misses them by {percent_text(law.mean_error)} in the mean"
    )


def _runner_up_lines(solution: Solution, laws: FittedLaws) -> Iterator[str]:
    chosen, other = solution.chosen, solution.runner_up
    if other is None or other.predicted is None or chosen.predicted is None:
        return
    behind = other.predicted.loss / chosen.predicted.loss - 1
    chance = probability_better(chosen, other, laws)
    relation = "above" if behind >= 0 else "below"
    yield (
        f"the runner-up, {other}, is predicted {percent_text(abs(behind))} {relation} it; the plan "
        f"is the better one with probability {probability_text(chance)} (by the fits' doubt, "
        "and what models may be off them)"
    )


def _crossover_lines(solution: Solution, laws: FittedLaws) -> Iterator[str]:
    other = solution.other_method
    if other is not None:
        yield _crossover_words(laws.crossover(solution.chosen.tuning.method, other.tuning.method))


def _crossover_words(crossing: Crossover) -> str:
    if crossing.flops is None:
        return (
            f"{METHOD_WORDS[crossing.below]} is ahead of {METHOD_WORDS[crossing.beaten]} over all "
            f"budgets from {flops_text(crossing.searched[0])} to "
            f"{flops_text(crossing.searched[1])} FLOP, by the laws alone, "
            "over the cells that were run"
        )
    low = flops_text(crossing.low) if crossing.low > 0 else "any below"
    high = flops_text(crossing.high) if crossing.high < float("inf") else "any above"
    far = ", outside of the runs' budgets" if crossing.extrapolated else ""
    return (
        f"{METHOD_WORDS[crossing.below]} is ahead below {flops_text(crossing.flops)} FLOP "
        f"({low} to {high}){far}, {METHOD_WORDS[crossing.above]} above, by the laws alone"
    )


def _equals_lines(solution: Solution, laws: FittedLaws) -> Iterator[str]:
    """How many candidates are as good as the best, which tells how much the choice matters."""
    ranked = solution.ranking.candidates
    best = min(each.predicted.loss for each in ranked if each.predicted is not None)
    n_equal = sum(
        each.predicted.loss <= best * (1 + LOSS_TOLERANCE)
        for each in ranked
        if each.predicted is not None
    )
    if n_equal > 1:
        yield (
            f"{n_equal} of {len(ranked)} candidates are predicted within "
            f"{percent_text(LOSS_TOLERANCE)} of the best"
        )


def _tuning_lines(chosen: Candidate) -> Iterator[str]:
    tuning = chosen.tuning
    trained = f"{percent_text(chosen.share)} of the parameters besides embeddings"
    if tuning.method == "lora":
        yield f"rank {tuning.rank} with alpha {tuning.alpha:g} trains {trained}"
    if tuning.method == "freeze":
        yield f"{tuning.frozen_blocks} of {chosen.n_layers} blocks frozen leaves {trained}"


def _cautions(problem: Problem, laws: FittedLaws, chosen: Candidate) -> Iterator[str]:
    method = chosen.tuning.method
    assert chosen.predicted is not None
    if chosen.predicted.extrapolates:
        yield f"extrapolated from the runs: {chosen.predicted.extrapolates}"
    differing = problem.settings.differing(laws.settings)
    if differing:
        yield (
            f"settings of the plan and of the laws' runs differ in {'; '.join(differing)}: the "
            "predicted losses do not hold"
        )
    if problem.data.pairs is None:
        yield "the number of pairs is not known, so texts may be repeated: say how many there are"
    for name, why in laws.left_out.items():
        if name in problem.menu.methods:
            yield f"no law of {METHOD_WORDS[name]}: {why}"
    yield from (f"law of {METHOD_WORDS[method]}: {said}" for said in laws.law(method).warnings)
    yield from chosen.notes
