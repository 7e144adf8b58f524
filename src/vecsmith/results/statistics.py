"""The statistics that make one figure of many items: mean, Spearman, Pearson, average precision.

They live here and not with the other metrics because a record is read, resampled and compared
without evaluating anything again. Nothing here returns nan: where a figure is not defined (no
spread, no positive) it is 0.0, which is what a model that says the same of every pair deserves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.results.records import Statistic

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


def value(items: ArrayLike, gold: ArrayLike | None, statistic: Statistic) -> float:
    """The statistic of N items.

    Args:
        items: Metric of each item for "mean", else the similarity of each pair; [N].
        gold: Human scores, or for "average_precision" whether each pair is positive, [N]; None
            for "mean".
        statistic: Which one.

    Raises:
        ValueError: If there are no items, a number is not finite, or gold does not fit.
    """
    items = finite(items, "items")
    gold = fitting(gold, len(items), statistic)
    if statistic == "mean":
        return float(items.mean())
    return _WITH_GOLD[statistic](items, gold)


def fitting(gold: ArrayLike | None, n_items: int, statistic: Statistic) -> Floats:
    """Gold as float64 [N]: what N items are compared with, zeros for "mean".

    Raises:
        ValueError: If the statistic is unknown, or gold is missing, not finite or of other length.
    """
    if statistic == "mean":
        return np.zeros(n_items)
    if statistic not in _WITH_GOLD:
        known = ", ".join(map(repr, ("mean", *_WITH_GOLD)))
        raise ValueError(f"statistic is {statistic!r}, expected one of {known}")
    if gold is None:
        raise ValueError(f"gold is None, but {statistic!r} compares the items with it: pass it")
    target = finite(gold, "gold")
    if len(target) != n_items:
        raise ValueError(
            f"{n_items} items are compared with {len(target)} of gold, expected as many"
        )
    return target


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation of two series, ties at their average rank.

    As `scipy.stats.spearmanr`, but 0.0 where a series is constant.

    Args:
        x: Numbers, [N].
        y: Numbers, [N].

    Raises:
        ValueError: If a series is empty or not finite, or the lengths differ.
    """
    x, y = _series(x, y)
    return pearson(mid_ranks(x), mid_ranks(y))


def pearson(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's correlation of two series.

    As `scipy.stats.pearsonr`, but 0.0 where a series is constant.

    Args:
        x: Numbers, [N].
        y: Numbers, [N].

    Raises:
        ValueError: If a series is empty or not finite, or the lengths differ.
    """
    x, y = _series(x, y)
    product = float(standardized(x) @ standardized(y))
    return min(1.0, max(-1.0, product))


def average_precision(similarities: ArrayLike, labels: ArrayLike) -> float:
    """Area under the precision-recall curve of "the more alike, the likelier positive".

    The sum over thresholds of precision times the recall gained there, without interpolation:
    `sklearn.metrics.average_precision_score`. Pairs of equal similarity share a threshold, so
    their order does not matter. 0.0 where no pair is positive.

    Args:
        similarities: Of each pair, [N].
        labels: Whether it is positive, [N].

    Raises:
        ValueError: If there are no pairs, a similarity is not finite, or the lengths differ.
    """
    similarities, labels = _series(similarities, labels)
    order, ends = sorted_groups(-similarities)
    positives = np.cumsum(labels[order] > 0)[ends]
    if not positives[-1]:
        return 0.0
    gained = np.diff(positives, prepend=0)
    return float(gained @ (positives / (ends + 1)) / positives[-1])


_WITH_GOLD: dict[Statistic, Callable[[ArrayLike, ArrayLike], float]] = {
    "spearman": spearman,
    "pearson": pearson,
    "average_precision": average_precision,
}


def mid_ranks(values: Floats) -> Floats:
    """The rank of each value from 1, equal values at the average of their ranks, [N]."""
    order, ends = sorted_groups(values)
    starts = np.concatenate([[0], ends[:-1] + 1])
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((starts + ends) / 2 + 1, ends - starts + 1)
    return ranks


def sorted_groups(values: Floats) -> tuple[Places, Places]:
    """The order that sorts N values upwards, and the place of the last of each run of equals."""
    order = np.argsort(values, kind="stable")
    in_order = values[order]
    return order, np.append(np.flatnonzero(in_order[1:] != in_order[:-1]), len(values) - 1)


def standardized(values: Floats) -> Floats:
    """Values less their mean, at Euclidean length 1; all zero if they are constant, [N]."""
    if values.min() == values.max():  # the rounded mean may differ from each of equal values
        return np.zeros(len(values))
    # Scaled first: squares of very large or very small numbers would leave the range.
    scaled = values / np.abs(values).max()
    centered = scaled - scaled.mean()
    centered /= np.abs(centered).max()
    unit: Floats = centered / np.sqrt(centered @ centered)
    return unit


def finite(values: ArrayLike, name: str) -> Floats:
    """The values as float64 [N].

    Raises:
        ValueError: If there are none, one is not finite, or they are not one row.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} have shape {list(array.shape)}, expected [N] with N at least 1")
    if not np.isfinite(array).all():
        place = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(
            f"{name} hold {array[place]} at place {place}, expected finite numbers: look for "
            "vectors that are not finite"
        )
    return array


def _series(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    x, y = finite(x, "first values"), finite(y, "second values")
    if len(x) != len(y):
        raise ValueError(f"{len(x)} values are compared with {len(y)}, expected as many")
    return x, y
