"""What a budget could do, tried out: enumerate, cost, refuse, rank.

The one rule: the real choice is discrete (a catalogue times methods times their numbers), so it is
made by trying all of it; there are no closed forms here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from vecsmith.errors import FormatError
from vecsmith.planning.catalogue.models import CatalogueEntry
from vecsmith.planning.checks import is_finite
from vecsmith.planning.choosing.candidates import Candidate, cost_candidate, tunings_for
from vecsmith.planning.choosing.feasibility import Refusal, fit_memory, refuse
from vecsmith.planning.choosing.learning_rates import learning_rate_for
from vecsmith.planning.choosing.predicting import with_prediction
from vecsmith.planning.choosing.problem import Problem
from vecsmith.planning.choosing.ranking import Ranking, rank_by_loss, rank_by_preset
from vecsmith.planning.choosing.serving import cost_serving
from vecsmith.planning.wording import flops_text
from vecsmith.results.tuning import Tuning

if TYPE_CHECKING:
    from vecsmith.planning.laws.fitted import FittedLaws

_SHOWN_REASONS: Final = 3
_UNKNOWN_PEAK: Final = "pre-training peak unknown: learning rate assumed from Pythia's at this size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What came of trying.

    Attributes:
        ranking: Candidates that make sense, the best first.
        refused: The others.
    """

    ranking: Ranking
    refused: tuple[Refusal, ...]

    @property
    def chosen(self) -> Candidate:
        """The best."""
        return self.ranking.candidates[0]

    @property
    def runner_up(self) -> Candidate | None:
        """What to take if the best will not do.

        By predicted loss the next of another model or method; by the published recipe, whose
        sizes are a rule's, the best of another method, and of another model where there is none.
        """
        others = self.ranking.candidates[1:]
        of_models = [each for each in others if each.model != self.chosen.model]
        if self.chosen.predicted is None:
            return next(iter([*self._of_other_methods(), *of_models]), None)
        chosen = self.chosen.model, self.chosen.tuning.method
        return next((each for each in others if (each.model, each.tuning.method) != chosen), None)

    @property
    def other_method(self) -> Candidate | None:
        """The best of another method."""
        return next(iter(self._of_other_methods()), None)

    def _of_other_methods(self) -> list[Candidate]:
        method = self.chosen.tuning.method
        return [each for each in self.ranking.candidates if each.tuning.method != method]


def solve(problem: Problem) -> Solution:
    """The candidates in order.

    Raises:
        ValueError: If none makes sense; the message says what stands in the way.
    """
    candidates, refused = consider(problem)
    if not candidates:
        raise ValueError(_nothing_fits(problem, refused))
    return Solution(ranking=_rank(candidates, problem), refused=tuple(refused))


def _rank(candidates: Sequence[Candidate], problem: Problem) -> Ranking:
    if problem.laws is not None:
        return rank_by_loss(candidates)
    return rank_by_preset(
        candidates,
        problem.preset,
        data=problem.data,
        settings=problem.settings,
        limits=problem.limits,
        size_rule=problem.size_rule,
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
        if problem.laws is not None:
            problem.laws.law(tuning.method)  # refuses a method without one
        fit = fit_memory(entry.shape, tuning, settings, limits)
        if isinstance(fit, str):
            return fit
        rate, mark = learning_rate_for(
            entry, tuning, problem.preset, problem.learning_rates, problem.experience
        )
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
    reason = refuse(candidate, settings, limits)
    if reason is not None:
        return reason
    return candidate if problem.laws is None else _predicted(candidate, problem.laws)


def _predicted(candidate: Candidate, laws: FittedLaws) -> Candidate:
    """The candidate with its predicted loss.

    Raises:
        FormatError: If the laws, which a file may hold, give no number.
    """
    try:
        found = with_prediction(candidate, laws)
    except OverflowError as error:
        raise _no_loss(candidate, str(error)) from error
    assert found.predicted is not None
    losses = found.predicted.loss, found.predicted.run_low, found.predicted.run_high
    if not all(map(is_finite, losses)):
        raise _no_loss(candidate, f"{losses[0]:g} ({losses[1]:g} to {losses[2]:g})")
    return found


def _no_loss(candidate: Candidate, said: str) -> FormatError:
    return FormatError(
        f"laws: loss of {candidate}: {said:.100}, expected a finite loss: fit the laws again"
    )


def _nothing_fits(problem: Problem, refused: Sequence[Refusal]) -> str:
    """Why there is no plan: what stands in the way most often, with an example of each."""
    kinds = Counter(_kind(refusal) for refusal in refused)
    examples = {_kind(refusal): refusal for refusal in reversed(refused)}
    said = "; ".join(
        f"{count} as {examples[kind].tuning} of {examples[kind].model}: {examples[kind].reason}"
        for kind, count in kinds.most_common(_SHOWN_REASONS)
    )
    budget = f"a budget of {flops_text(problem.budget.flops)} FLOP"
    return (
        f"none of {len(refused)} candidates fits {budget} ({said}); change the budget, the batch "
        f"size, the pairs, the memory or the catalogue{_useful_budgets(problem)}"
    )


def _useful_budgets(problem: Problem) -> str:
    """Between which budgets full fine-tuning of some model makes sense, as the end of a message."""
    data, limits = problem.data, problem.limits
    sizes = [entry.shape.n_non_embedding for entry in problem.catalogue]
    if data.pairs is None or not sizes:
        return ""
    fewest = limits.min_steps * problem.settings.batch_size * data.tokens_per_pair
    most = limits.max_epochs * data.pairs * data.tokens_per_pair
    if fewest > most:
        return (
            f": {data.pairs:,} pairs are fewer than {limits.min_steps:,} steps of "
            f"{problem.settings.batch_size:,} take"
        )
    low, high = 6 * min(sizes) * fewest, 6 * max(sizes) * most
    return (
        f": with these models and pairs budgets from {flops_text(low)} to {flops_text(high)} "
        "counted FLOP can be spent"
    )


def _kind(refusal: Refusal) -> str:
    """The reason without its numbers."""
    return " ".join(word for word in refusal.reason.split() if word.isalpha())
