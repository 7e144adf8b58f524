"""A run folder gives back what was written, goes on after a kill, and refuses what is not its."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.results.builders import FULL, make_result, make_sts, make_task
from vecsmith.errors import FormatError
from vecsmith.results import EvalResult, RunStore, TaskResult


def assert_equal_tasks(found: TaskResult, expected: TaskResult) -> None:
    for field in TaskResult.__dataclass_fields__:
        a, b = getattr(found, field), getattr(expected, field)
        if field == "scores":
            assert list(a) == list(b)
            for view in b:
                assert a[view].figures == b[view].figures
                assert a[view].items.tobytes() == b[view].items.tobytes()
        elif isinstance(b, np.ndarray):
            assert a.dtype == b.dtype
            assert a.shape == b.shape
            assert a.tobytes() == b.tobytes()
        else:
            assert a == b


def assert_equal_results(found: EvalResult, expected: EvalResult) -> None:
    assert list(found.tasks) == list(expected.tasks)
    for name, task in expected.tasks.items():
        assert_equal_tasks(found.tasks[name], task)
    for field in (
        "model",
        "fingerprint",
        "groups",
        "settings",
        "machine",
        "versions",
        "date",
        "run",
    ):
        assert getattr(found, field) == getattr(expected, field)
    for field in type(expected.speed).__dataclass_fields__:
        assert getattr(found.speed, field) == getattr(expected.speed, field)
    assert list(found.baselines) == list(expected.baselines)
    for name, baseline in expected.baselines.items():
        assert_equal_results(found.baselines[name], baseline)


NAMES = [
    "trec",
    "xnli/triplets[de]",
    "../../etc/passwd",
    "con",
    "한국어",
    "a" * 400,
    "..",
    "a\\b:c*",
]


def test_a_saved_result_opens_bit_for_bit(tmp_path: Path) -> None:
    odd = np.random.default_rng(0).standard_normal(600) * 10.0 ** np.arange(-500.0, 100.0) / 2
    tasks = [make_sts(), make_task("odd", [*odd, 5e-324, -0.0, 1 / 3])]
    baseline = make_result(make_task(), model="sentence-transformers/all-MiniLM-L6-v2")
    result = make_result(
        *tasks,
        groups={"STS": ("stsb",)},
        baselines={"sentence-transformers/all-MiniLM-L6-v2": baseline, "../up": baseline},
    )
    result.save(tmp_path / "run")
    assert_equal_results(EvalResult.open(tmp_path / "run"), result)


def test_any_task_name_is_kept_and_no_file_leaves_the_folder(tmp_path: Path) -> None:
    result = make_result(*(make_task(name) for name in NAMES))
    result.save(tmp_path / "deep" / "run")
    assert list(EvalResult.open(tmp_path / "deep" / "run").tasks) == NAMES
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run"]
    assert len(list((tmp_path / "deep" / "run" / "tasks").iterdir())) == 2 * len(NAMES)


def test_names_that_differ_only_in_signs_or_case_have_files_of_their_own(tmp_path: Path) -> None:
    names = ["a/b", "a[b", "A/b", "a-b", "a b"]
    result = make_result(*(make_task(name, key="") for name in names))
    result.save(tmp_path)
    files = [path.name.lower() for path in (tmp_path / "tasks").iterdir()]
    assert len(set(files)) == 2 * len(names)
    assert list(EvalResult.open(tmp_path).tasks) == names


def test_a_result_that_was_opened_is_written_the_same_again(tmp_path: Path) -> None:
    make_result(make_sts(), make_task()).save(tmp_path / "a")
    EvalResult.open(tmp_path / "a").save(tmp_path / "b")
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file():
            assert (
                path.read_bytes()
                == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
            )


def test_a_task_is_found_by_its_key_and_by_no_other(tmp_path: Path) -> None:
    task = make_task(key="old model")
    RunStore(tmp_path / "run").add(task)
    store = RunStore(tmp_path / "run")
    found = store.find(task.key)
    assert found is not None
    assert_equal_tasks(found, task)
    assert store.find("another") is None
    later = make_task(key="new model")
    store.add(later)
    assert store.find(later.key) is not None


def test_a_task_without_a_key_is_never_found(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.add(make_task(key=""))
    assert store.find("") is None


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from tests.results.builders import make_task
from vecsmith.results import RunStore
store = RunStore(sys.argv[1])
store.add(make_task("first"))
baseline = store.baseline("bm25")
baseline.add(make_task("first"))
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
store.add(make_task("second"))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a system with SIGKILL")
def test_a_killed_run_keeps_its_finished_tasks_and_goes_on(tmp_path: Path) -> None:
    run, root = tmp_path / "run", Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", KILLED, run, root], check=False)
    assert done.returncode == -signal.SIGKILL
    parts = list((run / "tasks").glob(".*.part"))
    assert len(parts) == 1
    with pytest.raises(FormatError, match="not finished"):
        EvalResult.open(run)
    store = RunStore(run)
    first, second = make_task("first"), make_task("second")
    assert store.find(first.key) is not None
    assert store.baseline("bm25").find(first.key) is not None
    assert store.find(second.key) is None
    store.add(second)
    os.utime(parts[0], (0, 0))
    result = make_result(first, second, baselines={"bm25": make_result(first, model="bm25")})
    store.finish(result)
    assert_equal_results(EvalResult.open(run), result)
    assert not parts[0].exists()


def test_a_run_that_is_killed_before_its_first_file_is_still_a_run(tmp_path: Path) -> None:
    (tmp_path / ".result.json.abc.part").write_text("{")
    make_result(make_task()).save(tmp_path)
    assert list(EvalResult.open(tmp_path).tasks) == ["trec"]


def test_the_old_result_is_seen_until_the_new_one_is_finished(tmp_path: Path) -> None:
    old = make_result(make_task("a", key="1"), make_task("b", key="1"))
    old.save(tmp_path)
    store = RunStore(tmp_path)
    store.add(make_task("a", [0.25, 0.25, 0.25, 0.25], key="2"))
    assert_equal_results(EvalResult.open(tmp_path), old)
    new = make_result(make_task("a", [0.25, 0.25, 0.25, 0.25], key="2"))
    store.finish(new)
    assert_equal_results(EvalResult.open(tmp_path), new)


def test_a_task_asked_for_no_longer_is_not_shown_but_found_when_asked_for_again(
    tmp_path: Path,
) -> None:
    both = make_result(make_task("a"), make_task("b"))
    both.save(tmp_path)
    make_result(make_task("a")).save(tmp_path)
    assert list(EvalResult.open(tmp_path).tasks) == ["a"]
    assert RunStore(tmp_path).find(make_task("b").key) is not None


def grow_old(run: Path) -> None:
    """Makes the run look as if nobody had used it for a day."""
    for path in run.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 86_400,) * 2)


def test_files_of_an_earlier_model_go_when_the_run_is_finished_and_nobody_uses_them(
    tmp_path: Path,
) -> None:
    of_first = [make_task(name, key="1", fingerprint="1") for name in "ab"]
    of_second = [make_task(name, key="2", fingerprint="2") for name in "ab"]
    first = replace(make_result(*of_first), fingerprint="1")
    second = replace(make_result(*of_second), fingerprint="2")
    first.save(tmp_path)
    second.save(tmp_path)
    assert RunStore(tmp_path).find(of_first[0].key) is not None  # another process may need it
    grow_old(tmp_path)
    second.save(tmp_path)
    assert len(list((tmp_path / "tasks").iterdir())) == 4
    assert RunStore(tmp_path).find(of_first[0].key) is None
    assert_equal_results(EvalResult.open(tmp_path), second)


def test_all_that_a_model_was_asked_stays_when_it_is_asked_otherwise(tmp_path: Path) -> None:
    asked = [
        make_task("a", key="256 and 64 dims"),
        make_task("a", key="256 dims", views=(FULL,)),
        make_task("a", key="map", kind="triplets"),
        make_task("a", key="dev"),
    ]
    for task in asked:
        make_result(task).save(tmp_path)
        grow_old(tmp_path)
    for task in asked:
        found = RunStore(tmp_path).find(task.key)
        assert found is not None
        assert_equal_tasks(found, task)


def test_figures_of_a_model_without_a_fingerprint_are_not_kept_for_ever(tmp_path: Path) -> None:
    for score in (0.5, 0.25):
        task = make_task("a", [score], key="", fingerprint="")
        replace(make_result(task), fingerprint="").save(tmp_path)
        grow_old(tmp_path)
    assert len(list((tmp_path / "tasks").iterdir())) == 2


def test_two_stores_of_one_folder_do_each_other_no_harm(tmp_path: Path) -> None:
    one, other = RunStore(tmp_path), RunStore(tmp_path)
    one.add(make_task("a"))
    other.add(make_task("b"))
    result = make_result(make_task("a"), make_task("b"))
    other.finish(result)
    one.finish(result)
    assert_equal_results(EvalResult.open(tmp_path), result)


def test_what_another_process_deleted_is_not_found_and_written_again(tmp_path: Path) -> None:
    task = make_task("a")
    make_result(task).save(tmp_path)
    store = RunStore(tmp_path)
    assert store.find(task.key) is not None
    for path in (tmp_path / "tasks").iterdir():
        path.unlink()
    assert store.find(task.key) is None
    store.finish(make_result(task))
    assert list(EvalResult.open(tmp_path).tasks) == ["a"]


def test_a_run_that_found_old_tasks_keeps_them_while_another_model_finishes(
    tmp_path: Path,
) -> None:
    task = make_task("a", key="1", fingerprint="1")
    replace(make_result(task), fingerprint="1").save(tmp_path)
    grow_old(tmp_path)
    found = RunStore(tmp_path).find(task.key)
    other = make_task("a", key="2", fingerprint="2")
    replace(make_result(other), fingerprint="2").save(tmp_path)
    assert found is not None
    assert RunStore(tmp_path).find(task.key) is not None


TWO_AT_ONCE = """
import sys
from dataclasses import replace
sys.path.insert(0, sys.argv[2])
from tests.results.builders import make_result, make_task
from vecsmith.results import RunStore
own = sys.argv[3]
for turn in range(15):
    tasks = [make_task(name, key=f"{own} {turn % 4}", fingerprint=own) for name in "abc"]
    store = RunStore(sys.argv[1])
    for task in tasks:
        if store.find(task.key) is None:
            store.add(task)
    store.finish(replace(make_result(*tasks), fingerprint=own))
