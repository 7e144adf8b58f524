"""Tables in Parquet, JSON Lines, CSV and TSV, read column by column.

The one rule: a file is untrusted. Whatever is wrong with it ends as a `FormatError` that names the
file and the row; rows count from 1, a header left out.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from vecsmith._extras import require
from vecsmith._files import parse_json
from vecsmith.errors import FormatError

EXTENSIONS = (".parquet", ".jsonl", ".ndjson", ".csv", ".tsv")
# What a column may be called besides its own name, as BEIR and MTEB write it.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "id": ("_id",),
    "query_id": ("query-id",),
    "doc_id": ("corpus-id", "corpus_id"),
    "relevance": ("score",),
}

_CHUNK = 65_536  # rows
_MAX_LINE = 64 * 2**20  # bytes; a book is 1 MB
_MAX_FIELD = 32 * 2**20  # characters
# Text shrinks ten times; what shrinks more, such as a column of equal labels, is small.
_MAX_EXPANSION, _FREE_BYTES = 500, 2**30
# Columns of few distinct values, each kept once: ten million labels are ten million pointers.
_FEW_VALUES = frozenset({"split", "lang", "label", "group", "subset"})


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a table.

    Attributes:
        path: The file.
        split: Split of all its rows, where the file's name says it; else None.
    """

    path: Path
    split: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Some columns of one or more files, rows under one another.

    Attributes:
        parts: The files.
        starts: Place of the first row of each.
        n_rows: Rows of all together.
        columns: Values by column name, [n_rows] each.
    """

    parts: tuple[Part, ...]
    starts: tuple[int, ...]
    n_rows: int
    columns: Mapping[str, list[Any]]

    def where(self, row: int) -> str:
        """File and row, for an error about the row at place `row`."""
        part = self._part(row)
        return f"{self.parts[part].path}: row {row - self.starts[part] + 1}"

    def file_of(self, row: int) -> Path:
        """The file that holds the row at place `row`."""
        return self.parts[self._part(row)].path

    def _part(self, row: int) -> int:
        return bisect_right(self.starts, row) - 1


def table_stem(path: Path) -> str | None:
    """Name of a table's file without its extensions; None if it is no table."""
    extension = _extension(path)
    packed = path.name.lower().endswith(".gz")
    if extension not in EXTENSIONS or (packed and extension == ".parquet"):
        return None
    return path.name[: -len(extension) - 3 * packed] or None


def column_names(path: Path) -> tuple[str, ...]:
    """Names of the columns of a file; of JSON Lines, those of the first hundred rows.

    Raises:
        FormatError: If the file is broken.
    """
    if _extension(path) == ".parquet":
        with _arrow_errors(path):
            pq = require("pyarrow.parquet", extra="eval", purpose="read Parquet files")
            return tuple(pq.read_schema(path).names)
    if _is_json(path):
        rows = islice(_json_objects(path), 100)
        return tuple(dict.fromkeys(chain.from_iterable(rows)))
    return next(_csv_rows(path), ())


def _extension(path: Path) -> str:
    """What a table's file is in, whether packed or not, as in ".csv"."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def find_column(available: Iterable[str], name: str, renamed: Mapping[str, str]) -> str | None:
    """The column of a file that stands for `name`, or None.

    Args:
        available: Columns of the file.
        name: As this package calls it.
        renamed: The file's own names, as its settings give them, by ours.
    """
    there = set(available)
    names = (renamed.get(name), name, *ALIASES.get(name, ()))
    return next((candidate for candidate in names if candidate in there), None)


def read_table(
    parts: Sequence[Part], names: Iterable[str], renamed: Mapping[str, str] | None = None
) -> Table:
    """The columns `names` of files; those that no file has are left out.

    Raises:
        FormatError: If a file is broken, or has a column that another of them has not.
    """
    columns: dict[str, list[Any]] = {}
    starts: list[int] = []
    n_rows = 0
    for part in parts:
        starts.append(n_rows)
        read, n_new = _read_part(part, list(names), renamed or {})
        if len(starts) > 1 and read.keys() != columns.keys():
            odd = sorted(read.keys() ^ columns.keys())
            raise FormatError(
                f"{part.path}: columns {_listed(read)} and {_listed(columns)} in "
                f"{parts[0].path.name}, expected {_listed(odd)} in all files of a set or in none"
            )
        for name, values in read.items():
            columns.setdefault(name, []).extend(values)
        n_rows += n_new
    return Table(parts=tuple(parts), starts=tuple(starts), n_rows=n_rows, columns=columns)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _read_part(
    part: Part, names: Sequence[str], renamed: Mapping[str, str]
) -> tuple[dict[str, list[Any]], int]:
    """Columns of one file by our names, and the number of its rows."""
    available = column_names(part.path)
    theirs = {name: find_column(available, name, renamed) for name in names}
    actual = {name: column for name, column in theirs.items() if column is not None}
    if part.split is not None:
        actual.pop("split", None)
    for column in actual.values():
        if available.count(column) > 1:
            raise FormatError(f"{part.path}: two columns named {column!r}, expected one")
    columns: dict[str, list[Any]] = {name: [] for name in actual}
    seen: dict[Any, Any] = {}
    n_rows = 0
    for n_new, chunk in _chunks(part.path, list(dict.fromkeys(actual.values()))):
        n_rows += n_new
        for name, column in actual.items():
            values = chunk[column]
            if name in _FEW_VALUES:
                values = [seen.setdefault(v, v) if type(v) is str else v for v in values]
            columns[name].extend(values)
    if part.split is not None and "split" in names:
        columns["split"] = [part.split] * n_rows
    return columns, n_rows


def _chunks(path: Path, names: list[str]) -> Iterator[tuple[int, dict[str, list[Any]]]]:
    """Number of rows and values of the columns `names`, some thousand rows at a time."""
    if _extension(path) == ".parquet":
        yield from _parquet_chunks(path, names)
        return
    if _is_json(path):
        rows: Iterator[Sequence[Any]] = (
            [row.get(name) for name in names] for row in _json_objects(path)
        )
    else:
        rows = _csv_columns(path, names)
    while chunk := list(islice(rows, _CHUNK)):
        yield len(chunk), {name: [row[i] for row in chunk] for i, name in enumerate(names)}


# Parquet


def _parquet_chunks(path: Path, names: list[str]) -> Iterator[tuple[int, dict[str, list[Any]]]]:
    pq = require("pyarrow.parquet", extra="eval", purpose="read Parquet files")
    limit = _Limit(path)
    with _arrow_errors(path), pq.ParquetFile(path) as file:
        if not names:
            yield file.metadata.num_rows, {}
            return
        for batch in file.iter_batches(batch_size=_CHUNK, columns=names):
            limit.add(batch.nbytes)
            yield batch.num_rows, {name: _arrow_values(batch.column(name)) for name in names}


def _arrow_values(array: Any) -> list[Any]:
    """Python values of an Arrow array."""
    pa = require("pyarrow", extra="eval", purpose="read Parquet files")
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        array = array.cast(pa.large_string())  # as writers do that know no text type
    array.validate(full=True)
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return list(array.to_numpy(zero_copy_only=False))
    values: list[Any] = array.to_pylist()
    if pa.types.is_float32(array.type):
        # 3.2 was meant, not 3.2000000476837: so that a CSV of the same rows is the same data
        return [None if v is None else float(str(np.float32(v))) for v in values]
    return values


@contextmanager
def _arrow_errors(path: Path) -> Iterator[None]:
    """Turns what pyarrow says of a broken file into a `FormatError`."""
    pa = require("pyarrow", extra="eval", purpose="read Parquet files")
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's failure, not the file's
        cause = (str(error).splitlines() or ["unreadable"])[0]
        raise FormatError(
            f"{path}: {cause[:200]}, expected a Parquet file; it may be cut short, write or fetch "
            "it again"
        ) from error


# Text


class _Limit:
    """Counts what a file unpacks to, and stops one that was made to fill the memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left = max(_FREE_BYTES, _MAX_EXPANSION * path.stat().st_size)

    def add(self, n_bytes: int) -> None:
        self._left -= n_bytes
        if self._left < 0:
            raise FormatError(
                f"{self._path}: unpacks to more than {_MAX_EXPANSION} times its size, expected a "
                "table of texts"
            )


