"""How sure a figure is: bootstrap intervals, and tests of two models on the same items.

Intervals resample the items with replacement (the percentile bootstrap of Efron and Tibshirani,
"An Introduction to the Bootstrap", 1993). Tests swap the two models' scores of an item at random
(the approximate randomisation test that Dror et al. 2018, "The Hitchhiker's Guide to Testing
Statistical Significance in NLP", recommend where a metric's distribution is not known).

The draws depend on the seed and the number of items alone, on every machine and with every version
of numpy. So two models on one task, and all views of a model, meet the same resamples: their
difference, or ratio, is taken resample by resample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vecsmith.results import draws
from vecsmith.results.records import Statistic
from vecsmith.results.statistics import Floats, finite, fitting, value
from vecsmith.results.swapped import swapped
from vecsmith.results.weighted import weighted

__all__ = [
    "PairedItems",
    "PairedTest",
    "average_bootstrap",
    "average_interval",
    "bootstrap",
    "holm",
    "interval",
    "p_value",
    "paired_test",
    "paired_test_of_average",
    "permuted_differences",
    "value",
]

PairedItems = tuple[ArrayLike, ArrayLike, ArrayLike | None, Statistic]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """What a test of model A against model B on the same items says.

    Attributes:
        difference: Figure of A less figure of B.
        low: Lower end of the 95 % bootstrap interval of the difference.
        high: Its upper end.
        p_value: How often a difference at least as large, of either sign, comes about when each
            item's scores are swapped at random: small if the models differ.
        n_items: Items that the test is over.
    """

    difference: float
    low: float
    high: float
    p_value: float
    n_items: int


def bootstrap(
    items: ArrayLike,
    gold: ArrayLike | None,
    statistic: Statistic,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Floats:
    """The statistic in B resamples of the items: float64 [B], or [V, B] for items [V, N].

    Exactly what the statistic would be of the items drawn, repeats and ties included; but a draw is
    kept as how often each item comes, so that nothing is sorted twice. Memory does not grow with B
    times N.

    Args:
        items: Metric of each item for "mean", else the similarity of each pair, [N]; or one row
            of those for each view, [V, N], which all meet the same resamples.
        gold: Human scores, or for "average_precision" whether each pair is positive, [N]; None
            for "mean".
        statistic: Which one.
        n_resamples: B.
        seed: Equal seeds and equal N give equal resamples.

    Raises:
        ValueError: If there are no items, a number is not finite, or gold does not fit.
    """
    return _bootstrap(items, gold, statistic, n_resamples, seed, stream=0)


def interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Ends of the percentile interval that holds `level` of the resampled values.

    Args:
        values: From `bootstrap`, or of anything computed resample by resample, [B].
        level: Share of the values inside, between 0 and 1.

    Raises:
        ValueError: If there are no values, or the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a share between 0 and 1, as in 0.95")
    low, high = np.quantile(finite(values, "values"), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def average_bootstrap(
    bootstraps: Sequence[Floats],
    weights: ArrayLike,
    sets: Sequence[str],
    *,
    over_tasks: bool = False,
    seed: int = 0,
) -> Floats:
    """A weighted average of T tasks in B resamples, float64 [B].

    Tasks of different sets are made independent: their resamples are put in an order of each set's
    own, since equal numbers of items mean equal draws. Tasks of one set keep theirs: rows of its
    languages are often translations of each other, and then what is lucky in one is lucky in all.
    The order depends on the seed and the sets alone: averages of two models stay paired.

    Args:
        bootstraps: Of each task, from `bootstrap` with one seed, T of [B].
        weights: Of each task, positive, [T].
        sets: Name of the set that each task is from, T.
        over_tasks: Also draw the sets with replacement: how the average might be on other sets like
            these, not only on other items of these sets.
        seed: Of the order and of the sets drawn.

    Raises:
        ValueError: If the numbers of tasks or of resamples differ.
    """
    shares = _shares(weights, len(bootstraps))
    numbers = _numbered(sets, len(bootstraps))
    n_sets, n_resamples = 1 + max(numbers), len(bootstraps[0])
    if any(len(values) != n_resamples for values in bootstraps):
        raise ValueError(
            f"tasks have {sorted({len(values) for values in bootstraps})} resamples, expected one "
            "number of them"
        )
    totals, of_sets = np.zeros((n_sets, n_resamples)), np.zeros(n_sets)
    for number, share, values in zip(numbers, shares, bootstraps, strict=True):
        totals[number] += share * finite(values, "resampled values")
        of_sets[number] += share
    if not over_tasks:
        orders = draws.shuffles(n_sets, n_resamples, seed)
        averages: Floats = np.take_along_axis(totals, orders, axis=1).sum(axis=0)
        return averages
    drawn, resamples = draws.sets(n_sets, n_resamples, seed)
    averages = totals[drawn, resamples].sum(axis=1) / of_sets[drawn].sum(axis=1)
    return averages


def average_interval(
    bootstraps: Sequence[Floats],
    weights: ArrayLike,
    sets: Sequence[str],
    *,
    over_tasks: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Ends of the interval of a weighted average of T tasks: see `average_bootstrap`."""
    values = average_bootstrap(bootstraps, weights, sets, over_tasks=over_tasks, seed=seed)
    return interval(values, level)


