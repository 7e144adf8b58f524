"""Some rows of a table, and where the next ones start.

The one rule: where rows are cut depends only on what follows the place where reading starts, so
reading that starts again there gives the same rows as reading that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from vecsmith.errors import FormatError

# JSON: what `start` takes to go on after some rows
Position = Mapping[str, Any]

# Enough to keep every core busy for a few milliseconds, few enough to hold ten times over.
MAX_ROWS: Final = 2**15
MAX_BYTES: Final = 8 * 2**20
# A book is 1 MB; longer is a file of another format, or one that was made to fill the memory.
MAX_LINE_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is read at a time.

    Attributes:
        max_rows: Most rows given at once.
        max_bytes: Bytes to gather before rows are given; one longer row is given alone.
        max_line_bytes: Longest line or text that is read; None for any.
    """

    max_rows: int = MAX_ROWS
    max_bytes: int = MAX_BYTES
    max_line_bytes: int | None = MAX_LINE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows, column by column.

    Attributes:
        columns: Values by column, N each; absent values are None.
        n_rows: How many, N.
        first_row: Place of the first among all that the reader gives, from 0.
        position: What `start` takes to go on after them.
        origin: File or data set they are of.
        unit: What `numbers` count.
        numbers: Of each row in its origin, from 1, shape [N].
        n_mended: Values among them that had broken characters, each now U+FFFD.
        n_bytes_read: Bytes of the origin read so far, compressed ones if it is.
    """

    columns: Mapping[str, list[Any]]
    n_rows: int
    first_row: int
    position: Position
    origin: str
    unit: Literal["line", "row"]
    numbers: Sequence[int]
    n_mended: int = 0
    n_bytes_read: int = 0

    def where(self, i: int) -> str:
        """Name and place of row `i` of these, for an error about it."""
        return f"{self.origin}: {self.unit} {self.numbers[i]}"

    def chosen(self, places: Sequence[int], columns: Sequence[str]) -> Rows:
        """The rows at `places`, of the columns `columns`."""
        picked = {name: [self.columns[name][i] for i in places] for name in columns}
        return replace(
            self, columns=picked, n_rows=len(places), numbers=[self.numbers[i] for i in places]
        )


def column_index(header: Sequence[str], column: str, origin: str) -> int:
    """Place of `column` in a header that must have it once.

    Raises:
        FormatError: If it is not there, or there twice.
    """
    places = [place for place, name in enumerate(header) if name == column]
    if len(places) != 1:
        found = "twice or more" if places else "absent"
        raise FormatError(
            f"{origin}: column {column!r} is {found} among {listed(header)}, expected it once; "
            "name another column"
        )
    return places[0]


def listed(names: Sequence[str] | Mapping[str, Any], most: int = 12) -> str:
    """Names for a message."""
    shown = ", ".join(repr(name) for name in list(names)[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "") or "none"


def absent_column(
    name: str, column: str, columns: Sequence[str], *, remedy: str = "name another with column"
) -> str:
    """What to say of a column that a table does not have.

    Args:
        name: Of the table.
        column: That is asked for.
        columns: Those there are.
        remedy: What to do where there are others.
    """
    if not columns:
        return f"{name}: no rows, expected some with the column {column!r}; the file is empty"
    return f"{name}: column {column!r} is absent, expected one of {listed(columns)}; {remedy}"


def kind_of(value: object) -> str:
    """What a value is, for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return "a string" if isinstance(value, str) else f"of type {type(value).__name__}"


def mended(text: str) -> tuple[str, bool]:
    """A text without half characters, each now U+FFFD, and whether there were any."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), True
    return text, False
