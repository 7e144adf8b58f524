"""How sure a fit is: the same fit of many data sets that might have come instead.

Runs of a sweep are a design, not a sample: which sizes and budgets there are was chosen, and a
resample that lacks the largest would say little. So the runs stay and their residuals are drawn
with replacement, each first divided by sqrt(1 - leverage), as a run that pulls the law towards
itself shows less of its own noise (Davison and Hinkley 1997, "Bootstrap Methods and their
Application", section 6.3).

Runs of one model share what that model happens to be: base models of a ladder were each trained
once, and lie off any smooth law by amounts of their own. Where the residuals show that, what they
share is drawn for each model anew, beside the noise of the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith.planning.laws.forms import Floats
from vecsmith.planning.laws.model_offsets import ModelScatter
from vecsmith.planning.laws.solving import solve
from vecsmith.planning.laws.surface import Points, Surface

__all__ = ["Noise", "Tangent", "bootstrap", "f_test", "noise_of", "tangent"]

# A run that alone fixes a parameter has leverage 1 and no residual to divide.
_MOST_LEVERAGE = 0.95
# Directions that hardly move the loss are not estimated and cost no degree of freedom.
_LEAST_SINGULAR = 1e-7
_LEAST_OUTSIDE = 1e-6
# Residuals farther out than this many standard deviations are outliers.
_OUTLIER = 4.0
# Models are taken to share something where chance would show as much this rarely.
_SHARED_ALARM = 0.05
# A few models show how widely they scatter so roughly that a draw of it may be anything.
_MOST_WIDENING = 20.0


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

    def beyond(self, columns: Floats) -> Floats:
        """Orthonormal columns of what `columns` [R, C] hold outside of the plane, [R, rank]."""
        rest = columns - self.basis @ (self.basis.T @ columns)
        lengths = np.linalg.norm(columns, axis=0)
        left, singular, _ = np.linalg.svd(
            rest / np.where(lengths > 0, lengths, 1), full_matrices=False
        )
        outside: Floats = left[:, singular > _LEAST_OUTSIDE]
        return outside

    def with_columns(self, columns: Floats) -> Tangent:
        """The plane that holds `columns` [R, C] too."""
        outside = self.beyond(columns)
        left = self.residuals - outside @ (outside.T @ self.residuals)
        return Tangent(np.concatenate([self.basis, outside], axis=1), left)


@dataclass(frozen=True, slots=True)
class Noise:
    """What scatters runs about a law.

    Attributes:
        residuals: As wide as the noise of runs, centred, [R].
        scatter: Of models, and of runs about what those of their model share.
        models: Number of each run's model, [R].
    """

    residuals: Floats
    scatter: ModelScatter
    models: NDArray[np.intp]

    @property
    def of_models(self) -> Floats:
        """A column for each model, 1 where a run is its, [R, G]."""
        columns: Floats = np.eye(int(self.models.max()) + 1)[self.models]
        return columns

    def draw(self, random: np.random.Generator, n_draws: int) -> Floats:
        """Noise of the R runs, [n_draws, R].

        How widely models scatter is an estimate of few degrees: each draw has a width of its own,
        as the chi square of that many degrees has it.
        """
        n_runs = len(self.residuals)
        drawn = self.residuals[random.integers(0, n_runs, (n_draws, n_runs))]
        if self.scatter.models > 0:
            degrees = self.scatter.degrees
            wider = np.sqrt(degrees / random.chisquare(degrees, (n_draws, 1)))
            shared = random.normal(0, self.scatter.models, (n_draws, int(self.models.max()) + 1))
            drawn = drawn + (np.minimum(wider, _MOST_WIDENING) * shared)[:, self.models]
        return drawn


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


def noise_of(plane: Tangent, names: Sequence[str]) -> Noise:
    """The noise that the residuals show, of runs and of models told apart by their `names`, R.

    What models share is an analysis of variance: what of the models' own means is outside of the
    plane is as wide as the noise of runs where models share nothing.
    """
    _, models = np.unique(np.asarray(names), return_inverse=True)
    columns = np.eye(int(models.max()) + 1)[models]
    outside = plane.beyond(columns)
    explained, unexplained, n_left = split(plane, outside)
    residuals, basis = plane.residuals, plane.basis
    spread, degrees = 0.0, plane.degrees
    if f_test(explained, outside.shape[1], unexplained, n_left) < _SHARED_ALARM:
        beyond = explained - outside.shape[1] * unexplained / n_left
        spread = float(np.sqrt(max(beyond, 0.0) / ((outside.T @ columns) ** 2).sum()))
        residuals = residuals - outside @ (outside.T @ residuals)
        basis, degrees = np.concatenate([basis, outside], axis=1), n_left
    leverage = np.minimum((basis**2).sum(axis=1), _MOST_LEVERAGE)
    wide = residuals / np.sqrt(1 - leverage)
    scatter = ModelScatter(
        models=spread,
        degrees=max(1, int(outside.shape[1])),
        runs=float(np.sqrt(residuals @ residuals / max(1, degrees))),
    )
    return Noise(wide - wide.mean(), scatter, models)


def split(plane: Tangent, outside: Floats) -> tuple[float, float, int]:
    """Squares of the residuals inside and outside of `outside`, and degrees of the latter.

    Residuals beyond four standard deviations count as that: one bad run is not a pattern.
    """
    limit = _OUTLIER * float(np.median(np.abs(plane.residuals))) / 0.6745
    residuals = np.clip(plane.residuals, -limit, limit)
    explained = float(((outside.T @ residuals) ** 2).sum())
    unexplained = max(float(residuals @ residuals) - explained, 0.0)
    return explained, unexplained, plane.degrees - int(outside.shape[1])


def f_test(explained: float, n_explained: int, unexplained: float, n_left: int) -> float:
    """P-value of so much explained; 1 where there is too little to tell, or to explain."""
    if n_explained < 1 or n_left < 3 or explained <= 1e-18 * n_left:
        return 1.0
    stats = require("scipy.stats", extra="plan", purpose="check scaling laws")
    ratio = (explained / n_explained) / max(unexplained / n_left, 1e-300)
    return float(stats.f.sf(ratio, n_explained, n_left))


def bootstrap(
    surface: Surface,
    points: Points,
    parameters: Floats,
    noise: Noise,
    *,
    delta: float,
    n_bootstrap: int,
    seed: int,
) -> Floats:
    """Parameters of the fits to `n_bootstrap` data sets drawn around the law, [B, P]."""
    random = np.random.default_rng(seed)
    drawn = surface.log_loss(parameters[None], points) + noise.draw(random, n_bootstrap)
    start = np.repeat(parameters[None], n_bootstrap, axis=0)
    return solve(surface, points, drawn, np.ones_like(drawn), start, delta=delta).parameters
