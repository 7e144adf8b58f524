"""Whoever goes on with a run mends what is damaged in it; nothing that is not ours is touched."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.results.builders import make_result, make_task
from vecsmith.errors import FormatError
from vecsmith.results import EvalResult, RunStore
from vecsmith.results.ownership import Owner

OURS = Owner("minilm-256", "f" * 64)
TASKS = [make_task(name) for name in ("a", "b")]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    make_result(*TASKS, baselines={"bm25": make_result(*TASKS, model="bm25")}).save(tmp_path)
    return tmp_path


def file_of(run: Path, ending: str) -> Path:
    return next((run / "tasks").glob(f"a.*{ending}"))


def flip_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def break_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGES: list[tuple[str, str, Callable[[Path], object]]] = [
    ("the arrays are missing", ".safetensors", Path.unlink),
    ("the arrays are empty", ".safetensors", lambda path: path.write_bytes(b"")),
    ("a bit of the arrays is wrong", ".safetensors", flip_last_bit),
    ("the json is empty", ".json", lambda path: path.write_bytes(b"")),
    ("the json is all zeros", ".json", lambda path: path.write_bytes(b"\0" * 500)),
    ("the json is cut", ".json", lambda path: path.write_bytes(path.read_bytes()[:99])),
    ("the json lacks a field", ".json", lambda path: path.write_text("{}")),
    ("the json is missing", ".json", Path.unlink),
    ("the json is a broken link", ".json", break_link),
]


@pytest.mark.parametrize(
    ("ending", "damage"), [each[1:] for each in DAMAGES], ids=[each[0] for each in DAMAGES]
)
def test_a_damaged_task_is_run_again_and_replaced(
    run: Path, ending: str, damage: Callable[[Path], object]
) -> None:
    damage(file_of(run, ending))
    with pytest.raises(FormatError):
        EvalResult.open(run)
    store = RunStore(run)
    assert store.find(TASKS[0].key) is None
    assert store.find(TASKS[1].key) is not None
    store.add(TASKS[0])
    assert store.find(TASKS[0].key) is not None
    store.finish(make_result(*TASKS))
    assert list(EvalResult.open(run).tasks) == ["a", "b"]


def test_a_result_that_is_saved_again_replaces_what_is_damaged(run: Path) -> None:
    result = EvalResult.open(run)
    flip_last_bit(file_of(run, ".safetensors"))
    result.save(run)
    assert list(EvalResult.open(run).tasks) == ["a", "b"]


def test_a_damaged_file_is_warned_of_by_name(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    flip_last_bit(file_of(run, ".safetensors"))
    file_of(run, ".json").with_name("c.0123456789abcdef.json").write_text("[")
    with caplog.at_level(logging.WARNING):
        assert RunStore(run).find(TASKS[0].key) is None
    unread, damaged = caplog.messages
    assert "c.0123456789abcdef.json: line 1" in unread
    assert unread.endswith("the file is passed over")
    assert "SHA-256" in damaged
    assert damaged.endswith("the task is run again")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_an_unrelated_file_that_may_not_be_read_stops_nothing(run: Path) -> None:
    file_of(run, ".json").chmod(0)
    assert RunStore(run).find(TASKS[1].key) is not None


@pytest.mark.parametrize("length", [0, 1, 20, 40, 200, None])
def test_a_cut_result_file_is_written_anew_and_the_tasks_are_kept(
    run: Path, length: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    for result in (run / "result.json", next((run / "baselines").glob("*/result.json"))):
        content = result.read_bytes()
        result.write_bytes(b"\0" * len(content) if length is None else content[:length])
    with pytest.raises(FormatError):
        EvalResult.open(run)
    store = RunStore(run)
    assert caplog.text.count("written anew from the tasks that are there") == 1
    assert store.find(TASKS[0].key) is not None
    assert store.baseline("bm25").find(TASKS[0].key) is not None
    with pytest.raises(FormatError, match="not finished"):
        EvalResult.open(run)
    store.finish(make_result(*TASKS))
    assert list(EvalResult.open(run).tasks) == ["a", "b"]


@pytest.mark.parametrize("content", ["", "{", "notes, not JSON", '{"format": "trainer", '])
def test_a_result_file_beside_somebody_elses_tasks_is_never_written_over(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "result.json").write_text(content)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "test.jsonl").write_text("{}")
    with pytest.raises(FormatError, match=r"result\.json"):
        RunStore(tmp_path)
    assert (tmp_path / "result.json").read_text() == content


@pytest.mark.parametrize("content", ["notes, not JSON", '{"format": "trainer", ', '{"format": 1}'])
def test_a_result_file_that_was_never_ours_is_not_written_over(run: Path, content: str) -> None:
    (run / "result.json").write_text(content)
    with pytest.raises(FormatError, match=r"result\.json"):
        RunStore(run)
    assert (run / "result.json").read_text() == content


def test_a_run_whose_result_file_is_lost_is_taken_up_again(run: Path) -> None:
    for result in (run / "result.json", next((run / "baselines").glob("*/result.json"))):
        result.unlink()
    store = RunStore(run, owner=OURS)
    assert store.find(TASKS[0].key) is not None
    assert store.baseline("bm25").find(TASKS[0].key) is not None
    store.finish(make_result(*TASKS))
    assert list(EvalResult.open(run).tasks) == ["a", "b"]


@pytest.mark.parametrize("is_cut", [True, False])
def test_tasks_say_whose_run_it_is_where_the_result_file_does_not(run: Path, is_cut: bool) -> None:
    (run / "result.json").unlink()
    if is_cut:
        (run / "result.json").write_text('{\n  "format')
    with pytest.raises(FileExistsError, match=r"another model \(fingerprint ffffffffffff\)"):
        RunStore(run, owner=Owner("minilm-256", "e" * 64))
    assert RunStore(run, owner=OURS).find(TASKS[0].key) is not None


def test_a_cut_file_of_a_run_is_to_be_deleted_and_not_fetched(run: Path) -> None:
    for path in (run / "result.json", file_of(run, ".json")):
        whole = path.read_bytes()
        path.write_bytes(whole[:99])
        with pytest.raises(FormatError, match=f"{path.name}.*delete it and evaluate again$"):
            EvalResult.open(run)
        path.write_bytes(whole)


def test_an_empty_result_file_without_tasks_is_not_ours(run: Path) -> None:
    (run / "result.json").write_text("")
    shutil.rmtree(run / "tasks")
    with pytest.raises(FormatError, match=r"result\.json"):
        RunStore(run)
