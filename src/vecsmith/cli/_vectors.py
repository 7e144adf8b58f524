"""Rows of vectors that go into a parquet file, part by part; a `.npy` file is in `_npy_file.py`.

The one rule: what `sync` has returned for survives a kill, and the finished file does not depend
on where a run was interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._file_run import RunFile
from vecsmith._files import sync_folder
from vecsmith.errors import FormatError


class VectorFile(RunFile, Protocol):
    """Where vectors of texts go."""

    def append(self, texts: list[str], vectors: NDArray[Any]) -> None:
        """Adds `vectors`, shape [N, D], of `texts`."""
        ...


class ParquetFile:
    """A parquet file made of numbered parts, one a chunk, each a row group at the end.

    Columns: `row` (int64, from 0), `text` if kept, `vector` (fixed-size list). Parquet has its
    index at the end of the file, so a killed run could not go on with a single file.

    Args:
        folder: The partial folder.
        dim: Length of a vector.
        dtype: Type of its numbers.
        rows: Rows that are there already.
        n_parts: Parts that hold them; others are removed.
        keep_text: Whether to write the column `text`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dim: int,
        dtype: np.dtype[Any],
        rows: int,
        n_parts: int,
        keep_text: bool,
    ) -> None:
        self._arrow = require("pyarrow", extra="data", purpose="write parquet")
        self._parquet = require("pyarrow.parquet", extra="data", purpose="write parquet")
        self.folder = folder
        self.dim = dim
        self.rows = rows
        self.n_parts = n_parts
        self._vector = self._arrow.list_(self._arrow.from_numpy_dtype(dtype), dim)
        fields = [("row", self._arrow.int64()), ("vector", self._vector)]
        if keep_text:
            fields.insert(1, ("text", self._arrow.large_string()))
        self._schema = self._arrow.schema(fields)
        self._unsynced: list[Path] = []
        for path in folder.glob("*.parquet"):
            if not path.stem.isdigit() or int(path.stem) >= n_parts:
                path.unlink()

    def append(self, texts: list[str], vectors: NDArray[Any]) -> None:
        """Writes one part of `vectors`, shape [N, D], and of `texts` if they are kept."""
        values = self._arrow.array(vectors.reshape(-1))
        columns = {
            "row": np.arange(self.rows, self.rows + len(vectors), dtype=np.int64),
            "text": [_storable(text) for text in texts] if "text" in self._schema.names else None,
            "vector": self._arrow.FixedSizeListArray.from_arrays(values, type=self._vector),
        }
        path = self._part(self.n_parts)
        with self._writer(path) as writer:
            table = self._arrow.table(
                {name: columns[name] for name in self._schema.names}, schema=self._schema
            )
            writer.write_table(table, row_group_size=max(1, len(vectors)))
        self._unsynced.append(path)
        self.rows += len(vectors)
        self.n_parts += 1

    def sync(self) -> None:
        """Returns when all that was appended is on the disk."""
        for path in self._unsynced:
            _sync_file(path)
        sync_folder(self.folder)
        self._unsynced.clear()

    def finish(self) -> Path:
        """The finished file: the parts one after the other."""
        path = self.folder / "vectors.parquet"
        with self._writer(path) as writer:
            for table in self._tables():
                writer.write_table(table, row_group_size=max(1, len(table)))
        _sync_file(path)
        return path

    def close(self) -> None:
        """Nothing is left open between parts."""

    def _tables(self) -> Iterator[Any]:
        for index in range(self.n_parts):
            path = self._part(index)
            try:
                yield self._parquet.read_table(path, schema=self._schema)
            except (OSError, self._arrow.ArrowInvalid) as error:
                raise FormatError(
                    f"{path}: {error}; --restart discards the unfinished run"
                ) from error

    def _part(self, index: int) -> Path:
        return self.folder / f"{index:08d}.parquet"

    def _writer(self, path: Path) -> Any:
        # Vectors do not compress; dictionaries of them would only cost time.
        compression = dict.fromkeys(self._schema.names, "ZSTD")
        compression["vector.list.element"] = "NONE"
        return self._parquet.ParquetWriter(
            path, self._schema, use_dictionary=False, compression=compression
        )


def _storable(text: str) -> str:
    """`text` as UTF-8 can hold it: lone surrogates become U+FFFD, as they do when encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
