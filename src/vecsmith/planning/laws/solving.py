"""Many robust fits at once: damped Gauss-Newton with bounds, over a batch of data sets.

The objective of each is the sum (not the mean: Besiroglu et al. 2024, arXiv 2404.10102, found a
published fit stopped early by it) of Huber's loss of the residuals of log loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecsmith.planning.laws.forms import Floats
from vecsmith.planning.laws.surface import Points, Surface

__all__ = ["Solution", "huber", "solve"]

_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class Solution:
    """Best parameters of each data set and the objective there."""

    parameters: Floats  # [B, P]
    cost: Floats  # [B]
    converged: NDArray[np.bool_]  # [B]


def huber(residuals: Floats, weights: Floats, delta: Floats | float) -> Floats:
    """Sum of Huber's loss over the last axis: squares within `delta`, a line beyond it."""
    sizes = np.abs(residuals)
    inside = np.minimum(sizes, delta)
    total: Floats = (weights * inside * (sizes - 0.5 * inside)).sum(axis=-1)
    return total


def solve(
    surface: Surface,
    points: Points,
    log_loss: Floats,
    weights: Floats,
    start: Floats,
    *,
    delta: float,
    n_steps: int = 100,
) -> Solution:
    """Parameters that fit each of B data sets, from one start each.

    Args:
        surface: The form.
        points: Of the R runs, which all data sets share.
        log_loss: Logarithms of the losses, [B, R].
        weights: Of the runs, at least 0, [B, R].
        start: Parameters to begin with, [B, P].
        delta: Where Huber's loss becomes linear.
        n_steps: At most so many steps.
    """
    low, high = surface.bounds()
    parameters = np.clip(start, low, high)
    fitted, jacobian = surface.linearized(parameters, points)
    cost = huber(log_loss - fitted, weights, delta)
    damping = np.full(len(parameters), 1e-3)
    still = np.zeros(len(parameters), int)
    active = np.arange(len(parameters))
    for _ in range(n_steps):
        if not len(active):
            break
        residuals = log_loss[active] - fitted[active]
        scaled = weights[active] * np.minimum(1, delta / np.maximum(np.abs(residuals), 1e-300))
        step = _step(
            jacobian[active], residuals, scaled, parameters[active], damping[active], low, high
        )
        tried = np.clip(parameters[active] + step, low, high)
        new_fitted, new_jacobian = surface.linearized(tried, points)
        new_cost = huber(log_loss[active] - new_fitted, weights[active], delta)
        better = new_cost < cost[active]
        gain = np.where(better, cost[active] - new_cost, 0.0)
        small = gain <= _TOLERANCE * cost[active]
        accepted = active[better]
        parameters[accepted] = tried[better]
        fitted[accepted], jacobian[accepted] = new_fitted[better], new_jacobian[better]
        cost[accepted] = new_cost[better]
        damping[active] = np.clip(
            np.where(better, damping[active] / 5, damping[active] * 4), 1e-12, 1e9
        )
        still[active] = np.where(small, still[active] + 1, 0)
        active = active[still[active] < 4]
    return Solution(parameters, cost, still >= 4)


def _step(
    jacobian: Floats,
    residuals: Floats,
    weights: Floats,
    parameters: Floats,
    damping: Floats,
    low: Floats,
    high: Floats,
) -> Floats:
    """The damped Gauss-Newton step [B, P]; parameters that their bound holds stay."""
    weighted = jacobian * weights[:, :, None]
    gradient = np.einsum("brp,br->bp", weighted, residuals)
    held = ((parameters <= low) & (gradient < 0)) | ((parameters >= high) & (gradient > 0))
    free = (~held).astype(np.float64)
    gradient *= free
    normal = weighted.transpose(0, 2, 1) @ jacobian
    normal *= free[:, :, None] * free[:, None, :]
    diagonal = np.einsum("bpp->bp", normal)
    largest = diagonal.max(axis=1, keepdims=True)
    ridge = damping[:, None] * np.maximum(diagonal, 1e-9 * largest) + 1e-14 * largest + 1e-300
    ridge += held
    normal += ridge[:, :, None] * np.eye(normal.shape[1])
    return np.linalg.solve(normal, gradient[:, :, None])[:, :, 0]
