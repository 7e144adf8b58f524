"""How sure a fit is: the same fit of many data sets that might have come instead.

Runs of a sweep are a design, not a sample: which sizes and budgets there are was chosen, and a
resample that lacks the largest would say little. So the runs stay and their residuals are drawn
with replacement, each first divided by sqrt(1 - leverage), as a run that pulls the law towards
itself shows less of its own noise (Davison and Hinkley 1997, "Bootstrap Methods and their
Application", section 6.3).
"""

from __future__ import annotations

import numpy as np

from vecsmith.planning.laws.forms import Floats
from vecsmith.planning.laws.solving import solve
from vecsmith.planning.laws.surface import Points, Surface

__all__ = ["Tangent", "bootstrap", "tangent"]

# A run that alone fixes a parameter has leverage 1 and no residual to divide.
_MOST_LEVERAGE = 0.95
# Directions that hardly move the loss are not estimated and cost no degree of freedom.
_LEAST_SINGULAR = 1e-7


class Tangent:
    """The plane that touches the law at its fit: what the parameters can explain of the runs.

    Attributes:
        basis: Orthonormal columns, [R, rank].
        residuals: Of log loss, [R].
    """

    def __init__(self, basis: Floats, residuals: Floats) -> None:
        """Keeps the two."""
        self.basis = basis
        self.residuals = residuals

    @property
    def degrees(self) -> int:
        """Runs less parameters that they fix."""
        return len(self.residuals) - int(self.basis.shape[1])

    @property
    def inflated(self) -> Floats:
        """Residuals as wide as the noise, centred, [R]."""
        leverage = np.minimum((self.basis**2).sum(axis=1), _MOST_LEVERAGE)
        wide = self.residuals / np.sqrt(1 - leverage)
        centred: Floats = wide - wide.mean()
        return centred


def tangent(surface: Surface, points: Points, log_loss: Floats, parameters: Floats) -> Tangent:
    """The plane at `parameters`; those at a bound do not move."""
    fitted, jacobian = surface.linearized(parameters[None], points)
    low, high = surface.bounds()
    columns = jacobian[0][:, (parameters > low) & (parameters < high)]
    lengths = np.linalg.norm(columns, axis=0)
    columns = columns[:, lengths > 0] / lengths[lengths > 0]
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    basis = left[:, singular > _LEAST_SINGULAR * singular.max(initial=0)]
    return Tangent(basis, log_loss - fitted[0])


def bootstrap(
    surface: Surface,
    points: Points,
    parameters: Floats,
    inflated: Floats,
    *,
    delta: float,
    n_bootstrap: int,
    seed: int,
) -> Floats:
    """Parameters of the fits to `n_bootstrap` data sets drawn around the law, [B, P]."""
    random = np.random.default_rng(seed)
    n_runs = len(inflated)
    fitted = surface.log_loss(parameters[None], points)
    drawn = fitted + inflated[random.integers(0, n_runs, (n_bootstrap, n_runs))]
    start = np.repeat(parameters[None], n_bootstrap, axis=0)
    return solve(surface, points, drawn, np.ones_like(drawn), start, delta=delta).parameters
