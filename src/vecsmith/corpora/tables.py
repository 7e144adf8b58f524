"""Tables in memory: of pyarrow, and of whatever shows itself as one (pandas, polars, ...)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vecsmith._extras import require
from vecsmith.corpora.arrow import rows_of_batches
from vecsmith.corpora.hashing import content_hash
from vecsmith.corpora.rows import Limits, Position, Rows


class TablePart:
    """An Arrow table.

    Attributes:
        name: What to call it in messages.
        n_bytes: None: it is on no disk.
    """

    n_bytes: int | None = None

    def __init__(self, table: Any, name: str = "the table given") -> None:
        self.name = name
        self._table = table

    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._table.column_names)

    def n_rows(self) -> int | None:
        """How many rows there are."""
        return int(self._table.num_rows)

    def identity(self) -> dict[str, Any]:
        """A hash of all rows."""
        return {"columns": list(self.columns()), "content": content_hash(self)}

    def read(
        self, columns: Sequence[str] | None, start: Position | None, limits: Limits
    ) -> Iterator[Rows]:
        """The rows, some at a time."""
        names = self.columns() if columns is None else tuple(columns)
        done = start["row"] if start else 0
        batches = self._batches(names, done, limits.max_rows)
        yield from rows_of_batches(batches, names, self.name, done, limits)

    def _batches(self, names: Sequence[str], done: int, max_rows: int) -> Iterator[tuple[int, Any]]:
        row = done
        for batch in self._table.select(list(names)).slice(done).to_batches(max_rows):
            yield row, batch
            row += len(batch)


def table_part(source: Any) -> TablePart | None:
    """The table that `source` shows itself as; None if it does not.

    Raises:
        TypeError: If it is a mapping and a column of it is a text.
        ValueError: If it is a mapping of columns of unlike lengths.
    """
    if isinstance(source, Mapping) or hasattr(source, "__arrow_c_stream__"):
        pa = require("pyarrow", extra="data", purpose="read tables")
        if not isinstance(source, Mapping):
            return TablePart(pa.table(source))
        for name, values in source.items():
            if isinstance(values, str | bytes):
                raise TypeError(
                    f"column {name!r} is one text, expected a list of them, such as "
                    f"{{{name!r}: [{values!r:.40}]}}"
                )
        columns = {str(name): list(values) for name, values in source.items()}
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns have lengths {lengths}, expected one length")
        try:
            return TablePart(pa.table(columns))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(f"columns of mixed types, expected one in each: {error}") from error
    return None