def paired_test(
    items_a: ArrayLike,
    items_b: ArrayLike,
    gold: ArrayLike | None,
    statistic: Statistic,
    *,
    n_resamples: int = 1000,
    n_permutations: int = 2000,
    seed: int = 0,
) -> PairedTest:
    """What a comparison of two models on the items of one task says.

    What is swapped is the score of each item for "mean"; for the others its rank within the model
    (for Pearson its standardized similarity), because the two models' scales need not be one.

    Args:
        items_a: Of model A, as for `bootstrap`, [N].
        items_b: Of model B on the same items, [N].
        gold: As for `bootstrap`.
        statistic: Which one.
        n_resamples: For the interval.
        n_permutations: Random swaps; the smallest possible p-value is 1 / (1 + n_permutations).
        seed: Equal seeds give equal results.

    Raises:
        ValueError: If the items do not fit each other or gold.
    """
    return paired_test_of_average(
        [(items_a, items_b, gold, statistic)],
        [1.0],
        n_resamples=n_resamples,
        n_permutations=n_permutations,
        seed=seed,
    )


def paired_test_of_average(
    tasks: Sequence[PairedItems],
    weights: ArrayLike,
    *,
    sets: Sequence[str] | None = None,
    n_resamples: int = 1000,
    n_permutations: int = 2000,
    seed: int = 0,
) -> PairedTest:
    """What a comparison of two models by a weighted average of T tasks says.

    Items are resampled and swapped within each task. Tasks of one set with as many items share
    their draws, as those may be translations of each other row for row; all others are independent.

    Args:
        tasks: Items of A, items of B, gold and statistic of each task, T.
        weights: Of each task, positive; they are made to sum to 1, [T].
        sets: Name of the set that each task is from, T; None if each has its own.
        n_resamples: For the interval.
        n_permutations: Random swaps.
        seed: Equal seeds give equal results.

    Raises:
        ValueError: If there is no task, or the items of one do not fit.
    """
    _at_least_one(n_resamples, "n_resamples")
    shares = _shares(weights, len(tasks))
    streams = range(len(tasks)) if sets is None else _numbered(sets, len(tasks))
    observed, n_items = 0.0, 0
    resampled, permuted = np.zeros(n_resamples), np.zeros(n_permutations)
    for share, stream, (items_a, items_b, gold, statistic) in zip(
        shares, streams, tasks, strict=True
    ):
        pair = _pair(items_a, items_b)
        of_a, of_b = _bootstrap(pair, gold, statistic, n_resamples, seed, stream)
        resampled += share * (of_a - of_b)
        difference, differences = permuted_differences(
            items_a,
            items_b,
            gold,
            statistic,
            n_permutations=n_permutations,
            seed=seed,
            stream=stream,
        )
        observed += float(share * difference)
        permuted += share * differences
        n_items += pair.shape[1]
    low, high = interval(resampled)
    return PairedTest(
        difference=observed,
        low=low,
        high=high,
        p_value=p_value(observed, permuted),
        n_items=n_items,
    )


