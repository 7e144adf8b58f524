"""The hidden folder beside an output in which a run keeps what it has finished.

    .vectors.npy.part/
    ├── lock            held while a run works here
    ├── journal.json    what is encoded with what, rows done, and where the input goes on
    └── ...             the rows, see _vectors.py

The one rule: the journal never says more than what has reached the disk before it.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from vecsmith._files import read_json, sync_folder, take_lock, write_json
from vecsmith.errors import FormatError, RunFailed

_JOURNAL_VERSION = 1


class PartialFolder:
    """The folder of unfinished work for one output; one process at a time has it.

    Args:
        target: Where the finished output will be.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.parent / f".{target.name}.part"
        self._lock: int | None = None

    def __enter__(self) -> PartialFolder:
        """Takes the folder, made if need be.

        Raises:
            RunFailed: If another process has it.
        """
        while self._lock is None:
            self._lock = self._take_lock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is None:
            return
        if not (self.path / "journal.json").exists():
            self.remove()  # nothing to go on with
        os.close(self._lock)
        self._lock = None

    def journal(self) -> dict[str, Any] | None:
        """What the last run wrote down, or None if it got nowhere.

        Raises:
            FormatError: If the journal cannot be read.
        """
        path = self.path / "journal.json"
        if not path.exists():
            return None
        try:
            found = read_json(path, max_bytes=2**20)
        except FormatError:
            found = None
        whole = (
            isinstance(found, dict)
            and found.get("version") == _JOURNAL_VERSION
            and isinstance(found.get("rows"), int)
            and found["rows"] >= 0
            and isinstance(found.get("parts"), int)
            and found["parts"] >= 0
            and isinstance(found.get("position"), dict)
            and all(isinstance(place, int) and place >= 0 for place in found["position"].values())
            and all(isinstance(found.get(key), dict) for key in ("input", "model", "settings"))
        )
        if not whole:
            raise FormatError(
                f"{self.target}: the journal of its unfinished run is not one of this version; "
                "restart (--restart) discards that run"
            )
        return dict(found) if found["rows"] else None

    def write_journal(self, work: dict[str, Any], *, rows: int, position: dict[str, int]) -> None:
        """Says that `rows` rows of `work` are on the disk and the input goes on at `position`."""
        write_json(
            self.path / "journal.json",
            {"version": _JOURNAL_VERSION, **work, "rows": rows, "position": position},
        )

    def clear(self) -> None:
        """Discards all that the folder holds."""
        self.discard_journal()  # first: it must not outlive the rows it speaks of
        for entry in self.path.iterdir():
            if entry.name == "lock":
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def discard_journal(self) -> None:
        """Forgets how far the work is; leaving the folder then removes it."""
        (self.path / "journal.json").unlink(missing_ok=True)

    def finish(self, file: Path) -> None:
        """Gives the finished `file` its final name and removes the folder."""
        # The journal goes first: left behind by a kill, it would speak of rows that are gone.
        self.discard_journal()
        sync_folder(self.path)
        file.replace(self.target)
        sync_folder(self.target.parent)
        self.remove()

    def remove(self) -> None:
        """Removes the folder; a failure to do so is left for the next run."""
        with suppress(OSError):
            self.clear()
            (self.path / "lock").unlink()
            self.path.rmdir()

    def _take_lock(self) -> int | None:
        """The lock's file descriptor, or None if the folder vanished meanwhile."""
        try:
            self.path.mkdir(exist_ok=True)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            if not self.target.parent.is_dir():
                raise
            return None
        except FileExistsError:  # what is in the way is not the output
            raise
        except OSError as error:  # of the output, the one name that users know
            raise OSError(error.errno, error.strerror, str(self.target)) from error
        try:
            take_lock(descriptor, self.target)
            # The other run may have finished between open and lock, and its folder be gone.
            current = (self.path / "lock").stat()
        except FileNotFoundError:
            os.close(descriptor)
            return None
        except BlockingIOError:
            os.close(descriptor)
            raise RunFailed(
                f"{self.target}: another process is writing it, expected one at a time; wait for "
                "it to end or choose another --out"
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        if not os.path.samestat(current, os.fstat(descriptor)):
            os.close(descriptor)
            return None
        return descriptor


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What changed between two records of equal shape, for people."""
    changes = []
    for part in ("input", "model", "settings"):
        for key in sorted(before[part].keys() | now[part].keys()):
            old, new = before[part].get(key), now[part].get(key)
            if old != new:
                changes.append(f"{part} {key} was {old}, is {new}")
    return changes
