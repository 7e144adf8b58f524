"""IsoFLOP profiles: the losses of one budget by model size, and the parabola through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vecsmith.planning.laws.forms import Floats
from vecsmith.planning.laws.observations import Observations
from vecsmith.results.tuning_runs import TuningRun

__all__ = ["IsoFlopProfile", "isoflop_profiles"]

# A parabola in ln N follows a sum of powers over about this factor of sizes.
_WIDE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IsoFlopProfile:
    """Losses of one budget, by size.

    Attributes:
        flops: The budget.
        n: Sizes of the models, ascending, [K]; models of one size are a point each.
        losses: The best loss of each model, over shares; the mean over seeds, [K].
        names: Of the models.
        optimum: Size at the bottom of a parabola in ln N; None where there is none.
        loss: At that bottom; None with it.
        parabola: Its coefficients, of ln loss in ln N, the square first; empty where there is none.
        caution: Why the bottom is not to be trusted, in words; "" where it is.
    """

    flops: float
    n: Floats
    losses: Floats
    names: tuple[str, ...]
    optimum: float | None = None
    loss: float | None = None
    parabola: Floats = field(default_factory=lambda: np.zeros(0))
    caution: str = ""


def isoflop_profiles(runs: Sequence[TuningRun] | Observations) -> list[IsoFlopProfile]:
    """The profile of each budget of one method, by budget.

    The bottom of a parabola is the second approach of Hoffmann et al. 2022. It is biased where the
    sizes are far apart or not centred on the best, as a sum of two powers is no parabola
    (Open-Athena 2026, arXiv 2603.22339): a profile says so in `caution`, and a fitted law is to be
    preferred for a choice of size.

    Args:
        runs: Of one method.
    """
    observed = runs if isinstance(runs, Observations) else Observations.of_runs(runs)
    return [_profile(observed, budget) for budget in np.unique(observed.asked)]


def _profile(observed: Observations, budget: float) -> IsoFlopProfile:
    runs = observed.where(observed.asked == budget)
    models = sorted(set(zip(runs.n.tolist(), runs.names, strict=True)))
    sizes, names = np.array([n for n, _ in models]), tuple(name for _, name in models)
    losses = np.array([_best_loss(runs, name) for name in names])
    plain = IsoFlopProfile(flops=float(budget), n=sizes, losses=losses, names=names)
    n_sizes = len(np.unique(sizes))
    if n_sizes < 3:
        return replace(plain, caution=f"{n_sizes} sizes, expected at least 3 for a parabola")
    x, y = np.log(sizes), np.log(losses)
    centre = float(x.mean())
    bend, slope, level = np.polyfit(x - centre, y, 2)
    if bend <= 0:
        return replace(plain, caution="the losses do not bend upwards: no best size is inside")
    bottom = -slope / (2 * bend)
    square = np.array([bend, slope - 2 * bend * centre, level + bend * centre**2 - slope * centre])
    return replace(
        plain,
        optimum=float(np.exp(bottom + centre)),
        loss=float(np.exp(level - slope**2 / (4 * bend))),
        parabola=square,
        caution=_caution(x, bottom + centre),
    )


def _best_loss(runs: Observations, name: str) -> float:
    """The best over shares of the mean over seeds."""
    same = runs.where([each == name for each in runs.names])
    means = [np.log(same.loss[same.share == share]).mean() for share in np.unique(same.share)]
    return float(np.exp(min(means)))


def _caution(x: Floats, bottom: float) -> str:
    low, high = float(x[0]), float(x[-1])
    if not low <= bottom <= high:
        return f"the bottom {np.exp(bottom):.3g} is outside of the sizes run"
    parts = []
    if np.exp(high - low) > _WIDE:
        parts.append(f"sizes are {np.exp(high - low):.3g} times apart, parabolas bias beyond 30")
    if abs(bottom - (low + high) / 2) > (high - low) / 4:
        parts.append("the bottom is off the middle of the sizes, which biases it")
    return "; ".join(parts)
