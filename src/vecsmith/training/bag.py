"""Texts as bags of token ids, and 64-bit keys by which equal texts are told.

One rule: two texts have one key exactly when a static model cannot tell them apart by their tokens
in order, up to chance: among 10^7 different texts two share a key with probability 3e-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

# An odd number has an inverse modulo 2^64; this one is the multiplier of PCG64 (O'Neill 2014).
_BASE: Final = 6364136223846793005
_BLOCK_TOKENS: Final = 2**16  # their products stay in the second-level cache


@dataclass(frozen=True, slots=True)
class Bag:
    """Token ids of N texts, one after another.

    Attributes:
        ids: Of all texts, uint32, shape [T].
        offsets: Where each text begins and the last ends, int64, shape [N + 1].
    """

    ids: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, shape [N]."""
        return np.diff(self.offsets)

    def chosen(self, mask: NDArray[np.bool_]) -> Bag:
        """The texts for which `mask`, of shape [N], is true."""
        if mask.all():
            return self
        lengths = self.lengths
        return Bag(self.ids[np.repeat(mask, lengths)], offsets_of(lengths[mask]))

    def without(self, token_id: int | None) -> Bag:
        """The texts without the token `token_id`; a text may become empty."""
        if token_id is None:
            return self
        dropped = np.flatnonzero(self.ids == token_id)
        if not len(dropped):
            return self
        kept = np.ones(len(self.ids), dtype=np.bool_)
        kept[dropped] = False
        return Bag(self.ids[kept], self.offsets - np.searchsorted(dropped, self.offsets))


def offsets_of(lengths: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    """Where texts of these lengths begin and the last ends, shape [N + 1]."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


class TextKeys:
    """Keys of texts by their token ids.

    A polynomial hash: each id stands for a random number (splitmix64 of it), text t_0 .. t_n for
    the sum of number(t_i) * base^i modulo 2^64. One pass takes the sums of many texts: those of a
    text that begins at token s are too large by base^s, which has an inverse.
    """

    def __init__(self, n_ids: int) -> None:
        """Makes one for ids below `n_ids`."""
        self._numbers = _mixed(np.arange(1, n_ids + 1, dtype=np.uint64))
        self._powers = self._inverses = np.ones(1, dtype=np.uint64)

    def of(self, bag: Bag) -> Keys:
        """Key of each text, shape [N]; 0 for one without tokens."""
        keys = np.zeros(len(bag), dtype=np.uint64)
        first = 0
        while first < len(bag):
            end = int(bag.offsets[first]) + _BLOCK_TOKENS
            last = int(np.searchsorted(bag.offsets, end, side="right")) - 1
            last = min(max(last, first + 1), len(bag))
            keys[first:last] = self._of_block(bag.ids, bag.offsets[first : last + 1])
            first = last
        return keys

    def _of_block(self, ids: NDArray[np.uint32], offsets: NDArray[np.int64]) -> Keys:
        n_tokens = int(offsets[-1] - offsets[0])
        self._reach(n_tokens)
        terms = self._numbers[ids[offsets[0] : offsets[-1]]]
        terms *= self._powers[:n_tokens]
        starts = offsets[:-1] - offsets[0]
        filled = np.diff(offsets) > 0  # reduceat takes a neighbour's term for an empty text
        keys = np.zeros(len(starts), dtype=np.uint64)
        if n_tokens:
            begins = starts[filled]
            sums = np.add.reduceat(terms, begins)
            sums *= self._inverses[begins]
            keys[filled] = _mixed(sums)
        return keys

    def _reach(self, n_tokens: int) -> None:
        if len(self._powers) < n_tokens:
            n_powers = max(n_tokens, _BLOCK_TOKENS)
            self._powers = _powers_of(_BASE, n_powers)
            self._inverses = _powers_of(pow(_BASE, -1, 2**64), n_powers)


def _powers_of(base: int, n: int) -> Keys:
    """base^0 .. base^(n - 1) modulo 2^64."""
    powers = np.full(n, base, dtype=np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


def _mixed(numbers: Keys) -> Keys:
    """The output function of splitmix64 (Steele, Lea and Flood 2014), one to one."""
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
