"""Texts of a file, chunk by chunk, in bounded memory.

The one rule: where a chunk ends depends only on what follows the place where it starts, so a run
that starts again at a chunk's end reads the same chunks as a run that was never interrupted.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import stat
import sys
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np

from vecsmith._extras import require
from vecsmith.errors import FormatError

TextFormat = Literal["txt", "jsonl", "csv", "tsv", "parquet"]
SUFFIXES: dict[str, TextFormat] = {
    ".txt": "txt",
    ".text": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
# Large enough to keep every core busy for a few milliseconds, small enough to hold ten times over.
MAX_CHUNK_BYTES = 8 * 2**20
_IDENTITY_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some texts, and where the next chunk starts.

    Attributes:
        texts: The texts, in the order of the file.
        position: What `read_chunks(start=...)` takes to go on after them.
        n_bytes_read: Bytes of the file read so far, compressed ones if it is.
    """

    texts: list[str]
    position: dict[str, int]
    n_bytes_read: int


@dataclass(frozen=True, slots=True)
class TextFile:
    """An input as its name and the file system describe it.

    Attributes:
        path: Where it is; None for standard input.
        format: How texts lie in it.
        compressed: Whether it is gzip.
        n_bytes: Its size, or None where it has none (a pipe).
    """

    path: Path | None
    format: TextFormat
    compressed: bool
    n_bytes: int | None

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return "standard input" if self.path is None else str(self.path)

    @property
    def is_resumable(self) -> bool:
        """Whether reading can start again in the middle."""
        return self.n_bytes is not None

    def identity(self) -> dict[str, Any]:
        """What changes when the file does: its path, size, time and first and last bytes."""
        if self.path is None or self.n_bytes is None:
            return {}
        with self.path.open("rb") as file:
            status = os.fstat(file.fileno())
            head = file.read(_IDENTITY_BYTES)
            file.seek(max(0, status.st_size - _IDENTITY_BYTES))
            ends = hashlib.sha256(head + file.read(_IDENTITY_BYTES)).hexdigest()
        return {
            "path": str(self.path.resolve()),
            "bytes": status.st_size,
            "modified": status.st_mtime_ns,
            "ends": ends,
        }


def text_file(name: str, *, text_format: TextFormat | None = None) -> TextFile:
    """The input called `name` ("-" is standard input).

    Raises:
        ValueError: If it is a folder, or its suffix does not tell its format.
        OSError: If it is missing or cannot be read.
    """
    if name == "-":
        if text_format == "parquet":
            raise ValueError(
                "standard input as parquet, expected a file: parquet is read from its end"
            )
        return TextFile(None, text_format or "txt", False, None)
    path = Path(name)
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ValueError(f"{name} is a folder, expected a file of texts")
    compressed = path.suffix.lower() == ".gz"
    suffix = Path(path.stem if compressed else path.name).suffix.lower()
    found = text_format or SUFFIXES.get(suffix)
    if found is None:
        raise ValueError(
            f"{name} ends in {suffix or 'nothing'!r}, expected {', '.join(SUFFIXES)} or these with "
            f".gz; name one of {', '.join(get_args(TextFormat))} with --format"
        )
    if compressed and found == "parquet":
        raise ValueError(f"{name}: gzip around parquet, expected plain parquet: unpack it first")
    return TextFile(
        path, found, compressed, status.st_size if stat.S_ISREG(status.st_mode) else None
    )


def read_chunks(
    source: TextFile,
    *,
    column: str = "text",
    start: dict[str, int] | None = None,
    max_rows: int = 2**15,
    max_bytes: int = MAX_CHUNK_BYTES,
) -> Generator[Chunk]:
    """Chunks of the texts of `source`, each of at most `max_rows` texts.

    A chunk holds about `max_bytes` at most, and one text if that alone is longer. Bytes that are
    not UTF-8 become U+FFFD; an absent value of a table is an empty text.

    Args:
        source: What to read.
        column: Field of jsonl, column of csv, tsv and parquet that holds the text.
        start: `position` of the chunk to go on after; None for the beginning.
        max_rows: Most texts in a chunk.
        max_bytes: Bytes to gather before a chunk is closed.

    Raises:
        FormatError: If the file is not what its format says; the message names the line.
    """
    if source.format == "parquet":
        yield from _parquet_chunks(source, column, start, max_rows, max_bytes)
        return
    with ExitStack() as stack, _stream_errors(source):
        raw = (
            sys.stdin.buffer if source.path is None else stack.enter_context(source.path.open("rb"))
        )
        stream: IO[bytes] = raw
        if source.compressed:
            unpacked = stack.enter_context(gzip.GzipFile(fileobj=raw, mode="rb"))
            stream = io.BufferedReader(unpacked, 2**18)
        read = _Stream(source, stream, raw.tell if source.n_bytes is not None else None)
        if source.format in ("csv", "tsv"):
            yield from _csv_chunks(read, column, start, max_rows, max_bytes)
        else:
            yield from _line_chunks(read, column, start, max_rows, max_bytes)


