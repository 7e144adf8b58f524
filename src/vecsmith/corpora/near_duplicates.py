"""Which of many texts are nearly one of some: an exact search by shared runs.

Two texts are compared by their sets of runs, A and B. They are near duplicates if the share of
runs they have in common, |A and B| / |A or B| (Jaccard), is at least a threshold; or if A holds
at least another share of B's runs.

The one rule: nothing is sampled. A text with at least t|B| of B's runs lacks at most (1 - t)|B| of
them, so among any (1 - t)|B| + 1 of B's runs it has one: only B's rarest so many are looked up
(prefix filtering: Chaudhuri et al. 2006, Bayardo et al. 2007), and who is found is compared whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vecsmith.corpora.grams import Hashes32, Places

_N_HITS = 6  # rare runs to share before two sets are compared whole; measured
_MAX_PAIRS = 2**20  # compared at a time
_BITS_PER_RUN = 16  # of the table that sends most runs away: one of 16 strangers gets through
# Of a text whose rare runs are shared by so many, a template's, a few are compared first.
_CROWD, _FEW = 4096, 4
_LOW = np.uint64(0xFFFFFFFF)


Integers = NDArray[np.uint32] | NDArray[np.int64]


class RunSets:
    """Sets of runs, one for each of some texts, in which others are looked up.

    Attributes:
        threshold: Least Jaccard similarity of near duplicates.
        containment: Least share of a set's runs that a text must hold, where that is enough; None
            where it never is.
        sizes: Runs of each text, shape [N].
    """

    def __init__(
        self,
        of: Places,
        hashes: Hashes32,
        n_texts: int,
        *,
        threshold: float,
        containment: float | None = None,
    ) -> None:
        """Gathers the sets.

        Args:
            of: Text of each run, shape [R].
            hashes: Of the runs, repetitions included, shape [R].
            n_texts: How many texts N there are.
            threshold: Least Jaccard similarity of near duplicates.
            containment: Least share of a set's runs that a text must hold, if that is enough.
        """
        keys = _keys(of, hashes)
        self.threshold = threshold
        self.containment = containment
        self._hashes = (keys & _LOW).astype(np.uint32)
        self.sizes = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=n_texts)
        self._begins = np.cumsum(self.sizes) - self.sizes
        self._rare, self._rare_of, self._n_hits = self._rarest()
        n_bits = max(16, (_BITS_PER_RUN * len(self._rare)).bit_length())
        self._shift = np.uint32(max(0, 32 - n_bits))
        self._table = np.zeros(2 ** (min(32, n_bits) - 3), dtype=np.uint8)
        slots = self._rare >> self._shift
        np.bitwise_or.at(self._table, slots >> np.uint32(3), _bit(slots))

    @property
    def fewest_runs(self) -> int:
        """A text with fewer runs is like none of these."""
        sizes = self.sizes[self.sizes > 0]
        return int(self.threshold * sizes.min(initial=2**31)) if len(sizes) else 2**31

    def find(self, of: Places, hashes: Hashes32, n_texts: int) -> Places:
        """For each of M texts the place of one of these that it is like, or -1, shape [M].

        It is the nearest one, but for texts that share runs with thousands of these, where it is
        the first that is found.

        Args:
            of: Text of each run, shape [R].
            hashes: Of the runs, repetitions included, shape [R].
            n_texts: How many texts M there are.
        """
        found = np.full(n_texts, -1, dtype=np.int64)
        mine, begins, counts = self._rare_runs(of, hashes)
        if not len(mine):
            return found
        texts = _Texts(of, hashes, n_texts)
        crowded = np.bincount(mine, counts, minlength=n_texts)[mine] > _CROWD
        if crowded.any():
            few = np.minimum(counts, _FEW)[crowded]
            self._look(texts, mine[crowded], begins[crowded], few, found)
            left = found[mine] < 0
            mine, begins, counts = mine[left], begins[left], counts[left]
        for part in _whole_texts(mine, counts):
            self._look(texts, mine[part], begins[part], counts[part], found)
        return found

    def _rare_runs(self, of: Places, hashes: Hashes32) -> tuple[Places, Places, Places]:
        """Runs of texts that some of these have as a rare run: text, first place, how many."""
        slots = hashes >> self._shift
        passed = np.flatnonzero(self._table[slots >> np.uint32(3)] & _bit(slots))
        # neighbours in the table are looked for one after another: twice as fast
        keys, _ = _distinct(_joined(hashes[passed], of[passed]))
        wanted, mine = (keys >> np.uint64(32)).astype(np.uint32), (keys & _LOW).astype(np.int64)
        begins = np.searchsorted(self._rare, wanted, side="left")
        counts = np.searchsorted(self._rare, wanted, side="right") - begins
        order = np.argsort(mine, kind="stable")
        order = order[counts[order] > 0]
        return mine[order], begins[order], counts[order]

    def _look(
        self, texts: _Texts, mine: Places, begins: Places, counts: Places, found: Places
    ) -> None:
        """Compares texts with those whose rare runs they have, and writes down whom they are like.

        Args:
            texts: The texts.
            mine: Text of each of some distinct runs.
            begins: Where its places among the rare runs begin.
            counts: How many there are.
            found: Whom each text is like.
        """
        pairs = _joined(np.repeat(mine, counts), self._rare_of[_ranges(begins, counts)])
        keys, n_hits = _distinct(pairs)
        keys = keys[n_hits >= self._n_hits[(keys & _LOW).astype(np.int64)]]
        if not len(keys):
            return
        mine, theirs = (keys >> np.uint64(32)).astype(np.int64), (keys & _LOW).astype(np.int64)
        keys, sizes = texts.sets(mine)
        possible = sizes[mine] >= self.threshold * self.sizes[theirs]
        mine, theirs = mine[possible], theirs[possible]
        best = np.zeros(len(found))
        for part in _within(self.sizes[theirs], _MAX_PAIRS):
            a, b = mine[part], theirs[part]
            shared = self._n_shared(keys, a, b)
            likeness = shared / (sizes[a] + self.sizes[b] - shared)
            near = likeness >= self.threshold
            if self.containment is not None:
                near |= shared >= self.containment * self.sizes[b]
            a, b, likeness = a[near], b[near], likeness[near]
            order = np.argsort(likeness, kind="stable")  # the last one written is the nearest
            order = order[likeness[order] >= best[a[order]]]
            found[a[order]], best[a[order]] = b[order], likeness[order]

    def _rarest(self) -> tuple[Hashes32, NDArray[np.uint32], Places]:
        """Of each set the rarest runs, whose they are, and how many of them one like it has."""
        _, inverse, counts = np.unique(self._hashes, return_inverse=True, return_counts=True)
        of = np.repeat(np.arange(len(self.sizes)), self.sizes)
        order = np.argsort(_joined(of, counts[inverse].astype(np.uint32)), kind="stable")
        n_needed = np.maximum(np.floor(self.threshold * self.sizes).astype(np.int64), 1)
        n_hits = np.minimum(n_needed, _N_HITS)
        rank = np.arange(len(of)) - np.repeat(self._begins, self.sizes)
        rare = order[rank < np.repeat(self.sizes - n_needed + n_hits, self.sizes)]
        rare = rare[np.argsort(self._hashes[rare], kind="stable")]
        return self._hashes[rare], of[rare].astype(np.uint32), n_hits

    def _n_shared(self, keys: NDArray[np.uint64], mine: Places, theirs: Places) -> Places:
        """Runs that the texts of each pair share, shape [pairs]."""
        sizes = self.sizes[theirs]
        wanted = _joined(np.repeat(mine, sizes), self._hashes[_ranges(self._begins[theirs], sizes)])
        place = np.searchsorted(keys, wanted)
        place[place == len(keys)] = 0
        shared = np.concatenate([[0], np.cumsum(keys[place] == wanted)])
        ends = np.cumsum(sizes)
        counted: Places = shared[ends] - shared[ends - sizes]
        return counted


class _Texts:
    """Texts that are looked at, by their runs."""

    def __init__(self, of: Places, hashes: Hashes32, n_texts: int) -> None:
        self._of = of
        self._hashes = hashes
        self._n_texts = n_texts

    def sets(self, chosen: Places) -> tuple[NDArray[np.uint64], Places]:
        """Text and hash of each distinct run of the chosen texts, sorted, and runs of each text."""
        is_chosen = np.zeros(self._n_texts, dtype=np.bool_)
        is_chosen[chosen] = True
        rows = is_chosen[self._of]
        keys = _keys(self._of[rows], self._hashes[rows])
        sizes = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=self._n_texts)
        return keys, sizes


def _whole_texts(mine: Places, counts: Places) -> Iterator[slice]:
    """Parts of runs in order of their texts, each of whole texts and about `_MAX_PAIRS` in sum."""
    firsts = np.flatnonzero(np.diff(mine, prepend=-1))
    if not len(firsts):
        return
    ends = np.append(firsts[1:], len(mine))
    for part in _within(np.add.reduceat(counts, firsts), _MAX_PAIRS):
        yield slice(int(firsts[part.start]), int(ends[part.stop - 1]))


def _keys(of: Places, hashes: Hashes32) -> NDArray[np.uint64]:
    """Text and hash in one number, sorted, each once."""
    return _distinct(_joined(of, hashes))[0]


def _distinct(keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], Places]:
    """Distinct keys in ascending order, and how often each is there; sorts `keys` in place."""
    keys.sort()
    is_first = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    places = np.flatnonzero(is_first)
    return keys[places], np.diff(places, append=len(keys))


def _joined(high: Integers, low: Integers) -> NDArray[np.uint64]:
    joined: NDArray[np.uint64] = (high.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64)
    return joined


def _bit(slots: Hashes32) -> NDArray[np.uint8]:
    return np.left_shift(np.uint8(1), (slots & np.uint32(7)).astype(np.uint8))


def _ranges(begins: Places, counts: Places) -> Places:
    """The places begin, begin + 1, ... of each range, one range after another."""
    firsts = np.cumsum(counts) - counts
    places: Places = np.arange(int(counts.sum())) + np.repeat(begins - firsts, counts)
    return places


def _within(counts: Places, most: int) -> Iterator[slice]:
    """Parts of `counts`, each of at most `most` in sum or of one count."""
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        before = int(ends[first - 1]) if first else 0
        end = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(first, end)
        first = end
