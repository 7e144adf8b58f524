"""Statistics of items of which each comes so many times: what a bootstrap computes.

A resample is kept as how often each item is in it. The items are sorted once; what the statistic
would be of the items written out, repeats and ties included, comes from running sums of the counts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vecsmith.results.records import Statistic
from vecsmith.results.statistics import Floats, Places, sorted_groups, standardized

OfCounts = Callable[[Floats], Floats]


def weighted(table: Floats, gold: Floats, statistic: Statistic) -> OfCounts:
    """A function of counts [C, N] whose values [V, C] are the statistic of each row of the table.

    Args:
        table: Items of each view, finite, [V, N].
        gold: What they are compared with, finite, [N]; not looked at for "mean".
        statistic: Which one.
    """
    return _WEIGHTED[statistic](table, gold)


def _weighted_mean(table: Floats, _: Floats) -> OfCounts:
    def of_counts(counts: Floats) -> Floats:
        means: Floats = np.stack([_sums(counts, row) for row in table]) / table.shape[1]
        return means

    return of_counts


def _weighted_spearman(table: Floats, gold: Floats) -> OfCounts:
    by_gold, gold_ends = sorted_groups(gold)
    group_of = np.empty(len(gold), np.intp)
    group_of[by_gold] = np.repeat(np.arange(len(gold_ends)), np.diff(gold_ends, prepend=-1))
    sorted_rows = [sorted_groups(row) for row in table]

    def of_counts(counts: Floats) -> Floats:
        gold_ranks, gold_spread = _centered_ranks(counts.take(by_gold, axis=1), gold_ends)
        values = np.empty((len(table), len(counts)))
        for out, (order, ends) in zip(values, sorted_rows, strict=True):
            weights = counts.take(order, axis=1)
            ranks, spread = _centered_ranks(weights, ends)
            if len(ends) < len(order):
                ranks = ranks.repeat(np.diff(ends, prepend=-1), axis=1)
            weights *= gold_ranks.take(group_of[order], axis=1)
            _divide(_row_dot(weights, ranks), np.sqrt(spread * gold_spread), out)
        return values

    return of_counts


def _centered_ranks(weights: Floats, ends: Places) -> tuple[Floats, Floats]:
    """Mid-rank of each run of equals less the mean rank, [C, G], and the sum of their squares.

    Args:
        weights: How often each item comes, in sorted order, [C, N].
        ends: Place of the last of each run of equals, [G].
    """
    upto = np.cumsum(weights, axis=1)
    if len(ends) < weights.shape[1]:
        upto = upto.take(ends, axis=1)
        weights = np.diff(upto, axis=1, prepend=0)
    # The ranks of a run are before + 1 ... upto, their mean (before + upto + 1) / 2; the mean of
    # all is (N + 1) / 2. Multiples of a half are exact in float64.
    ranks = upto - (weights + upto[:, -1:]) / 2
    return ranks, _row_dot(weights * ranks, ranks)


def _weighted_pearson(table: Floats, gold: Floats) -> OfCounts:
    rows, target = [standardized(row) for row in table], standardized(gold)

    def of_counts(counts: Floats) -> Floats:
        gold_centered, gold_spread = _centered(counts, target)
        values = np.empty((len(rows), len(counts)))
        for out, row in zip(values, rows, strict=True):
            centered, spread = _centered(counts, row)
            product = _row_dot(counts * centered, gold_centered)
            _divide(product, np.sqrt(spread) * np.sqrt(gold_spread), out)
        return values

    return of_counts


def _centered(counts: Floats, row: Floats) -> tuple[Floats, Floats]:
    """Values less the mean of those drawn, [C, N], and the sum of squares of those drawn, [C]."""
    centered = row - (_sums(counts, row) / len(row))[:, None]
    spread = _row_dot(counts * centered, centered)
    drawn = counts > 0
    lowest = np.where(drawn, row, np.inf).min(axis=1)
    highest = np.where(drawn, row, -np.inf).max(axis=1)
    return centered, np.where(lowest == highest, 0, spread)  # not what rounding left of nothing


def _weighted_average_precision(table: Floats, gold: Floats) -> OfCounts:
    sorted_rows = [_positives(row, gold > 0) for row in table]

    def of_counts(counts: Floats) -> Floats:
        values = np.empty((len(table), len(counts)))
        for out, (order, places, run_ends, last_hits) in zip(values, sorted_rows, strict=True):
            weights = counts.take(order, axis=1)
            found = np.cumsum(weights, axis=1).take(run_ends, axis=1)
            weights = weights.take(places, axis=1)
            hits = np.cumsum(weights, axis=1)
            precisions = hits.take(last_hits, axis=1) / np.maximum(found, 1)
            total = hits[:, -1] if len(places) else np.zeros(len(counts))
            _divide(_row_dot(weights, precisions), total, out)
        return values

    return of_counts


def _positives(row: Floats, labels: NDArray[np.bool_]) -> tuple[Places, Places, Places, Places]:
    """Where the positives are when pairs are sorted downwards.

    Returns:
        The order; the place of each positive in it; the end of its run of equals; and which
        positive is the last of that run.
    """
    order, ends = sorted_groups(-row)
    places = np.flatnonzero(labels[order])
    run_ends = ends[np.searchsorted(ends, places)]
    return order, places, run_ends, np.searchsorted(places, run_ends, side="right") - 1


_WEIGHTED: dict[Statistic, Callable[[Floats, Floats], OfCounts]] = {
    "mean": _weighted_mean,
    "spearman": _weighted_spearman,
    "pearson": _weighted_pearson,
    "average_precision": _weighted_average_precision,
}


def _sums(counts: Floats, row: Floats) -> Floats:
    """Sum of a row's values as often as each is drawn, [C]."""
    # Not a matrix product: with so few rows its threads cost more than they save, and its last
    # digit would depend on how many rows and threads there are.
    sums: Floats = np.einsum("ij,j->i", counts, row)
    return sums


def _row_dot(a: Floats, b: Floats) -> Floats:
    products: Floats = np.einsum("ij,ij->i", a, b)
    return products


def _divide(parts: Floats, wholes: Floats, out: Floats) -> None:
    """Part by whole into `out`, 0 where the whole is 0."""
    out[:] = 0
    np.divide(parts, wholes, out=out, where=wholes > 0)
