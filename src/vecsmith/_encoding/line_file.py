"""Lines of a file -> rows of a file: mapped, cut and encoded as bytes, no string on the way.

The one rule: memory does not grow with the file; each thread has a block of lines and their rows.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith import _core
from vecsmith._encoding.text_encoder import TextEncoder
from vecsmith._encoding.threads import granted_threads
from vecsmith._file_run import Block, FileRun
from vecsmith._files import ending_of, file_identity
from vecsmith._npy_file import NpyFile
from vecsmith._outputs import OutputDtype, OutputRows, Vectors, columns_of
from vecsmith._resume import PartialFolder
from vecsmith.errors import FormatError

# Lines and rows of a block are enough to fill the caches for and few enough to stay in them.
_MAX_LINES, _MAX_BYTES, _MAX_ROW_BYTES = 4096, 2**20, 2**20
# What lines are no texts of; others may be named as they like.
_TABLES = frozenset(
    {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather"}
)
_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {
    b"\xff\xfe": "a UTF-16 mark, expected UTF-8; convert it with iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "a UTF-16 mark, expected UTF-8; convert it with iconv -f UTF-16 -t UTF-8",
    b"\x1f\x8b": "the mark of gzip, expected text; unpack it, or let vecsmith encode read it",
}


class LineFile:
    """A file of lines, one text each."""

    is_resumable = True

    def __init__(self, path: Path) -> None:
        """Looks at the file.

        Raises:
            FormatError: If it begins as no UTF-8 text does.
            OSError: If it is missing or cannot be read.
            ValueError: If it is no regular file.
        """
        self.path = path
        if path.is_dir():
            raise ValueError(f"{path} is a folder, expected a file of lines")
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{path} is no regular file, expected one: others are not mapped")
            head = file.read(3)
        if told := _OTHER_MARKS.get(head[:2]):
            raise FormatError(f"{path}: starts with {told}")
        self.n_bytes = status.st_size
        self.first = len(_MARK) if head == _MARK else 0

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    def identity(self) -> dict[str, Any]:
        """What changes when the file does."""
        return file_identity(self.path)

    def check_length(self) -> None:
        """Raises before pages are asked for that the file has no more, which would end the process.

        Raises:
            FormatError: If it is shorter than it was.
        """
        n_bytes = self.path.stat().st_size
        if n_bytes < self.n_bytes:
            raise FormatError(
                f"{self.path}: {n_bytes} bytes but {self.n_bytes} when it was opened, expected a "
                "file at rest"
            )

    @cached_property
    def data(self) -> NDArray[np.uint8]:
        """Its bytes, mapped."""
        if self.n_bytes == 0:
            return np.empty(0, np.uint8)  # which cannot be mapped
        return np.memmap(self.path, np.uint8, mode="r", shape=self.n_bytes).view(np.ndarray)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineJob:
    """How lines become rows.

    Attributes:
        encoder: What makes vectors of lines.
        settings: What holds for every line.
        prompt: Text before every line.
        dim: Prefix length of a vector.
        dtype: What it is written as.
        n_threads: Threads to use, a block of lines is the work of one; None for the cores that no
            other call uses.
    """

    encoder: TextEncoder
    settings: _core.EncodeSettings
    prompt: str
    dim: int
    dtype: OutputDtype
    n_threads: int | None

    def blocks(
        self, source: LineFile, file: NpyFile, position: dict[str, Any] | None
    ) -> Generator[Block]:
        """Writes the lines of `source` after `position` behind the rows of `file`."""
        # a tokenizer that is not native has threads of its own
        n_threads = self.n_threads if self.encoder.is_native else 1
        with granted_threads(n_threads) as granted:
            yield from self._written(source, file, position, granted)

    def _written(
        self, source: LineFile, file: NpyFile, position: dict[str, Any] | None, n_threads: int
    ) -> Generator[Block]:
        n_columns, number = columns_of(self.dim, self.dtype)
        max_lines = min(max(_MAX_ROW_BYTES // (n_columns * number.itemsize), 64), _MAX_LINES)
        buffers: SimpleQueue[NDArray[Any]] = SimpleQueue()
        for _ in range(n_threads):
            buffers.put(np.empty((max_lines, n_columns), number))

        def write(stretch: _Stretch) -> Block:
            buffer = buffers.get()
            try:
                n_rows, end = stretch.n_lines, stretch.end
                rows = OutputRows(n_rows, self.dim, self.dtype, buffer[:n_rows])
                with rows.take(n_rows) as vectors:
                    self._encode(source, stretch, vectors)
                file.write_at(stretch.row, rows.finish())
            finally:
                buffers.put(buffer)
            return Block(n_rows, {"offset": end, "line": stretch.row + n_rows}, end)

        begin = position["offset"] if position else source.first
        for block in _in_order(write, _stretches(source, begin, file.rows, max_lines), n_threads):
            file.rows += block.n_rows
            yield block

    def _encode(self, source: LineFile, stretch: _Stretch, vectors: Vectors) -> None:
        begin, end = stretch.begin, stretch.end
        if self.encoder.is_native and not self.prompt:
            self.encoder.write_lines(source.data, begin, end, vectors, self.settings)
            return
        text = source.data[begin:end].tobytes().decode("utf-8", "replace")
        lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
        prompted = [self.prompt + line for line in lines] if self.prompt else lines
        self.encoder.write(prompted, vectors, self.settings, 1)


def check_lines(path: Path) -> None:
    """Refuses a file whose lines are no texts, as its name says.

    Raises:
        ValueError: If it is a table.
    """
    kind = path.suffix.lower()
    if kind in _TABLES:
        remedy = "`vecsmith encode` reads its column of texts"
        if kind == ".json":
            remedy = "give encode a list of its texts"
        raise ValueError(f"{path} ends in {kind!r}, expected a file with a text a line: {remedy}")


def check_target(out: Path, source: LineFile) -> None:
    """Refuses what a `.npy` file cannot be written to.

    Raises:
        FileNotFoundError: If its folder is not there.
        ValueError: If it is a folder, the input, or named for something else.
    """
    if out.suffix.lower() != ".npy":
        raise ValueError(f"out {out} {ending_of(out.suffix)}, expected .npy")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"out {out}: no folder {out.parent}, expected one that exists")
    if out.is_dir():
        raise ValueError(f"out {out} is a folder, expected a file")
    if out.exists() and out.samefile(source.path):
        raise ValueError(f"out {out} is the input itself, expected another file")


def write_line_vectors(
    source: LineFile,
    out: Path,
    job: LineJob,
    *,
    model: dict[str, Any],
    restart: bool,
    show_progress_bar: bool,
) -> None:
    """Writes the vectors of the lines of `source` to `out`, going on with an unfinished run.

    Args:
        source: What to read.
        out: A `.npy` file, whole or not there.
        job: How lines become rows.
        model: What changes when the vectors do; JSON.
        restart: Whether to discard an unfinished run instead.
        show_progress_bar: Whether to show one, if this is a terminal.

    Raises:
        FormatError: If `source` is not text, or is shorter than it was.
        RunFailed: If another process writes `out`, or an unfinished run was of something else.
    """
    settings = {"dim": job.dim, "dtype": job.dtype}
    with PartialFolder(out) as partial:
        work = {"input": source.identity(), "model": model, "settings": settings}
        if restart:
            partial.clear()
        run = FileRun(source, partial, work, restart="restart=True")
        n_columns, number = columns_of(job.dim, job.dtype)
        file = NpyFile(partial.path, dim=n_columns, dtype=number, rows=run.done.rows)
        blocks = job.blocks(source, file, run.done.position)
        run.finish(
            file, blocks, label=f"encoding {source.name}", show_progress_bar=show_progress_bar
        )


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Lines of a file that are encoded at a time, and the row of the first of them."""

    row: int
    n_lines: int
    begin: int
    end: int


def _stretches(source: LineFile, begin: int, row: int, max_lines: int) -> Iterator[_Stretch]:
    while begin < source.n_bytes:
        source.check_length()
        n_lines, end = _core.run_of_lines(source.data, begin, max_lines, _MAX_BYTES)
        yield _Stretch(row, n_lines, begin, end)
        row, begin = row + n_lines, end


def _in_order(
    work: Callable[[_Stretch], Block], stretches: Iterator[_Stretch], n_threads: int
) -> Generator[Block]:
    """What `work` gives for each stretch, in their order, by so many threads."""
    if n_threads == 1:
        yield from map(work, stretches)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        waiting: deque[Future[Block]] = deque()
        try:
            for stretch in stretches:
                waiting.append(pool.submit(work, stretch))
                # a few beyond those that are worked at, so that no thread waits for this one
                if len(waiting) > 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
