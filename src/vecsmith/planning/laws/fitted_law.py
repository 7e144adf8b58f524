"""A law that was fitted to runs: what it predicts, where it says to stop, how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vecsmith.planning.laws.forms import COEFFICIENTS, Floats, Form, LossLaw, checked_point
from vecsmith.planning.laws.intervals import interval
from vecsmith.planning.laws.model_offsets import (
    ModelScatter,
    drawn_offsets,
    model_offsets,
)
from vecsmith.planning.laws.observations import Observations
from vecsmith.planning.laws.surface import Points, Surface

__all__ = ["FittedLaw", "HeldOut", "Optimum", "Prediction"]

Cost = Callable[[Floats], ArrayLike]
# An exponent that is not known to this factor says nothing about what comes far off.
_KNOWN_FACTOR = 3.0
# Sizes asked for beyond those fitted over, either side, in the search of an optimum.
_SEARCH_FACTOR = 100.0
_SEARCH_STEPS = 400
# Of a float
_MOST_LOG = 700.0
# Draws of a run's noise, and of what its model is off the law, for each draw of the law.
_COPIES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Loss that a law gives one model.

    Attributes:
        loss: Of the law.
        low: Lower end of the interval of the law there; of a named model, of what its runs come to
            in the mean, off the law as they may be.
        high: Its upper end.
        run_low: Lower end of the interval of one new run there, whose own noise is added.
        run_high: Its upper end.
        extrapolated: What is outside of the runs fitted to, in words; "" where nothing is.
    """

    loss: float
    low: float
    high: float
    run_low: float
    run_high: float
    extrapolated: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """Size at which a law gives the least loss for a budget.

    Attributes:
        flops: The budget.
        n: Non-embedding parameters.
        low: Lower end of its interval.
        high: Its upper end.
        tokens: That the budget then pays for.
        prediction: The loss there.
        at_edge: "smallest" or "largest" where the search ended at that end of its range, else "".
    """

    flops: float
    n: float
    low: float
    high: float
    tokens: float
    prediction: Prediction
    at_edge: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """What a law fitted without some runs predicts of them.

    Attributes:
        what: Which runs: "largest size", "highest budget", or "largest size or highest budget".
        n_runs: Of them.
        mean_error: Mean absolute difference of log loss: 0.03 is 3 % of the loss.
        max_error: The greatest.
        bias: Mean of log loss less its prediction: positive where the law is too hopeful.
    """

    what: str
    n_runs: int
    mean_error: float
    max_error: float
    bias: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedLaw:
    """A law with R runs that it was fitted to and B draws of what it might be instead.

    Attributes:
        surface: The form with its scales.
        parameters: Of the best fit, in the surface's terms, [P].
        draws: The same of each bootstrapped fit, [B, P].
        observations: The runs.
        delta: Residual of log loss from where Huber's loss was linear.
        level: Of the intervals.
        degrees: Runs less parameters that they fix.
        scatter: Of models, as base models lie off any law by amounts of their own, and of runs.
        held_out: How the law does on runs that a fit did not see.
        warnings: What to know before the law is used, in words.
    """

    surface: Surface
    parameters: Floats
    draws: Floats
    observations: Observations
    delta: float
    level: float
    degrees: int
    scatter: ModelScatter
    held_out: tuple[HeldOut, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def form(self) -> Form:
        """Of the law."""
        return self.surface.form

    @property
    def law(self) -> LossLaw:
        """The best fit, in its paper's coefficients."""
        return self.surface.law(self.parameters)

    @property
    def residuals(self) -> Floats:
        """Logarithm of each run's loss less that of the law, [R]."""
        points = Points.of(self.observations.n, self.observations.tokens, self.observations.share)
        predicted = self.surface.log_loss(self.parameters[None], points)[0]
        residuals: Floats = np.log(self.observations.loss) - predicted
        return residuals

    @property
    def noise(self) -> float:
        """Standard deviation of log loss about the law: 0.02 is 2 % of the loss."""
        return float(np.sqrt((self.residuals**2).sum() / self.degrees))

    @property
    def offsets(self) -> Mapping[str, float]:
        """What the log loss of each model among the runs is off the law, by its name."""
        return model_offsets(self.observations.names, self.residuals, self.scatter)

    @property
    def model_noise(self) -> float:
        """Standard deviation of log loss that all runs of a model share; 0 where none shows."""
        return self.scatter.models

    @property
    def run_noise(self) -> float:
        """Standard deviation of one run about what all runs of its model share."""
        return self.scatter.runs

    @property
    def mean_error(self) -> float:
        """Mean absolute residual of log loss."""
        return float(np.abs(self.residuals).mean())

    @property
    def r2(self) -> float:
        """Share of the variance of log loss that the law explains; 1 is all."""
        total = float(((log := np.log(self.observations.loss)) - log.mean()) @ (log - log.mean()))
        return 1 - float(self.residuals @ self.residuals) / total if total > 0 else 0.0

    @property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """Interval of each coefficient by its name."""
        laws = [self.surface.law(draw).coefficients for draw in self.draws]
        values = np.array([[law[name] for name in COEFFICIENTS[self.form]] for law in laws])
        lows, highs = interval(values, self.level, self.degrees)
        # What cannot be below zero is widened by factors.
        above = (values > 0).all(axis=0)
        log_ends = interval(np.log(values[:, above]), self.level, self.degrees)
        lows[above], highs[above] = np.exp(np.clip(log_ends, -_MOST_LOG, _MOST_LOG))
        names = COEFFICIENTS[self.form]
        return {name: (float(a), float(b)) for name, a, b in zip(names, lows, highs, strict=True)}

    @property
    def identifiable(self) -> tuple[str, ...]:
        """Coefficients that the runs fix: exponents to a factor of three, others to their sign."""
        names = []
        for name, (low, high) in self.intervals.items():
            if name in {"a_s", "b_s"} and not self.surface.with_share:
                continue
            is_exponent = name in {"alpha", "beta", "b_s"}
            if (high < _KNOWN_FACTOR * low) if is_exponent else (low > 0 or high < 0):
                names.append(name)
        return tuple(names)

    def loss(self, n: ArrayLike, tokens: ArrayLike, share: ArrayLike = 1.0) -> Floats:
        """Loss of the best fit, float64, as broadcast."""
        shape = np.broadcast_shapes(*map(np.shape, (n, tokens, share)))
        points = Points.of(*checked_point(n, tokens, share))
        losses: Floats = np.exp(self.surface.log_loss(self.parameters[None], points)[0])
        return losses.reshape(shape)

    def draw_losses(self, n: ArrayLike, tokens: ArrayLike, share: ArrayLike = 1.0) -> Floats:
        """Losses of every draw, [B, ...] with ... as broadcast."""
        shape = np.broadcast_shapes(*map(np.shape, (n, tokens, share)))
        points = Points.of(*checked_point(n, tokens, share))
        losses: Floats = np.exp(self.surface.log_loss(self.draws, points))
        return losses.reshape(len(self.draws), *shape)

    def draw_offsets(self, model: str) -> Floats:
        """What the model of that name may be off each draw of the law in log loss, [C, B].

        Columns go with the rows of `draw_losses`. A model that was not run may be off as far as
        models are.
        """
        if self.scatter.models <= 0:
            return np.zeros((_COPIES, len(self.draws)))
        runs = self.observations
        own = np.array([name == model for name in runs.names])
        points = Points.of(runs.n[own], runs.tokens[own], runs.share[own])
        residuals = np.log(runs.loss[own]) - self.surface.log_loss(self.draws, points)
        return drawn_offsets(model, residuals, self.scatter, _COPIES)

    def predict(
        self,
        n: float,
        tokens: float,
        share: float = 1.0,
        flops: float | None = None,
        model: str = "",
    ) -> Prediction:
        """Loss of a model of n parameters after so many tokens, with intervals.

        A model that was run is expected as far off the law as its runs were, less what their noise
        may have done, and its intervals are those of that. One that was not may be off as models
        are; without a name, only the interval of a run allows for it.

        Args:
            n: Non-embedding parameters.
            tokens: Real tokens.
            share: Trained share of the parameters.
            flops: Counted FLOP of the run, to say whether that is outside of the runs fitted to.
            model: Its name, "" for any model of that size.

        Raises:
            ValueError: If a number is not positive, or the share is not one.
        """
        of_law = np.log(self.draw_losses(n, tokens, share))
        of_model = of_law + self.draw_offsets(model)
        # The same draws each time, so that equal questions have equal answers.
        noise = np.random.default_rng(0).normal(0, self.run_noise, of_model.shape)
        in_mean = of_model.ravel() if model else of_law
        ends = interval(in_mean, self.level, self.degrees)
        run_ends = interval((of_model + noise).ravel(), self.level, self.degrees)
        with np.errstate(over="ignore"):  # of the noise that a file may claim
            (low, high), (run_low, run_high) = np.exp(ends), np.exp(run_ends)
        loss = float(self.loss(n, tokens, share) * np.exp(self.offsets.get(model, 0.0)))
        return Prediction(
            loss=loss,
            low=min(float(low), loss),
            high=max(float(high), loss),
            run_low=min(float(run_low), loss),
            run_high=max(float(run_high), loss),
            extrapolated=self.extrapolated(n, tokens, share, flops),
        )

    def extrapolated(
        self, n: float, tokens: float, share: float = 1.0, flops: float | None = None
    ) -> str:
        """What of a question is outside of the runs fitted to, in words; "" where nothing is."""
        runs, parts = self.observations, []
        asked = [
            ("parameters", n, runs.n),
            ("tokens", tokens, runs.tokens),
            ("trained share", share, runs.share),
        ]
        if flops is not None:
            asked.append(("FLOP", flops, runs.counted))
        for name, value, values in asked:
            low, high = float(values.min()), float(values.max())
            if not low * (1 - 1e-6) <= value <= high * (1 + 1e-6):
                end, factor = ("above", value / high) if value > high else ("below", low / value)
                parts.append(
                    f"{name} {value:.3g}, {factor:.2g} times {end} {low:.3g} to {high:.3g}"
                )
        return "; ".join(parts)

    def optimal(
        self,
        flops: float,
        cost_per_token: Cost | None = None,
        share: Cost | float = 1.0,
        *,
        sizes: tuple[float, float] | None = None,
    ) -> Optimum:
        """Size at which the law gives the least loss for a budget, with its interval.

        Args:
            flops: The budget.
            cost_per_token: FLOP a token of models of N parameters; None for 6 N, full tuning.
            share: Trained share of models of N parameters, or one for all.
            sizes: Least and greatest N; None for a hundredth of the smallest size fitted over to a
                hundred times the largest.

        Raises:
            ValueError: If the budget is not positive or the sizes are no range.
        """
        grid, tokens, shares = self._isoflop(flops, cost_per_token, share, sizes)
        logs = np.log(grid)
        points = Points.of(grid, tokens, shares)
        best = least(logs, self.surface.log_loss(self.parameters[None], points))[0]
        ends = interval(least(logs, self.surface.log_loss(self.draws, points)), self.level,
                        self.degrees)  # fmt: skip
        n = float(np.exp(best))
        at = float(np.exp(np.interp(best, logs, np.log(tokens))))
        return Optimum(
            flops=flops,
            n=n,
            low=float(np.exp(max(min(ends[0], best), logs[0]))),
            high=float(np.exp(min(max(ends[1], best), logs[-1]))),
            tokens=at,
            prediction=self.predict(n, at, float(np.interp(best, logs, shares))),
            at_edge="smallest" if best <= logs[0] else "largest" if best >= logs[-1] else "",
        )

    def _isoflop(
        self,
        flops: float,
        cost_per_token: Cost | None,
        share: Cost | float,
        sizes: tuple[float, float] | None,
    ) -> tuple[Floats, Floats, Floats]:
        """Sizes, the tokens that the budget pays for at each, and the share at each."""
        if not (np.isfinite(flops) and flops > 0):
            raise ValueError(f"flops is {flops}, expected a positive number")
        runs = self.observations.n
        low, high = sizes or (runs.min() / _SEARCH_FACTOR, runs.max() * _SEARCH_FACTOR)
        if not 0 < low < high < np.inf:
            raise ValueError(f"sizes are {sizes}, expected the least and the greatest of a range")
        grid = np.geomspace(low, high, _SEARCH_STEPS)
        cost = 6 * grid if cost_per_token is None else np.asarray(cost_per_token(grid), float)
        shares = np.asarray(share(grid) if callable(share) else share, float)
        return grid, flops / np.broadcast_to(cost, grid.shape), np.broadcast_to(shares, grid.shape)


def least(places: Floats, curves: Floats) -> Floats:
    """Place of the least value of each curve [B, G] over even places [G]: by a parabola, [B]."""
    middle = np.clip(curves.argmin(axis=1), 1, len(places) - 2)
    row = np.arange(len(curves))
    before, at, after = (curves[row, middle + i] for i in (-1, 0, 1))
    bend = before + after - 2 * at
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(bend > 0, 0.5 * (before - after) / bend, np.sign(before - after))
    step = places[1] - places[0]
    found: Floats = places[middle] + np.clip(shift, -1, 1) * step
    return found
