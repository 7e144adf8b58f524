"""How much less often one classifier is right than another on the same rows, with its interval.

Source: Tango 1998, "Equivalence test and confidence interval for the difference in proportions for
the paired-sample design", Statistics in Medicine 17: the score interval, which keeps its coverage
where few rows, or none, tell the two apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

# A bisection of [-1, 1] this often is exact to float64.
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class PairedLoss:
    """How much is lost, a share of rows; negative where something is gained.

    Attributes:
        value: On the rows looked at.
        low: Lower end of the interval.
        high: Upper end.
        confidence: Of the interval, both sides together.
        n_rows: Rows it is over.
    """

    value: float
    low: float
    high: float
    confidence: float
    n_rows: int


def paired_loss(
    before: ArrayLike, after: ArrayLike, weights: ArrayLike | None = None, confidence: float = 0.95
) -> PairedLoss:
    """What is lost by `after` against `before`, both between 0 (wrong) and 1 (right), [N].

    With weights, counts are those of as many rows of equal weight as tell as much: the squared sum
    of the weights over the sum of their squares.

    Raises:
        ValueError: If there are no rows, lengths differ, or confidence is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1")
    first, second = np.asarray(before, np.float64), np.asarray(after, np.float64)
    counts = np.ones(len(first)) if weights is None else np.asarray(weights, np.float64)
    if first.shape != second.shape or first.shape != counts.shape or not counts.sum() > 0:
        raise ValueError(
            f"{first.shape}, {second.shape} and {counts.shape} values, expected as many rows of "
            "each, and one at least"
        )
    n_effective = counts.sum() ** 2 / (counts**2).sum()
    shares = counts / counts.sum() * n_effective
    difference = first - second
    lost = float(shares @ np.maximum(difference, 0))
    gained = float(shares @ np.maximum(-difference, 0))
    low, high = _score_interval(lost, gained, float(n_effective), confidence)
    return PairedLoss((lost - gained) / float(n_effective), low, high, confidence, len(first))


def share_interval(n_right: float, n_rows: float, confidence: float = 0.95) -> tuple[float, float]:
    """Where a share of rows may truly lie: Wilson's score interval (1927).

    Args:
        n_right: Rows that are right.
        n_rows: All rows, 1 at least.
        confidence: Of the interval.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = n_right / n_rows
    middle = share + z * z / (2 * n_rows)
    spread = z * sqrt(share * (1 - share) / n_rows + z * z / (4 * n_rows * n_rows))
    scale = 1 + z * z / n_rows
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def _score_interval(lost: float, gained: float, n: float, confidence: float) -> tuple[float, float]:
    """Differences of shares that a score test does not refuse."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (lost - gained) / n
    low = _edge(lambda d: _score(lost, gained, n, d) <= z, -1.0, middle)
    high = _edge(lambda d: _score(lost, gained, n, d) >= -z, 1.0, middle)
    return low, high


def _edge(kept: Callable[[float], bool], outside: float, inside: float) -> float:
    """Where `kept` turns, between a value it refuses, unless it keeps all, and one it keeps."""
    if kept(outside):
        return outside
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        outside, inside = (outside, middle) if kept(middle) else (middle, inside)
    return inside


def _score(lost: float, gained: float, n: float, difference: float) -> float:
    """Tango's statistic of a true difference: how many standard errors the found one is above.

    The likeliest share of gains under that difference solves his quadratic equation.
    """
    a = 2 * n
    b = -lost - gained + (2 * n - lost + gained) * difference
    c = -gained * difference * (1 - difference)
    share = (sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * share + difference * (1 - difference))
    above = lost - gained - n * difference
    if variance <= 0:
        return 0.0 if above == 0 else (np.inf if above > 0 else -np.inf)
    return float(above / sqrt(variance))
