"""Runs of letters and of words in texts, as hashes, many texts at a time.

What a text is reduced to: Unicode's compatibility form (NFKC), in lower case, of which letters with
their marks and digits are kept. Its tokens are words; in scripts that are written without spaces
(Han, kana, Thai, Lao, Khmer, Burmese) every character is one. A run of tokens is the letters of so
many tokens in a row, whatever stood between them.

The one rule: a run's hash depends on its letters alone, so equal runs are found by equal hashes in
any text, batch and process.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Characters of a block: what the arrays made of it take stays in the cache of a core or near it.
BLOCK_CHARACTERS: Final = 2**18
# Of a longer text the beginning counts: a book.
MAX_CHARACTERS: Final = 2**20

_OTHER, _LETTER, _ALONE, _END, _UNKNOWN = range(5)
# First and last code points of scripts without spaces, their signs and marks included.
_ALONE_BLOCKS: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # kana
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_SEPARATOR: Final = "\0"
# An odd factor has an inverse modulo 2**64; from splitmix64 (Steele et al. 2014), as the mix is.
_FACTOR: Final = 0x9E3779B97F4A7C15
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))

Hashes32 = NDArray[np.uint32]
Places = NDArray[np.int64]

_classes = np.full(0x110000, _UNKNOWN, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Reduced:
    """Some texts reduced to letters, one after another: N texts, K tokens, L letters.

    Attributes:
        letter_ends: Where each text's letters end, shape [N].
        token_ends: Where each text's tokens end, shape [N].
        tokens: Where each token's letters begin, and the end of the last, shape [K + 1].
        sums: Running sums of the letters' hashes, shape [L + 1].
    """

    letter_ends: Places
    token_ends: Places
    tokens: Places
    sums: NDArray[np.uint64]

    @property
    def n_letters(self) -> Places:
        """Letters of each text, shape [N]."""
        return np.diff(self.letter_ends, prepend=0)

    @property
    def n_tokens(self) -> Places:
        """Tokens of each text, shape [N]."""
        return np.diff(self.token_ends, prepend=0)

    def whole(self) -> NDArray[np.uint64]:
        """A hash of all letters of each text, shape [N]."""
        begins = self.letter_ends - self.n_letters
        return _hashes(self.sums, begins, self.letter_ends)

    def letter_runs(self, n: int, texts: NDArray[np.bool_]) -> tuple[Places, Hashes32]:
        """Runs of `n` letters of the chosen texts, repetitions included: texts and hashes, [R]."""
        begins = self.letter_ends - self.n_letters
        of, places = _runs(begins, self.letter_ends, n, texts)
        return of, _short(_hashes(self.sums, places, places + n))

    def token_runs(self, n: int, texts: NDArray[np.bool_]) -> tuple[Places, Hashes32]:
        """Runs of `n` tokens of the chosen texts, repetitions included: texts and hashes, [R]."""
        begins = self.token_ends - self.n_tokens
        of, places = _runs(begins, self.token_ends, n, texts)
        return of, _short(_hashes(self.sums, self.tokens[places], self.tokens[places + n]))


def blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in lists of about `BLOCK_CHARACTERS`, each cut to `MAX_CHARACTERS`."""
    block: list[str] = []
    n_characters = 0
    for text in texts:
        if len(text) > MAX_CHARACTERS:
            text = text[:MAX_CHARACTERS]
        block.append(text)
        n_characters += len(text) + 1
        if n_characters >= BLOCK_CHARACTERS:
            yield block
            block, n_characters = [], 0
    if block:
        yield block


def reduced(texts: Sequence[str]) -> Reduced:
    """The texts, N of them, reduced to letters."""
    plain = [text if text.isascii() else unicodedata.normalize("NFKC", text) for text in texts]
    joined = _SEPARATOR.join(plain) + _SEPARATOR
    if joined.count(_SEPARATOR) > len(texts):
        joined = _SEPARATOR.join(text.replace(_SEPARATOR, " ") for text in plain) + _SEPARATOR
    points = np.frombuffer(joined.lower().encode("utf-32-le", "replace"), dtype="<u4")
    classes = _classes_of(points)
    kept = (classes == _LETTER) | (classes == _ALONE)
    begins = kept.copy()  # a token begins at all of these but letters after letters
    begins[1:] &= (classes[1:] != _LETTER) | (classes[:-1] != _LETTER)
    ends = np.flatnonzero(classes == _END)
    n_kept = np.cumsum(kept)
    letters = points[kept].astype(np.uint64)
    sums = np.zeros(len(letters) + 1, dtype=np.uint64)
    np.cumsum(_mixed(letters) * _powers(len(letters))[0][: len(letters)], out=sums[1:])
    return Reduced(
        letter_ends=n_kept[ends],
        token_ends=np.cumsum(begins)[ends],
        tokens=np.append(n_kept[begins] - 1, len(letters)),
        sums=sums,
    )


def _runs(begins: Places, ends: Places, n: int, texts: NDArray[np.bool_]) -> tuple[Places, Places]:
    """Text and place of every run of `n` between `begins` and `ends` of the chosen texts."""
    counts = np.where(texts, np.maximum(ends - begins - n + 1, 0), 0)
    of = np.repeat(np.arange(len(counts)), counts)
    firsts = np.cumsum(counts) - counts
    return of, np.arange(len(of)) + np.repeat(begins - firsts, counts)


def _hashes(sums: NDArray[np.uint64], begins: Places, ends: Places) -> NDArray[np.uint64]:
    # the sum over letters x of mix(x) * factor**place, times factor**-begin: free of the place
    inverse = _powers(len(sums))[1]
    return _mixed((sums[ends] - sums[begins]) * inverse[begins])


def _short(hashes: NDArray[np.uint64]) -> Hashes32:
    return (hashes >> np.uint64(32)).astype(np.uint32)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of splitmix64: a bijection in which every bit depends on every bit."""
    mixed = values + np.uint64(_FACTOR)
    mixed ^= mixed >> np.uint64(30)
    mixed *= _MIX[0]
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MIX[1]
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _powers(n: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Powers 0 to at least n - 1 of the factor and of its inverse, modulo 2**64."""
    return _powers_of_two_many(max(2 * BLOCK_CHARACTERS, 1 << max(n - 1, 1).bit_length()))


@lru_cache(maxsize=2)
def _powers_of_two_many(n: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    both = []
    for factor in (_FACTOR, pow(_FACTOR, -1, 2**64)):
        steps = np.full(n, factor, dtype=np.uint64)
        steps[0] = 1
        both.append(np.cumprod(steps))
    return both[0], both[1]


def _classes_of(points: NDArray[np.uint32]) -> NDArray[np.uint8]:
    found = _classes[points]
    unknown = found == _UNKNOWN
    if unknown.any():
        for point in np.unique(points[unknown]).tolist():
            _classes[point] = _class_of(point)
        found = _classes[points]
    return found


def _class_of(point: int) -> int:
    if point == ord(_SEPARATOR):
        return _END
    if unicodedata.category(chr(point))[0] not in "LMN":
        return _OTHER
    alone = any(first <= point <= last for first, last in _ALONE_BLOCKS)
    return _ALONE if alone else _LETTER
