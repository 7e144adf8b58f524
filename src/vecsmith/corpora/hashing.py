"""Hashes of texts, and which of them were seen before.

The one rule: the same text has the same hash on every machine and in every run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecsmith.corpora.rows import Limits

if TYPE_CHECKING:
    from vecsmith.corpora.parts import Part


def text_hashes(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Of each text 64 bits of BLAKE2b, shape [N]; two of ten million collide once in 400,000."""
    # half characters are told from each other and from a question mark
    coded = (text.encode("utf-8", "surrogatepass") for text in texts)
    raw = b"".join([blake2b(each, digest_size=8).digest() for each in coded])
    return np.frombuffer(raw, dtype="<u8").astype(np.uint64)


def content_hash(part: Part) -> str:
    """A hash of all columns and rows of `part`, whatever it keeps them in.

    Raises:
        TypeError: If a value has no spelling that is the same in every run.
    """
    digest = blake2b(digest_size=16)
    names = part.columns()
    for rows in part.read(None, None, Limits()):
        columns = [rows.columns[name] for name in names]
        digest.update(json.dumps(columns, default=_spelling).encode())
    return digest.hexdigest()


def _spelling(value: object) -> str:
    """A value that JSON does not know, as text."""
    text = repr(value)
    if " at 0x" in text:  # an address, another one in every run
        raise TypeError(
            f"a value is {text:.80}, expected texts, numbers and dates: it has no spelling by "
            "which the rows could be known again; leave its column out"
        )
    return text


class SeenHashes:
    """A set of 64-bit hashes in 8 bytes each, 16 while two parts of it are merged."""

    def __init__(self) -> None:
        # sorted arrays, each at most half of the one before: adding costs O(log n) a hash
        self._sorted: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        return sum(map(len, self._sorted))

    def add(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Adds hashes [N]; which of them were not there before, the first of equal ones, [N]."""
        unique, first = np.unique(hashes, return_index=True)
        is_new = np.ones(len(unique), dtype=np.bool_)
        for there in self._sorted:
            place = np.searchsorted(there, unique)
            place[place == len(there)] = 0
            is_new &= there[place] != unique
        added = np.zeros(len(hashes), dtype=np.bool_)
        added[first[is_new]] = True
        self._insert(unique[is_new])
        return added

    def _insert(self, hashes: NDArray[np.uint64]) -> None:
        while self._sorted and len(self._sorted[-1]) <= 2 * len(hashes):
            hashes = np.concatenate([self._sorted.pop(), hashes])
            hashes.sort(kind="stable")  # merges what is sorted already
        if len(hashes):
            self._sorted.append(hashes)
