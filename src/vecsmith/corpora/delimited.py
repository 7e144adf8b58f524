"""Rows of CSV and TSV files with a header.

The one rule: every row has as many fields as the header; one that has not is an error, because
what it would give is text from another column.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vecsmith.corpora.files import DataFile
from vecsmith.corpora.lines import Stream, opened, without_mark
from vecsmith.corpora.rows import Limits, Position, Rows, column_index
from vecsmith.errors import FormatError


def read_delimited(
    file: DataFile, columns: Sequence[str] | None, start: Position | None, limits: Limits
) -> Iterator[Rows]:
    """Rows of a CSV or TSV file; lines with nothing on them are passed over.

    Raises:
        FormatError: If it is not what its name says; the message names the line.
    """
    with opened(file) as stream:
        fields = _Fields(stream, limits)
        header = fields.next_row()
        if header is None:
            return
        names = tuple(header if columns is None else columns)
        places = [column_index(header, name, file.name) for name in names]
        if start:
            fields.go_on(start)
        row = start.get("row", 0) if start else 0
        while True:
            values: list[list[str]] = []
            numbers: list[int] = []
            n_characters, n_mended = 0, fields.n_mended
            while len(values) < limits.max_rows and n_characters < limits.max_bytes:
                found = fields.next_row()
                if found is None:
                    break
                if len(found) != len(header):
                    raise FormatError(_ragged(file, fields.line, found, header))
                values.append([found[place] for place in places])
                numbers.append(fields.line)
                n_characters += sum(map(len, values[-1]))
            if not values:
                return
            yield Rows(
                columns={name: [v[i] for v in values] for i, name in enumerate(names)},
                n_rows=len(values),
                first_row=row,
                position={"offset": fields.offset, "line": fields.line, "row": row + len(values)},
                origin=file.name,
                unit="line",
                numbers=numbers,
                n_mended=fields.n_mended - n_mended,
                n_bytes_read=stream.n_bytes_read(fields.offset),
            )
            row += len(values)


def delimited_columns(file: DataFile, limits: Limits) -> tuple[str, ...]:
    """Names in the header, none of an empty file.

    Raises:
        FormatError: If the header is broken.
    """
    with opened(file) as stream:
        return tuple(_Fields(stream, limits).next_row() or ())


def _ragged(file: DataFile, line: int, found: Sequence[str], header: Sequence[str]) -> str:
    return (
        f"{file.name}: line {line}: {len(found)} fields, expected {len(header)} as in the header; "
        "put fields that hold a separator in quotes"
    )


class _Fields:
    """Fields of a file, row by row.

    Attributes:
        offset: Unpacked bytes used.
        line: Lines used.
        n_mended: Lines among them that had broken bytes.
    """

    def __init__(self, stream: Stream, limits: Limits) -> None:
        self.offset = self.line = self.n_mended = 0
        self._stream = stream
        self._row_bytes = self._row_line = 0  # of the row that is being read
        # the csv module's own limit is 128 KiB, and the whole process's
        self._most = min(limits.max_line_bytes or 2**31 - 1, 2**31 - 1)
        self._rows = csv.reader(
            self._lines(), delimiter="\t" if stream.file.format == "tsv" else ",", strict=True
        )

    def go_on(self, start: Position) -> None:
        """Moves to where an earlier reading was."""
        self._stream.unpacked.seek(start["offset"])
        self.offset, self.line = start["offset"], start["line"]

    def next_row(self) -> list[str] | None:
        """The next row that is not an empty line; None at the end."""
        while True:
            first = self._row_line = self.line + 1
            self._row_bytes = 0
            try:
                with _field_limit(self._most):
                    row = next(self._rows, None)
            except csv.Error as error:
                file = self._stream.file
                begun = f" in the row that starts at line {first}" if self.line > first else ""
                raise FormatError(
                    f"{file.name}: line {self.line}: {error}{begun}, expected {file.format} with a "
                    "header, quotes doubled inside quotes"
                ) from error
            if row or row is None:
                return row

    def _lines(self) -> Iterator[str]:
        # csv takes no more lines than it needs, so `offset` is where its next row begins
        while line := self._stream.unpacked.readline(self._most + 1):
            self.line += 1
            if len(line) > self._most:
                raise FormatError(
                    f"{self._stream.file.name}: line {self.line} is longer than {self._most} "
                    "bytes, expected one row a line"
                )
            self._row_bytes += len(line)
            if self._row_bytes > self._most:
                raise FormatError(
                    f"{self._stream.file.name}: line {self.line}: the row that starts at line "
                    f"{self._row_line} has more than {self._most} bytes, expected a shorter one; a "
                    "quote may be open there"
                )
            if self.offset == 0:
                self.offset = len(line)
                line = without_mark(line, self._stream.file)
            else:
                self.offset += len(line)
            try:
                text = line.decode()
            except UnicodeDecodeError:
                text = line.decode("utf-8", "replace")
                self.n_mended += 1
            yield text


@contextmanager
def _field_limit(most: int) -> Iterator[Any]:
    """Lets the csv module read long texts; its limit is the process's, so it is put back."""
    before = csv.field_size_limit(most)
    try:
        yield
    finally:
        csv.field_size_limit(before)
