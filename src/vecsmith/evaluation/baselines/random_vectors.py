"""Random vectors: the floor that any encoder must beat.

The one rule: a text's vector depends on its bytes and the seed alone, to the last bit, on every
machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray

_BLOCK: Final = 2**16  # numbers in hand: they stay in the processor's caches
# SplitMix64 (Steele, Lea, Flood 2014): the step of its counter and the factors of its finish.
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FACTORS: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class RandomVectors:
    """An encoder that knows nothing: equal texts get equal vectors of unit length.

    A vector of fewer dims is the prefix of one of more, at unit length. Directions are uniform but
    for what tells a sum of eight bytes from a Gaussian (an excess kurtosis of -0.15).

    Attributes:
        name: As shown.
        dim: Length of a vector.
        seed: Another seed, other vectors.
        fingerprint: Hash of the above.
        n_bytes: Weights in memory: none.
    """

    def __init__(self, dim: int = 256, seed: int = 0) -> None:
        if dim < 1:
            raise ValueError(f"dim is {dim}, expected at least 1")
        self.name = "random vectors"
        self.dim = dim
        self.seed = seed
        self.fingerprint = hashlib.sha256(f"random vectors 1: {dim}, {seed}".encode()).hexdigest()
        self.n_bytes = 0

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of N texts, float32 [N, D], of a single str [D]."""
        if isinstance(texts, str):
            one: FloatArray = self.encode([texts])[0]
            return one
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        n_rows = max(1, _BLOCK // self.dim)
        for begin in range(0, len(texts), n_rows):
            keys = self._keys(texts[begin : begin + n_rows])
            vectors[begin : begin + n_rows] = _unit_vectors(keys, self.dim)
        return vectors

    def _keys(self, texts: Sequence[str]) -> NDArray[np.uint64]:
        """A number of 64 bits for each text."""
        key = str(self.seed).encode()
        raw = (text.encode("utf-8", "surrogatepass") for text in texts)
        digests = b"".join(hashlib.blake2b(text, digest_size=8, key=key).digest() for text in raw)
        return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _unit_vectors(keys: NDArray[np.uint64], dim: int) -> FloatArray:
    """Whole numbers until the last step, so that no library's logarithm has a say."""
    counters = np.arange(1, dim + 1, dtype=np.uint64) * _STEP
    numbers = _byte_sums(_mixed(keys[:, None] + counters)).astype(np.int64) - 1020
    numbers[~numbers.any(axis=1), 0] = 1  # zeros have no direction; seen with very few dims only
    lengths = np.sqrt((numbers**2).sum(axis=1, keepdims=True).astype(np.float64))
    vectors: FloatArray = (numbers / lengths).astype(np.float32)
    return vectors


def _mixed(states: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finish, in place: states that differ in a bit differ in about half of them."""
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        states ^= states >> np.uint64(shift)
        states *= factor
    states ^= states >> np.uint64(31)
    return states


def _byte_sums(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sum of the eight bytes of each word: 0 to 2040, 1020 in the mean."""
    sums = words
    for shift, mask in ((8, 0x00FF00FF00FF00FF), (16, 0x0000FFFF0000FFFF), (32, 0xFFFFFFFF)):
        sums = (sums & np.uint64(mask)) + ((sums >> np.uint64(shift)) & np.uint64(mask))
    return sums
