"""Loss laws as values, and the two forms that they take.

Sizes n are non-embedding parameters, tokens are real tokens processed, the share is the trained
part of the parameters. One rule: a law carries the coefficients that its paper names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["COEFFICIENTS", "Floats", "Form", "LossLaw", "checked_form"]

Floats = NDArray[np.float64]
Form = Literal["hoffmann", "nds"]

# In the order in which records hold them.
COEFFICIENTS: Mapping[Form, tuple[str, ...]] = MappingProxyType(
    {
        "hoffmann": ("E", "A", "B", "alpha", "beta"),
        "nds": ("C", "a_d", "b_d", "a_s", "b_s", "c_s", "alpha", "beta"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossLaw:
    """The loss as a function of model size, tokens and trained share.

    "hoffmann" (Hoffmann et al. 2022, arXiv 2203.15556, eq. 2; Ziarko et al. 2024, arXiv 2406.04165,
    section 4.3):

        loss = E + A / n**alpha + B / tokens**beta

    "nds" (Ziarko et al. 2024, section 4.3; the logarithm's base is not stated there, e is assumed):

        loss = C + (a_d ln(tokens) + b_d) / n**alpha + (a_s (1 - share)**b_s + c_s) / tokens**beta

    Where all parameters are trained the share is 1 and a_s, b_s say nothing. The numerator of the
    size term is linear in ln(tokens) and would fall below zero far away: from there it is zero, as
    a larger model is no worse for being large.

    Attributes:
        form: Which of the two.
        coefficients: By the names in `COEFFICIENTS[form]`; all finite, the exponents positive.

    Example:
        >>> law = LossLaw(form="hoffmann", coefficients={
        ...     "E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28})
        >>> round(float(law.loss(70e9, 1.4e12)), 3)
        1.937
    """

    form: Form
    coefficients: Mapping[str, float]

    def __post_init__(self) -> None:
        names = COEFFICIENTS[checked_form(self.form)]
        if set(self.coefficients) != set(names):
            raise ValueError(
                f"coefficients are {', '.join(sorted(self.coefficients))}, expected those of "
                f"{self.form}: {', '.join(names)}"
            )
        values = {name: float(self.coefficients[name]) for name in names}
        for name, value in values.items():
            is_exponent = name in {"alpha", "beta", "b_s"}
            if not np.isfinite(value) or (is_exponent and value <= 0):
                expected = "a positive number" if is_exponent else "a finite number"
                raise ValueError(f"coefficient {name} is {value}, expected {expected}")
        object.__setattr__(self, "coefficients", MappingProxyType(values))

    def loss(self, n: ArrayLike, tokens: ArrayLike, share: ArrayLike = 1.0) -> Floats:
        """Losses of models of n parameters after so many tokens, float64, as broadcast.

        Args:
            n: Non-embedding parameters.
            tokens: Real tokens processed.
            share: Trained share of the parameters, above 0 and at most 1.

        Raises:
            ValueError: If a size or a number of tokens is not positive, or a share is not one.
        """
        n, tokens, share = checked_point(n, tokens, share)
        c = self.coefficients
        if self.form == "hoffmann":
            return np.asarray(c["E"] + c["A"] * n ** -c["alpha"] + c["B"] * tokens ** -c["beta"])
        of_size = np.maximum(c["a_d"] * np.log(tokens) + c["b_d"], 0.0)
        of_data = c["a_s"] * (1 - share) ** c["b_s"] + c["c_s"]
        return np.asarray(c["C"] + of_size * n ** -c["alpha"] + of_data * tokens ** -c["beta"])


def checked_form(form: Any) -> Form:
    """`form`, when there is one of that name."""
    for known in get_args(Form):
        if form == known:
            return known  # type: ignore[no-any-return]
    raise ValueError(f"form is {form!r}, expected one of {', '.join(get_args(Form))}")


def checked_point(
    n: ArrayLike, tokens: ArrayLike, share: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """The three as float64 arrays, when they are sizes, tokens and shares."""
    arrays = [np.asarray(values, np.float64) for values in (n, tokens, share)]
    for name, values in zip(("n", "tokens"), arrays, strict=False):
        if not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"{name} is {_first_bad(values)}, expected positive numbers")
    if not ((arrays[2] > 0) & (arrays[2] <= 1)).all():
        raise ValueError(f"share is {arrays[2]}, expected numbers above 0 and at most 1")
    return arrays[0], arrays[1], arrays[2]


def _first_bad(values: Floats) -> float:
    bad = ~(np.isfinite(values) & (values > 0))
    return float(np.atleast_1d(values)[np.atleast_1d(bad)][0])
