"""Random draws of items, from the bare bits of a generator.

They depend on the seed, the number of items, and what is drawn. The bits are PCG64's, which numpy
keeps stable for ever (NEP 19); the methods of `numpy.random.Generator` may change their streams
with a release, so none is used. Blocks bound the memory and do not change what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vecsmith.results.statistics import Floats, Places

_BLOCK = 1 << 15  # numbers of a block: 256 KiB, so that the several arrays of a step stay in cache
_ITEMS, _SWAPS, _SETS, _SHUFFLES = range(4)  # what is drawn: each has a stream of its own


def _bits(seed: int, n: int, purpose: int, stream: int) -> np.random.PCG64:
    return np.random.PCG64(np.random.SeedSequence([seed, n], spawn_key=(purpose, stream)))


def _places(bits: np.random.PCG64, n: int, shape: tuple[int, int]) -> Places:
    """Places from 0 to n - 1 drawn with replacement, `shape`.

    The upper half of n times 32 random bits (Lemire 2019, "Fast Random Integer Generation in an
    Interval", without his rejection: places differ in likelihood by at most n in 2^32).
    """
    words = bits.random_raw(shape[0] * -(-shape[1] // 2)).astype("<u8", copy=False)
    draws = words.view("<u4").reshape(shape[0], -1)[:, : shape[1]].astype(np.uint64)
    return ((draws * np.uint64(n)) >> np.uint64(32)).astype(np.intp)


def counts(n: int, n_resamples: int, seed: int, stream: int = 0) -> Iterator[Floats]:
    """How often each of N items is in each resample, in blocks [C, N]."""
    bits = _bits(seed, n, _ITEMS, stream)
    for rows in _blocks(n, n_resamples):
        cells = _places(bits, n, (rows, n)) + n * np.arange(rows)[:, None]
        times = np.bincount(cells.ravel(), minlength=rows * n)
        yield times.reshape(rows, n).astype(np.float64)


def swaps(n: int, n_permutations: int, seed: int, stream: int = 0) -> Iterator[Floats]:
    """1 where an item's scores stay and -1 where they are swapped, in blocks [C, N]."""
    bits = _bits(seed, n, _SWAPS, stream)
    for rows in _blocks(n, n_permutations):
        words = bits.random_raw(rows * -(-n // 64)).astype("<u8", copy=False)
        drawn = np.unpackbits(words.view(np.uint8), bitorder="little").reshape(rows, -1)[:, :n]
        yield 1 - 2 * drawn.astype(np.float64)


def sets(n_sets: int, n_resamples: int, seed: int) -> tuple[Places, Places]:
    """Sets drawn with replacement, and for each draw one of the set's own resamples.

    Returns:
        Places of sets, and of resamples, both [B, S].
    """
    bits = _bits(seed, n_sets, _SETS, 0)
    shape = (n_resamples, n_sets)
    return _places(bits, n_sets, shape), _places(bits, n_resamples, shape)


def shuffles(n_sets: int, n_resamples: int, seed: int) -> Places:
    """An order of the resamples for each set, [S, B]."""
    bits = _bits(seed, n_sets, _SHUFFLES, 0)
    return bits.random_raw(n_sets * n_resamples).reshape(n_sets, -1).argsort(axis=1, kind="stable")


def _blocks(n: int, n_rows: int) -> Iterator[int]:
    """Rows of each block, so that a block of rows of length n is bounded."""
    most = max(1, _BLOCK // n)
    for start in range(0, n_rows, most):
        yield min(most, n_rows - start)
