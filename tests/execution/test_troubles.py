"""What goes wrong while a sweep runs: which of it is a record, and which leaves a cell open."""

from __future__ import annotations

import json
import multiprocessing
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")
pytest.importorskip("peft", reason="peft is not installed (extra train)")

import torch

from tests.execution.toy_sweeps import (
    LORA_FIRST,
    SETTINGS,
    TWO_METHODS,
    records_in,
    sweep_in_a_group,
    sweep_in_a_group_with_one_out_of_memory,
    sweep_killed_in,
    toy_grid,
    toy_sweep,
)
from tests.training.toy_runs import in_child, word_pairs
from tests.training.toy_transformers import in_group
from tests.transformer.teachers import save_teacher
from vecsmith.errors import HubError, RunFailed
from vecsmith.execution import running
from vecsmith.execution.sweeping import plan_sweep
from vecsmith.results.tuning_runs import TuningRun, read_runs, record_path
from vecsmith.training.transformer import run_transformer_training as train_as_ever


@pytest.fixture(scope="module")
def whole(neox: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nobody interrupts."""
    out = tmp_path_factory.mktemp("whole")
    toy_sweep(out, neox, tables=TWO_METHODS)
    return out


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that opens, but is to turn more numbers than a head has: no step can be done."""
    folder = save_teacher(tmp_path_factory.mktemp("bases") / "odd", "gpt-neox")
    config = json.loads((folder / "config.json").read_text())
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 3.0}
    (folder / "config.json").write_text(json.dumps({**config, "rope_parameters": rope}))
    return folder


def failing(monkeypatch: pytest.MonkeyPatch, method: str, fail: Any) -> list[str]:
    """Makes the training of cells of `method` do `fail` instead; the methods that were begun."""
    train, begun = train_as_ever, list[str]()

    def either(*arguments: Any, **options: Any) -> Any:
        own = arguments[2].tuning.method
        begun.append(own)
        return fail() if own == method else train(*arguments, **options)

    monkeypatch.setattr(running, "run_transformer_training", either)
    return begun


def raises(error: Exception) -> Any:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_that_cannot_do_a_step_fails_and_is_tried_again_once_where_that_is_asked_for(
    tmp_path: Path, odd: Path, neox: Path, workers: int
) -> None:
    tables = {"methods": {"full": True, "lora": [2]}}
    runs = toy_sweep(tmp_path, odd, neox, tables=tables)
    assert {run.model: run.status for run in runs} == {"odd": "failed", "neox": "done"}
    assert all("RuntimeError: The size of tensor" in run.reason for run in runs[:2])
    told: list[str] = []
    options: dict[str, Any] = {"retry_failed": True, "workers": workers, "tell": told.append}
    again = toy_sweep(tmp_path, odd, neox, tables=tables, **options)
    assert again == runs
    assert sorted(line.split(": ")[0] for line in told) == [
        f"odd, {tuning}, 1e+08 FLOP, seed 0" for tuning in ("full", "lora 2")
    ]


def test_a_cell_for_which_the_cpu_has_no_memory_fails_and_says_so(
    tmp_path: Path, neox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "lora", lambda: torch.empty(2**55))
    by_method = {run.tuning.method: run for run in toy_sweep(tmp_path, neox)}
    assert [run.status for run in by_method.values()].count("done") == 3
    assert by_method["lora"].status == "failed"
    assert by_method["lora"].reason.startswith("out of memory: [enforce fail at alloc_cpu")


