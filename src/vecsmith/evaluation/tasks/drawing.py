"""Which rows are drawn where there are too many.

The one rule: a draw depends on the rows and the seed alone. It is the same on every machine and for
ever, which numpy's generators do not promise; so it is by a hash of the row's place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_START = 0x7665_6373_6D69_7468
_STEP = 0x9E37_79B9_7F4A_7C15


def codes_of(labels: Sequence[str]) -> NDArray[np.int64]:
    """Number of each label among the distinct ones in order, int64 [N]."""
    number = {name: i for i, name in enumerate(sorted(set(labels)))}
    return np.fromiter((number[label] for label in labels), np.int64, len(labels))


def draw(n_rows: int, n_drawn: int, seed: int = 0) -> NDArray[np.int64]:
    """Places of `n_drawn` of `n_rows`, drawn evenly, ascending."""
    order = np.argsort(_keys(n_rows, seed), kind="stable")
    return np.sort(order[:n_drawn]).astype(np.int64)


def stratified_draw(
    codes: NDArray[np.int64], n: int, seed: int = 0, *, at_least: int = 0
) -> NDArray[np.int64]:
    """Places of `n` rows, each label with its share of them to the nearest row, ascending.

    Args:
        codes: Label of each row as a small number, 0 or more, int64 [N].
        n: How many rows; all, where there are no more.
        seed: Another seed draws other rows, as many of each label.
        at_least: Rows of each label that has so many, whatever its share: those with the most
            rows pay for it. Where labels are too many for that, more than `n` rows are drawn.
    """
    counts = np.bincount(codes)
    shares = _raised(_shares(counts, n), np.minimum(counts, at_least))
    order = np.lexsort((_keys(len(codes), seed), codes))
    ranked = codes[order]
    begins = np.cumsum(counts) - counts
    chosen = np.arange(len(codes)) - begins[ranked] < shares[ranked]
    return np.sort(order[chosen]).astype(np.int64)


def _shares(counts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """`total` divided in proportion to `counts`, by largest remainder."""
    exact = counts * (min(total, int(counts.sum())) / max(1, int(counts.sum())))
    shares: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    left = min(total, int(counts.sum())) - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:left]] += 1
    return shares


def _raised(shares: NDArray[np.int64], least: NDArray[np.int64]) -> NDArray[np.int64]:
    """Shares that are `least` or more, of the same sum if that can be."""
    raised = np.maximum(shares, least)
    for _ in range(int((raised - shares).sum())):
        largest = int(np.argmax(raised - least))
        if raised[largest] == least[largest]:
            break
        raised[largest] -= 1
    return raised


def _keys(n_rows: int, seed: int) -> NDArray[np.uint64]:
    """A random-looking number for each place: splitmix64 (Steele et al., 2014)."""
    start = np.uint64(_START) + _mixed(np.array([seed % 2**64], dtype=np.uint64))
    places = np.arange(1, n_rows + 1, dtype=np.uint64)
    return _mixed(places * np.uint64(_STEP) + start)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finalizer; of 0 it is 0."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return z ^ (z >> np.uint64(31))
