"""Difference between two models when the scores of some items are swapped: what a test computes.

Under the null hypothesis it makes no difference which of the two models an item's score is from.
Similarities of two models are on scales of their own, so they are first put on one: by their rank
within the model, or, for Pearson, by mean and length. That gives the same figures for each model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vecsmith.results.records import Statistic
from vecsmith.results.statistics import Floats, mid_ranks, standardized

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
        a, b, gold = mid_ranks(a), mid_ranks(b), mid_ranks(gold)
    return _correlations(standardized(a), standardized(b), standardized(gold))


def _means(a: Floats, b: Floats) -> OfSigns:
    def of_signs(signs: Floats) -> Floats:
        return signs @ ((a - b) / len(a))

    return of_signs


def _correlations(a: Floats, b: Floats, gold: Floats) -> OfSigns:
    """Pearson's correlation of mixed scores, all three series standardized.

    The scores of A become m + s h with m = (a + b) / 2, h = (a - b) / 2 and signs s, those of B
    become m - s h. Each sum that a correlation needs is then a constant and a product with s.
    """
    m, h = (a + b) / 2, (a - b) / 2
    with_gold, squares = float(m @ gold), float(m @ m + h @ h)
    sums = np.stack([h * gold, h, 2 * m * h], axis=1)

    def of_signs(signs: Floats) -> Floats:
        gained, mean, crossed = (signs @ sums).T
        lost = mean * mean / len(a)
        of_a = _ratio(with_gold + gained, squares + crossed - lost)
        return of_a - _ratio(with_gold - gained, squares - crossed - lost)

    return of_signs


def _ratio(products: Floats, squares: Floats) -> Floats:
    """Product by length, 0 where there is no length but what rounding left."""
    lengths = np.sqrt(np.maximum(squares, 0))
    return np.divide(products, lengths, out=np.zeros(len(products)), where=lengths > 1e-7)


def _average_precisions(a: Floats, b: Floats, gold: Floats) -> OfSigns:
    """By counting: of each level of rank, how many pairs and positives are there."""
    levels, codes = np.unique(-np.stack([mid_ranks(a), mid_ranks(b)]), return_inverse=True)
    of_a, of_b = codes.reshape(2, -1)
    labels = gold > 0
    everything = _histogram(codes.reshape(1, -1), len(levels))
    positives = _histogram(np.concatenate([of_a[labels], of_b[labels]])[None], len(levels))

    def of_signs(signs: Floats) -> Floats:
        mixed = np.where(signs > 0, of_a, of_b)
        found, hits = (_histogram(rows, len(levels)) for rows in (mixed, mixed[:, labels]))
        return _area(found, hits) - _area(everything - found, positives - hits)

    return of_signs


def _histogram(codes: NDArray[np.intp], n_codes: int) -> NDArray[np.intp]:
    """How often each code is in each row, [C, K]."""
    cells = codes + n_codes * np.arange(len(codes))[:, None]
    return np.bincount(cells.ravel(), minlength=len(codes) * n_codes).reshape(-1, n_codes)


def _area(found: NDArray[np.intp], hits: NDArray[np.intp]) -> Floats:
    """Average precision from the pairs and the positives at each level, best level first, [C]."""
    upto = np.cumsum(hits, axis=1)
    precisions = upto / np.maximum(np.cumsum(found, axis=1), 1)
    areas: Floats = np.einsum("ij,ij->i", hits, precisions) / np.maximum(upto[:, -1], 1)
    return areas
