"""Lines of a file, one text or one JSON object each, some at a time in bounded memory.

The one rule: bytes that are not UTF-8 become U+FFFD and are counted; nothing else is guessed.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.corpora.files import DataFile
from vecsmith.corpora.rows import Limits, Position, Rows, kind_of, listed, mended
from vecsmith.errors import FormatError

TEXT_COLUMN = "text"
_HEAD_ROWS = 100


class LineTooLong(Exception):
    """A line is longer than what is read."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An open file, unpacked if need be.

    Attributes:
        file: What it is of.
        unpacked: Its bytes.
        raw: Its bytes as they lie on disk.
    """

    file: DataFile
    unpacked: IO[bytes]
    raw: IO[bytes]

    def n_bytes_read(self, offset: int) -> int:
        """Bytes of the file that were read when `offset` unpacked ones were used."""
        return offset if self.file.n_bytes is None else self.raw.tell()


@contextmanager
def opened(file: DataFile) -> Iterator[Stream]:
    """The bytes of `file`.

    Raises:
        FormatError: If it is gzip and broken.
    """
    with ExitStack() as stack:
        raw: IO[bytes] = (
            sys.stdin.buffer if file.path is None else stack.enter_context(file.path.open("rb"))
        )
        unpacked = raw
        if file.compressed:
            packed = stack.enter_context(gzip.GzipFile(fileobj=raw, mode="rb"))
            unpacked = io.BufferedReader(packed, 2**18)
        try:
            yield Stream(file, unpacked, raw)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FormatError(
                f"{file.name}: {error}, expected a whole gzip file; fetch or pack it again"
            ) from error


def read_lines(
    file: DataFile, columns: Sequence[str] | None, start: Position | None, limits: Limits
) -> Iterator[Rows]:
    """Rows of a file of texts: its one column is "text".

    Raises:
        FormatError: If it is not what its name says; the message names the line.
    """
    for block in _blocks(file, start, limits):
        n_rows = len(block.lines)
        yield Rows(
            columns=dict.fromkeys(columns or (TEXT_COLUMN,), block.lines),
            n_rows=n_rows,
            first_row=block.first_line,
            position=block.position,
            origin=file.name,
            unit="line",
            numbers=range(block.first_line + 1, block.first_line + n_rows + 1),
            n_mended=block.n_mended,
            n_bytes_read=block.n_bytes_read,
        )


def read_json_lines(
    file: DataFile,
    columns: Sequence[str] | None,
    start: Position | None,
    limits: Limits,
    *,
    absent_is_null: bool = True,
) -> Iterator[Rows]:
    """Rows of a file of JSON objects, one a line; lines of white space are passed over.

    Args:
        file: What to read.
        columns: Fields to read; None for those of the first hundred rows.
        start: Where to go on; None for the beginning.
        limits: How much to read at a time.
        absent_is_null: Whether an object may lack a field.

    Raises:
        FormatError: If it is not what its name says; the message names the line.
    """
    names = tuple(columns) if columns is not None else json_columns(file, limits)
    row = start.get("row", 0) if start else 0
    for block in _blocks(file, start, limits):
        numbers: list[int] = []
        values: dict[str, list[Any]] = {name: [] for name in names}
        n_mended = block.n_mended
        for number, line in enumerate(block.lines, block.first_line + 1):
            if not line or line.isspace():
                continue
            record = _json_object(line, f"{file.name}: line {number}", names)
            if not absent_is_null:
                _check_fields(record, names, f"{file.name}: line {number}")
            numbers.append(number)
            whole = "\\ud" not in line and "\\uD" not in line
            for name in names:
                value = record.get(name)
                if not whole and isinstance(value, str):
                    value, was_broken = mended(value)
                    n_mended += was_broken
                values[name].append(value)
        first_row, row = row, row + len(numbers)
        yield Rows(
            columns=values,
            n_rows=len(numbers),
            first_row=first_row,
            position={**block.position, "row": row},
            origin=file.name,
            unit="line",
            numbers=numbers,
            n_mended=n_mended,
            n_bytes_read=block.n_bytes_read,
        )


def json_columns(file: DataFile, limits: Limits) -> tuple[str, ...]:
    """Fields of the first hundred rows, in order of appearance.

    Raises:
        FormatError: If one of them is no JSON object.
    """
    names: dict[str, None] = {}
    n_rows = 0
    for block in _blocks(file, None, limits):
        for number, line in enumerate(block.lines, block.first_line + 1):
            if line and not line.isspace():
                names.update(dict.fromkeys(_json_object(line, f"{file.name}: line {number}", ())))
                n_rows += 1
                if n_rows == _HEAD_ROWS:
                    return tuple(names)
    return tuple(names)


@dataclass(frozen=True, slots=True)
class _Block:
    lines: list[str]
    first_line: int
    position: dict[str, int]
    n_mended: int
    n_bytes_read: int


def _blocks(file: DataFile, start: Position | None, limits: Limits) -> Iterator[_Block]:
    offset, line = (start["offset"], start["line"]) if start else (0, 0)
    with opened(file) as stream:
        if offset:
            stream.unpacked.seek(offset)
        blocks = line_blocks(
            stream.unpacked,
            max_lines=limits.max_rows,
            max_bytes=limits.max_bytes,
            max_line_bytes=limits.max_line_bytes,
        )
        while True:
            try:
                block, n_lines = next(blocks, (b"", 0))
            except LineTooLong as error:
                raise FormatError(_too_long(file, line + 1, limits.max_line_bytes)) from error
            if not n_lines:
                return
            n_bytes = len(block)
            if offset == 0:
                block = without_mark(block, file)
            lines, n_mended = _decoded_lines(block, n_lines)
            del block  # a long line need not be held twice while it is used
            first_line, offset, line = line, offset + n_bytes, line + n_lines
            position = {"offset": offset, "line": line}
            yield _Block(lines, first_line, position, n_mended, stream.n_bytes_read(offset))
            del lines


def _too_long(file: DataFile, line: int, most: int | None) -> str:
    kinds = {"jsonl": "one JSON object a line; of a JSON array jq -c '.[]' makes that"}
    wanted = kinds.get(file.format, "one text a line")
    return f"{file.name}: line {line} is longer than {most} bytes, expected {wanted}"


def line_blocks(
    stream: IO[bytes], *, max_lines: int, max_bytes: int, max_line_bytes: int | None = None
) -> Iterator[tuple[bytes, int]]:
    """Bytes of whole lines, with how many lines they are.

    A block is the longest run of lines within `max_lines` and `max_bytes`, or one longer line.
    Lines end in a newline, the last one may end with the file.

    Raises:
        LineTooLong: If a line does not end within `max_line_bytes`, or twice `max_bytes` if that
            is more.
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
            block, buffer, at_end = _long_line(stream, buffer[begin:], max_bytes, max_line_bytes)
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


