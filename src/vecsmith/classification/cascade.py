"""A cascade over prefixes: the shortest head that is sure enough has the last word.

Source: Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022, appendix D.1, and its
notebook `Model_Cascades.ipynb`. The one rule: functions of what each head said of each row, of
nothing else; and two accounts of what a row cost, since they differ by half: the dimensions of the
head that had the last word, and the sum over all heads that were asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.classification.heads import check_dims

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

# The paper's text says "100 samples from 0 to 1", its notebook, which made its figures, this.
NOTEBOOK_GRID: Final[Floats] = np.linspace(0.1, 1, 100)
# Sums of weights that differ by less than this share are equal but for rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadOutcomes:
    """What M heads said of N rows whose labels are known.

    Attributes:
        dims: Prefix length of each head, ascending, M.
        confidences: How sure each head was of each row, [M, N].
        correct: What its answer is worth: 1 right, 0 wrong, or a share between, [M, N].
        weights: How much each row counts, [N].

    Raises:
        ValueError: If shapes do not fit, or a number is not finite.
    """

    dims: tuple[int, ...]
    confidences: Floats
    correct: Floats
    weights: Floats

    def __post_init__(self) -> None:
        check_dims(self.dims)
        shape = (len(self.dims), len(self.weights))
        for name, values in (("confidences", self.confidences), ("correct", self.correct)):
            if values.shape != shape:
                raise ValueError(
                    f"{name} have shape {list(values.shape)}, expected {list(shape)}: heads, rows"
                )
            if not np.isfinite(values).all():
                raise ValueError(f"{name} hold a number that is not finite, expected none")
        if not shape[1] or not self.weights.sum() > 0 or self.weights.min() < 0:
            raise ValueError(f"{shape[1]} rows of weight {self.weights.sum():g}, expected at least "
                             "one row, and weights that are positive")  # fmt: skip

    @classmethod
    def of(
        cls,
        dims: Sequence[int],
        confidences: ArrayLike,
        correct: ArrayLike,
        weights: ArrayLike | None = None,
    ) -> HeadOutcomes:
        """Outcomes of anything that numpy makes arrays of; weights None: 1 each.

        Raises:
            ValueError: If shapes do not fit, or a number is not finite.
        """
        right = np.asarray(correct, np.float64)
        counts = np.ones(right.shape[-1]) if weights is None else np.asarray(weights, np.float64)
        return cls(
            dims=tuple(int(dim) for dim in dims),
            confidences=np.asarray(confidences, np.float64),
            correct=right,
            weights=counts,
        )

    def rows(self, places: NDArray[np.integer] | NDArray[np.bool_]) -> HeadOutcomes:
        """The outcomes of some of the rows."""
        return HeadOutcomes(
            dims=self.dims,
            confidences=self.confidences[:, places],
            correct=self.correct[:, places],
            weights=self.weights[places],
        )


@dataclass(frozen=True, slots=True)
class CascadeFigures:
    """What a cascade did on some rows.

    Attributes:
        accuracy: Mean worth of its answers.
        mean_dims: Mean over rows of the dimensions of the head that had the last word.
        mean_total_dims: Mean over rows of the dimensions of all heads that were asked, summed.
    """

    accuracy: float
    mean_dims: float
    mean_total_dims: float


@dataclass(frozen=True, slots=True)
class Cascade:
    """Heads asked one after the other, and how sure each must be to have the last word.

    Attributes:
        dims: Prefix length of each head, ascending, M.
        thresholds: A head has the last word on a row of which it is surer than this; infinite for a
            head that is not asked. Of all heads but the last, which always has it; M - 1.

    Raises:
        ValueError: If there are not as many, or one is not a number.
    """

    dims: tuple[int, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        check_dims(self.dims)
        if len(self.thresholds) != len(self.dims) - 1 or any(map(isnan, self.thresholds)):
            raise ValueError(
                f"thresholds are {list(self.thresholds)}, expected {len(self.dims) - 1} numbers, "
                f"one for each of the dims {list(self.dims)} but the last"
            )

    def asked(self, max_dim: int | None = None) -> tuple[int, ...]:
        """Places of the heads that are asked, ascending, the last of which has the last word.

        Args:
            max_dim: The longest prefix to use; None: all.

        Raises:
            ValueError: If there is no head of so few dimensions.
        """
        last = _n_heads(self.dims, max_dim) - 1
        return (*(m for m in range(last) if self.thresholds[m] < inf), last)

    def stops(self, confidences: ArrayLike, *, max_dim: int | None = None) -> Places:
        """Place of the head that has the last word on each row, [N].

        Args:
            confidences: How sure each head is, [M, N]; of heads not asked any number will do.
            max_dim: The longest prefix to use; None: all.

        Raises:
            ValueError: If there is no head of so few dimensions, or the shape does not fit.
        """
        sure = np.asarray(confidences)
        if sure.ndim != 2 or len(sure) != len(self.dims):
            raise ValueError(
                f"confidences have shape {list(sure.shape)}, expected [{len(self.dims)}, N]: a row "
                "for each head"
            )
        *before, last = self.asked(max_dim)
        places = np.full(sure.shape[1], last, np.intp)
        for m in reversed(before):
            places[sure[m] > self.thresholds[m]] = m
        return places

    def total_dims(self, *, max_dim: int | None = None) -> NDArray[np.int64]:
        """Dimensions of all heads asked up to each head, summed, [M]; 0 for one not asked."""
        totals = np.zeros(len(self.dims), np.int64)
        asked = self.asked(max_dim)
        totals[list(asked)] = np.cumsum([self.dims[m] for m in asked])
        return totals

    def figures(self, outcomes: HeadOutcomes, *, max_dim: int | None = None) -> CascadeFigures:
        """What the cascade does on rows whose labels are known.

        Raises:
            ValueError: If they are of other heads, or none has so few dimensions.
        """
        if outcomes.dims != self.dims:
            raise ValueError(f"outcomes are of heads of {list(outcomes.dims)} dimensions, expected "
                             f"{list(self.dims)}")  # fmt: skip
        places = self.stops(outcomes.confidences, max_dim=max_dim)
        right = outcomes.correct[places, np.arange(len(places))]
        totals = self.total_dims(max_dim=max_dim)
        return CascadeFigures(
            accuracy=float(np.average(right, weights=outcomes.weights)),
            mean_dims=float(np.average(np.asarray(self.dims)[places], weights=outcomes.weights)),
            mean_total_dims=float(np.average(totals[places], weights=outcomes.weights)),
        )


def paper_cascade(outcomes: HeadOutcomes, grid: ArrayLike = NOTEBOOK_GRID) -> Cascade:
    """The paper's thresholds, learnt from each two consecutive heads alone.

    Of the thresholds in `grid`, the smallest among those with which "the shorter head where it is
    surer, else the longer one" is right most often. Pairs do not know of each other, so the cascade
    of all need not be the best there is (`joint.cheapest_cascade` looks at all).

    Args:
        outcomes: Of held-out rows.
        grid: Thresholds to choose from, ascending.

    Raises:
        ValueError: If the grid is empty or does not ascend.
    """
    levels = np.asarray(grid, np.float64)
    if levels.ndim != 1 or not levels.size or not (np.diff(levels) > 0).all():
        raise ValueError(f"grid has shape {list(levels.shape)}, expected ascending numbers [G]")
    thresholds = []
    for shorter in range(len(outcomes.dims) - 1):
        gains = outcomes.weights * (outcomes.correct[shorter] - outcomes.correct[shorter + 1])
        totals = gain_above(levels_below(outcomes.confidences[shorter], levels), gains, len(levels))
        highest = totals.max() - _ROUNDING * outcomes.weights.sum()
        thresholds.append(float(levels[int(np.argmax(totals >= highest))]))
    return Cascade(outcomes.dims, tuple(thresholds))


def levels_below(confidences: Floats, levels: Floats) -> Places:
    """How many of the ascending `levels` each confidence is above, [N]."""
    return np.searchsorted(levels, confidences, side="left")


def gain_above(n_below: Places, gains: Floats, n_levels: int) -> Floats:
    """Sum of the gains of the rows that are above each level, [G].

    Args:
        n_below: How many levels each row is above, [N].
        gains: What each row brings, [N].
        n_levels: G.
    """
    per_count = np.bincount(n_below, weights=gains, minlength=n_levels + 1)
    sums: Floats = per_count[::-1].cumsum()[::-1][1:]
    return sums


def confidence_of(probabilities: NDArray[np.floating], *, multilabel: bool = False) -> Floats:
    """How sure a head is of each row, [N].

    The probability of the likeliest class; with several labels a row the least sure of its answers
    counts: a head has the last word when it is sure of all labels.

    Args:
        probabilities: Of each class, [N, C].
        multilabel: Whether each class is there or not by itself.
    """
    if multilabel:
        sure: Floats = np.maximum(probabilities, 1 - probabilities).min(axis=1)
    else:
        sure = probabilities.max(axis=1)
    return sure.astype(np.float64)


def _n_heads(dims: tuple[int, ...], max_dim: int | None) -> int:
    n_heads = len(dims) if max_dim is None else sum(dim <= max_dim for dim in dims)
    if not n_heads:
        raise ValueError(f"max_dim is {max_dim}, expected at least {dims[0]}, the shortest prefix")
    return n_heads
