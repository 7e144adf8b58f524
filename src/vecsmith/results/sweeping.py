"""What is deleted from the task folder of a run when the run is finished.

The one rule: only what nothing can ask for again, and what nobody has used for an hour; two
processes may share the folder, and neither knows of the other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from vecsmith.errors import FormatError
from vecsmith.results.task_files import is_safe_name, read_label

_IN_USE_SECONDS = 3600.0


def task_files(folder: Path) -> list[Path]:
    """The JSON file of each task in `folder`, sorted."""
    return sorted(path for path in folder.glob("*.json") if is_safe_name(path.stem))


def holds_only_tasks(folder: Path) -> bool:
    """Whether `folder` is one, and nothing in it is of anybody else."""
    return folder.is_dir() and all(
        path.name.startswith(".")
        or (path.suffix in (".json", ".safetensors") and is_safe_name(path.stem))
        for path in folder.iterdir()
    )


def discard(folder: Path) -> None:
    """Deletes the files of all tasks in `folder`, in use or not."""
    for path in task_files(folder):
        _delete([path, path.with_suffix(".safetensors")])


def mark_used(path: Path) -> None:
    """Makes the two files of a task as young as if they were written now."""
    for file in (path, path.with_suffix(".safetensors")):
        with suppress(OSError):
            os.utime(file)


def sweep(folder: Path, stems: Mapping[str, str], fingerprint: str) -> None:
    """Deletes earlier models' files of the same tasks, and what killed runs left behind.

    Args:
        folder: Of the tasks.
        stems: File names without ending of the tasks in the result, by name of the task.
        fingerprint: Of the model in the result: its other files stay.
    """
    listed = set(stems.values())
    for path in task_files(folder):
        if path.stem not in listed and not _is_in_use(path):
            with suppress(FormatError, OSError):  # a file we cannot read is not ours to delete
                label = read_label(path)
                is_asked_again = label.key and label.fingerprint == fingerprint
                if label.name in stems and not is_asked_again:
                    _delete([path, path.with_suffix(".safetensors")])
    _delete(path for path in folder.iterdir() if _is_left_over(path) and not _is_in_use(path))


def _is_left_over(path: Path) -> bool:
    """Whether a kill left `path`: an unfinished file, or arrays whose JSON was never written."""
    if path.name.startswith(".") and path.name.endswith(".part"):
        return True
    is_array = path.suffix == ".safetensors" and is_safe_name(path.stem)
    return is_array and not path.with_suffix(".json").exists()


def _is_in_use(path: Path) -> bool:
    """Whether somebody wrote or found `path` within the hour, or it cannot be told."""
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime < _IN_USE_SECONDS
    return True


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
