"""Texts of a file, chunk by chunk, in bounded memory: what `vecsmith.corpora` reads, for `encode`.

The one rule: where a chunk ends depends only on what follows the place where it starts, so a run
that starts again at a chunk's end reads the same chunks as a run that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from vecsmith._files import ending_of
from vecsmith.corpora.files import SUFFIXES, DataFile, FileFormat, data_file, format_of, status_of
from vecsmith.corpora.parts import read_file
from vecsmith.corpora.rows import MAX_BYTES, MAX_ROWS, Limits, kind_of
from vecsmith.errors import FormatError

TextFile = DataFile
TextFormat = FileFormat


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some texts, and where the next chunk starts.

    Attributes:
        texts: The texts, in the order of the file.
        position: What `read_chunks(start=...)` takes to go on after them.
        n_bytes_read: Bytes of the file read so far, compressed ones if it is.
    """

    texts: list[str]
    position: dict[str, Any]
    n_bytes_read: int


def text_file(name: str, *, text_format: TextFormat | None = None) -> TextFile:
    """The input called `name` ("-" is standard input).

    Raises:
        ValueError: If it is a folder, or its suffix does not tell its format.
        OSError: If it is missing or cannot be read.
    """
    if name == "-":
        if text_format in ("parquet", "arrow"):
            raise ValueError(
                f"standard input as {text_format}, expected a file: it is not read in one direction"
            )
        return DataFile(None, text_format or "txt", False, None)
    path = Path(name)
    if text_format is None and format_of(path) is None and not path.is_dir():
        status_of(path)  # a file that is not there is no matter of formats
        raise ValueError(
            f"{name} {ending_of(path.suffix.lower())}, expected {', '.join(SUFFIXES)} "
            f"or these with .gz; name one of {', '.join(get_args(FileFormat))} with --format"
        )
    return data_file(path, file_format=text_format)


def read_chunks(
    source: TextFile,
    *,
    column: str = "text",
    start: dict[str, Any] | None = None,
    max_rows: int = MAX_ROWS,
    max_bytes: int = MAX_BYTES,
) -> Generator[Chunk]:
    """Chunks of the texts of `source`, each of at most `max_rows` texts.

    A chunk holds about `max_bytes` at most, and one text if that alone is longer. Characters that
    are broken become U+FFFD; an absent value of a table is an empty text.

    Args:
        source: What to read.
        column: Field of jsonl, column of the other tables, that holds the text.
        start: `position` of the chunk to go on after; None for the beginning.
        max_rows: Most texts in a chunk.
        max_bytes: Bytes to gather before a chunk is closed.

    Raises:
        FormatError: If the file is not what its format says; the message names the line.
    """
    limits = Limits(max_rows=max_rows, max_bytes=max_bytes, max_line_bytes=None)
    for rows in read_file(source, [column], start=start, limits=limits, absent_is_null=False):
        values = rows.columns[column]
        for i, value in enumerate(values):
            if value is None:
                values[i] = ""
            elif type(value) is not str:
                raise FormatError(
                    f"{rows.where(i)}: {column!r} is {kind_of(value)}, expected a string; name "
                    "another with --column"
                )
        yield Chunk(values, dict(rows.position), rows.n_bytes_read)
