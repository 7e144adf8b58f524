"""Where arrays that are being made go: into memory, or into files of a folder and mapped.

Either way they are written block by block, so that what is made in a folder need not fit in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith.retrieval.storage.array_files import ArrayFile, ArrayWriter, map_array
from vecsmith.retrieval.storage.growing import GrowingArray

Shapes = Mapping[str, tuple[np.dtype[Any], int | None]]
Blocks = Iterable[Mapping[str, NDArray[Any]]]


class Store(Protocol):
    """A place for arrays."""

    def keep(
        self, shapes: Shapes, blocks: Blocks, *, n_rows: int | None = None
    ) -> dict[str, NDArray[Any]]:
        """The arrays that `blocks` make up.

        Args:
            shapes: Type and row length (None: single values) of each array by name.
            blocks: Consecutive rows of all of them.
            n_rows: How many rows there will be, if that is known.
        """
        ...

    def drop(self, names: Iterable[str]) -> None:
        """Takes arrays away again; those in use stay until they are let go."""
        ...


class Memory:
    """Keeps arrays in memory."""

    def keep(
        self, shapes: Shapes, blocks: Blocks, *, n_rows: int | None = None
    ) -> dict[str, NDArray[Any]]:
        """The arrays that `blocks` make up, as `Store.keep`."""
        growing = {
            name: GrowingArray(dtype, dim, room=n_rows or 0)
            for name, (dtype, dim) in shapes.items()
        }
        for block in blocks:
            for name, array in growing.items():
                array.write(block[name])
        return {name: array.array for name, array in growing.items()}

    def drop(self, names: Iterable[str]) -> None:
        """Nothing to do: memory goes when nobody holds it."""


class Folder:
    """Keeps arrays in files, mapped.

    Attributes:
        folder: They are in.
        stem: Their names begin with.
        files: Record of each array by name.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        """Writes files `<stem>.<name>.safetensors` in `folder`."""
        self.folder = folder
        self.stem = stem
        self.files: dict[str, ArrayFile] = {}

    def keep(
        self, shapes: Shapes, blocks: Blocks, *, n_rows: int | None = None
    ) -> dict[str, NDArray[Any]]:
        """The arrays that `blocks` make up, as `Store.keep`."""
        with ExitStack() as stack:
            writers = {
                name: stack.enter_context(ArrayWriter(self._path(name), dtype, dim=dim))
                for name, (dtype, dim) in shapes.items()
            }
            for block in blocks:
                for name, writer in writers.items():
                    writer.write(block[name])
        made = {name: writer.record for name, writer in writers.items()}
        self.files |= made
        return {name: map_array(self.folder, record) for name, record in made.items()}

    def drop(self, names: Iterable[str]) -> None:
        """Takes arrays away again; those that are mapped stay until they are let go."""
        for name in set(names) & set(self.files):
            (self.folder / self.files.pop(name).name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{self.stem}.{name}.safetensors"
