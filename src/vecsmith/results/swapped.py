"""Difference between two models when the scores of some items are swapped: what a test computes.

Under the null hypothesis it makes no difference which of the two models an item's score is from.
Similarities of two models are on scales of their own, so they are first put on one: by their rank
within the model, or, for Pearson, by mean and length. That gives the same figures for each model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vecsmith.results.records import Statistic
from vecsmith.results.statistics import Floats, Places, mid_ranks, standardized

OfSigns = Callable[[Floats], Floats]


def swapped(a: Floats, b: Floats, gold: Floats, statistic: Statistic) -> OfSigns:
    """A function of signs [C, N] whose values [C] are the statistic of A less that of B.

    A sign is 1 where the two scores of an item stay and -1 where they are swapped.

    Args:
        a: Items of model A, finite, [N].
        b: Items of model B, finite, [N].
        gold: What they are compared with, finite, [N]; not looked at for "mean".
        statistic: Which one.
    """
    if statistic == "mean":
        return _means(a, b)
    if statistic == "average_precision":
        return _average_precisions(a, b, gold)
    if statistic == "spearman":
        return _rank_correlations(a, b, gold)
    return _correlations(standardized(a), standardized(b), standardized(gold))


def _means(a: Floats, b: Floats) -> OfSigns:
    def of_signs(signs: Floats) -> Floats:
        means: Floats = np.einsum("ij,j->i", signs, a - b) / len(a)
        return means

    return of_signs


def _correlations(a: Floats, b: Floats, gold: Floats) -> OfSigns:
    """Pearson's correlation of mixed scores, all three series standardized.

    The scores of A become m + s h with m = (a + b) / 2, h = (a - b) / 2 and signs s, those of B
    become m - s h. Each sum that a correlation needs is then a constant and a product with s.
    """
    m, h = (a + b) / 2, (a - b) / 2
    with_gold, squares = float(m @ gold), float(m @ m + h @ h)
    parts = (h * gold, h, 2 * m * h)

    def of_signs(signs: Floats) -> Floats:
        gained, total, crossed = (np.einsum("ij,j->i", signs, part) for part in parts)
        lost = total * total / len(a)
        of_a = _ratio(with_gold + gained, squares + crossed - lost)
        return of_a - _ratio(with_gold - gained, squares - crossed - lost)

    return of_signs


def _ratio(products: Floats, squares: Floats) -> Floats:
    """Product by length, 0 where there is no length but what rounding left."""
    lengths = np.sqrt(np.maximum(squares, 0))
    return np.divide(products, lengths, out=np.zeros(len(products)), where=lengths > 1e-7)


def _rank_correlations(a: Floats, b: Floats, gold: Floats) -> OfSigns:
    """Spearman's correlation of mixed ranks, which are ranked again.

    Without that, mixed ranks, which are not 1 to N, would be unlike those observed: models whose
    similarities lie apart were told apart in 7 % of trials at 5 %.
    """
    of_a, of_b, n_levels = _levels(a, b)
    target = standardized(mid_ranks(gold))
    n = len(target)
    pairs = _sums(np.stack([of_a, of_b]), n_levels).sum(axis=0)
    golds = _sums(np.stack([of_a, of_b]), n_levels, target).sum(axis=0)
    both_ranks = np.cumsum(pairs) - pairs / 2 - n  # sum of a level's centered ranks in both models

    def of_signs(signs: Floats) -> Floats:
        mixed = np.where(signs > 0, of_a, of_b)
        here, gold_here = _sums(mixed, n_levels), _sums(mixed, n_levels, target)
        ranks = np.cumsum(here, axis=1) - (here + n) / 2
        of_first = _correlation(here, gold_here, ranks)
        return of_first - _correlation(pairs - here, golds - gold_here, both_ranks - ranks)

    return of_signs


def _correlation(pairs: Floats, golds: Floats, ranks: Floats) -> Floats:
    """Of the pairs and the sum of gold at each level, and its centered mid-rank, [C]."""
    squares = np.einsum("ij,ij->i", pairs * ranks, ranks)
    return _ratio(np.einsum("ij,ij->i", golds, ranks), squares)


def _average_precisions(a: Floats, b: Floats, gold: Floats) -> OfSigns:
    of_a, of_b, n_levels = _levels(-a, -b)
    labels = (gold > 0).astype(np.float64)
    pairs = _sums(np.stack([of_a, of_b]), n_levels).sum(axis=0)
    positives = _sums(np.stack([of_a, of_b]), n_levels, labels).sum(axis=0)

    def of_signs(signs: Floats) -> Floats:
        mixed = np.where(signs > 0, of_a, of_b)
        here, hits = _sums(mixed, n_levels), _sums(mixed, n_levels, labels)
        return _area(here, hits) - _area(pairs - here, positives - hits)

    return of_signs


def _area(pairs: Floats, hits: Floats) -> Floats:
    """Average precision from the pairs and the positives at each level, best level first, [C]."""
    upto = np.cumsum(hits, axis=1)
    precisions = upto / np.maximum(np.cumsum(pairs, axis=1), 1)
    areas: Floats = np.einsum("ij,ij->i", hits, precisions) / np.maximum(upto[:, -1], 1)
    return areas


def _levels(a: Floats, b: Floats) -> tuple[Places, Places, int]:
    """Which level of rank, of all that occur in either model, each item has in A and in B."""
    levels, codes = np.unique(np.stack([mid_ranks(a), mid_ranks(b)]), return_inverse=True)
    of_a, of_b = codes.reshape(2, -1)
    return of_a, of_b, len(levels)


def _sums(codes: Places, n_levels: int, weights: Floats | None = None) -> Floats:
    """Sum of the weights at each level in each row of codes, [C, K]; how many without weights."""
    cells = (codes + n_levels * np.arange(len(codes))[:, None]).ravel()
    if weights is not None:
        weights = np.broadcast_to(weights, codes.shape).ravel()
    sums = np.bincount(cells, weights, minlength=len(codes) * n_levels)
    return sums.reshape(-1, n_levels).astype(np.float64, copy=False)
