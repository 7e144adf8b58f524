"""A lexical tail: after its meaning, a token's row says which token it is.

One rule: the vector of a token depends on the seed and on its id alone, so a table of another
length, or with other dimensions before the tail, has the same.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_BLOCK: Final = 1 << 14  # rows at a time: the tail of a large table is not made twice


def lexical_tail(table: FloatArray, dims: int, *, scale: float = 0.5, seed: int = 0) -> FloatArray:
    """`table` with `dims` dimensions after its own, float32 [V, K + dims].

    Row t gets `scale` |row t| r_t, where r_t is a random unit vector: signs over the root of
    `dims` (Achlioptas, "Database-friendly random projections", 2003). The tail of a text is then a
    random projection of its bag of tokens, and dot products of tails estimate how much of their
    tokens' weight two texts share. With x_t and y_t the weights of token t in both texts (its share
    of the text's tokens, times `scale` |row t|), over random r

        E[dot] = x.y,   Var[dot] = (|x|^2 |y|^2 + (x.y)^2 - 2 sum_t x_t^2 y_t^2) / dims.

    The first K dimensions stay as they are, bit for bit, so prefixes up to there are those of the
    model without a tail.

    Args:
        table: Rows of tokens, [V, K].
        dims: Dimensions of the tail.
        scale: Length of a row's tail over that of the row.
        seed: Of the random vectors.

    Raises:
        ValueError: If `dims` is below 1, `scale` no number above 0 or `seed` below 0.
    """
    if dims < 1:
        raise ValueError(f"a tail of {dims} dimensions, expected 1 or more")
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale {scale} of the tail, expected a number above 0")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed {seed}, expected at least 0 and below 2**64")
    n_tokens, n_own = table.shape
    longer = np.empty((n_tokens, n_own + dims), dtype=np.float32)
    longer[:, :n_own] = table
    for begin in range(0, n_tokens, _BLOCK):
        rows = table[begin : begin + _BLOCK]
        lengths = np.sqrt(np.einsum("tk,tk->t", rows, rows, dtype=np.float64))
        sizes = (lengths * (scale / np.sqrt(dims))).astype(np.float32)
        ids = np.arange(begin, begin + len(rows), dtype=np.uint64)
        longer[begin : begin + len(rows), n_own:] = sizes[:, None] * random_signs(ids, dims, seed)
    return longer


def random_signs(ids: NDArray[np.uint64], dims: int, seed: int) -> NDArray[np.int8]:
    """1 or -1 for each token id and dimension, [N, dims]; more dimensions begin with the fewer.

    Bit j of the output of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", 2014) with a state of its own for each token.
    """
    states = _mixed(_mixed(np.full(len(ids), seed, dtype=np.uint64) + _GOLDEN) + ids * _GOLDEN)
    places = np.arange(1, -(-dims // 64) + 1, dtype=np.uint64)
    words = _mixed(states[:, None] + places * _GOLDEN)
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), axis=1, bitorder="little")
    signs: NDArray[np.int8] = 2 * bits[:, :dims].astype(np.int8) - 1
    return signs


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The last step of splitmix64; products and sums are modulo 2^64."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
