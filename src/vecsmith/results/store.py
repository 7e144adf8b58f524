"""A run folder: the tasks of an evaluation as they finish, and at the end the result.

    run/
    ├── result.json             model, settings, machine, the list of tasks and baselines
    ├── tasks/                  two files a task: figures (.json) and items (.safetensors)
    └── baselines/<name>/       a folder like this one for each baseline

The one rule: `result.json` names the files that belong to the run, so a reader sees the old run
until the new one is finished, and a run that is killed goes on where it stopped.

It also says whose run it is, from its first writing on: another model is refused, or restarts it.
Files of the model that was run stay, asked for this time or not (another split, other dims): they
are small, and asking for them again costs nothing. Those of an earlier model are deleted when the
run is finished, once nobody has used them for an hour: they may be another process's.

Whoever writes mends: a file that is damaged is warned of, run again and replaced. Whoever reads a
result gets all of it, or a FormatError.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith._files import read_json, write_json
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.results.fields import MAX_RECORD_BYTES, Block, plain, regular_file
from vecsmith.results.ownership import Owner, names_in, owner_in, refuse_other
from vecsmith.results.records import SpeedResult, TaskResult
from vecsmith.results.sweeping import discard, holds_only_tasks, mark_used, sweep, task_files
from vecsmith.results.task_files import (
    is_safe_name,
    read_label,
    read_task,
    safe_name,
    stem_of,
    write_task,
)

if TYPE_CHECKING:
    from vecsmith.results.result import EvalResult

FORMAT, VERSION = "vecsmith evaluation", 1
RESULT_FILE, TASK_FOLDER, BASELINE_FOLDER = "result.json", "tasks", "baselines"
# What `vecsmith eval --mteb` writes; a run may come to lie beside it
MTEB_FILE = "mteb.json"
# Texts per second beyond these are no measurement, and ratios of them no numbers
_SLOWEST, _FASTEST = 1e-9, 1e12
# How every result file begins: what is cut off later was ours
_OPENING = f'{{\n  "format": "{FORMAT}"'.encode()

logger = logging.getLogger(__name__)


class RunStore:
    """The folder of one run, open for writing.

    There is no lock. Two processes of one model in one folder may run the same task twice; neither
    loses one, and the result of the one that finishes last is what the folder holds.
    """

    def __init__(
        self, folder: PathLike, *, owner: Owner | None = None, restart: bool = False
    ) -> None:
        """Opens the run in `folder`, or starts one there.

        Args:
            folder: Of the run.
            owner: The model that is run; None for whatever is saved there at once.
            restart: Whether a run that is there, of any model, is given up for a new one. What
                baselines did stays, and is found by its key.

        Raises:
            FileExistsError: If the folder holds another model's run, or something that is no run,
                or is a file.
            FormatError: If the result that is there is of something else, or of a later version.
            OSError: If the folder cannot be written.
        """
        self.folder = Path(folder)
        self._owner = owner
        self._keys: dict[str, Path] | None = None
        self._baselines: dict[str, RunStore] = {}
        is_run = _is_run(self.folder)
        if owner is not None and not restart:
            header = _header(self.folder) if is_run else None
            refuse_other(self.folder, owner_in(header, self.folder / TASK_FOLDER, owner), owner)
        if restart or not is_run:
            self.folder.mkdir(parents=True, exist_ok=True)
            # the first thing written: it says whose folder this is
            write_json(self.folder / RESULT_FILE, _unfinished(owner))
        if restart:
            discard(self.folder / TASK_FOLDER)
        (self.folder / TASK_FOLDER).mkdir(exist_ok=True)

    def find(self, key: str) -> TaskResult | None:
        """The task with that key, or None; never one for the key "".

        A task whose files are damaged is not found: it is to be run again, which replaces them.
        """
        if not key:
            return None
        if self._keys is None:
            self._keys = _keys_in(self.folder / TASK_FOLDER)
        path = self._keys.get(key)
        if path is None or not path.exists():  # another process may have deleted it since
            return None
        task = _whole_task(path)
        return task if task is not None and task.key == key else None

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

    def finish(self, result: EvalResult) -> tuple[str, ...]:
        """Writes the result with its baselines, and what of its tasks is not there yet.

        Returns:
            Names of the tasks and baselines that the finished run there had before and that
            `result` has not.

        Raises:
            FileExistsError: If another model restarted the run in the meantime.
            ValueError: If a baseline has baselines of its own, or a value cannot be written.
            OSError: If it cannot be written.
        """
        _check_depth(result)
        before = self._names_before()
        for name, baseline in result.baselines.items():
            self.baseline(name).finish(baseline)
        stems = {name: self._ensure(task) for name, task in result.tasks.items()}
        write_json(self.folder / RESULT_FILE, _record(result, stems))
        self._keys = None
        sweep(self.folder / TASK_FOLDER, stems, result.fingerprint)
        kept = {*result.tasks, *(f"baseline {name}" for name in result.baselines)}
        return tuple(name for name in before if name not in kept)

    def _names_before(self) -> tuple[str, ...]:
        """Names in the result that is about to be replaced, which must be of the same model."""
        if self._owner is None:
            return ()
        try:
            header = _header(self.folder)
            names = names_in(header)
            owner = owner_in(header, self.folder / TASK_FOLDER, self._owner)
        except FormatError:  # it is replaced by one that is whole
            return ()
        refuse_other(self.folder, owner, self._owner)
        return names

    def _ensure(self, task: TaskResult) -> str:
        """The file name of a task that is there, and whole."""
        folder, stem = self.folder / TASK_FOLDER, stem_of(task)
        path = folder / f"{stem}.json"
        if path.exists() and _whole_task(path) is not None:
            return stem
        return write_task(folder, task)


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


def _unfinished(owner: Owner | None) -> dict[str, Any]:
    """What the result file says until the run is finished."""
    record = {"format": FORMAT, "version": VERSION, "finished": False}
    if owner is None:
        return record
    named: dict[str, Any] = plain(
        {**record, "model": owner.model, "fingerprint": owner.fingerprint}, "run"
    )
    return named


def _is_run(folder: Path) -> bool:
    """Whether `folder` is a run whose result file is whole; raises if it may not become one."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise FileExistsError(f"{folder}: is a file, expected a folder or nothing there")
    for inner in (TASK_FOLDER, BASELINE_FOLDER):
        if (folder / inner).is_symlink():
            raise FileExistsError(f"{folder / inner}: is a link, expected a folder of the run")
    if (folder / RESULT_FILE).exists():
        if _is_damaged(folder):
            return False
        _header(folder)
        return True
    ours = {MTEB_FILE}
    if holds_only_tasks(folder / TASK_FOLDER):  # a run whose result file is lost
        ours |= {TASK_FOLDER, BASELINE_FOLDER}
    foreign = sorted(
        path.name
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name not in ours
    )
    if foreign:
        raise FileExistsError(
            f"{folder}: holds {', '.join(foreign[:3])} and no {RESULT_FILE}, expected a run or "
            "an empty folder; choose another folder"
        )
    return False


