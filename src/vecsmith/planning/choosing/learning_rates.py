"""The highest learning rate of a candidate, and where it comes from.

The one rule: a rate found for a model or a method comes before one guessed from its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vecsmith.planning.choosing.presets import Mark, Preset
from vecsmith.results.tuning import Tuning

if TYPE_CHECKING:
    from vecsmith.planning.catalogue.models import CatalogueEntry
    from vecsmith.planning.choosing.experience import Experience


def learning_rate_for(
    entry: CatalogueEntry,
    tuning: Tuning,
    preset: Preset,
    given: Mapping[str, float],
    experience: Experience | None = None,
) -> tuple[float, Mark]:
    """The rate and its mark: the user's for the method, that of runs, or the preset's.

    Full fine-tuning and freezing take a tenth of the model's pre-training peak (Ziarko et al.
    2024, section 4.1); where that is unknown, of the peak that Pythia has at this size.
    """
    if tuning.method in given:
        return given[tuning.method], "given"
    if experience is not None:
        known = experience.rate(tuning.method, entry.shape.n_non_embedding, entry.name)
        if known is not None:
            return known, "measured"
    if tuning.method == "lora":
        return preset["learning_rate_lora"], "printed"
    if tuning.method == "bias":
        return preset["learning_rate_bias"], "printed"
    if entry.peak_lr is not None:
        return entry.peak_lr / preset["learning_rate_divisor"], "derived"
    peak = peak_by_size(entry.shape.n_non_embedding, preset)
    return peak / preset["learning_rate_divisor"], "assumed"


def peak_by_size(n_params: int, preset: Preset) -> float:
    """Pythia's pre-training peak at a size, between sizes on a straight line of logarithms."""
    sizes, peaks = np.log(np.asarray(preset["peak_learning_rates"], dtype=np.float64)).T
    # three digits are more than the rule is worth, and read better
    return float(f"{np.exp(np.interp(np.log(n_params), sizes, peaks)):.3g}")
