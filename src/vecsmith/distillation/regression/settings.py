"""The constants of the regression."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionSettings:
    """Everything that decides a regression but its texts and its dimensions.

    Attributes:
        shrinkage: How many occurrences the isolated vector of a token counts for beside the mean
            of its states in texts.
        common_count: Tokens seen more often than this tell the scale of states in texts.
        sif_coefficient: a of the weight a / (a + p) of a row of the prior; p from the texts. None
            for no weights.
        length_power: A text of n tokens is the sum of its rows over n to this power.
        ridge: Pull of every row towards the prior.
        ridge_growth: Further pull, times the length of the token's column of counts.
        n_steps: Steps of conjugate gradients.
        whitening: Power w: dimension k of the student's unit vectors of texts is divided by its
            standard deviation to the power w. 0 for none.
        whitening_texts: Most texts that the standard deviations are taken from.
        element_power: Power p of the numbers of the finished table, 1 to leave them.
        mean_shift: How many times the mean vector of the texts is added to every row in the end.
    """

    shrinkage: float = 5.0
    common_count: int = 20
    sif_coefficient: float | None = 1e-3
    length_power: float = 0.7
    ridge: float = 0.1
    ridge_growth: float = 0.1
    n_steps: int = 12
    whitening: float = 0.0
    whitening_texts: int = 90_000
    element_power: float = 1.0
    mean_shift: float = 0.0

    def __post_init__(self) -> None:
        """Refuses values that no regression could follow."""
        for name in ("shrinkage", "length_power", "ridge", "ridge_growth"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} {value}, expected a number of 0 or more")
        if self.ridge == 0 == self.ridge_growth:
            raise ValueError("ridge and ridge_growth are 0, expected one above: rows are undecided")
        if self.sif_coefficient is not None and not 0 < self.sif_coefficient < 1:
            raise ValueError(
                f"sif_coefficient {self.sif_coefficient}, expected a number between 0 and 1, or "
                "None for no weights"
            )
        for name in ("common_count", "n_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)}, expected 0 or more")
        if not 0 <= self.whitening <= 1:
            raise ValueError(f"whitening {self.whitening}, expected a power from 0 to 1")
        if not 0 < self.element_power <= 1:
            raise ValueError(f"element_power {self.element_power}, expected above 0 and at most 1")
        if not 0 <= self.mean_shift < math.inf:
            raise ValueError(f"mean_shift {self.mean_shift}, expected a number of 0 or more")
        if self.whitening_texts < 2:
            raise ValueError(f"whitening_texts {self.whitening_texts}, expected 2 or more")
