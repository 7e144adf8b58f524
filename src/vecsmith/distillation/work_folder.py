"""The folder in which a distillation from texts keeps what it has done.

    WORK/
    ├── pass/                   what the teacher said, see teacher_pass.py
    ├── isolated.safetensors    the teacher's vectors of the tokens alone
    └── learning.safetensors    a table half learned, where it is learned step by step

The one rule: what was made with other settings is made anew or refused, never used.
"""

from __future__ import annotations

from collections.abc import Callable
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
        path = self.path / "isolated.safetensors"
        with suppress(FormatError, FileNotFoundError):
            file = TensorFile(path)
            if file.metadata.get("fingerprint") == fingerprint:
                kept: FloatArray = np.array(file.tensor("vectors"), dtype=np.float32)
                return kept
        vectors = make()
        with atomic_file(path) as stream:
            write_tensors(stream, {"vectors": vectors}, metadata={"fingerprint": fingerprint})
        return vectors

    def remove(self) -> None:
        """Takes away what a distillation keeps, and the folder if nothing else is in it."""
        for pattern in ("pass/shard-*.safetensors", "pass/totals-*.safetensors", "pass/.*.part",
                        "pass/pass.json", "pass/lock", "*.safetensors", ".*.part"):  # fmt: skip
            for path in self.path.glob(pattern):
                with suppress(OSError):
                    path.unlink()
        for folder in (self.pass_folder, self.path):
            with suppress(OSError):  # what is not ours stays
                folder.rmdir()
