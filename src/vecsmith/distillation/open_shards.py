"""Shards of a teacher's pass by number, the few used last kept open.

The one rule: an open shard is an open file, and systems allow a process some hundreds of those;
ten million texts are more shards than that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith.distillation.teacher_pass import Shard

MOST_OPEN: Final = 64


class NumberedShards(Protocol):
    """Texts as a teacher read them, in shards; `teacher_pass.TeacherPass` is one."""

    @property
    def shard_sizes(self) -> Sequence[int]:
        """Texts of each shard."""
        ...

    def shard(self, index: int) -> Shard:
        """Shard `index`, opened."""
        ...


class OpenShards:
    """Shards by number.

    Attributes:
        starts: Place of each shard's first text among all, and their number, int64 [n + 1].
    """

    def __init__(self, passed: NumberedShards, *, most_open: int = MOST_OPEN) -> None:
        """Opens none yet."""
        self.starts = np.concatenate([[0], np.cumsum(passed.shard_sizes)]).astype(np.int64)
        self._passed = passed
        self._most = most_open
        self._open: OrderedDict[int, Shard] = OrderedDict()

    @property
    def n_texts(self) -> int:
        """Texts of all shards."""
        return int(self.starts[-1])

    def groups(self, places: NDArray[np.int64]) -> Iterator[tuple[Shard, NDArray[np.int64]]]:
        """Each shard that has texts at ascending `places` [N], and which of its own they are.

        Only copies of its arrays may outlive a turn: a view would keep the file open.
        """
        bounds = np.searchsorted(places, self.starts)
        for i in np.flatnonzero(np.diff(bounds)).tolist():
            yield self._shard(i), places[bounds[i] : bounds[i + 1]] - self.starts[i]

    def _shard(self, index: int) -> Shard:
        if index in self._open:
            self._open.move_to_end(index)
        else:
            while len(self._open) >= self._most:
                self._open.popitem(last=False)
            self._open[index] = self._passed.shard(index)
        return self._open[index]


def tokens_of(
    shard: Shard, rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Ids of the texts at `rows` of a shard, copied, text after text, and how many each has."""
    begins, ends = shard.offsets[rows], shard.offsets[rows + 1]
    lists = [shard.ids[b:e] for b, e in zip(begins, ends, strict=True)]
    return np.concatenate(lists), ends - begins