def _lines(path: Path) -> Iterator[str]:
    """Lines of a UTF-8 file, ends included, unpacked if need be."""
    limit = _Limit(path)
    encoding = "utf-8-sig"
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as file:
            for number in range(1, 2**62):
                line = file.readline(_MAX_LINE)
                if not line:
                    return
                if len(line) == _MAX_LINE:
                    raise FormatError(
                        f"{path}: line {number} is longer than {_MAX_LINE} bytes, expected less"
                    )
                limit.add(len(line))
                yield line.decode(encoding)
                encoding = "utf-8"
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path}: line {number}: byte {error.start} is not UTF-8, expected a UTF-8 text file; "
            "save it as UTF-8"
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FormatError(f"{path}: {error}, expected a whole gzip file") from error


def _is_json(path: Path) -> bool:
    return _extension(path) in (".jsonl", ".ndjson")


def _json_objects(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a JSON Lines file; blank lines are passed over."""
    row = 0
    for line in _lines(path):
        if line.isspace():
            continue
        row += 1
        source = f"{path}: row {row}"
        value = parse_json(line, source=source)
        if not isinstance(value, dict):
            raise FormatError(
                f"{source}: {line.strip()[:60]!r} is no object, expected one such as "
                '{"text": "..."} on each line'
            )
        if "\\ud" in line or "\\uD" in line:
            _refuse_half_characters(value, source)
        yield value


def _refuse_half_characters(row: Mapping[str, Any], source: str) -> None:
    """Raises if a text holds one half of an escaped pair, which no encoding can write."""
    for name, value in row.items():
        try:
            str(value).encode()
        except UnicodeEncodeError as error:
            raise FormatError(
                f"{source}: {name} holds half a character (\\u{ord(error.object[error.start]):x}), "
                "expected whole ones; the text was cut in the middle of one"
            ) from error


def _csv_columns(path: Path, names: list[str]) -> Iterator[Sequence[str]]:
    """Fields of the columns `names`, row by row."""
    rows = _csv_rows(path)
    header = next(rows, ())
    places = [header.index(name) for name in names]
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise FormatError(
                f"{path}: row {number}: {len(row)} fields, expected {len(header)} as in the header "
                f"({', '.join(header)}); put fields that hold a separator in quotes"
            )
        yield [row[place] for place in places]


def _csv_rows(path: Path) -> Iterator[tuple[str, ...]]:
    """Rows of a CSV or TSV file, the header first; blank lines are passed over."""
    separator = "\t" if _extension(path) == ".tsv" else ","
    number = -1  # of the row read last, the header being 0
    reader = csv.reader(_lines(path), delimiter=separator, strict=True)
    while True:
        try:
            with _long_fields():
                row = next(reader, None)
        except csv.Error as error:
            raise FormatError(
                f"{path}: row {number + 1}: {error}, expected fields that hold quotes, separators "
                "or line ends to be in quotes, and their quotes doubled"
            ) from error
        if row is None:
            return
        if row:
            number += 1
            yield tuple(row)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Lets the csv module read long texts; its limit is the process's, so it is put back."""
    before = csv.field_size_limit(_MAX_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)