def _is_damaged(folder: Path) -> bool:
    """Whether the result file is what is left of one of ours, in a folder with our tasks."""
    path = folder / RESULT_FILE
    if not holds_only_tasks(folder / TASK_FOLDER):
        return False
    with regular_file(path).open("rb") as file:
        beginning = file.read(len(_OPENING)).strip(b"\0 \n")
    if not _OPENING.startswith(beginning):
        return False
    try:
        read_json(path, max_bytes=MAX_RECORD_BYTES)
    except FormatError:
        logger.warning("%s is not whole; it is written anew from the tasks that are there", path)
        return True
    return False


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
    """JSON file of the tasks in `folder`, by key; those that cannot be read are left out."""
    keys: dict[str, Path] = {}
    for path in task_files(folder):
        try:
            keys[read_label(path).key] = path
        except (FormatError, OSError) as error:
            logger.warning("%s; the file is passed over", error)
    return keys


def _whole_task(path: Path) -> TaskResult | None:
    """The task whose JSON is at `path`, marked as used; None if it cannot be read."""
    mark_used(path)
    try:
        return read_task(path)
    except (FormatError, OSError) as error:
        if path.exists():  # else another process deleted it just now
            logger.warning("%s; the task is run again", error)
        return None


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
    rate, turns = block.optional_number("texts_per_second"), block.numbers("turns")
    for each in filter(None, (rate, *turns)):
        if not _SLOWEST <= each <= _FASTEST:
            raise FormatError(
                f"{block.source}: {each:g} texts per second, expected from {_SLOWEST:g} to "
                f"{_FASTEST:g}"
            )
    return SpeedResult(
        texts_per_second=rate,
        n_texts=block.count("n_texts"),
        turns=turns,
        model_bytes=block.optional_count("model_bytes"),
        peak_bytes=block.optional_count("peak_bytes"),
    )
