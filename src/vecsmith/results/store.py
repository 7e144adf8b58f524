"""A run folder: the tasks of an evaluation as they finish, and at the end the result.

    run/
    ├── result.json             model, settings, machine, the list of tasks and baselines
    ├── tasks/                  two files a task: figures (.json) and items (.safetensors)
    └── baselines/<name>/       a folder like this one for each baseline

The one rule: `result.json` names the files that belong to the run, so a reader sees the old run
until the new one is finished, and a run that is killed goes on where it stopped.

A task that is asked for no longer is not in the result, but its files stay: they are small, and
asking for it again costs nothing. Files of an earlier model or of earlier texts are deleted when
the run is finished: nothing can ask for them again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith._files import write_json
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.results.fields import Block, plain
from vecsmith.results.records import SpeedResult, TaskResult
from vecsmith.results.task_files import (
    has_task,
    is_safe_name,
    read_name_and_key,
    read_task,
    safe_name,
    stem_of,
    write_task,
)

if TYPE_CHECKING:
    from vecsmith.results.result import EvalResult

FORMAT, VERSION = "vecsmith evaluation", 1
RESULT_FILE, TASK_FOLDER, BASELINE_FOLDER = "result.json", "tasks", "baselines"
# What a killed run left over; younger files may be another process's at this moment.
_LEFT_OVER_SECONDS = 3600.0


class RunStore:
    """The folder of one run, open for writing; no lock, two processes do each other no harm."""

    def __init__(self, folder: PathLike) -> None:
        """Opens the run in `folder`, or starts one there.

        Raises:
            FileExistsError: If the folder holds something that is no run, or is a file.
            FormatError: If the run that is there is broken, or of a later version.
            OSError: If the folder cannot be written.
        """
        self.folder = Path(folder)
        self._keys: dict[str, Path] | None = None
        self._baselines: dict[str, RunStore] = {}
        _check_ours(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / RESULT_FILE).exists():  # the first thing written: it says whose
            unfinished = {"format": FORMAT, "version": VERSION, "finished": False}
            write_json(self.folder / RESULT_FILE, unfinished)
        (self.folder / TASK_FOLDER).mkdir(exist_ok=True)

    def find(self, key: str) -> TaskResult | None:
        """The task with that key, or None; never one for the key "".

        Raises:
            FormatError: If a file of the run is broken.
        """
        if not key:
            return None
        if self._keys is None:
            self._keys = _keys_in(self.folder / TASK_FOLDER)
        path = self._keys.get(key)
        return None if path is None else read_task(path)

    def add(self, task: TaskResult) -> None:
        """Writes one task.

        Raises:
            ValueError: If a text of it is not Unicode text.
            OSError: If it cannot be written.
        """
        stem = write_task(self.folder / TASK_FOLDER, task)
        if self._keys is not None:
            self._keys[task.key] = self.folder / TASK_FOLDER / f"{stem}.json"

    def baseline(self, name: str) -> RunStore:
        """The store of the baseline called `name`."""
        if name not in self._baselines:
            self._baselines[name] = RunStore(_baseline_folder(self.folder, name))
        return self._baselines[name]

    def finish(self, result: EvalResult) -> None:
        """Writes the result with its baselines, and what of its tasks is not there yet.

        Raises:
            ValueError: If a baseline has baselines of its own, or a value cannot be written.
            OSError: If it cannot be written.
        """
        _check_depth(result)
        for name, baseline in result.baselines.items():
            self.baseline(name).finish(baseline)
        stems = {name: self._ensure(task) for name, task in result.tasks.items()}
        write_json(self.folder / RESULT_FILE, _record(result, stems))
        self._keys = None
        _sweep(self.folder / TASK_FOLDER, stems)

    def _ensure(self, task: TaskResult) -> str:
        folder, stem = self.folder / TASK_FOLDER, stem_of(task)
        return stem if has_task(folder, stem) else write_task(folder, task)


def read_run(folder: PathLike, make: type[EvalResult]) -> EvalResult:
    """The finished run in `folder`, with its baselines.

    Raises:
        FormatError: If it is not a run, not finished, or a file of it is broken.
        OSError: If it cannot be read.
    """
    folder = Path(folder)
    block = _finished(folder)
    baselines = {}
    for name in block.texts("baselines"):
        inner = _finished(_baseline_folder(folder, name))
        if inner.texts("baselines"):
            raise FormatError(f"{inner.source}: a baseline has baselines, expected it to have none")
        baselines[name] = _result_of(inner, make, {})
    return _result_of(block, make, baselines)


def _check_ours(folder: Path) -> None:
    """Raises unless `folder` is a run, or may become one."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{folder}: is a file, expected a folder or nothing there")
    for inner in (TASK_FOLDER, BASELINE_FOLDER):
        if (folder / inner).is_symlink():
            raise FileExistsError(f"{folder / inner}: is a link, expected a folder of the run")
    if (folder / RESULT_FILE).exists():
        _header(folder)
        return
    foreign = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if foreign:
        raise FileExistsError(
            f"{folder}: holds {', '.join(foreign[:3])} and no {RESULT_FILE}, expected a run or "
            "an empty folder; choose another folder"
        )


