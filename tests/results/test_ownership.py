"""A run folder is of one model, from its first file on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.results.builders import make_result, make_task
from vecsmith.results import EvalResult, RunStore
from vecsmith.results.ownership import Owner

OURS = Owner("minilm-256", "f" * 64)
AGAIN = Owner("minilm-256", "e" * 64)
OTHER = Owner("e5-256", "d" * 64)
NAMELESS = Owner("minilm-256", "")


@pytest.mark.parametrize("is_finished", [True, False])
@pytest.mark.parametrize("owner", [AGAIN, OTHER, NAMELESS])
def test_another_model_is_refused_at_once_and_changes_nothing(
    tmp_path: Path, owner: Owner, is_finished: bool
) -> None:
    store = RunStore(tmp_path, owner=OURS)
    if is_finished:
        store.finish(make_result(make_task()))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(FileExistsError) as caught:
        RunStore(tmp_path, owner=owner)
    assert f"{tmp_path}: holds a run of minilm-256 (fingerprint ffffffffffff)" in str(caught.value)
    assert "choose another folder, or pass --restart" in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_the_same_weights_under_another_name_are_the_same_model(tmp_path: Path) -> None:
    RunStore(tmp_path, owner=OURS).add(make_task())
    store = RunStore(tmp_path, owner=Owner("renamed", OURS.fingerprint))
    assert store.find(make_task().key) is not None
    store.finish(make_result(make_task(), model="renamed"))
    assert EvalResult.open(tmp_path).model == "renamed"


def test_without_fingerprints_the_name_has_to_do(tmp_path: Path) -> None:
    RunStore(tmp_path, owner=NAMELESS)
    RunStore(tmp_path, owner=NAMELESS)
    for other in (Owner("e5-256", ""), OURS):
        with pytest.raises(FileExistsError, match=r"of minilm-256 \(no fingerprint\)"):
            RunStore(tmp_path, owner=other)


def test_a_restart_gives_up_the_tasks_and_keeps_the_baselines(tmp_path: Path) -> None:
    task = make_task()
    make_result(task, baselines={"bm25": make_result(task, model="bm25")}).save(tmp_path)
    store = RunStore(tmp_path, owner=OTHER, restart=True)
    assert store.find(task.key) is None
    assert store.baseline("bm25").find(task.key) is not None
    with pytest.raises(FileExistsError, match="holds a run of e5-256"):
        RunStore(tmp_path, owner=OURS)
    assert json.loads((tmp_path / "result.json").read_text())["model"] == "e5-256"


def test_a_restart_does_not_write_over_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds notes\.txt and no result"):
        RunStore(tmp_path, owner=OURS, restart=True)


def test_a_run_that_another_model_restarted_is_not_finished_over_it(tmp_path: Path) -> None:
    store = RunStore(tmp_path, owner=OURS)
    store.add(make_task())
    other = RunStore(tmp_path, owner=OTHER, restart=True)
    with pytest.raises(FileExistsError, match="holds a run of e5-256"):
        store.finish(make_result(make_task()))
    other.finish(replace(make_result(make_task(), model="e5-256"), fingerprint="d" * 64))
    assert EvalResult.open(tmp_path).model == "e5-256"


def test_what_a_result_lacks_of_the_one_before_is_named(tmp_path: Path) -> None:
    a, b = make_task("a"), make_task("b")
    store = RunStore(tmp_path, owner=OURS)
    assert store.finish(make_result(a, b, baselines={"bm25": make_result(a, b)})) == ()
    again = RunStore(tmp_path, owner=OURS)
    assert again.finish(make_result(a)) == ("b", "baseline bm25")
    assert again.finish(make_result(a, b)) == ()
    assert RunStore(tmp_path, owner=OURS).find(b.key) is not None
