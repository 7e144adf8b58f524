"""How far each model that was run lies off a law, as far as its runs show it.

Base models lie off any smooth law of their sizes by amounts of their own. What the runs of one
model have in common is told from their noise as in a model of random effects: the best linear
unbiased prediction (Robinson 1991, "That BLUP is a good thing", section 1) shrinks a model's mean
residual by t^2 / (t^2 + s^2 / n), of n runs with noise s, where models scatter by t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vecsmith.planning.laws.forms import Floats

__all__ = ["model_offsets"]


def model_offsets(
    names: Sequence[str], residuals: Floats, model_noise: float
) -> Mapping[str, float]:
    """What is added to the log loss of each model, by name; 0 where models share nothing.

    Args:
        names: Of each run's model, R of them.
        residuals: Logarithm of each run's loss less that of the law, [R].
        model_noise: Standard deviation of what all runs of a model share.
    """
    models, places = np.unique(np.asarray(names), return_inverse=True)
    counts = np.bincount(places)
    means = np.bincount(places, residuals) / counts
    within = residuals - means[places]
    degrees = max(1, len(residuals) - len(models))
    variance = float(within @ within) / degrees
    if model_noise <= 0:
        return dict.fromkeys(map(str, models), 0.0)
    kept = model_noise**2 / (model_noise**2 + variance / counts)
    return {str(name): float(value) for name, value in zip(models, kept * means, strict=True)}