def _header(folder: Path) -> Block:
    return Block.of_file(folder / RESULT_FILE, format_name=FORMAT, version=VERSION)


def _finished(folder: Path) -> Block:
    """The result file of a finished run."""
    block = _header(folder)
    if not block.flag("finished"):
        n_done = sum(1 for _ in (folder / TASK_FOLDER).glob("*.json"))
        raise FormatError(
            f"{folder}: the run is not finished ({n_done} tasks are there), expected a finished "
            "one; start it again with the same settings, it goes on where it stopped"
        )
    return block


def _baseline_folder(folder: Path, name: str) -> Path:
    # the name is never a path: what was read from a file cannot lead out of the run
    return folder / BASELINE_FOLDER / safe_name(name)


def _keys_in(folder: Path) -> dict[str, Path]:
    """JSON file of the tasks in `folder`, by key."""
    return {read_name_and_key(path)[1]: path for path in _task_files(folder)}


def _task_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if is_safe_name(path.stem))


def _check_depth(result: EvalResult) -> None:
    for name, baseline in result.baselines.items():
        if baseline.baselines:
            raise ValueError(
                f"baseline {name!r:.60} has {len(baseline.baselines)} baselines of its own, "
                "expected none"
            )


def _record(result: EvalResult, stems: Mapping[str, str]) -> dict[str, Any]:
    speed = result.speed
    record = {
        "format": FORMAT,
        "version": VERSION,
        "finished": True,
        "model": result.model,
        "fingerprint": result.fingerprint,
        "date": result.date,
        "run": result.run,
        "tasks": [{"name": name, "file": stem} for name, stem in stems.items()],
        "groups": result.groups,
        "baselines": list(result.baselines),
        "speed": {name: getattr(speed, name) for name in SpeedResult.__dataclass_fields__},
        "settings": result.settings,
        "machine": result.machine,
        "versions": result.versions,
    }
    written: dict[str, Any] = plain(record, f"result of {result.model!r:.60}")
    return written


def _result_of(
    block: Block, make: type[EvalResult], baselines: dict[str, EvalResult]
) -> EvalResult:
    folder = Path(block.source).parent / TASK_FOLDER
    return make(
        model=block.text("model"),
        fingerprint=block.text("fingerprint"),
        tasks=_tasks_of(block, folder),
        groups=block.mapping("groups", Block.texts),
        settings=block.block("settings").values,
        speed=_speed_of(block.block("speed")),
        machine=block.block("machine").values,
        versions=block.mapping("versions", Block.optional_text),
        date=block.text("date"),
        run=block.text("run") if block.has("run") else "",
        baselines=baselines,
    )


def _tasks_of(block: Block, folder: Path) -> dict[str, TaskResult]:
    tasks: dict[str, TaskResult] = {}
    for entry in block.blocks("tasks"):
        name, stem = entry.text("name"), entry.text("file")
        if not is_safe_name(stem):
            raise FormatError(f"{entry.source}: file is {stem!r:.80}, expected a plain file name")
        if name in tasks:
            raise FormatError(f"{entry.source}: task {name!r:.80} is there twice")
        tasks[name] = read_task(folder / f"{stem}.json")
        if tasks[name].name != name:
            raise FormatError(
                f"{folder / stem}.json: task {tasks[name].name!r:.80}, expected {name!r:.80}"
            )
    return tasks


def _speed_of(block: Block) -> SpeedResult:
    return SpeedResult(
        texts_per_second=block.optional_number("texts_per_second"),
        n_texts=block.count("n_texts"),
        turns=block.numbers("turns"),
        model_bytes=block.optional_count("model_bytes"),
        peak_bytes=block.optional_count("peak_bytes"),
    )


def _sweep(folder: Path, stems: Mapping[str, str]) -> None:
    """Deletes what nothing can ask for again: superseded tasks, and leftovers of a kill."""
    listed = set(stems.values())
    for path in _task_files(folder):
        with suppress(FormatError, OSError):  # a file we cannot read is not ours to delete
            if path.stem not in listed and read_name_and_key(path)[0] in stems:
                _delete([path, path.with_suffix(".safetensors")])
    _delete(path for path in folder.iterdir() if _is_left_over(path))


def _is_left_over(path: Path) -> bool:
    """Whether a kill left `path`: an unfinished file, or arrays whose JSON was never written."""
    is_part = path.name.startswith(".") and path.name.endswith(".part")
    is_orphan = path.suffix == ".safetensors" and not path.with_suffix(".json").exists()
    if not is_part and not (is_orphan and is_safe_name(path.stem)):
        return False
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > _LEFT_OVER_SECONDS
    return False


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
