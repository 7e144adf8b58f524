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

    Two candidates of one method share each draw of its law; of two methods every draw of the one
    meets every draw of the other.
    """
    first, second = _draws(a, laws), _draws(b, laws)
    if a.tuning.method != b.tuning.method:
        second = second[:, None]
    return float(np.mean(first < second) + 0.5 * np.mean(first == second))


def _draws(candidate: Candidate, laws: FittedLaws) -> NDArray[np.float64]:
    law = laws.law(candidate.tuning.method)
    draws = law.draw_losses(candidate.n_params, candidate.tokens, candidate.share)
    found: NDArray[np.float64] = draws * np.exp(law.offsets.get(candidate.model, 0.0))
    return found
