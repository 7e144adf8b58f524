"""What fitted laws expect of candidates, and how sure they are that one beats another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecsmith.planning.choosing.candidates import Candidate, PredictedLoss

if TYPE_CHECKING:
    from vecsmith.planning.laws.fitted import FittedLaws


def with_prediction(candidate: Candidate, laws: FittedLaws) -> Candidate:
    """The candidate with the loss that the law of its method expects.

    Raises:
        ValueError: If there is no law of its method.
    """
    method = candidate.tuning.method
    found = laws.predict(
        method,
        candidate.n_params,
        candidate.tokens,
        candidate.share,
        candidate.flops,
        candidate.model,
    )
    predicted = PredictedLoss(
        loss=found.loss,
        low=found.low,
        high=found.high,
        run_low=found.run_low,
        run_high=found.run_high,
        level=laws.law(method).level,
        extrapolates=found.extrapolated,
    )
    return replace(candidate, predicted=predicted)


def probability_better(a: Candidate, b: Candidate, laws: FittedLaws) -> float:
    """How probable it is that `a` has the lower expected loss of the two.

    Each draw of a law has with it what the candidate's model may be off the law: as its own runs
    leave it open, or as models are off it, of a model that was not run. Two candidates of one
    method share each draw of its law, and of one model each draw of what that is off it; of two
    methods every draw of the one meets every draw of the other.
    """
    first, second = _draws(a, laws), _draws(b, laws)
    if a.tuning.method != b.tuning.method:
        ordered = np.sort(second, axis=None)
        ends = (np.searchsorted(ordered, first, side).mean() for side in ("left", "right"))
        return 1 - float(sum(ends)) / (2 * ordered.size)
    return float(np.mean(first < second) + 0.5 * np.mean(first == second))


def _draws(candidate: Candidate, laws: FittedLaws) -> NDArray[np.float64]:
    """Log losses: of B draws of the law, C of what the model is off each, [C, B]."""
    law = laws.law(candidate.tuning.method)
    draws = law.draw_losses(candidate.n_params, candidate.tokens, candidate.share)
    found: NDArray[np.float64] = np.log(draws) + law.draw_offsets(candidate.model)
    return found