"""


def test_two_processes_in_one_folder_finish_and_leave_a_whole_result(tmp_path: Path) -> None:
    run, root = tmp_path / "run", Path(__file__).resolve().parents[2]
    for models in (("1", "2"), ("3", "3")):
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", TWO_AT_ONCE, run, root, own], stderr=subprocess.PIPE
            )
            for own in models
        ]
        assert [(p.communicate()[1], p.returncode) for p in processes] == [(b"", 0)] * 2
        assert list(EvalResult.open(run).tasks) == ["a", "b", "c"]


def test_a_run_may_lie_beside_the_scores_of_mteb(tmp_path: Path) -> None:
    (tmp_path / "mteb.json").write_text("{}")
    make_result(make_task()).save(tmp_path)
    assert list(EvalResult.open(tmp_path).tasks) == ["trec"]
    assert (tmp_path / "mteb.json").read_text() == "{}"


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "test.jsonl").write_text("{}")
    with pytest.raises(FileExistsError, match="holds tasks and no result"):
        make_result(make_task()).save(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["tasks", "test.jsonl"]


def test_a_file_is_refused_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is a file"):
        RunStore(tmp_path / "notes.txt")


def test_a_result_of_something_else_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"format": "trainer", "loss": 1}')
    with pytest.raises(FormatError, match="format 'trainer', expected 'vecsmith evaluation'"):
        RunStore(tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["loss"] == 1


def test_tasks_are_not_written_through_a_link_out_of_the_folder(tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    outside.mkdir()
    make_result(make_task()).save(run)
    (run / "baselines").symlink_to(outside)
    with pytest.raises(FileExistsError, match="is a link"):
        RunStore(run)


def test_a_value_that_json_cannot_hold_is_named(tmp_path: Path) -> None:
    result = make_result(make_task())
    odd = {"tasks": [tmp_path]}
    broken = EvalResult(
        **{name: getattr(result, name) for name in ("model", "fingerprint", "tasks", "groups")},
        settings=odd,
    )
    with pytest.raises(TypeError, match=r"result of 'minilm-256'\.settings\.tasks is .*Path"):
        broken.save(tmp_path / "run")


def test_half_a_surrogate_pair_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half a surrogate pair"):
        RunStore(tmp_path).add(make_task("caf\udce9"))
    assert not list((tmp_path / "tasks").iterdir())


def test_a_baseline_of_a_baseline_is_refused(tmp_path: Path) -> None:
    inner = make_result(make_task(), baselines={"x": make_result(make_task())})
    with pytest.raises(ValueError, match="1 baselines of its own"):
        make_result(make_task(), baselines={"y": inner}).save(tmp_path)


def test_a_baseline_without_any_task_comes_back(tmp_path: Path) -> None:
    result = make_result(make_sts(), baselines={"bm25": make_result(model="bm25")})
    result.save(tmp_path)
    assert_equal_results(EvalResult.open(tmp_path), result)
