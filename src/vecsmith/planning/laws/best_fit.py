"""The best fit of a law to runs, without intervals.

Starts by variable projection, a robust fit from each, and a polish by L-BFGS.
"""

from __future__ import annotations

import numpy as np

from vecsmith._extras import require
from vecsmith.planning.laws.forms import Floats
from vecsmith.planning.laws.solving import huber, solve
from vecsmith.planning.laws.starting import starts
from vecsmith.planning.laws.surface import Points, Surface

__all__ = ["best_fit"]

# Huber's constant: 95 % of the efficiency of least squares where the noise is normal.
_HUBER = 1.345
# Median absolute deviation of a normal variate of scale 1.
_NORMAL_MAD = 0.6745
# Losses that a law meets exactly leave no scale; float64 noise is below this.
_LEAST_DELTA = 1e-9


def best_fit(
    surface: Surface,
    points: Points,
    log_loss: Floats,
    *,
    delta: float | None = None,
    n_starts: int = 8,
) -> tuple[Floats, float]:
    """Parameters of the best fit [P], and the delta that it was made with.

    Args:
        surface: The form.
        points: Of the runs.
        log_loss: Logarithms of their losses, [R].
        delta: Residual from where Huber's loss is linear; None for 1.345 times the noise.
        n_starts: Points of the grid that a fit begins from.

    Raises:
        MissingExtraError: If scipy is not installed.
    """
    begun = starts(surface, points, log_loss, n_starts)
    data = np.repeat(log_loss[None], len(begun), axis=0)
    ones = np.ones_like(data)
    # Least squares first: its noise sets the scale, and from there the robust fit is near.
    squares = solve(surface, points, data, ones, begun, delta=np.inf)
    best = squares.parameters[np.argmin(squares.cost)]
    if delta is None:
        delta = _delta(log_loss - surface.log_loss(best[None], points)[0], len(best))
    robust = solve(surface, points, data, ones, squares.parameters, delta=delta, n_steps=400)
    best = robust.parameters[np.argmin(robust.cost)]
    return _polish(surface, points, log_loss, best, delta), delta


def _delta(residuals: Floats, n_parameters: int) -> float:
    """Huber's delta for the noise of `residuals`, which a fit has made smaller than it is."""
    lost = np.sqrt(len(residuals) / max(len(residuals) - n_parameters, 1))
    noise = np.median(np.abs(residuals)) / _NORMAL_MAD * lost
    return max(float(_HUBER * noise), _LEAST_DELTA)


def _polish(
    surface: Surface, points: Points, log_loss: Floats, start: Floats, delta: float
) -> Floats:
    """The fit carried on by L-BFGS with tight tolerances; never worse than `start`."""
    optimize = require("scipy.optimize", extra="plan", purpose="fit scaling laws")
    ones = np.ones_like(log_loss)

    def objective(parameters: Floats) -> tuple[float, Floats]:
        fitted, jacobian = surface.linearized(parameters[None], points)
        residuals = log_loss - fitted[0]
        slopes = np.clip(residuals, -delta, delta)
        return float(huber(residuals, ones, delta)) / delta, -(slopes @ jacobian[0]) / delta

    low, high = surface.bounds()
    found = optimize.minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low, high, strict=True)),
        options={"maxiter": 2000, "maxfun": 4000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 20},
    )
    return np.asarray(found.x) if found.fun < objective(start)[0] else start
