"""Thresholds of a whole cascade that cost least within an asked loss of accuracy.

At a price of so much accuracy for each dimension, a cascade's value is a sum over rows, and the
best threshold of one head, the others held, is found exactly; heads are gone over until none
changes. Lower prices give dearer, more accurate cascades. Which price keeps the asked loss is seen
by cross-fitting: thresholds learnt on some folds of the held-out rows judge the others, so that no
row is judged by thresholds that it helped to choose. The one rule: a head that is not worth its
dimensions is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecsmith.classification.cascade import (
    Cascade,
    CascadeFigures,
    Floats,
    HeadOutcomes,
    gain_above,
    levels_below,
    paper_cascade,
)
from vecsmith.classification.paired import PairedLoss, paired_loss

# Accuracy a dimension may cost, from cheap cascades to dear ones; at 0 only accuracy counts.
PRICES: Final[tuple[float, ...]] = (*np.geomspace(3e-2, 1e-6, 24).tolist(), 0.0)
# Thresholds tried of a head: this many quantiles of how sure it was.
_N_LEVELS = 256
_MAX_ROUNDS = 20
# More rows would narrow the interval by less than a tenth of a point.
MAX_ROWS: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class LearntCascade:
    """A cascade, and what it did on held-out rows that had no part in its thresholds.

    Attributes:
        cascade: Its thresholds, learnt from all held-out rows.
        loss: Accuracy lost against the last head alone; of cross-fitted thresholds.
        figures: Accuracy and cost, likewise cross-fitted.
    """

    cascade: Cascade
    loss: PairedLoss
    figures: CascadeFigures


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a cascade made of each row: worth of the answer and what it cost, all [N]."""

    correct: Floats
    dims: Floats
    total_dims: Floats


def learn_cascade(
    outcomes: HeadOutcomes,
    *,
    max_loss: float | None = 0.0,
    sure: bool = False,
    confidence: float = 0.95,
    n_folds: int = 5,
    seed: int = 0,
) -> LearntCascade:
    """The cascade of least cost whose cross-fitted loss of accuracy is what was asked, or less.

    The cost is the mean of all dimensions asked, summed. If no cascade keeps within the loss, all
    rows go to the last head. What is told of it is cross-fitted for its thresholds; that its price
    is the best of 25 on the same rows is not taken off, save where `sure` asks for certainty.

    Args:
        outcomes: Of held-out rows; of more than 131,072 that many are drawn.
        max_loss: Most accuracy to lose against the last head, as a share of rows (0.01 is a point);
            None: the paper's thresholds instead, cross-fitted like the others.
        sure: Ask it of the upper end of the interval, not of the loss itself. Prices are then tried
            from the dearest cascade down and the first that fails ends the search, so that trying
            many costs no certainty (fixed sequence testing).
        confidence: Of the interval.
        n_folds: Folds of the cross-fit.
        seed: Draws the folds.

    Raises:
        ValueError: If max_loss is negative or n_folds is less than 2.
    """
    if max_loss is not None and not 0 <= max_loss < inf:
        raise ValueError(f"max_loss is {max_loss}, expected a share of rows, 0 or more")
    if n_folds < 2:
        raise ValueError(f"n_folds is {n_folds}, expected at least 2")
    rng = np.random.default_rng(seed)
    if len(outcomes.weights) > MAX_ROWS:
        outcomes = outcomes.rows(np.sort(rng.permutation(len(outcomes.weights))[:MAX_ROWS]))
    folds = _drawn_folds(outcomes.weights, n_folds, rng)
    others = [_outside(outcomes.weights, rows) for rows in folds]
    if max_loss is None:
        judged = _judge(outcomes, folds, [paper_cascade(outcomes.rows(rest)) for rest in others])
        return _told(outcomes, paper_cascade(outcomes), judged, confidence)
    last = Cascade(outcomes.dims, (inf,) * (len(outcomes.dims) - 1))
    paths = [[*_path(outcomes.rows(rest), PRICES), last] for rest in others]
    tried = [
        _judge(outcomes, folds, [path[place] for path in paths]) for place in range(len(paths[0]))
    ]
    place = _cheapest(outcomes, tried, max_loss, sure=sure, confidence=confidence)
    cascade = last if place == len(PRICES) else _path(outcomes, PRICES[: place + 1])[place]
    return _told(outcomes, cascade, tried[place], confidence)


