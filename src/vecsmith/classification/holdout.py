"""Rows held out of a fit, to learn from them what the fit cannot tell.

The one rule: whether a row is held out depends on its numbers, its label and the seed. So equal
rows are never on both sides, and neither order nor repetition of rows changes a fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 16384


def row_hashes(x: NDArray[Any], codes: NDArray[np.intp], seed: int) -> NDArray[np.uint64]:
    """A number for each row [N, D] and its code [N], the same for equal ones."""
    rng = np.random.Generator(np.random.PCG64(seed))
    factors = rng.integers(0, 2**64, x.shape[1] + 1, np.uint64) | np.uint64(1)
    hashes = np.empty(len(x), np.uint64)
    for start in range(0, len(x), _BLOCK):
        # + 0 makes one zero of both; float32 tells rows apart well enough
        bits = (x[start : start + _BLOCK].astype(np.float32) + np.float32(0)).view(np.uint32)
        mixed = _mixed(bits.astype(np.uint64) * factors[:-1]).sum(axis=1, dtype=np.uint64)
        own = codes[start : start + _BLOCK].astype(np.uint64) * factors[-1]
        hashes[start : start + _BLOCK] = _mixed(mixed + own)
    return hashes


def held_out(
    hashes: NDArray[np.uint64],
    codes: NDArray[np.intp],
    weights: NDArray[np.float64],
    fraction: float,
) -> NDArray[np.bool_]:
    """Which rows are held out, [N]: of each code about `fraction` of the weight, never all rows.

    Codes of which the share is less than a row give theirs together: of all their rows about
    `fraction`, drawn from those that leave each code one.

    Args:
        hashes: Of the rows, from `row_hashes`.
        codes: What to take equal shares of, [N].
        weights: How much each row counts, [N].
        fraction: Share to hold out.
    """
    order = np.lexsort((hashes, codes))
    keys = np.stack([codes[order].astype(np.uint64), hashes[order]])
    # equal rows are neighbours and stay together: groups of them are held out, or not
    starts = np.flatnonzero(np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)))
    group_weights = np.add.reduceat(weights[order], starts)
    group_codes = codes[order][starts]
    firsts = np.flatnonzero(np.append(True, group_codes[1:] != group_codes[:-1]))
    lasts = np.append(firsts[1:], len(starts)) - 1
    of_group = np.repeat(np.arange(len(firsts)), lasts - firsts + 1)
    sums = np.cumsum(group_weights)
    before = sums[firsts] - group_weights[firsts]
    totals = np.maximum(sums[lasts] - before, np.finfo(float).tiny)
    middles = (sums - group_weights / 2 - before[of_group]) / totals[of_group]
    taken = middles < fraction
    taken[lasts] = False
    rare = ~np.logical_or.reduceat(taken, firsts)[of_group]
    spare = np.flatnonzero(rare & ~np.isin(np.arange(len(starts)), lasts))
    if len(spare):
        spare = spare[np.argsort(hashes[order][starts][spare], kind="stable")]
        upto = np.cumsum(group_weights[spare]) - group_weights[spare] / 2
        taken[spare] = upto < fraction * group_weights[rare].sum()
    held = np.empty(len(order), np.bool_)
    held[order] = np.repeat(taken, np.diff(np.append(starts, len(order))))
    return held


def merged(
    hashes: NDArray[np.uint64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Place of the first of each different row, by hash, and what all rows equal to it weigh."""
    _, places, of_row = np.unique(hashes, return_index=True, return_inverse=True)
    return places, np.bincount(of_row, weights=weights).astype(np.float64)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Words whose bits all depend on all bits (the finish of splitmix64, Steele et al. 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