def permuted_differences(
    items_a: ArrayLike,
    items_b: ArrayLike,
    gold: ArrayLike | None,
    statistic: Statistic,
    *,
    n_permutations: int = 2000,
    seed: int = 0,
    stream: int = 0,
) -> tuple[float, Floats]:
    """The difference of A less B, and P differences with items swapped at random, float64 [P].

    What `paired_test` computes of one task; many averages of the same tasks are made of it.

    Args:
        items_a: Of model A, [N].
        items_b: Of model B on the same items, [N].
        gold: As for `bootstrap`.
        statistic: Which one.
        n_permutations: P.
        seed: Equal seeds, streams and N give equal swaps.
        stream: Which of the seed's series of swaps: independent tasks have streams of their own.

    Raises:
        ValueError: If the items do not fit each other or gold.
    """
    _at_least_one(n_permutations, "n_permutations")
    pair = _pair(items_a, items_b)
    target = fitting(gold, pair.shape[1], statistic)
    of_signs = swapped(pair[0], pair[1], target, statistic)
    blocks = draws.swaps(pair.shape[1], n_permutations, seed, stream)
    permuted = np.concatenate([of_signs(signs) for signs in blocks])
    return float(of_signs(np.ones((1, pair.shape[1])))[0]), permuted


def p_value(observed: float, permuted: Floats) -> float:
    """Share of differences as large as the one observed, which counts as one of them.

    Phipson and Smyth 2010, "Permutation P-values Should Never Be Zero".

    Args:
        observed: Difference of the two models.
        permuted: Differences with items swapped at random, [P].
    """
    sizes = np.abs(permuted)
    # What is equal but for rounding is as large.
    slack = 1e-9 * max(abs(observed), float(sizes.max()))
    return float(1 + np.count_nonzero(sizes >= abs(observed) - slack)) / (1 + len(permuted))


def holm(p_values: ArrayLike) -> Floats:
    """P-values of T tests, raised so that any below 0.05 by chance is a 5 % matter in all, [T].

    Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".

    Args:
        p_values: One of each test, [T].

    Raises:
        ValueError: If one is not between 0 and 1.
    """
    array = np.asarray(p_values, np.float64)
    if array.ndim != 1 or not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"p_values are {array.tolist()}, expected a row of numbers from 0 to 1")
    order = np.argsort(array, kind="stable")
    raised = np.maximum.accumulate(array[order] * np.arange(len(array), 0, -1))
    adjusted = np.empty(len(array))
    adjusted[order] = np.minimum(raised, 1)
    return adjusted


def _pair(items_a: ArrayLike, items_b: ArrayLike) -> Floats:
    a, b = finite(items_a, "items of A"), finite(items_b, "items of B")
    if len(a) != len(b):
        raise ValueError(f"model A has {len(a)} items and B {len(b)}, expected the same ones")
    return np.stack([a, b])


def _shares(weights: ArrayLike, n_tasks: int) -> Floats:
    """Weights made to sum to 1."""
    array = finite(weights, "weights")
    if len(array) != n_tasks or array.min() <= 0:
        raise ValueError(f"weights are {array.tolist()}, expected {n_tasks} positive numbers")
    shares: Floats = array / array.sum()
    return shares


def _numbered(sets: Sequence[str], n_tasks: int) -> list[int]:
    """The number of each set, counted as they come."""
    if len(sets) != n_tasks:
        raise ValueError(f"{len(sets)} sets are named for {n_tasks} tasks, expected as many")
    places: dict[str, int] = {}
    return [places.setdefault(name, len(places)) for name in sets]


def _bootstrap(
    items: ArrayLike,
    gold: ArrayLike | None,
    statistic: Statistic,
    n_resamples: int,
    seed: int,
    stream: int,
) -> Floats:
    table = np.atleast_2d(np.asarray(items, np.float64))
    for row in table:
        finite(row, "items")
    target = fitting(gold, table.shape[1], statistic)
    _at_least_one(n_resamples, "n_resamples")
    of_counts = weighted(table, target, statistic)
    blocks = draws.counts(table.shape[1], n_resamples, seed, stream)
    values = np.concatenate([of_counts(counts) for counts in blocks], axis=1)
    return values if np.ndim(items) == 2 else values[0]


def _at_least_one(number: int, name: str) -> None:
    if number < 1:
        raise ValueError(f"{name} is {number}, expected at least 1")