@pytest.mark.parametrize("error", [
    HubError("the Hub does not answer"),
    FileExistsError(17, "File exists"),
    PermissionError(13, "Permission denied"),
    ValueError("a device that is not there"),
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    KeyError("a mistake in a model's own code"),
])  # fmt: skip
def test_what_another_try_may_mend_is_told_and_leaves_only_its_cell_open(
    tmp_path: Path, neox: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    told: list[str] = []
    with monkeypatch.context() as patch:
        failing(patch, "full", raises(error))
        what = re.escape(str(error))
        with pytest.raises(RunFailed, match=f"1 of 4 cells .*neox, full, 1e.08 FLOP.*{what}"):
            toy_sweep(tmp_path, neox, tell=told.append)
    assert any(str(error) in line and "neox, full" in line for line in told)
    assert sorted(run.tuning.method for run in read_runs(tmp_path)) == ["bias", "freeze", "lora"]


def test_a_model_that_is_away_for_a_while_leaves_its_cells_open(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path / "bases" / "neox", "gpt-neox")
    away = folder.with_name("away")

    def unmount(line: str) -> None:
        if folder.exists():
            folder.rename(away)

    with pytest.raises(RunFailed, match=r"3 of 4 cells could not be run.*is not a folder"):
        toy_sweep(tmp_path / "runs", folder, tell=unmount)
    assert len(read_runs(tmp_path / "runs")) == 1
    away.rename(folder)
    assert {run.status for run in toy_sweep(tmp_path / "runs", folder)} == {"done"}


def test_a_budget_too_small_for_one_step_of_the_drawn_pairs_is_the_fault_of_the_cell(
    tmp_path: Path, neox: Path
) -> None:
    """With batches of mean length a step fits, but not the first one that some seeds draw."""
    (any_,) = plan_sweep(toy_grid(neox, methods={"full": True}), word_pairs(200), tmp_path).tasks
    assert any_.load is not None
    budget = any_.load.cost_per_token * (any_.tokens.tokens_per_pair * 8 + 1)
    head = {"name": "g", "models": [str(neox)], "budgets": [budget], "seeds": [0, 1, 2, 3]}
    runs = toy_sweep(tmp_path, neox, tables={"methods": {"full": True}, "grid": head})
    failed = [run for run in runs if run.status == "failed"]
    assert 0 < len(failed) < len(runs)
    assert all("the first step of 8 pairs takes more" in run.reason for run in failed)


def test_a_cell_that_its_counts_refuse_is_not_tried_again(tmp_path: Path) -> None:
    llama = save_teacher(tmp_path / "llama", "llama")
    tables = {"methods": {"bias": True}}
    (refused,) = toy_sweep(tmp_path / "runs", llama, tables=tables)
    told: list[str] = []
    (again,) = toy_sweep(
        tmp_path / "runs", llama, tables=tables, retry_failed=True, tell=told.append
    )
    assert (again.status, again.timing, told) == ("failed", refused.timing, [])


@pytest.mark.parametrize(("content", "words", "workers"), [
    ("", "line 1 column 1", 2),
    (None, "the record of cell", 1),
])  # fmt: skip
def test_a_record_that_cannot_be_read_stops_only_its_own_cell(
    tmp_path: Path, neox: Path, content: str | None, words: str, workers: int
) -> None:
    plan = plan_sweep(toy_grid(neox), word_pairs(200), tmp_path)
    path = record_path(tmp_path, plan.tasks[0].key)
    path.parent.mkdir()
    if content is None:  # of another cell, under the name of this one
        content = json.dumps(_record_of_another(plan.tasks[0].key, tmp_path / "other", neox))
    path.write_text(content)
    with pytest.raises(RunFailed, match=f"1 of 4 cells .*neox, full.*{words}.*delete it"):
        toy_sweep(tmp_path, neox, workers=workers)
    assert path.read_text() == content
    assert len(list(path.parent.iterdir())) == 4
    path.unlink()
    toy_sweep(tmp_path, neox)
    assert len(records_in(tmp_path)) == 4


def test_one_of_two_processes_without_memory_ends_both_and_the_next_start_goes_on(
    tmp_path: Path, neox: Path
) -> None:
    codes = exit_codes_of_two(sweep_in_a_group_with_one_out_of_memory, tmp_path, [neox])
    assert 0 not in codes
    by_method = {run.tuning.method: run for run in read_runs(tmp_path)}
    assert by_method["lora"].reason.startswith("out of memory")
    assert exit_codes_of_two(sweep_in_a_group, tmp_path, [neox], LORA_FIRST) == [0, 0]
    states = {run.tuning.method: run.status for run in read_runs(tmp_path)}
    assert states == {"bias": "done", "lora": "failed"}


@pytest.mark.parametrize("place", ["tokenising", "measuring", "recording"])
def test_a_sweep_that_is_killed_outside_of_its_steps_goes_on_to_the_same_records(
    tmp_path: Path, neox: Path, whole: Path, place: str
) -> None:
    assert in_child(sweep_killed_in, tmp_path, [neox], place) == -9
    n_before = len(list((tmp_path / "records").glob("*.json")))
    assert n_before == (0 if place == "tokenising" else 1)
    toy_sweep(tmp_path, neox, tables=TWO_METHODS)
    assert records_in(tmp_path) == records_in(whole)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_sweep_says_of_which_cells_it_has_no_model_to_keep(tmp_path: Path, neox: Path) -> None:
    tables = {"methods": {"lora": [2]}}
    (run,) = toy_sweep(tmp_path, neox, tables=tables)
    for times, lines in (("first", 1), ("second", 1)):
        told: list[str] = []
        toy_sweep(tmp_path, neox, tables=tables, keep_models=True, tell=told.append)
        assert len(told) == lines, times
        assert told[0].startswith("1 of 1 cells were done without their models being kept")
    record_path(tmp_path, run.key).unlink()
    toy_sweep(tmp_path, neox, tables=tables, keep_models=True)
    assert len(list((tmp_path / "models").iterdir())) == 1
    quiet: list[str] = []
    toy_sweep(tmp_path, neox, tables=tables, keep_models=True, tell=quiet.append)
    assert quiet == []


def test_a_script_that_starts_workers_when_it_is_imported_is_told_what_it_lacks(
    tmp_path: Path, neox: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"""import json
from vecsmith.execution import sweep
from vecsmith.planning.grid import Grid

values = json.loads({json.dumps(json.dumps(_plain_grid(neox)))})
pairs = {word_pairs(100)!r}
sweep(Grid.from_plain(values), pairs, {str(tmp_path / "runs")!r}, workers=2, device="cpu")
"""
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "before they began; if this is a script" in last
    assert "if __name__ == '__main__'" in last


def test_filters_that_fit_no_cell_are_refused(tmp_path: Path, neox: Path) -> None:
    with pytest.raises(ValueError, match="none of the cells fits method=fulll"):
        toy_sweep(tmp_path, neox, only=["method=fulll"])


def exit_codes_of_two(work: Any, *arguments: Any) -> list[int | None]:
    """Of two processes that share steps; each is to end within five minutes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    ranks = [
        context.Process(target=in_group, args=(work, rank, 2, port, *arguments)) for rank in (0, 1)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(300)
    codes = [process.exitcode for process in ranks]
    for process in ranks:
        process.kill()
    assert None not in codes
    return codes


def _plain_grid(base: Path) -> dict[str, Any]:
    return {
        "grid": {"name": "toy", "models": [str(base)], "budgets": [1e7]},
        "methods": {"full": True},
        "learning_rates": {"full": 1e-3},
        "settings": SETTINGS,
        "limits": {"min_steps": 1, "min_warmup_steps": 0, "max_epochs": 9},
    }


def _record_of_another(key: str, out: Path, base: Path) -> dict[str, Any]:
    (run,) = toy_sweep(out, base, tables={"methods": {"lora": [3]}})
    assert run.key != key
    return TuningRun.to_json(run)
