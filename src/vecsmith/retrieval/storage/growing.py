"""Rows that were added and are not saved yet: arrays and ids that grow at their end.

The one rule: what a reader has got hold of is never changed. Rows are written behind the end that
it knows, into room that is doubled when it is full; deleting makes a new mask.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.retrieval.searching import Segment
from vecsmith.retrieval.storage.ids import IdKind, Ids
from vecsmith.retrieval.storage.segments import Arrays, Layout, array_names, derived

_FIRST_ROOM = 64


class GrowingArray:
    """An array that rows are appended to."""

    def __init__(self, dtype: np.dtype[Any], dim: int | None = None, *, room: int = 0) -> None:
        """Begins without rows.

        Args:
            dtype: Of the values.
            dim: Values in a row; None for an array of one axis.
            room: Rows that there will be, if that is known.
        """
        self._tail = () if dim is None else (dim,)
        self._room = np.empty((max(room, _FIRST_ROOM), *self._tail), dtype=dtype)
        self._n = 0

    def write(self, rows: NDArray[Any]) -> None:
        """Appends rows."""
        n = self._n + len(rows)
        if n > len(self._room):
            room = np.empty((max(n, 2 * len(self._room)), *self._tail), dtype=self._room.dtype)
            room[: self._n] = self._room[: self._n]
            self._room = room
        self._room[self._n : n] = rows
        self._n = n

    @property
    def array(self) -> NDArray[Any]:
        """The rows up to now; later ones do not change it."""
        view = self._room[: self._n]
        view.flags.writeable = False
        return view


class _GrowingIds:
    """Ids of the first `n` rows of those that grow; `Ids` for rows that are still coming."""

    def __init__(
        self, kind: IdKind, items: list[Any], rows: dict[Any, int], before: list[int], n: int
    ) -> None:
        self.kind: IdKind = kind
        self._items = items
        self._rows = rows
        self._before = before
        self._n = n

    def __len__(self) -> int:
        return self._n

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Ids of rows, as `Ids.take`."""
        none = -1 if self.kind == "int" else None
        found = [self._items[row] if row >= 0 else none for row in rows.reshape(-1).tolist()]
        taken = np.empty(rows.shape, dtype=np.int64 if self.kind == "int" else object)
        taken.reshape(-1)[:] = found
        return taken

    def rows_of(self, ids: NDArray[np.int64] | Sequence[str]) -> NDArray[np.int64]:
        """Row of each id, the last of these that it was given, -1 where there is none."""
        items = ids.tolist() if isinstance(ids, np.ndarray) else ids
        return np.array([self._row(item) for item in items], dtype=np.int64)

    def _row(self, item: Any) -> int:
        row = self._rows.get(item, -1)
        while row >= self._n:  # given since: rows may be added while one looks
            row = self._before[row]
        return row

    def settled(self) -> Ids:
        """The same ids as arrays, as they are saved."""
        items = self._items[: self._n]
        return Ids.of(np.array(items, dtype=np.int64) if self.kind == "int" else items)


class Tail:
    """The rows that were added since the index was opened or saved; one thread at a time."""

    def __init__(self, layout: Layout, kind: IdKind) -> None:
        self._layout = layout
        self._kind: IdKind = kind
        self._items: list[Any] = []
        self._rows: dict[Any, int] = {}
        self._before: list[int] = []  # row of the same id before this one
        self._arrays: Mapping[str, GrowingArray] = {
            name: GrowingArray(dtype, dim) for name, (dtype, dim) in array_names(layout).items()
        }

    def __len__(self) -> int:
        return len(self._items)

    def add(self, blocks: Sequence[FloatArray], ids: NDArray[np.int64] | Sequence[str]) -> None:
        """Appends rows; ids may have been there before, in rows deleted since."""
        made = [derived(self._layout, block) for block in blocks]  # all, before one is taken in
        for arrays in made:
            for name, array in arrays.items():
                self._arrays[name].write(array)
        items = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        # in this order: a row that an id leads to has to be there for whoever looks meanwhile
        self._before.extend(self._rows.get(item, -1) for item in items)
        first = len(self._items)
        self._items.extend(items)
        self._rows.update(zip(items, itertools.count(first), strict=False))

    def segment(self, alive: NDArray[np.bool_] | None) -> Segment:
        """The rows up to now."""
        arrays = {name: growing.array for name, growing in self._arrays.items()}
        ids = _GrowingIds(self._kind, self._items, self._rows, self._before, len(self))
        return Segment(Arrays(self._layout, arrays), ids, alive)