@dataclass(frozen=True, slots=True)
class _Stream:
    source: TextFile
    stream: IO[bytes]
    tell: Callable[[], int] | None

    def n_bytes_read(self, offset: int) -> int:
        return offset if self.tell is None else self.tell()


@contextmanager
def _stream_errors(source: TextFile) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(
            f"{source.name}: {error}, expected a whole gzip file; fetch or pack it again"
        ) from error


def _line_chunks(
    read: _Stream, column: str, start: dict[str, int] | None, max_rows: int, max_bytes: int
) -> Iterator[Chunk]:
    offset, line = (start["offset"], start["line"]) if start else (0, 0)
    if offset:
        read.stream.seek(offset)
    for block, n_lines in line_blocks(read.stream, max_lines=max_rows, max_bytes=max_bytes):
        begins_file, n_bytes = offset == 0, len(block)
        if begins_file:
            block = _without_mark(block, read.source)
        texts = _decoded_lines(block, n_lines)
        del block  # a long line need not be held twice while it is encoded
        if read.source.format == "jsonl":
            texts = _json_texts(texts, column, read.source, line)
        offset += n_bytes
        line += n_lines
        yield Chunk(texts, {"offset": offset, "line": line}, read.n_bytes_read(offset))


def line_blocks(
    stream: IO[bytes], *, max_lines: int, max_bytes: int
) -> Iterator[tuple[bytes, int]]:
    """Bytes of whole lines, with how many lines they are.

    A block is the longest run of lines within `max_lines` and `max_bytes`, or one longer line.
    Lines end in a newline, the last one may end with the file.
    """
    buffer, begin, at_end = b"", 0, False
    ends = np.empty(0, np.int64)  # where the lines of buffer[begin:] end
    while True:
        if not at_end and len(ends) < max_lines and len(buffer) - begin < max_bytes:
            # twice the need, so that what is left over is moved every second time at most
            wanted = 2 * max_bytes - (len(buffer) - begin)
            more = stream.read(wanted)
            at_end = len(more) < wanted
            buffer, begin = buffer[begin:] + more, 0
            ends = _line_ends(buffer)
        if begin == len(buffer) and at_end:
            return
        n_lines = int(np.searchsorted(ends[:max_lines], begin + max_bytes, side="right"))
        if n_lines == 0 and len(ends) == 0 and not at_end:
            block, buffer, at_end = _long_line(stream, buffer[begin:], max_bytes)
            begin, ends = 0, _line_ends(buffer)
            held = [block]
            del block
            yield held.pop(), 1  # nobody else holds it: the reader can let go of it
            continue
        n_lines = max(n_lines, 1)
        end = int(ends[n_lines - 1]) if len(ends) else len(buffer)
        ends = ends[n_lines:]
        block, begin = buffer[begin:end], end
        yield block, n_lines