def cheapest_cascade(
    outcomes: HeadOutcomes,
    price: float,
    start: Sequence[Cascade] = (),
    levels: Sequence[_Levels] | None = None,
) -> Cascade:
    """The cascade of the highest mean worth less `price` times its mean of all dimensions asked.

    No change of one threshold, and no head left out or taken in alone, makes it better; and it is
    as good at least as those it started from. It need not be the best of all.

    Args:
        outcomes: Of held-out rows.
        price: What a dimension costs, in accuracy.
        start: Cascades to begin with, besides the one that asks the last head alone.
        levels: Thresholds to try of each head but the last; None: those of the outcomes.
    """
    problem = _Problem(outcomes, _all_levels(outcomes) if levels is None else levels, price)
    dims = outcomes.dims
    alone = (inf,) * (len(dims) - 1)
    found = [problem.improved(thresholds) for thresholds in (alone, *(c.thresholds for c in start))]
    return Cascade(dims, max(found, key=problem.value))


@dataclass(frozen=True, slots=True)
class _Levels:
    """Thresholds to try of a head, ascending [G], and how many of them each row is above [N]."""

    values: Floats
    below: NDArray[np.intp]


class _Problem:
    """One price on some rows: the value of thresholds, and how to better them."""

    def __init__(self, outcomes: HeadOutcomes, levels: Sequence[_Levels], price: float) -> None:
        self.outcomes = outcomes
        self._levels = levels
        self._costs = price * np.asarray(outcomes.dims, np.float64)

    def improved(self, thresholds: Sequence[float]) -> tuple[float, ...]:
        """Thresholds none of which can be bettered alone."""
        current = list(thresholds)
        best = self.value(current)
        for _ in range(_MAX_ROUNDS):
            proposed = self._round(current)
            value = self.value(proposed)
            if not value > best + 1e-12:
                break
            current, best = proposed, value
        return tuple(current)

    def value(self, thresholds: Sequence[float]) -> float:
        """Sum over rows of the worth of the answer less its cost."""
        return float(self.outcomes.weights @ self._worth_from(0, thresholds))

    def _worth_from(self, first: int, thresholds: Sequence[float]) -> Floats:
        """Worth less cost of each row that comes to head `first` and goes on from there, [N]."""
        worth: Floats = self.outcomes.correct[-1] - self._costs[-1]
        for m in range(len(thresholds) - 1, first - 1, -1):
            worth = self._with_head(m, thresholds[m], worth)
        return worth

    def _with_head(self, m: int, threshold: float, after: Floats) -> Floats:
        if threshold == inf:
            return after
        stops = self.outcomes.confidences[m] > threshold
        worth: Floats = np.where(stops, self.outcomes.correct[m], after) - self._costs[m]
        return worth

    def _round(self, thresholds: Sequence[float]) -> list[float]:
        """Each head's best threshold, the longest first, given those of the others."""
        changed = list(thresholds)
        after = self.outcomes.correct[-1] - self._costs[-1]
        for m in range(len(changed) - 1, -1, -1):
            weights = self.outcomes.weights * self._reached(m, changed)
            gains = weights * (self.outcomes.correct[m] - after)
            levels = self._levels[m]
            totals = gain_above(levels.below, gains, len(levels.values))
            place = int(np.argmax(totals))
            worth_it = totals[place] > self._costs[m] * weights.sum()
            changed[m] = float(levels.values[place]) if worth_it else inf
            after = self._with_head(m, changed[m], after)
        return changed

    def _reached(self, m: int, thresholds: Sequence[float]) -> NDArray[np.bool_]:
        """Which rows no shorter head has had the last word on, [N]."""
        reached = np.ones(len(self.outcomes.weights), np.bool_)
        for shorter in range(m):
            if thresholds[shorter] < inf:
                reached &= self.outcomes.confidences[shorter] <= thresholds[shorter]
        return reached


