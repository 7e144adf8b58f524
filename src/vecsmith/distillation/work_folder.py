"""The folder in which a distillation from texts keeps what it has done.

    WORK/
    ├── work.lock               held by the process at work
    ├── pass/                   what the teacher said, see teacher_pass.py
    ├── isolated.safetensors    the teacher's vectors of the tokens alone
    ├── learning.safetensors    a table half learned, where it is learned step by step
    ├── fitted.safetensors      a fitted table before pairs polish it
    └── pairs/HASH/             the pairs' tokens, see training/token_store.py

The one rule: what was made with other settings is made anew or refused, never used; and what is not
listed here is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np

from vecsmith._files import atomic_file, lock_file
from vecsmith._typing import FloatArray
from vecsmith.errors import FormatError
from vecsmith.formats.safetensors import TensorFile, write_tensors

_LOCK: Final = "work.lock"
_ARRAYS: Final = ("isolated.safetensors", "learning.safetensors", "fitted.safetensors")
# One of these is there as soon as anything is
_RECORDS: Final = (_LOCK, "pass/pass.json", "pass/lock", *_ARRAYS)


class WorkFolder:
    """Where a distillation from texts keeps what it has done.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        """Makes the folder if it is not there.

        Raises:
            FormatError: If it is a folder of other files.
        """
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        if any((path / name).is_file() for name in _RECORDS):
            return
        other = next(path.iterdir(), None)
        if other is not None:
            raise FormatError(
                f"{path}: holds {other.name} and nothing of a distillation, expected an empty "
                "folder or that of an earlier run; choose another folder for the work"
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes from working in the folder while the block lasts.

        Raises:
            FormatError: If another process is at work in it.
        """
        lock = self.path / _LOCK
        with ExitStack() as stack:
            try:
                stack.enter_context(lock_file(lock))
                free = lock.exists()  # one that just ended may have taken it away
            except BlockingIOError:
                free = False
            if not free:
                raise FormatError(
                    f"{self.path}: another distillation is at work in it, expected a folder of "
                    "its own; wait for that one or choose another folder"
                )
            yield

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
        """Takes away what a distillation keeps, and the folder if nothing else is in it.

        Raises:
            FormatError: If another process is at work in it.
        """
        with self.held():
            for pattern in ("shard-*.safetensors", "totals-*.safetensors", ".*.part", "pass.json",
                            "lock"):  # fmt: skip
                _unlink(self.pass_folder, pattern)
            for folder in self.path.glob("pairs/*"):
                _remove_store(folder)
            for name in (*_ARRAYS, *(f".{name}.*.part" for name in _ARRAYS), _LOCK):
                _unlink(self.path, name)
            for folder in (self.pass_folder, self.path / "pairs", self.path):
                with suppress(OSError):  # what is not ours stays
                    folder.rmdir()


def _unlink(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        with suppress(OSError):
            path.unlink()


def _remove_store(folder: Path) -> None:
    """Takes away the tokens of pairs in `folder`, and the folder if nothing else is in it."""
    for pattern in ("set-*.safetensors", "store.json", ".lock", ".*.part"):
        _unlink(folder, pattern)
    with suppress(OSError):  # what is not ours stays
        folder.rmdir()
