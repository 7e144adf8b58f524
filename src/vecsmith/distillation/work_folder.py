"""The folder in which a distillation from texts keeps what it has done.

    WORK/
    ├── pass/                   what the teacher said, see teacher_pass.py
    ├── isolated.safetensors    the teacher's vectors of the tokens alone
    ├── learning.safetensors    a table half learned, where it is learned step by step
    ├── fitted.safetensors      a fitted table before pairs polish it
    └── pairs/HASH/             the pairs' tokens, see training/token_store.py

The one rule: what was made with other settings is made anew or refused, never used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from vecsmith._files import atomic_file
from vecsmith._typing import FloatArray
from vecsmith.errors import FormatError
from vecsmith.formats.safetensors import TensorFile, write_tensors


class WorkFolder:
    """Where a distillation from texts keeps what it has done.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        """Makes the folder if it is not there."""
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    @property
    def pass_folder(self) -> Path:
        """Where the teacher's pass is."""
        return self.path / "pass"

    @property
    def learning_file(self) -> Path:
        """Where a table that is learned step by step is kept."""
        return self.path / "learning.safetensors"

    def isolated(self, fingerprint: str, make: Callable[[], FloatArray]) -> FloatArray:
        """Vectors of tokens alone, [V, D], kept from before if `fingerprint` says so."""
        return self._kept("isolated", fingerprint, lambda: {"vectors": make()})["vectors"]

    def fitted(
        self, fingerprint: str, make: Callable[[], Mapping[str, FloatArray]]
    ) -> dict[str, FloatArray]:
        """Arrays of a fitted table, kept from before if `fingerprint` says so."""
        return self._kept("fitted", fingerprint, make)

    def pairs_folder(self, fingerprint: str) -> Path:
        """Where tokens of pairs are; those of other pairs are gone then."""
        folder = self.path / "pairs" / fingerprint[:16]
        for other in folder.parent.glob("*"):
            if other != folder and other.is_dir():
                _remove_store(other)
        return folder

    def _kept(
        self, name: str, fingerprint: str, make: Callable[[], Mapping[str, FloatArray]]
    ) -> dict[str, FloatArray]:
        path = self.path / f"{name}.safetensors"
        with suppress(FormatError, FileNotFoundError):
            file = TensorFile(path)
            if file.metadata.get("fingerprint") == fingerprint:
                return {n: np.array(file.tensor(n), dtype=np.float32) for n in file.names()}
        # in the order of a file, so that products come out the same as of what is read from one
        arrays = {n: np.ascontiguousarray(a, dtype=np.float32) for n, a in make().items()}
        with atomic_file(path) as stream:
            write_tensors(stream, arrays, metadata={"fingerprint": fingerprint})
        return arrays

    def remove(self) -> None:
        """Takes away what a distillation keeps, and the folder if nothing else is in it."""
        for pattern in ("pass/shard-*.safetensors", "pass/totals-*.safetensors", "pass/.*.part",
                        "pass/pass.json", "pass/lock", "*.safetensors", ".*.part"):  # fmt: skip
            for path in self.path.glob(pattern):
                with suppress(OSError):
                    path.unlink()
        for folder in self.path.glob("pairs/*"):
            _remove_store(folder)
        for folder in (self.pass_folder, self.path / "pairs", self.path):
            with suppress(OSError):  # what is not ours stays
                folder.rmdir()


def _remove_store(folder: Path) -> None:
    """Takes away the tokens of pairs in `folder`, and the folder if nothing else is in it."""
    for pattern in ("set-*.safetensors", "store.json", ".lock", ".*.part"):
        for path in folder.glob(pattern):
            with suppress(OSError):
                path.unlink()
    with suppress(OSError):  # what is not ours stays
        folder.rmdir()
