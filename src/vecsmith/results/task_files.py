"""The two files of a task in a run folder: JSON for what people read, safetensors for arrays.

The one rule: the JSON is written last and holds the hash of the arrays, so that a pair of files
that do not belong together is never taken for a record.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from vecsmith._files import atomic_file, write_json
from vecsmith.errors import FormatError
from vecsmith.results.fields import Block, plain, regular_file
from vecsmith.results.records import Kind, Precision, Scores, Statistic, TaskResult, View
from vecsmith.results.statistics import value

FORMAT, VERSION = "vecsmith task result", 1
# Ten million items under fifty views; more is a mistake or an attack.
MAX_ARRAY_BYTES = 4 * 2**30
# How far a figure may lie from that of its items: other sums of the same numbers
_TOLERANCE = 1e-6
_REMEDY = "delete the file and evaluate again"
_DTYPES = {"F64": np.float64, "I32": np.int32}
# No file may have these names on Windows, whatever follows the dot.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.ASCII)


def safe_name(name: str, *more: str) -> str:
    """A file name for any text: what of it is plain ASCII, a dot, a hash of all that is given."""
    digest = hashlib.sha256("\0".join((name, *more)).encode("utf-8", "surrogatepass")).hexdigest()
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:60].strip("-")
    slug = f"_{slug}" if _RESERVED.fullmatch(slug.lower()) else slug or "_"
    return f"{slug}.{digest[:16]}"


def is_safe_name(text: str) -> bool:
    """Whether `safe_name` could have given `text`; such a name stays in its folder."""
    return re.fullmatch(r"[A-Za-z0-9_-]{1,61}\.[0-9a-f]{16}", text) is not None


def stem_of(task: TaskResult) -> str:
    """File name of a task without its ending.

    Equal keys give equal names; without a key the figures themselves are hashed, so that another
    model's file is never written over.
    """
    if task.key:
        return safe_name(task.name, task.key)
    hashes = [hashlib.sha256(array.tobytes()).hexdigest() for array in _arrays(task).values()]
    return safe_name(task.name, "", repr(_scores_record(task)), *hashes)


def write_task(folder: Path, task: TaskResult) -> str:
    """Writes both files of `task` into `folder`; gives their name without the ending.

    Raises:
        ValueError: If a text of the record is not Unicode text.
        OSError: If they cannot be written.
    """
    from safetensors.numpy import save

    content = save(_arrays(task))
    record = plain(_record(task, hashlib.sha256(content).hexdigest()), f"task {task.name!r:.100}")
    stem = stem_of(task)
    with atomic_file(folder / f"{stem}.safetensors") as file:
        file.write(content)
    write_json(folder / f"{stem}.json", record)
    return stem


def read_task(path: Path) -> TaskResult:
    """The task whose JSON is at `path`.

    Raises:
        FormatError: If one of its two files is broken or foreign, or they do not fit each other.
        OSError: If they cannot be read.
    """
    block = Block.of_file(path, format_name=FORMAT, version=VERSION)
    arrays = _read_arrays(path.with_suffix(".safetensors"), expected=block.text("arrays_sha256"))
    try:
        task = _task_of(block, arrays)
        _check_figures(task)
    except ValueError as error:
        raise FormatError(f"{path}: {error}; {_REMEDY}") from error
    return task


def _check_figures(task: TaskResult) -> None:
    """Raises ValueError where the main figure is not that of the items."""
    for view, scores in task.scores.items():
        stated = scores.figures[task.metric]
        found = value(scores.items, task.gold, task.statistic)
        if not math.isclose(stated, found, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            raise ValueError(
                f"{task.metric} of view {view} is {stated:.6g}, but that of its items {found:.6g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What tells one task file from another: fields of `TaskResult`."""

    name: str
    key: str
    fingerprint: str


def read_label(path: Path) -> Label:
    """The label of the task whose JSON is at `path`; its arrays are not looked at.

    Raises:
        FormatError: If the file is broken or foreign.
        OSError: If it cannot be read.
    """
    block = Block.of_file(path, format_name=FORMAT, version=VERSION)
    return Label(name=block.text("name"), key=block.text("key"), fingerprint=_fingerprint_of(block))


def _fingerprint_of(block: Block) -> str:
    return block.text("fingerprint") if block.has("fingerprint") else ""


