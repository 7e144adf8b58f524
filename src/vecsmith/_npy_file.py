"""Rows of vectors, written as they come into a partial folder and made one `.npy` file at the end.

The one rule: what `sync` has returned for survives a kill, and the finished file does not depend
on where a run was interrupted.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import FormatError


class NpyFile:
    """A `.npy` file that grows; its header is written last, in the space kept for it.

    Args:
        folder: The partial folder.
        dim: Length of a vector.
        dtype: Type of its numbers.
        rows: Rows that are there already; what follows them is cut off.
    """

    def __init__(self, folder: Path, *, dim: int, dtype: np.dtype[Any], rows: int) -> None:
        self.path = folder / "vectors.npy"
        self.dim = dim
        self.dtype = dtype
        self.rows = rows
        self._file: IO[bytes] = self.path.open("r+b" if rows else "w+b")
        header = self._header()
        self._n_header = len(header)
        expected = len(header) + rows * dim * dtype.itemsize
        if rows and os.fstat(self._file.fileno()).st_size < expected:
            self._file.close()
            raise FormatError(
                f"the unfinished run is shorter than the {rows} rows its journal names; "
                "restart (--restart) discards it"
            )
        self._file.write(header)
        self._file.truncate(expected)
        self._file.seek(expected)

    def append(self, texts: list[str], vectors: NDArray[Any]) -> None:
        """Adds `vectors`, shape [N, D]; the texts are not kept."""
        self._file.write(vectors.data.cast("B"))
        self.rows += len(vectors)

    def write_at(self, row: int, vectors: NDArray[Any]) -> None:
        """Writes `vectors`, shape [N, D], from `row` on, which is not before `rows`.

        Several threads may do so at once; `rows` is theirs to raise when all before it is there.
        """
        # Of a mapped file each page costs a fault and a look at its journal: 0.7-2 GB/s against
        # 3-4 for a write from memory that stays in the cache.
        data, at = vectors.data.cast("B"), self._n_header + row * vectors.strides[0]
        while data:
            n_written = os.pwrite(self._file.fileno(), data, at)
            data, at = data[n_written:], at + n_written

    def sync(self) -> None:
        """Returns when all that was appended is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> Path:
        """The finished file."""
        self._file.seek(0)
        self._file.write(self._header())
        self.sync()
        self.close()
        return self.path

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _header(self) -> bytes:
        # numpy pads the header for any number of rows, so its length does not depend on them
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header,
            {
                "descr": np.lib.format.dtype_to_descr(self.dtype),
                "fortran_order": False,
                "shape": (self.rows, self.dim),
            },
        )
        return header.getvalue()
