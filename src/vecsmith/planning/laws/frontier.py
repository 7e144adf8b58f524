"""The least loss that a method reaches for a budget: as a straight line, or as its law has it.

The line is the paper's: ln loss = slope ln FLOP + intercept through the best run of each budget
(Ziarko et al. 2024, arXiv 2406.04165, section 4.4). It is simple and has two faults, which a law
has not: the best of several noisy runs looks better than it is, the more so the more runs there
are, and a loss with a floor is no straight line. Both kinds can be asked the same, and crossed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from vecsmith.planning.laws.fitted_law import FittedLaw
from vecsmith.planning.laws.forms import Floats
from vecsmith.planning.laws.observations import Observations
from vecsmith.planning.laws.surface import Points
from vecsmith.results.tuning_runs import TuningRun

__all__ = ["Frontier", "FrontierLine", "LawFrontier", "best_of_budgets", "frontier_line"]

# Numbers held at once while many budgets are asked of many cells and draws.
_BLOCK = 400_000


class Frontier(Protocol):
    """Least log loss by log FLOP: the best guess, and draws of what it might be instead."""

    @property
    def name(self) -> str:
        """Of the method."""

    @property
    def degrees(self) -> int:
        """Of freedom that the noise was seen by."""

    @property
    def span(self) -> tuple[float, float]:
        """Least and greatest FLOP of the runs behind it."""

    def log_loss(self, log_flops: Floats) -> Floats:
        """Logarithm of the least loss, [G] for [G]."""

    def draw_log_losses(self, log_flops: Floats) -> Floats:
        """The same of each draw, [B, G]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrontierLine:
    """ln loss = slope ln FLOP + intercept, with draws.

    Attributes:
        name: Of the method.
        slope: Change of ln loss with ln FLOP; negative where compute helps.
        intercept: Of ln loss at 1 FLOP: far outside of any runs, and so with many digits.
        flops: Of the best run of each budget, [G].
        losses: Of those runs, [G].
        draws: Slopes and values at the mean of ln FLOP that might be instead, [B, 2].
        models: Names of those runs' models.
    """

    name: str
    slope: float
    intercept: float
    flops: Floats
    losses: Floats
    draws: Floats = field(repr=False)
    models: tuple[str, ...] = ()

    @property
    def degrees(self) -> int:
        """Budgets less the two parameters of a line."""
        return len(self.flops) - 2

    @property
    def span(self) -> tuple[float, float]:
        """Least and greatest FLOP."""
        return float(self.flops.min()), float(self.flops.max())

    @property
    def noise(self) -> float:
        """Standard deviation of ln loss about the line."""
        residuals = np.log(self.losses) - self.log_loss(np.log(self.flops))
        return float(np.sqrt(residuals @ residuals / self.degrees))

    def loss(self, flops: ArrayLike) -> Floats:
        """Least loss for each budget."""
        return np.asarray(np.exp(self.log_loss(np.log(np.asarray(flops, np.float64)))))

    def log_loss(self, log_flops: Floats) -> Floats:
        """Logarithm of the least loss, [G] for [G]."""
        return np.asarray(self.slope * log_flops + self.intercept)

    def draw_log_losses(self, log_flops: Floats) -> Floats:
        """The same of each draw, [B, G]."""
        middle = float(np.log(self.flops).mean())
        lines: Floats = self.draws[:, :1] * (log_flops - middle) + self.draws[:, 1:]
        return lines


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LawFrontier:
    """The least loss that a fitted law gives any of K cells, each spending the whole budget.

    By the law alone: what single models are off it is left out.

    Attributes:
        name: Of the method.
        fitted: Its law.
        n: Parameters of each cell, [K].
        cost_per_token: Of each, FLOP, [K].
        share: Trained share of each, [K].
    """

    name: str
    fitted: FittedLaw
    n: Floats
    cost_per_token: Floats
    share: Floats

    @classmethod
    def of(cls, name: str, fitted: FittedLaw) -> LawFrontier:
        """Over the cells of the runs that the law was fitted to: what is known to be feasible."""
        runs = fitted.observations
        cells = np.stack([runs.n, runs.counted / runs.tokens, runs.share], axis=1)
        # The same model and method cost the same but for rounding.
        _, first = np.unique(np.round(np.log(cells), 6), axis=0, return_index=True)
        n, cost_per_token, share = cells[first].T
        return cls(name=name, fitted=fitted, n=n, cost_per_token=cost_per_token, share=share)

    @property
    def degrees(self) -> int:
        """Of the law."""
        return self.fitted.degrees

    @property
    def span(self) -> tuple[float, float]:
        """Least and greatest FLOP of the runs."""
        counted = self.fitted.observations.counted
        return float(counted.min()), float(counted.max())

    def log_loss(self, log_flops: Floats) -> Floats:
        """Logarithm of the least loss, [G] for [G]."""
        of_best: Floats = self._least(self.fitted.parameters[None], log_flops)[0]
        return of_best

    def draw_log_losses(self, log_flops: Floats) -> Floats:
        """The same of each draw, [B, G]."""
        return self._least(self.fitted.draws, log_flops)

    def _least(self, parameters: Floats, log_flops: Floats) -> Floats:
        """Of parameters [B, P], [B, G]: in blocks, as B x K x G numbers may be many."""
        n_at_once = max(1, _BLOCK // (len(parameters) * len(self.n)))
        blocks = []
        for begin in range(0, len(log_flops), n_at_once):
            flops = np.exp(log_flops[begin : begin + n_at_once])
            tokens = flops[:, None] / self.cost_per_token
            points = Points.of(self.n, tokens, self.share)
            losses = self.fitted.surface.log_loss(parameters, points)
            blocks.append(losses.reshape(len(parameters), *tokens.shape).min(axis=2))
        least: Floats = np.concatenate(blocks, axis=1)
        return least


def best_of_budgets(observed: Observations) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Counted FLOP, loss and model of the best cell of each budget, by budget.

    Runs that differ in nothing but their seed are one cell, whose log loss is their mean: the
    luckiest of three seeds is not what a method reaches.
    """
    cells: dict[tuple[float, str, float], list[int]] = defaultdict(list)
    keys = zip(observed.asked.tolist(), observed.names, observed.share.tolist(), strict=True)
    for place, key in enumerate(keys):
        cells[key].append(place)
    best: dict[float, tuple[float, float, str]] = {}  # by budget
    for (budget, name, _), same in sorted(cells.items()):
        loss = float(np.exp(np.log(observed.loss[same]).mean()))
        if budget not in best or loss < best[budget][1]:
            best[budget] = (float(observed.counted[same].mean()), loss, name)
    rows = [best[budget] for budget in sorted(best)]
    counted = np.array([row[0] for row in rows])
    return counted, np.array([row[1] for row in rows]), tuple(row[2] for row in rows)


def frontier_line(
    runs: Sequence[TuningRun] | Observations,
    *,
    name: str = "",
    n_bootstrap: int = 200,
    seed: int = 0,
) -> FrontierLine:
    """The line through the best run of each budget.

    Draws are those of least squares with normal noise, whose scale is the residuals': with a
    handful of budgets there is no more to resample.

    Args:
        runs: Of one method.
        name: Of the method.
        n_bootstrap: Draws.
        seed: Of the draws.

    Raises:
        ValueError: If there are fewer than three budgets.
    """
    observed = runs if isinstance(runs, Observations) else Observations.of_runs(runs)
    flops, losses, models = best_of_budgets(observed)
    if len(flops) < 3:
        raise ValueError(
            f"{len(flops)} budgets, expected at least 3 for a line with an interval: run more"
        )
    x, y = np.log(flops), np.log(losses)
    off = x - x.mean()
    slope, middle = float(off @ y / (off @ off)), float(y.mean())
    residuals = y - middle - slope * off
    noise = np.sqrt(residuals @ residuals / (len(x) - 2))
    normal = np.random.default_rng(seed).standard_normal((n_bootstrap, 2))
    scales = noise / np.sqrt([off @ off, len(x)])
    return FrontierLine(
        name=name,
        slope=slope,
        intercept=middle - slope * float(x.mean()),
        flops=flops,
        losses=losses,
        draws=np.array([slope, middle]) + normal * scales,
        models=models,
    )
