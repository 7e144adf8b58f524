"""Rows of Parquet files, Arrow files and Arrow tables.

The one rule: a file is untrusted: what is read is checked before a value is made of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np

from vecsmith._extras import require
from vecsmith.corpora.files import DataFile
from vecsmith.corpora.rows import Limits, Position, Rows, column_index
from vecsmith.errors import FormatError

# Rows that are decoded at a time. Few: a dictionary of long texts may make each row long, and what
# a file says of its sizes is not to be relied on.
_BATCH_ROWS = 256
_FILE_MAGIC = b"ARROW1"
_PURPOSE = "read Parquet and Arrow files"


def read_parquet(
    file: DataFile, columns: Sequence[str] | None, start: Position | None, limits: Limits
) -> Iterator[Rows]:
    """Rows of a Parquet file.

    Raises:
        FormatError: If it is not what its name says, or lacks a column.
    """
    parquet = require("pyarrow.parquet", extra="data", purpose=_PURPOSE)
    done = start["row"] if start else 0
    with arrow_errors(file), parquet.ParquetFile(file.path, pre_buffer=False) as opened:
        names = _names(columns, opened.schema_arrow.names, file.name)
        batches = _parquet_batches(opened, names, done)
        n_all, n_bytes = max(1, opened.metadata.num_rows), file.n_bytes or 0
        for rows in rows_of_batches(batches, names, file.name, done, limits):
            # bytes are not known per batch: told in proportion to the rows
            yield _with_bytes_read(rows, int(rows.position["row"] / n_all * n_bytes))


def _parquet_batches(opened: Any, names: Sequence[str], done: int) -> Iterator[tuple[int, Any]]:
    """Batches of the row groups that do not lie wholly before row `done`, and their first rows."""
    counts = [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
    ends = list(accumulate(counts))
    first = bisect_right(ends, done)
    row = ends[first - 1] if first else 0
    groups = range(first, len(counts))
    for batch in opened.iter_batches(_BATCH_ROWS, row_groups=list(groups), columns=list(names)):
        yield row, batch
        row += len(batch)


def read_arrow_file(
    file: DataFile, columns: Sequence[str] | None, start: Position | None, limits: Limits
) -> Iterator[Rows]:
    """Rows of a file of Arrow record batches: a file or a stream, as Arrow calls them.

    Raises:
        FormatError: If it is not what its name says, or lacks a column.
    """
    done = start["row"] if start else 0
    with arrow_errors(file), _opened_arrow(file) as (schema, batches):
        names = _names(columns, schema.names, file.name)
        numbered = ((row, batch.select(names)) for row, batch in _numbered(batches))
        yield from rows_of_batches(numbered, names, file.name, done, limits)


@contextmanager
def _opened_arrow(file: DataFile) -> Iterator[tuple[Any, Iterator[Any]]]:
    """Schema of an Arrow file, and its batches."""
    pa = require("pyarrow", extra="data", purpose=_PURPOSE)
    with pa.memory_map(str(file.path)) as mapped:
        is_file = mapped.read(len(_FILE_MAGIC)) == _FILE_MAGIC
        mapped.seek(0)
        if not is_file:
            with pa.ipc.open_stream(mapped) as stream:
                yield stream.schema, iter(stream)
            return
        with pa.ipc.open_file(mapped) as opened:
            batches = (opened.get_batch(i) for i in range(opened.num_record_batches))
            yield opened.schema, batches


def _numbered(batches: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    row = 0
    for batch in batches:
        yield row, batch
        row += len(batch)


def arrow_facts(file: DataFile) -> tuple[tuple[str, ...], int | None]:
    """Names of the columns of a Parquet or Arrow file, and its rows where it tells them.

    Raises:
        FormatError: If it is broken.
    """
    with arrow_errors(file):
        if file.format == "parquet":
            parquet = require("pyarrow.parquet", extra="data", purpose=_PURPOSE)
            with parquet.ParquetFile(file.path, pre_buffer=False) as opened:
                return tuple(opened.schema_arrow.names), opened.metadata.num_rows
        with _opened_arrow(file) as (schema, batches):
            return tuple(schema.names), sum(len(batch) for batch in batches)


def rows_of_batches(
    batches: Iterable[tuple[int, Any]],
    names: Sequence[str],
    origin: str,
    done: int,
    limits: Limits,
) -> Iterator[Rows]:
    """Rows of record batches, cut where they would be too many bytes.

    Args:
        batches: Record batches, each with the place of its first row.
        names: Columns to take; all must be there.
        origin: What they are of.
        done: Rows to pass over.
        limits: How much to give at a time.
    """
    gathered = _Gathered(names, origin)
    for row, batch in batches:
        skipped = min(len(batch), max(0, done - row))
        batch = batch.slice(skipped)
        ends = np.cumsum(_sizes(batch))
        first = 0
        while first < len(batch):
            before = int(ends[first - 1]) if first else 0
            room = before + limits.max_bytes - gathered.n_bytes
            end = int(np.searchsorted(ends, room, side="right"))
            end = min(end, first + limits.max_rows - gathered.n_rows)
            if end <= first and not gathered.n_rows:
                end = first + 1  # one longer row
            if end > first:
                n_bytes = int(ends[end - 1]) - before
                gathered.add(batch.slice(first, end - first), row + skipped + first, n_bytes)
                first = end
            if first < len(batch) or gathered.n_rows >= limits.max_rows:
                yield gathered.rows()
    if gathered.n_rows:
        yield gathered.rows()


class _Gathered:
    """Rows that will be given together."""

    def __init__(self, names: Sequence[str], origin: str) -> None:
        self._names = names
        self._origin = origin
        self._clear()

    def _clear(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in self._names}
        self._first_row = self._n_mended = 0
        self.n_rows = self.n_bytes = 0

    def add(self, batch: Any, row: int, n_bytes: int) -> None:
        """Adds a batch that begins at `row`, of about so many bytes."""
        if not self.n_rows:
            self._first_row = row
        for name, values in self._columns.items():
            found, n_mended = _values(batch.column(name))
            values += found
            self._n_mended += n_mended
        self.n_rows += len(batch)
        self.n_bytes += n_bytes

    def rows(self) -> Rows:
        """What was gathered; then there is nothing."""
        first, end = self._first_row, self._first_row + self.n_rows
        rows = Rows(
            columns=self._columns,
            n_rows=self.n_rows,
            first_row=first,
            position={"row": end},
            origin=self._origin,
            unit="row",
            numbers=range(first + 1, end + 1),
            n_mended=self._n_mended,
        )
        self._clear()
        return rows


def _with_bytes_read(rows: Rows, n_bytes: int) -> Rows:
    return replace(rows, n_bytes_read=n_bytes)


def _sizes(batch: Any) -> Any:
    """About how many bytes each row of a batch is, int64, shape [N]."""
    pa = require("pyarrow", extra="data", purpose=_PURPOSE)
    compute = require("pyarrow.compute", extra="data", purpose=_PURPOSE)
    sizes = np.zeros(len(batch), dtype=np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type):
            column.validate(full=True)  # an index may lie outside the dictionary
            lengths = compute.binary_length(column.dictionary).take(column.indices)
        elif _is_text(column.type) and not _is_view(column.type):
            column.validate()
            lengths = compute.binary_length(column)
        else:
            sizes += column.nbytes // max(1, len(column))
            continue
        sizes += lengths.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return sizes


def _is_text(kind: Any) -> bool:
    types = require("pyarrow", extra="data", purpose=_PURPOSE).types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or _is_view(kind)
    )


def _is_view(kind: Any) -> bool:
    types = require("pyarrow", extra="data", purpose=_PURPOSE).types
    return bool(types.is_string_view(kind) or types.is_binary_view(kind))


def _values(array: Any) -> tuple[list[Any], int]:
    """Values of an Arrow array, and how many texts had broken characters."""
    pa = require("pyarrow", extra="data", purpose=_PURPOSE)
    if pa.types.is_dictionary(array.type):
        array.validate(full=False)
        array = array.dictionary_decode()
    if not _is_text(array.type):
        array.validate(full=True)
        return array.to_pylist(), 0
    raw = array.cast(pa.large_binary())  # no bytes are looked at: they may be no UTF-8
    raw.validate(full=True)
    try:
        text = raw.cast(pa.large_string())
        return list(text.to_numpy(zero_copy_only=False)), 0
    except pa.ArrowInvalid:
        return _mended_texts(raw)


def _mended_texts(raw: Any) -> tuple[list[str | None], int]:
    texts: list[str | None] = []
    n_mended = 0
    for value in raw.to_pylist():
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            texts.append(value.decode("utf-8", "replace"))
            n_mended += 1
    return texts, n_mended


def _names(columns: Sequence[str] | None, header: Sequence[str], origin: str) -> tuple[str, ...]:
    names = tuple(header if columns is None else columns)
    for name in names:
        column_index(header, name, origin)
    return names


@contextmanager
def arrow_errors(file: DataFile) -> Iterator[None]:
    """Turns what pyarrow says of a broken file into a `FormatError`."""
    pa = require("pyarrow", extra="data", purpose=_PURPOSE)
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's failure, not the file's
        if isinstance(error, pa.ArrowMemoryError):
            raise FormatError(
                f"{file.name}: what it holds in one piece does not fit into memory, expected "
                "shorter values; write it with fewer rows in a row group or batch"
            ) from error
        cause = (str(error).splitlines() or ["unreadable"])[0]
        raise FormatError(
            f"{file.name}: {cause[:200]}, expected a whole {file.format} file; it may be cut "
            "short, write or fetch it again"
        ) from error
