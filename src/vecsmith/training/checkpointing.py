"""The folder of a run: what it is of, its last checkpoint, its best weights, its curve.

    run/
    ├── lock                    held while a process trains here
    ├── run.json                settings, sets, losses, start and versions: what must not change
    ├── tokenizer.json          of the model that is trained
    ├── store/                  the pairs as token ids
    ├── teacher/                a teacher's vectors of their texts
    ├── checkpoint.safetensors  tensors of the last checkpoint, and in its header how far it is
    ├── best-00000250.safetensors   weights of the best evaluation so far
    ├── curve.json              loss, rate and scores by step
    └── model/                  the finished model

One rule: a checkpoint is one file with one name, replaced in one step; whatever it speaks of has
reached the disk before it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from vecsmith._files import atomic_file, lock_file, parse_json, read_json, write_json
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError, RunFailed
from vecsmith.formats.safetensors import TensorFile, write_tensors

RUN_FILE: Final = "run.json"
CHECKPOINT_FILE: Final = "checkpoint.safetensors"
CURVE_FILE: Final = "curve.json"
TOKENIZER_FILE: Final = "tokenizer.json"
STORE_FOLDER: Final = "store"
TEACHER_FOLDER: Final = "teacher"
MODEL_FOLDER: Final = "model"
_FORMAT, _VERSION = "vecsmith training", 1
_REMEDY = "delete the run folder to start anew"
_PART_NAMES: Final = (
    f".{RUN_FILE}.",
    f".{TOKENIZER_FILE}.",
    f".{CHECKPOINT_FILE}.",
    ".best-",
    ".curve.",
)
_LONGEST_VALUE: Final = 40
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class RunFolder:
    """The folder of one training run; one process at a time has it."""

    def __init__(self, path: PathLike) -> None:
        """Takes a folder, made when it is opened."""
        self.path = Path(path)

    @contextmanager
    def held(self) -> Iterator[RunFolder]:
        """The folder, kept from other processes while the block lasts.

        Raises:
            FileExistsError: If there is something else under its name.
            RunFailed: If another process has it.
        """
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{self.path}: is a file, expected a folder or nothing there")
        if self.path.is_dir() and any(self.path.iterdir()) and not self._is_run():
            raise FileExistsError(
                f"{self.path}: holds something that is no training run, expected a new or an empty "
                "folder: choose another"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with lock_file(self.path / "lock"):
                for part in filter(_is_part, self.path.iterdir()):  # of a process that was killed
                    part.unlink(missing_ok=True)
                yield self
        except BlockingIOError:
            raise RunFailed(
                f"{self.path}: another process trains here, expected one at a time; wait for it to "
                "end or choose another folder"
            ) from None

    def claim(self, facts: Mapping[str, Any]) -> None:
        """Writes down what the run is of, or checks that it is what was written before.

        What a finished run left, or something without a record, is removed first: a checkpoint
        must never be taken for one of the run that is written down beside it.

        Raises:
            ValueError: If the run there is of something else; the message says of what.
            FormatError: If its file is broken.
        """
        record = {"format": _FORMAT, "version": _VERSION, **facts}
        record = json.loads(json.dumps(record))  # tuples become lists, as they will be read
        path = self.path / RUN_FILE
        before = read_json(path, remedy=_REMEDY) if path.exists() else {"finished": True}
        if before != {"finished": True} and (
            not isinstance(before, dict) or before.get("format") != _FORMAT
        ):
            raise FormatError(f"{path}: not a training run, expected one; {_REMEDY}")
        if before.get("finished"):  # nothing to go on with: this is a new run
            self._remove_working_files()
            with saying_no_room(self.path):
                write_json(path, record)
            return
        changes = differences(before, record)
        if changes:
            raise ValueError(
                f"{self.path}: holds a run with other settings ({'; '.join(changes[:4])}), "
                "expected the same ones to go on with it: choose another folder, or restart it"
            )

    def discard(self) -> None:
        """Removes all that a run left here, but not the lock; the record last.

        A folder in which that was cut short is still known as a run, and one to begin anew.
        """
        path = self.path / RUN_FILE
        if path.exists():
            with suppress(OSError):  # on a full disk: the checkpoint goes next
                write_json(path, {"format": _FORMAT, "version": _VERSION, "finished": True})
        self._remove_working_files()
        for entry in self.path.iterdir():
            if entry.name not in ("lock", RUN_FILE):
                _remove(entry)
        path.unlink(missing_ok=True)

    def write_checkpoint(self, state: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Replaces the checkpoint.

        Raises:
            RunFailed: If there is no room for it; the last one stays.
        """
        self.write_tensors(CHECKPOINT_FILE, state, record)
        kept = record.get("best_file")
        for path in self.path.glob("best-*.safetensors"):
            if path.name != kept:
                path.unlink(missing_ok=True)

    def read_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and record of the last checkpoint, None if there is none.

        Raises:
            FormatError: If it is broken.
        """
        if not (self.path / CHECKPOINT_FILE).exists():
            return None
        return self.read_tensors(CHECKPOINT_FILE)

    def write_tensors(
        self, name: str, tensors: Mapping[str, Tensor], record: Mapping[str, Any]
    ) -> None:
        """Writes tensors and a JSON record into the file `name`, whole or not at all.

        Raises:
            RunFailed: If there is no room for it.
        """
        # the widest first keeps all aligned
        arrays = {key: _array(tensor) for key, tensor in tensors.items()}
        ordered = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))
        # 64-bit floats and NaN go through Python's own spelling, which reads back bit for bit
        header = {"training": json.dumps({"version": _VERSION, **record})}
        with saying_no_room(self.path), atomic_file(self.path / name) as file:
            write_tensors(file, ordered, metadata=header)

    def read_tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and record of the file `name`.

        Raises:
            FormatError: If it is broken, or of another version.
        """
        path = self.path / name
        try:
            file = TensorFile(path)
        except FileNotFoundError:
            raise FormatError(f"{path}: no such file, the run is not whole; {_REMEDY}") from None
        text = file.metadata.get("training")
        if text is None:
            raise FormatError(f"{path}: no record in its header, expected a checkpoint; {_REMEDY}")
        record = parse_json(text, source=f"{path}: record", remedy=_REMEDY)
        if not isinstance(record, dict) or record.get("version") != _VERSION:
            raise FormatError(f"{path}: not a checkpoint of this version; {_REMEDY}")
        return {key: torch.from_numpy(file.tensor(key).copy()) for key in file.names()}, record

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file, whole or not at all.

        Raises:
            RunFailed: If there is no room for it.
        """
        with saying_no_room(self.path):
            write_json(self.path / name, value)

    def close_run(self) -> None:
        """Says that the run is done, and removes what nobody needs then.

        The model is one of these: it is to be saved elsewhere before.
        """
        path = self.path / RUN_FILE
        write_json(path, {**read_json(path, remedy=_REMEDY), "finished": True})
        self._remove_working_files()

    def _remove_working_files(self) -> None:
        (self.path / CHECKPOINT_FILE).unlink(missing_ok=True)
        (self.path / TOKENIZER_FILE).unlink(missing_ok=True)
        for best in self.path.glob("best-*.safetensors"):
            best.unlink(missing_ok=True)
        for name in (STORE_FOLDER, TEACHER_FOLDER, MODEL_FOLDER):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def _is_run(self) -> bool:
        names = {entry.name for entry in self.path.iterdir() if not _is_part(entry)}
        # what may come to lie there before the record does
        return RUN_FILE in names or names <= {"lock", TOKENIZER_FILE, STORE_FOLDER, "mining"}


@contextmanager
def saying_no_room(folder: Path) -> Iterator[None]:
    """Turns a full disk into an error that says what is kept and what to do.

    Raises:
        RunFailed: If the disk that `folder` is on is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise RunFailed(
            f"{folder}: {os.strerror(error.errno or 0).lower()}, expected room to go on; what was "
            "finished is kept: make room and run the same again"
        ) from error


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], above: tuple[str, ...] = ()
) -> list[str]:
    """What changed between two records, for people: "lr was 0.1, is 0.2"."""
    changes = []
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            changes += differences(old, new, (*above, key))
        elif old != new:
            changes.append(_change(_in_words((*above, key)), old, new))
    return changes


def _change(name: str, old: Any, new: Any) -> str:
    if max(len(str(old)), len(str(new))) > _LONGEST_VALUE:  # a hash or a list tells nobody much
        return f"{name}: not the same"
    was, now = ("none" if value is None else value for value in (old, new))
    return f"{name} was {was}, is {now}"


def _in_words(path: tuple[str, ...]) -> str:
    """A name of a record's value for people: ("pairs", "qa", "loss") is "the loss of qa"."""
    if path[0] == "settings":
        return ".".join(path[1:])
    if path[0] == "pairs":
        of = {"fingerprint": "the rows of ", "loss": "the loss of ", "roles": "the columns of "}
        return f"{of.get(path[2], '')}{path[1]}" if len(path) > 2 else f"the set {path[-1]}"
    if path[0] == "start":
        return " of the ".join(("the " + path[-1], *path[-2:0:-1]))
    return f"the {path[0]}"


def _is_part(path: Path) -> bool:
    """Whether it is what a killed process left of a file that it had not finished."""
    return path.name.startswith(_PART_NAMES) and path.name.endswith(".part")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array
