"""Where one method becomes better than another, and how sure that is, by the laws alone.

What single models are off the laws is left out: a comparison of two named candidates that allows
for it is `vecsmith.planning.choosing.predicting.probability_better`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vecsmith.planning.laws.forms import Floats
from vecsmith.planning.laws.frontier import Frontier
from vecsmith.planning.laws.intervals import centred_interval, centred_share, checked_level

__all__ = ["Crossover", "crossover", "probability_better"]

# Budgets asked beyond those of the runs, either side: a crossing farther off means nothing.
_REACH = 30.0
_STEPS = 240
# Draws of the one frontier meet this many orders of the other's: more differences, steadier ends.
_PAIRINGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossover:
    """The budget at which two methods reach the same loss.

    Attributes:
        below: The method that is better at budgets below.
        above: The one that is better above; the same one where they do not cross.
        beaten: The one that is not better below.
        flops: The budget; None where the frontiers do not cross within the range searched.
        low: Lower end of its interval; 0 where it is open.
        high: Its upper end; infinite where it is open.
        searched: Least and greatest budget searched.
        extrapolated: Whether the budget is outside of the runs of either method.
    """

    below: str
    above: str
    beaten: str
    flops: float | None
    low: float
    high: float
    searched: tuple[float, float]
    extrapolated: bool


def crossover(a: Frontier, b: Frontier, *, level: float = 0.9, reach: float = _REACH) -> Crossover:
    """Where the frontiers of two methods cross.

    The interval holds the budgets at which the difference of the two may be zero (Fieller's way):
    it is as sure as its level also where the lines are nearly parallel, and is open to a side on
    which the runs do not tell them apart. Where they cross more than once, the crossing nearest to
    the middle of the runs is taken.

    Args:
        a: Of one method.
        b: Of the other.
        level: Of the interval.
        reach: How many times farther than the runs to search, either side.
    """
    checked_level(level)
    low, high = min(a.span[0], b.span[0]), max(a.span[1], b.span[1])
    logs = np.linspace(np.log(low / reach), np.log(high * reach), _STEPS)
    guess = a.log_loss(logs) - b.log_loss(logs)
    middle = 0.5 * (np.log(low) + np.log(high))
    crossing = _nearest_zero(logs, guess, middle)
    least, most = _difference_interval(a, b, logs, guess, level)
    ends = _where_zero(logs, least, most, middle if crossing is None else crossing)
    # Where they do not cross, one is better all over, and is named on both sides.
    before = np.sum(guess) if crossing is None else np.interp(crossing - 1e-3, logs, guess)
    below, above = (a.name, b.name) if before < 0 else (b.name, a.name)
    overlap = max(a.span[0], b.span[0]), min(a.span[1], b.span[1])
    flops = None if crossing is None else float(np.exp(crossing))
    return Crossover(
        below=below,
        above=below if crossing is None else above,
        beaten=above,
        flops=flops,
        low=0.0 if ends[0] <= logs[0] else float(np.exp(ends[0])),
        high=np.inf if ends[1] >= logs[-1] else float(np.exp(ends[1])),
        searched=(float(np.exp(logs[0])), float(np.exp(logs[-1]))),
        extrapolated=flops is not None and not overlap[0] <= flops <= overlap[1],
    )


def probability_better(a: Frontier, b: Frontier, flops: float) -> float:
    """How probable it is that method `a` reaches a lower loss than `b` for a budget.

    Raises:
        ValueError: If the budget is not positive.
    """
    if not (np.isfinite(flops) and flops > 0):
        raise ValueError(f"flops is {flops}, expected a positive number")
    logs = np.log([flops])
    guess = a.log_loss(logs) - b.log_loss(logs)
    return float(centred_share(_differences(a, b, logs), guess)[0])


def _differences(a: Frontier, b: Frontier, logs: Floats) -> Floats:
    """Draws of log loss of a less that of b, [B', G]; the two are independent."""
    of_a, of_b = a.draw_log_losses(logs), b.draw_log_losses(logs)
    n_draws = max(len(of_a), len(of_b))
    rows = np.arange(n_draws)
    shifts = (np.arange(_PAIRINGS) * max(1, len(of_b) // _PAIRINGS))[:, None]
    differences: Floats = (of_a[rows % len(of_a)] - of_b[(rows + shifts) % len(of_b)]).reshape(
        -1, len(logs)
    )
    return differences


def _difference_interval(
    a: Frontier, b: Frontier, logs: Floats, guess: Floats, level: float
) -> tuple[Floats, Floats]:
    """Ends of the interval of the difference at each budget, [G] each."""
    differences = _differences(a, b, logs)
    of_a, of_b = (f.draw_log_losses(logs).var(axis=0).mean() for f in (a, b))
    # Welch and Satterthwaite: degrees of a sum of two estimated variances
    parts = of_a**2 / max(a.degrees, 1) + of_b**2 / max(b.degrees, 1)
    degrees = float((of_a + of_b) ** 2 / parts) if parts > 0 else float(a.degrees + b.degrees)
    return centred_interval(differences, guess, level, degrees)


def _nearest_zero(logs: Floats, values: Floats, middle: float) -> float | None:
    """Place nearest to `middle` where the values change sign, or None."""
    turns = np.flatnonzero(np.sign(values[1:]) * np.sign(values[:-1]) < 0)
    exact = np.flatnonzero(values == 0)
    share = values[turns] / (values[turns] - values[turns + 1])
    places = np.concatenate([logs[turns] + share * (logs[1] - logs[0]), logs[exact]])
    if not len(places):
        return None
    return float(places[np.argmin(np.abs(places - middle))])


def _where_zero(logs: Floats, least: Floats, most: Floats, near: float) -> tuple[float, float]:
    """Ends of the stretch around `near` where zero is between the two."""
    inside = (least <= 0) & (most >= 0)
    start = int(np.argmin(np.abs(logs - near)))
    if not inside[start]:
        # The nearest stretch; where there is none, the two differ everywhere that was searched.
        if not inside.any():
            return near, near
        start = int(np.flatnonzero(inside)[np.argmin(np.abs(logs[inside] - near))])
    first = start - int(np.argmin(np.append(inside[start::-1], False))) + 1
    last = start + int(np.argmin(np.append(inside[start:], False))) - 1
    # The bound that excludes zero one step farther out crosses it in between.
    low = _crossed(logs, least, most, first, first - 1) if first > 0 else float(logs[0])
    high = _crossed(logs, least, most, last, last + 1) if last < len(logs) - 1 else float(logs[-1])
    return min(low, near), max(high, near)


def _crossed(logs: Floats, least: Floats, most: Floats, inner: int, outer: int) -> float:
    """Where zero leaves the interval, from place `inner`, where it is in, to `outer`."""
    bound = least if least[outer] > 0 else most
    share = bound[inner] / (bound[inner] - bound[outer])
    return float(logs[inner] + share * (logs[outer] - logs[inner]))
