"""What a corpus is made of: a file, or a table in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vecsmith.corpora.arrow import arrow_facts, read_arrow_file, read_parquet
from vecsmith.corpora.delimited import delimited_columns, read_delimited
from vecsmith.corpora.files import DataFile
from vecsmith.corpora.lines import TEXT_COLUMN, json_columns, read_json_lines, read_lines
from vecsmith.corpora.rows import Limits, Position, Rows


class Part(Protocol):
    """Rows that lie together."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
        ...

    @property
    def n_bytes(self) -> int | None:
        """Its size on disk, None where it has none."""
        ...

    def columns(self) -> tuple[str, ...]:
        """Names of its columns."""
        ...

    def n_rows(self) -> int | None:
        """How many rows it has, None if that takes reading it."""
        ...

    def identity(self) -> dict[str, Any]:
        """What changes when the rows do; JSON."""
        ...

    def read(
        self, columns: Sequence[str] | None, start: Position | None, limits: Limits
    ) -> Iterator[Rows]:
        """Its rows, of `columns` or of all, after the position `start`."""
        ...


@dataclass(frozen=True, slots=True)
class FilePart:
    """The rows of a file.

    Attributes:
        file: The file.
    """

    file: DataFile

    @property
    def name(self) -> str:
        """Its path."""
        return self.file.name

    @property
    def n_bytes(self) -> int | None:
        """Its size."""
        return self.file.n_bytes

    def columns(self) -> tuple[str, ...]:
        """Names of its columns; of JSON Lines, those of the first hundred rows."""
        match self.file.format:
            case "txt":
                return (TEXT_COLUMN,)
            case "jsonl":
                return json_columns(self.file, Limits())
            case "csv" | "tsv":
                return delimited_columns(self.file, Limits())
            case "parquet" | "arrow":
                return arrow_facts(self.file)[0]

    def n_rows(self) -> int | None:
        """How many rows it has, None of text formats."""
        return arrow_facts(self.file)[1] if self.file.format in ("parquet", "arrow") else None

    def identity(self) -> dict[str, Any]:
        """Its path, size, time and ends, and how it is read."""
        return {**self.file.identity(), "format": self.file.format}

    def read(
        self, columns: Sequence[str] | None, start: Position | None, limits: Limits
    ) -> Iterator[Rows]:
        """Its rows, of `columns` or of all, after the position `start`.

        Raises:
            FormatError: If it is not what its name says; the message names the line or row.
        """
        return read_file(self.file, columns, start=start, limits=limits)


def read_file(
    file: DataFile,
    columns: Sequence[str] | None = None,
    *,
    start: Position | None = None,
    limits: Limits | None = None,
    absent_is_null: bool = True,
) -> Iterator[Rows]:
    """Rows of a file.

    Args:
        file: What to read.
        columns: Columns to read; None for all.
        start: `position` of the rows to go on after; None for the beginning.
        limits: How much to read at a time.
        absent_is_null: Whether an object of JSON Lines may lack a field.

    Raises:
        FormatError: If it is not what its name says; the message names the line or row.
    """
    limits = limits or Limits()
    match file.format:
        case "txt":
            return read_lines(file, columns, start, limits)
        case "jsonl":
            return read_json_lines(file, columns, start, limits, absent_is_null=absent_is_null)
        case "csv" | "tsv":
            return read_delimited(file, columns, start, limits)
        case "parquet":
            return read_parquet(file, columns, start, limits)
        case "arrow":
            return read_arrow_file(file, columns, start, limits)