def _arrays(task: TaskResult) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {
        f"items {view}": np.ascontiguousarray(scores.items, np.float64)
        for view, scores in task.scores.items()
    }
    if task.gold is not None:
        arrays["gold"] = np.ascontiguousarray(task.gold, np.float64)
    if task.neighbors is not None:
        arrays["neighbors"] = np.ascontiguousarray(task.neighbors, np.int32)
    return arrays


def _record(task: TaskResult, arrays_sha256: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": task.name,
        "set": task.set,
        "kind": task.kind,
        "language": task.language,
        "split": task.split,
        "metric": task.metric,
        "statistic": task.statistic,
        "unit": task.unit,
        "n_items": task.n_items,
        "scores": _scores_record(task),
        "counts": task.counts,
        "notes": task.notes,
        "seconds": task.seconds,
        "data_hash": task.data_hash,
        "key": task.key,
        "fingerprint": task.fingerprint,
        "versions": task.versions,
        "machine": task.machine,
        "date": task.date,
        "license": task.license,
        "source": task.source,
        "arrays_sha256": arrays_sha256,
    }


def _scores_record(task: TaskResult) -> list[dict[str, Any]]:
    return [
        {
            "dim": view.dim,
            "precision": view.precision,
            "figures": {metric: float(figure) for metric, figure in scores.figures.items()},
        }
        for view, scores in task.scores.items()
    ]


def _task_of(block: Block, arrays: Mapping[str, NDArray[Any]]) -> TaskResult:
    return TaskResult(
        name=block.text("name"),
        set=block.text("set"),
        kind=block.choice("kind", get_args(Kind)),
        language=block.optional_text("language"),
        split=block.text("split"),
        metric=block.text("metric"),
        statistic=block.choice("statistic", get_args(Statistic)),
        unit=block.text("unit"),
        scores=_scores_of(block, arrays),
        gold=arrays.get("gold"),
        counts=block.mapping("counts", Block.count),
        notes=block.texts("notes"),
        seconds=block.mapping("seconds", Block.number),
        data_hash=block.text("data_hash"),
        key=block.text("key"),
        neighbors=arrays.get("neighbors"),
        # what the first version did not write
        fingerprint=_fingerprint_of(block),
        versions=(block.mapping("versions", Block.optional_text) if block.has("versions") else {}),
        machine=block.block("machine").values if block.has("machine") else {},
        date=block.text("date") if block.has("date") else "",
        license=block.optional_text("license") if block.has("license") else None,
        source=block.optional_text("source") if block.has("source") else None,
    )


def _scores_of(block: Block, arrays: Mapping[str, NDArray[Any]]) -> dict[View, Scores]:
    found: dict[View, Scores] = {}
    for entry in block.blocks("scores"):
        view = View(entry.count("dim"), entry.choice("precision", get_args(Precision)))
        if view in found:
            raise FormatError(f"{entry.source}: view {view} is there twice; {_REMEDY}")
        if f"items {view}" not in arrays:
            raise FormatError(
                f"{entry.source}: no items of view {view} among the arrays; {_REMEDY}"
            )
        figures = entry.mapping("figures", Block.number)
        found[view] = Scores(figures=figures, items=arrays[f"items {view}"])
    return found


def _read_arrays(path: Path, *, expected: str) -> dict[str, NDArray[Any]]:
    """The arrays of a file whose hash is as expected."""
    from safetensors import SafetensorError, safe_open

    n_bytes = regular_file(path).stat().st_size
    if n_bytes > MAX_ARRAY_BYTES:
        raise FormatError(f"{path}: {n_bytes} bytes, expected at most {MAX_ARRAY_BYTES}")
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != expected:
        raise FormatError(
            f"{path}: SHA-256 {found:.12}..., expected {expected:.12}... as its .json says; "
            f"the file is damaged or another task's, {_REMEDY}"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: _array(file, name, path) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise FormatError(f"{path}: {error}, expected a safetensors file; {_REMEDY}") from error


def _array(file: Any, name: str, path: Path) -> NDArray[Any]:
    dtype = file.get_slice(name).get_dtype()
    expected = "I32" if name == "neighbors" else "F64"
    if dtype != expected:
        raise FormatError(f"{path}: {name!r:.60} is {dtype}, expected {expected}; {_REMEDY}")
    array: NDArray[Any] = file.get_tensor(name).astype(_DTYPES[expected], copy=False)
    return array
