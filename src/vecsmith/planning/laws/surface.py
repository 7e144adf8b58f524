"""The two forms as a fit sees them: scaled, so that every parameter is of order one.

A form is linear in its coefficients once the exponents are known. Here those coefficients are the
heights of terms that are nowhere negative over the range of use, so that the law is a sum of such
terms when all coefficients are at least zero: bounds replace the constraints of the papers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vecsmith.planning.laws.forms import Floats, Form, LossLaw

__all__ = ["Points", "Surface"]

# Exponents outside of these bend more or less than any range of runs could show.
_EXPONENTS = (0.01, 5.0)
_SHARE_EXPONENTS = (0.05, 50.0)
# The numerator a_d ln(tokens) + b_d stays positive this far above the tokens fitted over.
_HEADROOM = 16.0
# A loss of zero has no logarithm.
_LEAST_LOSS = 1e-300


@dataclass(frozen=True, slots=True)
class Points:
    """Where a surface is asked: logarithms of sizes and tokens, and of 1 - share, [R] each."""

    log_n: Floats
    log_tokens: Floats
    log_frozen: Floats  # -inf where all is trained

    @classmethod
    def of(cls, n: Floats, tokens: Floats, share: Floats) -> Points:
        """The points of arrays that broadcast with each other."""
        n, tokens, share = np.broadcast_arrays(n, tokens, share)
        with np.errstate(divide="ignore"):
            return cls(np.log(n).ravel(), np.log(tokens).ravel(), np.log1p(-share).ravel())


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A form with its scales. Parameters are [..., K + Q]: K heights, Q logarithms of exponents.

    Attributes:
        form: Of the law.
        with_share: Whether the trained share varies among the runs ("nds" only).
        log_n: Centre of the logarithms of sizes.
        log_tokens: Centre of the logarithms of tokens.
        ends: Logarithms of tokens between which the size term's numerator is not negative.
    """

    form: Form
    with_share: bool
    log_n: float
    log_tokens: float
    ends: tuple[float, float]

    @classmethod
    def over(cls, form: Form, points: Points, *, with_share: bool) -> Surface:
        """The surface scaled to `points`."""
        low, high = float(points.log_tokens.min()), float(points.log_tokens.max())
        return cls(
            form=form,
            with_share=with_share and form == "nds",
            log_n=float(points.log_n.mean()),
            log_tokens=float(points.log_tokens.mean()),
            ends=(low, high + np.log(_HEADROOM)),
        )

    @property
    def n_heights(self) -> int:
        """K."""
        return 3 if self.form == "hoffmann" else 5 if self.with_share else 4

    @property
    def n_exponents(self) -> int:
        """Q."""
        return 3 if self.with_share else 2

    @property
    def _of_size(self) -> slice:
        """Places of the heights that the size term has; those of the data term follow."""
        return slice(1, 2 if self.form == "hoffmann" else 3)

    def bounds(self) -> tuple[Floats, Floats]:
        """Least and greatest parameters, [K + Q] each."""
        exponents = [_EXPONENTS, _EXPONENTS, _SHARE_EXPONENTS][: self.n_exponents]
        low, high = np.log(exponents).T
        heights = np.zeros(self.n_heights)
        return np.concatenate([heights, low]), np.concatenate([heights + np.inf, high])

    def terms(self, logs: Floats, points: Points) -> Floats:
        """Value of each term at height 1: [B, K, R] for logarithms of exponents [B, Q]."""
        exponents = np.exp(logs)[:, :, None]
        of_size = np.exp(-exponents[:, 0] * (points.log_n - self.log_n))
        of_data = np.exp(-exponents[:, 1] * (points.log_tokens - self.log_tokens))
        terms = [np.ones_like(of_size)]
        if self.form == "hoffmann":
            return np.stack([*terms, of_size, of_data], axis=1)
        along = self._along(points)
        terms += [of_size * (1 - along), of_size * along]
        if not self.with_share:
            return np.stack([*terms, of_data], axis=1)
        frozen = np.exp(exponents[:, 2] * points.log_frozen)
        return np.stack([*terms, of_data * frozen, of_data * (1 - frozen)], axis=1)

    def _along(self, points: Points) -> Floats:
        low, high = self.ends
        along: Floats = (points.log_tokens - low) / (high - low)
        return along

    def log_loss(self, parameters: Floats, points: Points) -> Floats:
        """Logarithm of the loss, [B, R] for parameters [B, K + Q]."""
        heights, logs = np.split(parameters, [self.n_heights], axis=1)
        parts = heights[:, :, None] * self.terms(logs, points)
        # Far outside of its range the numerator of the size term may fall below zero: see LossLaw.
        of_size = np.maximum(parts[:, self._of_size].sum(axis=1), 0.0)
        loss = parts[:, 0] + of_size + parts[:, self._of_size.stop :].sum(axis=1)
        logarithm: Floats = np.log(np.maximum(loss, _LEAST_LOSS))
        return logarithm

    def linearized(self, parameters: Floats, points: Points) -> tuple[Floats, Floats]:
        """Logarithm of the loss [B, R], and its derivatives by the parameters [B, R, K + Q]."""
        n_heights = self.n_heights
        heights, logs = np.split(parameters, [n_heights], axis=1)
        exponents = np.exp(logs)
        terms = self.terms(logs, points)
        parts = heights[:, :, None] * terms
        loss = np.maximum(parts.sum(axis=1), _LEAST_LOSS)
        of_size = parts[:, self._of_size].sum(axis=1)
        of_data = parts[:, self._of_size.stop :].sum(axis=1)
        slopes = [
            -exponents[:, :1] * (points.log_n - self.log_n) * of_size,
            -exponents[:, 1:2] * (points.log_tokens - self.log_tokens) * of_data,
        ]
        if self.with_share:
            # terms[3] is data * frozen and terms[4] is data * (1 - frozen)
            logs_frozen = np.where(np.isfinite(points.log_frozen), points.log_frozen, 0.0)
            tilt = (heights[:, 3] - heights[:, 4])[:, None] * exponents[:, 2:]
            slopes.append(tilt * terms[:, 3] * logs_frozen)
        jacobian = np.concatenate([terms, np.stack(slopes, axis=1)], axis=1) / loss[:, None, :]
        return np.log(loss), np.ascontiguousarray(jacobian.transpose(0, 2, 1))

    def law(self, parameters: Floats) -> LossLaw:
        """The law that the parameters [K + Q] are, in its paper's coefficients."""
        heights = parameters[: self.n_heights]
        exponents = np.exp(parameters[self.n_heights :])
        alpha, beta = float(exponents[0]), float(exponents[1])
        of_size, of_data = np.exp(alpha * self.log_n), np.exp(beta * self.log_tokens)
        if self.form == "hoffmann":
            floor, a, b = heights
            values = {"E": floor, "A": a * of_size, "B": b * of_data}
            return LossLaw(form="hoffmann", coefficients={**values, "alpha": alpha, "beta": beta})
        low, high = self.ends
        slope = (heights[2] - heights[1]) / (high - low)
        values = {
            "C": heights[0],
            "a_d": slope * of_size,
            "b_d": (heights[1] - slope * low) * of_size,
            "a_s": (heights[3] - heights[4]) * of_data if self.with_share else 0.0,
            "b_s": float(exponents[2]) if self.with_share else 1.0,
            "c_s": heights[-1] * of_data,
        }
        return LossLaw(form="nds", coefficients={**values, "alpha": alpha, "beta": beta})
