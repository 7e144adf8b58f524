"""Whose run a folder holds, so that no model's run is written over another's without a word.

The one rule: a fingerprint says which model it is, whatever it is called; without one the name
has to do, and a model with a fingerprint is never one without.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vecsmith.errors import FormatError
from vecsmith.results.fields import Block
from vecsmith.results.sweeping import task_files
from vecsmith.results.task_files import read_label

_SHOWN = 12  # signs of a fingerprint that are enough to tell two apart


@dataclass(frozen=True, slots=True)
class Owner:
    """The model a run is of.

    Attributes:
        model: Its name; "" where it is not known.
        fingerprint: Hash of its weights and settings; "" where it has none.
    """

    model: str
    fingerprint: str

    def is_same(self, other: Owner) -> bool:
        """Whether both are the same model, as far as can be told."""
        if self.fingerprint or other.fingerprint:
            return self.fingerprint == other.fingerprint
        return self.model == other.model

    def __str__(self) -> str:
        name = self.model if self.model else "another model"
        mark = f"fingerprint {self.fingerprint:.{_SHOWN}}" if self.fingerprint else "no fingerprint"
        return f"{name:.100} ({mark})"


def owner_in(header: Block | None, tasks: Path, wanted: Owner) -> Owner | None:
    """Whose run it is, None where nobody's is there.

    Args:
        header: The result file, None where it is lost.
        tasks: Folder of the tasks, which speak where the result file does not.
        wanted: Who wants to write: the owner, if one task is of that model.
    """
    if header is not None and header.has("model"):
        return Owner(header.text("model"), header.text("fingerprint"))
    found = set()
    for path in task_files(tasks):
        with suppress(FormatError, OSError):  # what cannot be read is run again
            found.add(read_label(path).fingerprint)
    found.discard("")
    if not found or wanted.fingerprint in found:
        return None
    return Owner("", min(found))


def refuse_other(folder: Path, found: Owner | None, wanted: Owner) -> None:
    """Does nothing where the run is of the model that wants to write, or of nobody.

    Raises:
        FileExistsError: If it is of another.
    """
    if found is not None and not found.is_same(wanted):
        raise FileExistsError(
            f"{folder}: holds a run of {found}, expected the same model, not {wanted}; choose "
            "another folder, or pass --restart (in Python restart=True), which replaces the run"
        )


def names_in(header: Block | None) -> tuple[str, ...]:
    """The tasks and baselines of a finished result, in words; none where it is not finished."""
    if header is None or not header.flag("finished"):
        return ()
    baselines = (f"baseline {name}" for name in header.texts("baselines"))
    return (*(entry.text("name") for entry in header.blocks("tasks")), *baselines)
