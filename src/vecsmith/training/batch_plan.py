"""Which rows of a set stand together in a batch, so that no text stands there twice.

Rows that share a text with another row are bound, the others are free. A pass over the set is a
random order in which the rows of one text are spread evenly: of f such rows the i-th stands at
(i + u) / f of the way, u uniform, the free ones anywhere. Batches are cut from that order; a row
with a text that its batch already has waits for the next one.

One rule: a pass is a function of the seed and its number. It ends after as many batches as were
said before; rows still waiting then, or with a text that stands in more rows than there are
batches, are left out of that pass, other ones in each.

Measured with ten million pairs, a fifth of them bound: 3 s to find the shared texts and 500 MB
while it lasts, then 2 s for the order of a pass and 100 MB. A batch of 2048 takes 0.5 ms where few
rows are bound and 2 ms where all are; sets in which one text stands in half of the rows, or all
pairs of two lists of texts, are no worse.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecsmith.training.bag import Keys

Rows = NDArray[np.int64]
Texts = tuple[int, ...]
# Waiting rows asked for each row of a batch, before rows that follow in the order are taken
_MAX_TRIES: Final = 4
_BLOCK_ROWS: Final = 2**12


@dataclass(frozen=True, slots=True)
class SharedTexts:
    """The rows of a set that share a text with another row.

    Attributes:
        rows: Ascending, shape [R].
        texts: Numbers of the texts that each shares, -1 where a role shares none, [R, roles].
        heaviest: Of each row, the text that stands in the most rows, shape [R].
        counts: In how many rows each text is the heaviest, by number.
    """

    rows: Rows
    texts: NDArray[np.int32]
    heaviest: NDArray[np.int32]
    counts: NDArray[np.int64]

    def n_left_out(self, n_batches: int) -> int:
        """Rows that cannot stand in `n_batches` batches without a text twice in one."""
        return int(np.maximum(self.counts - n_batches, 0).sum())


def shared_texts(keys: Sequence[Keys]) -> SharedTexts:
    """The rows that share a text, whatever its role, by the keys of each role, [N] each."""
    repeated = _repeated(keys)
    texts = np.stack([_numbers(own, repeated) for own in keys], axis=1)
    rows = np.flatnonzero((texts >= 0).any(axis=1))
    texts = texts[rows]
    n_rows_with = np.bincount(texts[texts >= 0], minlength=len(repeated))
    loads = np.where(texts >= 0, n_rows_with[texts], 0)
    heaviest = np.take_along_axis(texts, loads.argmax(axis=1)[:, None], axis=1)[:, 0]
    counts = np.bincount(heaviest, minlength=len(repeated))
    return SharedTexts(rows, texts, heaviest, counts)


def n_batches_of(
    n_rows: int, batch_size: int, *, shared: SharedTexts | None, drop_last: bool
) -> int:
    """Batches that a pass over `n_rows` has.

    As many as the rows make, if texts repeat seldom enough; else as many as are at least half full
    on average, or full with `drop_last`.
    """
    most = n_rows // batch_size if drop_last else -(-n_rows // batch_size)
    if shared is None or most < 2:
        return most
    enough = batch_size if drop_last else batch_size / 2
    low, high = 1, most  # rows for each batch fall with the number of batches: halve the interval
    while low < high:
        middle = (low + high + 1) // 2
        if n_rows - shared.n_left_out(middle) >= middle * enough:
            low = middle
        else:
            high = middle - 1
    return low


def rows_of_pass(
    n_rows: int,
    *,
    n_batches: int,
    batch_size: int,
    shared: SharedTexts | None,
    generator: np.random.Generator,
) -> Iterator[Rows]:
    """The rows of each batch of one pass, one or more, `n_batches` times.

    Args:
        n_rows: Rows of the set.
        n_batches: From `n_batches_of`.
        batch_size: Most rows of a batch.
        shared: Rows that must not meet; None where any may.
        generator: Decides everything that is random.
    """
    if n_batches == 0:
        return iter(())
    if shared is not None and len(shared.rows):
        order = _spread_order(n_rows, n_batches, shared, generator)
        sizes = [batch_size] * n_batches
        if len(order) <= (n_batches - 1) * batch_size:  # texts repeat too often for full batches
            ends = [(i + 1) * len(order) // n_batches for i in range(n_batches)]
            sizes = [end - begin for begin, end in pairwise([0, *ends])]
        return _cut_apart(order, sizes, shared)
    order = generator.permutation(n_rows)
    return (order[i * batch_size : (i + 1) * batch_size] for i in range(n_batches))


def _spread_order(
    n_rows: int, n_batches: int, shared: SharedTexts, generator: np.random.Generator
) -> Rows:
    """Rows in the order in which batches take them, without those that are left out."""
    # each row at random in an interval of its own: then a batch's share of the order is even, and
    # so is its share of a text that stands in about as many rows as there are batches
    places = (generator.permutation(n_rows) + generator.random(n_rows)) / n_rows
    # sorted by text and at random within it: texts are whole numbers, what is drawn is below 1
    by_text = np.argsort(shared.heaviest + generator.random(len(shared.rows)))
    texts = shared.heaviest[by_text]
    firsts = np.concatenate([[0], np.cumsum(shared.counts)[:-1]])
    ranks = np.arange(len(texts)) - firsts[texts]
    strata = np.minimum(shared.counts, n_batches)[texts]
    along = (ranks + generator.random(len(texts))) / strata
    along[ranks >= n_batches] = 2.0  # behind all others
    places[shared.rows[by_text]] = along
    return np.argsort(places)[: n_rows - shared.n_left_out(n_batches)]


def _cut_apart(order: Rows, sizes: Sequence[int], shared: SharedTexts) -> Iterator[Rows]:
    """Batches of at most these sizes from rows of `order`, in which no text stands twice."""
    rows_with_texts = _with_texts(order, shared)
    waiting: deque[tuple[int, Texts]] = deque()
    n_taken = 0
    for i, batch_size in enumerate(sizes):
        used: set[int] = set()
        rows = _from_waiting(waiting, batch_size, used)
        # A batch looks no further than where the next one would end: one that lacks a single text
        # must not search the whole order for it, nor make all the rows between wait.
        n_ahead = (i + 1) * len(order) // len(sizes) + batch_size - n_taken
        for row, texts in islice(rows_with_texts, n_ahead if len(rows) < batch_size else 0):
            n_taken += 1
            if used.isdisjoint(texts):
                used.update(texts)
                rows.append(row)
                if len(rows) == batch_size:
                    break
            else:
                waiting.append((row, texts))
        yield np.array(rows, dtype=np.int64)


def _with_texts(order: Rows, shared: SharedTexts) -> Iterator[tuple[int, Texts]]:
    """The rows of `order` with numbers of their texts; texts that no other row has are below 0."""
    n_roles = shared.texts.shape[1]
    for first in range(0, len(order), _BLOCK_ROWS):
        rows = order[first : first + _BLOCK_ROWS]
        places = np.minimum(np.searchsorted(shared.rows, rows), len(shared.rows) - 1)
        bound = shared.rows[places] == rows
        own = -1 - np.arange(first * n_roles, (first + len(rows)) * n_roles).reshape(-1, n_roles)
        texts = shared.texts[places[bound]]
        own[bound] = np.where(texts >= 0, texts, own[bound])
        # tuples that are gone at once; lists for a whole block would wake the garbage collector
        yield from zip(rows.tolist(), zip(*own.T.tolist(), strict=True), strict=True)


def _from_waiting(waiting: deque[tuple[int, Texts]], batch_size: int, used: set[int]) -> list[int]:
    """Rows that waited and can stand together, the longest waiting first."""
    rows: list[int] = []
    for _ in range(min(len(waiting), _MAX_TRIES * batch_size)):
        row, texts = waiting.popleft()
        if used.isdisjoint(texts):
            used.update(texts)
            rows.append(row)
            if len(rows) == batch_size:
                break
        else:
            waiting.append((row, texts))
    return rows


def _repeated(keys: Sequence[Keys]) -> Keys:
    """Keys that occur more than once, ascending."""
    ordered = np.sort(np.concatenate(keys))
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _numbers(keys: Keys, repeated: Keys) -> NDArray[np.int32]:
    """Place of each key in `repeated`, -1 for one that is not there.

    Keys are spread evenly over 64 bits: their first bits say nearly where they would stand. A
    binary search of ten million keys among a million takes twenty times as long.
    """
    n_bits = max(1, len(repeated).bit_length())
    shift = np.uint64(64 - n_bits)
    buckets = np.arange(2**n_bits, dtype=np.uint64) << shift
    starts = np.searchsorted(repeated, buckets).astype(np.int32)
    numbers = np.full(len(keys), -1, dtype=np.int32)
    asked = np.arange(len(keys))
    places = starts[keys >> shift]
    while len(asked):
        inside = places < len(repeated)
        asked, places = asked[inside], places[inside]
        found = repeated[places]
        wanted = keys[asked]
        equal = found == wanted
        numbers[asked[equal]] = places[equal]
        before = found < wanted
        asked, places = asked[before], places[before] + np.int32(1)
    return numbers
