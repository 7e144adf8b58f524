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
from vecsmith._file_run import Block
from vecsmith._files import file_identity
from vecsmith._npy_file import NpyFile
from vecsmith._outputs import OutputDtype, OutputRows
from vecsmith.errors import FormatError

# Lines and rows of a block stay in the second level cache of the core that works at it.
_MAX_LINES, _MAX_BYTES, _MAX_ROW_BYTES = 4096, 2**19, 2**20
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


def encode_lines(
    source: LineFile,
    encoder: TextEncoder,
    settings: _core.EncodeSettings,
    file: NpyFile,
    *,
    start: int | None,
    dtype: OutputDtype,
    n_threads: int,
) -> Generator[Block]:
    """Writes the vectors of the lines of `source` behind the rows of `file`, block by block.

    Args:
        source: What to read.
        encoder: What makes vectors of lines.
        settings: What holds for every line.
        file: Where the rows go.
        start: Where in `source` to go on; None for its beginning.
        dtype: Type of the rows.
        n_threads: Threads to use; a block is the work of one.
    """
    max_lines = min(max(_MAX_ROW_BYTES // (file.dim * file.dtype.itemsize), 64), _MAX_LINES)
    buffers: SimpleQueue[NDArray[Any]] = SimpleQueue()
    for _ in range(n_threads):
        buffers.put(np.empty((max_lines, file.dim), file.dtype))

    def write(stretch: _Stretch) -> Block:
        buffer = buffers.get()
        try:
            n_rows, end = stretch.n_lines, stretch.end
            rows = OutputRows(n_rows, file.dim, dtype, buffer[:n_rows])
            with rows.take(n_rows) as vectors:
                encoder.write_lines(source.data, stretch.begin, end, vectors, settings)
            file.write_at(stretch.row, rows.finish())
        finally:
            buffers.put(buffer)
        return Block(n_rows, {"offset": end, "line": stretch.row + n_rows}, end)

    stretches = _stretches(source, start, file.rows, max_lines)
    for block in _in_order(write, stretches, n_threads):
        file.rows += block.n_rows
        yield block


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Lines of a file that are encoded at a time, and the row of the first of them."""

    row: int
    n_lines: int
    begin: int
    end: int


def _stretches(
    source: LineFile, start: int | None, row: int, max_lines: int
) -> Iterator[_Stretch]:
    begin = source.first if start is None else start
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
