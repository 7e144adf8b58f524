"""How far models lie off a law, each by an amount of its own, as far as their runs show it.

Base models lie off any smooth law of their sizes by amounts of their own. What the runs of one
model have in common is told from their noise as in a model of random effects: the best linear
unbiased prediction (Robinson 1991, "That BLUP is a good thing", section 1) shrinks a model's mean
residual by t^2 / (t^2 + s^2 / n), of n runs with noise s, where models scatter by t. What is left
to doubt of it has the variance t^2 (s^2 / n) / (t^2 + s^2 / n); of a model without runs, t^2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vecsmith.planning.laws.forms import Floats

__all__ = ["ModelScatter", "drawn_offsets", "model_offsets"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelScatter:
    """What scatters runs about a law, apart: their models, and each run by itself.

    Attributes:
        models: Standard deviation t of log loss that all runs of a model share; 0 where the runs
            do not show it.
        degrees: Of freedom that the scatter of the models was seen by.
        runs: Standard deviation s of the runs of one model about what they share.
    """

    models: float
    degrees: int
    runs: float

    def kept(self, n_runs: int) -> float:
        """How much of the mean residual of a model's runs is its own, 0 to 1."""
        if self.models <= 0 or n_runs == 0:
            return 0.0
        return self.models**2 / (self.models**2 + self.runs**2 / n_runs)

    def doubt(self, n_runs: int) -> float:
        """Standard deviation of what a model is off the law, when so many runs of it are known."""
        return float(self.models * np.sqrt(1 - self.kept(n_runs)))


def model_offsets(
    names: Sequence[str], residuals: Floats, scatter: ModelScatter
) -> Mapping[str, float]:
    """What is added to the log loss of each model, by name; 0 where models share nothing.

    Args:
        names: Of each run's model, R of them.
        residuals: Logarithm of each run's loss less that of the law, [R].
        scatter: Of models and of runs.
    """
    models, places = np.unique(np.asarray(names), return_inverse=True)
    counts = np.bincount(places)
    means = np.bincount(places, residuals) / counts
    return {
        str(name): scatter.kept(int(count)) * float(mean)
        for name, count, mean in zip(models, counts, means, strict=True)
    }


def drawn_offsets(model: str, residuals: Floats, scatter: ModelScatter, n_copies: int) -> Floats:
    """What the model may be off the law instead, for each draw of it, [C, B].

    Each draw of the law leaves residuals of its own, and the model's offset goes with them: where a
    model was run, its losses are known better than the law is. The same name has the same draws, so
    that two runs of one model are off the law together.

    Args:
        model: Its name.
        residuals: Logarithms of its runs' losses less those of each draw of the law, [B, n]; [B, 0]
            of a model that was not run.
        scatter: Of models and of runs.
        n_copies: Draws of the offset for each draw of the law.
    """
    n_draws, n_runs = residuals.shape
    seed = int.from_bytes(hashlib.sha256(model.encode("utf-8")).digest()[:8], "little")
    random = np.random.default_rng(seed)
    # A handful of models shows their scatter itself but roughly: normal of an estimated width.
    off = (
        random.standard_normal((n_copies, n_draws))
        if n_runs
        else random.standard_t(scatter.degrees, (n_copies, n_draws))
    )
    offsets: Floats = scatter.doubt(n_runs) * off
    if n_runs:
        offsets = offsets + scatter.kept(n_runs) * residuals.mean(axis=1)
    return offsets
