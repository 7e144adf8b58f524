"""Rows that are in memory already: a sequence of texts, tuples or objects, or columns by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vecsmith.corpora.hashing import content_hash
from vecsmith.corpora.rows import Limits, Position, Rows, kind_of, mended

_HEAD_ROWS = 100


class SequencePart:
    """A sequence of texts, of tuples or of objects.

    Attributes:
        name: What to call it in messages.
        n_bytes: Unknown, so None.
    """

    n_bytes: int | None = None

    def __init__(self, rows: Sequence[Any], name: str = "the rows given") -> None:
        """Takes the rows as they are.

        Raises:
            TypeError: If they are of no kind that has columns.
        """
        self.name = name
        self._rows = rows
        self._columns = _columns_of(rows)

    def columns(self) -> tuple[str, ...]:
        """Names of the columns: keys of the first hundred objects; "0", "1", ... of tuples."""
        return self._columns

    def n_rows(self) -> int | None:
        """How many rows there are."""
        return len(self._rows)

    def identity(self) -> dict[str, Any]:
        """A hash of all rows."""
        return {"columns": list(self._columns), "content": content_hash(self)}

    def read(
        self, columns: Sequence[str] | None, start: Position | None, limits: Limits
    ) -> Iterator[Rows]:
        """The rows, some at a time.

        Raises:
            TypeError: If a row is of another kind than the first.
            ValueError: If a tuple is longer or shorter than the first.
        """
        names = self._columns if columns is None else tuple(columns)
        first = start["row"] if start else 0
        for begin in range(first, len(self._rows), limits.max_rows):
            chunk = self._rows[begin : begin + limits.max_rows]
            values = self._values(chunk, names, begin)
            n_mended = sum(_mend(column) for column in values.values())
            yield Rows(
                columns=values,
                n_rows=len(chunk),
                first_row=begin,
                position={"row": begin + len(chunk)},
                origin=self.name,
                unit="row",
                numbers=range(begin + 1, begin + len(chunk) + 1),
                n_mended=n_mended,
            )

    def _values(self, rows: Sequence[Any], names: Sequence[str], first: int) -> dict[str, Any]:
        kind = _kind(self._rows[0])
        for i, row in enumerate(rows, first + 1):
            if not isinstance(row, kind):
                raise TypeError(
                    f"{self.name}: row {i} is {kind_of(row)}, expected {kind_of(self._rows[0])} "
                    "as the first row is"
                )
        if kind is str:
            return {name: [str(row) for row in rows] for name in names}
        if kind is Mapping:
            return {name: [row.get(name) for row in rows] for name in names}
        for i, row in enumerate(rows, first + 1):
            if len(row) != len(self._columns):
                raise ValueError(
                    f"{self.name}: row {i} has {len(row)} values, expected "
                    f"{len(self._columns)} as in the first row"
                )
        return {name: [row[int(name)] for row in rows] for name in names}


def _mend(values: list[Any]) -> int:
    """Takes half characters out of texts, in place; how many had them."""
    n_mended = 0
    for i, value in enumerate(values):
        if isinstance(value, str) and not value.isascii():
            values[i], was_broken = mended(value)
            n_mended += was_broken
    return n_mended


def _columns_of(rows: Sequence[Any]) -> tuple[str, ...]:
    if not len(rows):
        return ()
    kind = _kind(rows[0])
    if kind is str:
        return ("text",)
    if kind is Mapping:
        names: dict[str, None] = {}
        for row in rows[:_HEAD_ROWS]:
            if isinstance(row, Mapping):
                names.update(dict.fromkeys(row))
        return tuple(names)
    return tuple(str(i) for i in range(len(rows[0])))


def _kind(row: Any) -> Any:
    for kind in (str, Mapping, tuple, list):
        if isinstance(row, kind):
            return kind
    raise TypeError(
        f"row 1 is {kind_of(row)}, expected a text, a tuple of texts or an object with columns"
    )