def _line_ends(buffer: bytes) -> NDArray[np.int64]:
    return np.flatnonzero(np.frombuffer(buffer, np.uint8) == 0x0A) + 1


def _long_line(
    stream: IO[bytes], head: bytes, max_bytes: int, max_line_bytes: int | None
) -> tuple[bytes, bytes, bool]:
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
        if max_line_bytes is not None and line.tell() > max_line_bytes:
            raise LineTooLong
    return line.getvalue(), b"", True


def without_mark(block: bytes, file: DataFile) -> bytes:
    """The first bytes of a file without the mark that they are UTF-8.

    Raises:
        FormatError: If they are marked as UTF-16.
    """
    if block.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FormatError(
            f"{file.name}: starts with a UTF-16 mark, expected UTF-8; "
            "convert it with iconv -f UTF-16 -t UTF-8"
        )
    return block.removeprefix(b"\xef\xbb\xbf")


def _decoded_lines(block: bytes, n_lines: int) -> tuple[list[str], int]:
    """Lines of a block, and how many had broken bytes."""
    if n_lines == 1:  # it may be huge: no copy beside the text itself
        n_end = block.endswith(b"\n") + block.endswith(b"\r\n")
        view = memoryview(block)[: len(block) - n_end]
        try:
            return [str(view, "utf-8")], 0
        except UnicodeDecodeError:
            return [str(view, "utf-8", "replace")], 1
    # no byte of a longer UTF-8 character equals a newline, so lines can be decoded all at once
    try:
        text, n_mended = block.decode(), 0
    except UnicodeDecodeError:
        text, n_mended = block.decode("utf-8", "replace"), _count_broken(block)
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines, n_mended


def _count_broken(block: bytes) -> int:
    n_broken = 0
    for line in block.split(b"\n"):
        try:
            line.decode()
        except UnicodeDecodeError:
            n_broken += 1
    return n_broken


def _json_object(line: str, place: str, names: Sequence[str]) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:  # its own line number counts within this line
        found = f"{error.msg[:1].lower()}{error.msg[1:]}".removesuffix(" at")
        raise FormatError(
            f"{place}: {found} at column {error.colno}, expected one JSON object a line; mend the "
            "line or leave it out"
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, nesting
        raise FormatError(
            f"{place}: {error!s:.100}, expected one JSON object a line; mend the line or leave it "
            "out"
        ) from error
    if not isinstance(record, dict):
        fields = f" with the field {listed(names)}" if names else ""
        raise FormatError(f"{place}: {kind_of(record)}, expected a JSON object{fields}")
    return record


def _check_fields(record: dict[str, Any], names: Sequence[str], place: str) -> None:
    for name in names:
        if name not in record:
            raise FormatError(
                f"{place}: fields {listed(record)}, expected the field {name!r}; "
                "name another column"
            )
