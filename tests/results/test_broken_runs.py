"""Whatever a run folder holds: a FormatError that names the file, never another failure."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.results.builders import make_result, make_sts, make_task
from vecsmith.errors import FormatError
from vecsmith.results import EvalResult


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    baseline = make_result(make_task("xnli/triplets[de]"), model="bm25")
    tasks = (make_task("xnli/triplets[de]", notes=("odd",)), make_sts(n_items=9))
    make_result(*tasks, groups={"STS": ("stsb",)}, baselines={"bm25": baseline}).save(folder)
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def task_json(run: Path) -> Path:
    return next((run / "tasks").glob("stsb.*.json"))


def arrays(run: Path) -> Path:
    return next((run / "tasks").glob("stsb.*.safetensors"))


def result_json(run: Path) -> Path:
    return run / "result.json"


def test_the_run_that_is_broken_below_opens_when_it_is_whole(run: Path) -> None:
    assert list(EvalResult.open(run).tasks) == ["xnli/triplets[de]", "stsb"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of every value inside a JSON value."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    if isinstance(value, list):
        for i in range(len(value)):
            yield from places(value[i], (*path, i))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    value = copy.deepcopy(value)
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return value


WRONG: tuple[Any, ...] = (None, True, -1, 10**400, "../../x", "\ud800", [], {}, [[]], {"": None})


@pytest.mark.parametrize("file", [result_json, task_json], ids=["result", "task"])
def test_any_field_of_any_type_is_read_or_refused_as_a_broken_file(
    run: Path, file: Callable[[Path], Path]
) -> None:
    path = file(run)
    value = json.loads(path.read_text(encoding="utf-8"))
    messages = []
    for place in places(value):
        for wrong in WRONG:
            path.write_text(json.dumps(changed(value, place, wrong)), encoding="utf-8")
            try:
                EvalResult.open(run).table()
            except FormatError as error:
                messages.append(str(error))
    assert len(messages) > 100
    assert all(str(run) in message for message in messages)


@pytest.mark.parametrize("file", [result_json, task_json, arrays])
def test_a_file_cut_short_anywhere_is_refused(run: Path, file: Callable[[Path], Path]) -> None:
    content = file(run).read_bytes()
    for length in range(0, len(content) - 1, 37):
        file(run).write_bytes(content[:length])
        with pytest.raises(FormatError, match=file(run).name):
            EvalResult.open(run)


@pytest.mark.parametrize("file", [result_json, task_json, arrays])
def test_a_missing_file_is_named(run: Path, file: Callable[[Path], Path]) -> None:
    path = file(run)
    path.unlink()
    with pytest.raises(FormatError, match=f"{path.name}: no such file"):
        EvalResult.open(run)


def test_a_single_changed_bit_of_the_items_is_noticed(run: Path) -> None:
    content = bytearray(arrays(run).read_bytes())
    content[-1] ^= 1
    arrays(run).write_bytes(content)
    with pytest.raises(FormatError, match=r"SHA-256 .* is damaged or another task's"):
        EvalResult.open(run)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("file", [result_json, task_json, arrays])
def test_a_pipe_in_place_of_a_file_does_not_hang(run: Path, file: Callable[[Path], Path]) -> None:
    path = file(run)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FormatError, match="is not a regular file"):
        EvalResult.open(run)


@pytest.mark.parametrize("rate", [1e308, -1.0, 1e-300])
@pytest.mark.parametrize("place", [("texts_per_second",), ("turns", 0)])
def test_a_speed_that_nothing_has_is_refused(
    run: Path, rate: float, place: tuple[Any, ...]
) -> None:
    value = json.loads(result_json(run).read_text())
    result_json(run).write_text(json.dumps(changed(value, ("speed", *place), rate)))
    with pytest.raises(FormatError, match=r"texts per second, expected from 1e-09 to 1e\+12"):
        EvalResult.open(run)


@pytest.mark.parametrize("by", [1.0, -1e-4])
@pytest.mark.parametrize("name", ["stsb", "xnli"])
def test_a_figure_that_is_not_that_of_its_items_is_refused(run: Path, name: str, by: float) -> None:
    path = next((run / "tasks").glob(f"{name}*.json"))
    task = json.loads(path.read_text())
    figures = task["scores"][1]["figures"]
    figures[task["metric"]] += by
    path.write_text(json.dumps(task))
    with pytest.raises(FormatError, match=r"of view 64 float32 is .*, but that of its items"):
        EvalResult.open(run)


def replace_arrays(run: Path, **new: np.ndarray[Any, Any]) -> None:
    """Other arrays with a JSON that says they are right."""
    path, record = arrays(run), task_json(run)
    save_file({name.replace("_", " "): array for name, array in new.items()}, path)
    value = json.loads(record.read_text())
    value["arrays_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    record.write_text(json.dumps(value))


NINE = np.arange(9.0)
NAN = np.where(NINE == 3, np.nan, NINE)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"gold": NINE}, "no items of view 256 float32"),
        ({"items_256_float32": NINE, "items_64_float32": NINE}, "no gold"),
        (
            {"items_256_float32": NINE[:5], "items_64_float32": NINE, "gold": NINE},
            r"expected float64 of \(5,\)",
        ),
        (
            {"items_256_float32": NINE, "items_64_float32": NINE.reshape(3, 3), "gold": NINE},
            r"float64 of shape \(3, 3\)",
        ),
        (
            {"items_256_float32": NINE, "items_64_float32": NAN, "gold": NINE},
            "item 3 is nan, expected a number",
        ),
        (
            {"items_256_float32": NINE.astype(np.float32), "items_64_float32": NINE, "gold": NINE},
            "is F32, expected F64",
        ),
        (
            {
                "items_256_float32": NINE[:0],
                "items_64_float32": NINE[:0],
                "gold": NINE[:0],
            },
            "no pairs were scored",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    run: Path, new: dict[str, np.ndarray[Any, Any]], message: str
) -> None:
    replace_arrays(run, **new)
    with pytest.raises(FormatError, match=message):
        EvalResult.open(run)


def test_arrays_that_are_no_safetensors_file_are_refused(run: Path) -> None:
    replace_arrays(run, gold=NINE)
    value = json.loads(task_json(run).read_text())
    arrays(run).write_bytes(b"\xff" * 7 + b"\x7f" + b"x" * 100)
    value["arrays_sha256"] = hashlib.sha256(arrays(run).read_bytes()).hexdigest()
    task_json(run).write_text(json.dumps(value))
    with pytest.raises(FormatError, match="expected a safetensors file"):
        EvalResult.open(run)


def test_a_task_file_in_another_tasks_place_is_refused(run: Path) -> None:
    value = json.loads(result_json(run).read_text())
    value["tasks"][0]["file"], value["tasks"][1]["file"] = (
        value["tasks"][1]["file"],
        value["tasks"][0]["file"],
    )
    result_json(run).write_text(json.dumps(value))
    with pytest.raises(FormatError, match=r"task 'stsb', expected 'xnli/triplets\[de\]'"):
        EvalResult.open(run)


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "..", "", "a/b.0123456789abcdef"])
def test_a_listed_file_cannot_lie_outside_the_folder(run: Path, name: str) -> None:
    value = json.loads(result_json(run).read_text())
    value["tasks"][0]["file"] = name
    result_json(run).write_text(json.dumps(value))
    with pytest.raises(FormatError, match="expected a plain file name"):
        EvalResult.open(run)


def test_a_later_version_says_what_to_do(run: Path) -> None:
    value = json.loads(result_json(run).read_text())
    result_json(run).write_text(json.dumps({**value, "version": 2}))
    with pytest.raises(FormatError, match="version 2, expected at most 1; update vecsmith"):
        EvalResult.open(run)


def test_deep_nesting_and_huge_numbers_are_refused(run: Path) -> None:
    for text in ("[" * 100_000, '{"format": ' + "9" * 5000 + "}", "\x00", "[1e999]"):
        result_json(run).write_text(text)
        with pytest.raises(FormatError):
            EvalResult.open(run)


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"result\.json: no such file"):
        EvalResult.open(tmp_path)
    with pytest.raises(FormatError, match=r"result\.json: no such file"):
        EvalResult.open(tmp_path / "nothing")