def _line_ends(buffer: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.flatnonzero(np.frombuffer(buffer, np.uint8) == 0x0A) + 1


def _long_line(stream: IO[bytes], head: bytes, max_bytes: int) -> tuple[bytes, bytes, bool]:
    """The line that starts with `head`, the bytes read past it, and whether the stream ended."""
    # BytesIO hands its buffer over without a copy: the line is held once
    line = io.BytesIO()
    line.write(head)
    while more := stream.read(max_bytes):
        end = more.find(b"\n") + 1
        if end:
            line.write(more[:end])
            return line.getvalue(), more[end:], False
        line.write(more)
    return line.getvalue(), b"", True


def _without_mark(block: bytes, source: TextFile) -> bytes:
    if block.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FormatError(
            f"{source.name}: starts with a UTF-16 mark, expected UTF-8; "
            "convert it with iconv -f UTF-16 -t UTF-8"
        )
    return block.removeprefix(b"\xef\xbb\xbf")


def _decoded_lines(block: bytes, n_lines: int) -> list[str]:
    if n_lines == 1:  # it may be huge: no copy beside the text itself
        n_end = block.endswith(b"\n") + block.endswith(b"\r\n")
        return [str(memoryview(block)[: len(block) - n_end], "utf-8", "replace")]
    # no byte of a longer UTF-8 character equals a newline, so lines can be decoded all at once
    text = block.decode("utf-8", "replace")
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _json_texts(lines: list[str], column: str, source: TextFile, before: int) -> list[str]:
    texts = []
    for number, line in enumerate(lines, before + 1):
        if not line or line.isspace():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise FormatError(
                f"{source.name}: line {number}: {error}, expected one JSON object a line"
            ) from error
        if not isinstance(record, dict):
            raise FormatError(
                f"{source.name}: line {number}: {_json_kind(record)}, expected a JSON object with "
                f"the field {column!r}"
            )
        if column not in record:
            raise FormatError(
                f"{source.name}: line {number}: fields {_listed(record)}, expected the field "
                f"{column!r}; name another with --column"
            )
        text = record[column]
        if text is None:
            text = ""
        elif not isinstance(text, str):
            raise FormatError(
                f"{source.name}: line {number}: {column!r} is {_json_kind(text)}, expected a string"
            )
        texts.append(text)
    return texts


def _json_kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    return kinds.get(type(value), "null" if value is None else "a number")


def _csv_chunks(
    read: _Stream, column: str, start: dict[str, int] | None, max_rows: int, max_bytes: int
) -> Iterator[Chunk]:
    # A field may be as long as the text it holds; the module's own limit is 128 KiB.
    csv.field_size_limit(2**31 - 1)
    delimiter = "\t" if read.source.format == "tsv" else ","
    lines = _CountedLines(read.stream, read.source)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    header = _csv_row(rows, lines, read.source)
    if header is None:
        return
    index = _column_index(header, column, read.source)
    if start:
        read.stream.seek(start["offset"])
        lines.offset, lines.line = start["offset"], start["line"]
    texts: list[str] = []
    n_characters = 0
    while (row := _csv_row(rows, lines, read.source)) is not None:
        if not row:  # a line with nothing on it
            continue
        if len(row) <= index:
            raise FormatError(
                f"{read.source.name}: line {lines.line}: {len(row)} fields, expected "
                f"{len(header)} as in the header"
            )
        texts.append(row[index])
        n_characters += len(row[index])
        if len(texts) >= max_rows or n_characters >= max_bytes:
            position = {"offset": lines.offset, "line": lines.line}
            yield Chunk(texts, position, read.n_bytes_read(lines.offset))
            texts, n_characters = [], 0
    if texts:
        position = {"offset": lines.offset, "line": lines.line}
        yield Chunk(texts, position, read.n_bytes_read(lines.offset))


def _csv_row(rows: Iterator[list[str]], lines: _CountedLines, source: TextFile) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        raise FormatError(
            f"{source.name}: line {lines.line}: {error}, expected {source.format} with a header, "
            "quotes doubled inside quotes"
        ) from error


class _CountedLines:
    """Decoded lines of a stream, and how far they reach; csv takes no more than it needs."""

    def __init__(self, stream: IO[bytes], source: TextFile) -> None:
        self.stream = stream
        self.source = source
        self.offset = 0
        self.line = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.stream.readline()
        if not line:
            raise StopIteration
        if self.offset == 0:
            text = _without_mark(line, self.source).decode("utf-8", "replace")
        else:
            text = line.decode("utf-8", "replace")
        self.offset += len(line)
        self.line += 1
        return text


def _column_index(header: Sequence[str], column: str, source: TextFile) -> int:
    places = [place for place, name in enumerate(header) if name == column]
    if len(places) != 1:
        found = "twice or more" if places else "absent"
        raise FormatError(
            f"{source.name}: column {column!r} is {found} among {_listed(header)}; "
            "name another with --column"
        )
    return places[0]


def _listed(names: Sequence[str] | dict[str, Any], most: int = 12) -> str:
    shown = ", ".join(repr(name) for name in list(names)[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "") or "none"


def _parquet_chunks(
    source: TextFile, column: str, start: dict[str, int] | None, max_rows: int, max_bytes: int
) -> Iterator[Chunk]:
    pyarrow = require("pyarrow", extra="data", purpose="read parquet")
    parquet = require("pyarrow.parquet", extra="data", purpose="read parquet")
    assert source.path is not None
    try:
        with parquet.ParquetFile(source.path, pre_buffer=False) as file:
            _check_text_column(file.schema_arrow, column, source)
            done = start["row"] if start else 0
            row = 0
            for group in range(file.num_row_groups):
                group_rows = file.metadata.row_group(group).num_rows
                if row + group_rows <= done:
                    row += group_rows
                    continue
                n_rows = _batch_rows(file.metadata.row_group(group), column, max_rows, max_bytes)
                for batch in file.iter_batches(n_rows, row_groups=[group], columns=[column]):
                    row += len(batch)
                    if row <= done:
                        continue
                    texts = [text or "" for text in batch.column(0).to_pylist()]
                    # bytes are not known per batch: shown in proportion to the rows
                    share = row / max(1, file.metadata.num_rows)
                    yield Chunk(texts, {"row": row}, int(share * (source.n_bytes or 0)))
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, UnicodeDecodeError) as error:
        raise FormatError(f"{source.name}: {error}, expected a whole parquet file") from error


def _check_text_column(schema: Any, column: str, source: TextFile) -> None:
    pyarrow = require("pyarrow", extra="data", purpose="read parquet")
    kinds = pyarrow.types
    index = _column_index(schema.names, column, source)
    found = schema.field(index).type
    value = found.value_type if kinds.is_dictionary(found) else found
    if not (kinds.is_string(value) or kinds.is_large_string(value) or kinds.is_string_view(value)):
        raise FormatError(
            f"{source.name}: column {column!r} holds {found}, expected strings; "
            "name another with --column"
        )


def _batch_rows(group: Any, column: str, max_rows: int, max_bytes: int) -> int:
    """Rows of a row group that make about `max_bytes` of text."""
    for index in range(group.num_columns):
        part = group.column(index)
        if part.path_in_schema == column:
            mean = part.total_uncompressed_size / max(1, group.num_rows)
            return int(max(1, min(max_rows, max_bytes // max(1.0, mean))))
    return max_rows