def _cheapest(
    outcomes: HeadOutcomes,
    tried: Sequence[_Judged],
    max_loss: float,
    *,
    sure: bool,
    confidence: float,
) -> int:
    """Place of the cheapest of the cascades tried that keeps the loss; the last one always does."""
    place = len(tried) - 1
    cost = float(outcomes.weights @ tried[place].total_dims)
    for dearer in reversed(range(len(tried) - 1)):
        judged = tried[dearer]
        loss = paired_loss(outcomes.correct[-1], judged.correct, outcomes.weights, confidence)
        if (loss.high if sure else loss.value) > max_loss:
            if sure:
                break
        elif (found := float(outcomes.weights @ judged.total_dims)) <= cost:
            place, cost = dearer, found
    return place


def _path(outcomes: HeadOutcomes, prices: Sequence[float]) -> list[Cascade]:
    """The cascade of each price, each begun also at the one before."""
    levels = _all_levels(outcomes)
    found: list[Cascade] = []
    for price in prices:
        found.append(cheapest_cascade(outcomes, price, found[-1:], levels))
    return found


def _judge(
    outcomes: HeadOutcomes, folds: Sequence[NDArray[np.intp]], cascades: Sequence[Cascade]
) -> _Judged:
    """What the cascade of each fold makes of that fold's rows."""
    places = np.empty(len(outcomes.weights), np.intp)
    totals = np.empty(len(places))
    for rows, cascade in zip(folds, cascades, strict=True):
        places[rows] = cascade.stops(outcomes.confidences[:, rows])
        totals[rows] = cascade.total_dims()[places[rows]]
    return _Judged(
        correct=outcomes.correct[places, np.arange(len(places))],
        dims=np.asarray(outcomes.dims, np.float64)[places],
        total_dims=totals,
    )


def _told(
    outcomes: HeadOutcomes, cascade: Cascade, judged: _Judged, confidence: float
) -> LearntCascade:
    accuracy, dims, total_dims = (
        float(np.average(values, weights=outcomes.weights))
        for values in (judged.correct, judged.dims, judged.total_dims)
    )
    return LearntCascade(
        cascade=cascade,
        loss=paired_loss(outcomes.correct[-1], judged.correct, outcomes.weights, confidence),
        figures=CascadeFigures(accuracy, dims, total_dims),
    )


def _all_levels(outcomes: HeadOutcomes) -> list[_Levels]:
    """For each head but the last: below all rows, and above ever larger shares of them."""
    found = []
    for sure in outcomes.confidences[:-1]:
        quantiles = np.quantile(sure, np.linspace(0, 1, _N_LEVELS), method="lower")
        values = np.unique(np.append(quantiles, min(0.0, float(sure.min()) - 1)))
        found.append(_Levels(values, levels_below(sure, values)))
    return found


def _drawn_folds(weights: Floats, n_folds: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Rows of each fold; rows that count nothing are spread like the others, after them."""
    shuffled = rng.permutation(len(weights))
    order = shuffled[np.argsort(weights[shuffled] <= 0, kind="stable")]
    return [order[first::n_folds] for first in range(n_folds) if len(order) > first]


def _outside(weights: Floats, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """All rows but these, or all if no other counts."""
    outside = np.ones(len(weights), np.bool_)
    outside[rows] = False
    return np.flatnonzero(outside if weights[outside].sum() > 0 else np.ones_like(outside))
