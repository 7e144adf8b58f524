from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")
pytest.importorskip("peft", reason="peft is not installed (extra train)")

from tests.execution.toy_sweeps import records_in, toy_grid, toy_sweep
from tests.training.toy_runs import word_pairs
from vecsmith.errors import MissingExtraError, RunFailed
from vecsmith.execution.ray_workers import (
    RayWorkers,
    RecordWatch,
    SharedToken,
    check_room,
    parse_address,
    ray_workers,
    shared_token,
)
from vecsmith.execution.sweeping import plan_sweep, run_tasks


@pytest.fixture(scope="module")
def whole(neox: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep of one process."""
    out = tmp_path_factory.mktemp("whole")
    toy_sweep(out, neox)
    return out


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayWorkers]:
    """A cluster of this machine alone, which sweeps find connected to."""
    pytest.importorskip("ray", reason="ray is not installed (extra ray)")
    with ray_workers("local", workers=2, threads=1, device="cpu") as found:
        yield found


def test_two_ray_tasks_find_what_one_process_finds(
    cluster: RayWorkers,
    tmp_path: Path,
    whole: Path,
    neox: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # a folder that is relative to the driver's
    told: list[str] = []
    runs = toy_sweep(Path("runs"), neox, ray="local", workers=2, tell=told.append)
    assert records_in(tmp_path / "runs") == records_in(whole)
    assert sorted(line.split(": ")[0] for line in told) == sorted(
        f"{run.model}, {run.tuning}, {run.flops:.3g} FLOP, seed {run.seed}" for run in runs
    )
    assert not list((tmp_path / "runs").glob(".ray-*"))
    assert list((tmp_path / "runs" / "work").iterdir()) == []


def test_a_task_whose_process_dies_is_started_again_and_the_cells_are_done(
    cluster: RayWorkers, tmp_path: Path, whole: Path, neox: Path
) -> None:
    plan = plan_sweep(toy_grid(neox), word_pairs(200), tmp_path / "runs")
    mark, told = tmp_path / "died", list[str]()

    def dies_once(plan: Any) -> tuple[str, str]:
        if not mark.exists():
            mark.touch()
            os._exit(1)
        run_tasks(plan, tell=lambda line: None)
        return "done", ""

    watch = RecordWatch(plan, told.append)
    replace(cluster, n=1)._follow(lambda: cluster._start(dies_once, plan), watch, told.append)
    assert told[0].startswith("a task was lost, another is started")
    assert records_in(tmp_path / "runs") == records_in(whole)


def test_what_no_task_could_do_is_told(cluster: RayWorkers, tmp_path: Path, neox: Path) -> None:
    plan = plan_sweep(toy_grid(neox), word_pairs(200), tmp_path)
    moved = neox.rename(neox.with_name("away"))
    try:
        with pytest.raises(RunFailed, match=r"does not see the model .*neox, expected it on"):
            cluster.run(plan, lambda line: None)
    finally:
        moved.rename(neox)


def test_ray_that_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, neox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    with pytest.raises(MissingExtraError, match=r'ray is not.*pip install "vecsmith\[ray\]"'):
        toy_sweep(tmp_path, neox, ray="local")


@pytest.mark.parametrize("text", ["auto", "local", "10.0.0.1:6379", "head.example:6379"])
def test_an_address_is_auto_local_or_a_host_with_a_port(text: str) -> None:
    assert parse_address(text) == text


@pytest.mark.parametrize(("text", "words"), [
    ("", "expected 'auto', 'local' or HOST:PORT"),
    ("head", "expected 'auto', 'local' or HOST:PORT"),
    (":6379", "expected 'auto', 'local' or HOST:PORT"),
    ("head:70000", "expected 'auto', 'local' or HOST:PORT"),
    ("head:6379/x", "expected 'auto', 'local' or HOST:PORT"),
    ("ray://head:10001", "run the command on a node of the cluster"),
])  # fmt: skip
def test_other_addresses_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_address(text)


def test_ray_under_torchrun_is_refused(
    tmp_path: Path, neox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="expected one of the two"):
        toy_sweep(tmp_path, neox, ray="local")


def test_one_of_several_cuda_devices_is_not_to_be_asked_for(tmp_path: Path, neox: Path) -> None:
    with pytest.raises(ValueError, match="each task has one of its own"):
        toy_sweep(tmp_path, neox, ray="local", device="cuda:1")


def test_a_task_that_fits_on_no_node_is_refused() -> None:
    nodes: list[dict[str, float]] = [{"CPU": 8.0}, {"CPU": 2.0, "GPU": 1.0}]
    check_room({"CPU": 2, "GPU": 1.0}, nodes)
    with pytest.raises(ValueError, match=r"4 CPUs and 1 GPUs.*8 CPUs, 0 GPUs; 2 CPUs, 1 GPUs"):
        check_room({"CPU": 4, "GPU": 1.0}, nodes)


def test_who_sees_file_and_lock_of_the_driver_fits(tmp_path: Path) -> None:
    with shared_token(tmp_path) as token:
        token.check()  # a lock is of an open file, so this process looks at it as another does
    assert list(tmp_path.iterdir()) == []


def test_a_node_without_the_folder_of_the_driver_is_told(tmp_path: Path) -> None:
    with shared_token(tmp_path) as token:
        elsewhere = replace(token, path=tmp_path / "other" / token.path.name)
        with pytest.raises(RunFailed, match=r"does not see .* expected --out on storage that"):
            elsewhere.check()


def test_a_file_of_that_name_with_other_content_is_not_the_drivers(tmp_path: Path) -> None:
    with shared_token(tmp_path) as token, pytest.raises(RunFailed, match="not the driver's"):
        replace(token, content="other").check()


def test_storage_whose_locks_do_not_hold_between_machines_is_told(tmp_path: Path) -> None:
    token = SharedToken(
        path=tmp_path / "token", content="it", folder="/", version=_version()
    )  # nobody holds its lock, as it looks from afar where locks are each machine's own
    token.path.write_text("it")
    with pytest.raises(RunFailed, match="does not see the driver's lock"):
        token.check()


def test_a_node_with_another_vecsmith_is_told(tmp_path: Path) -> None:
    with shared_token(tmp_path) as token, pytest.raises(RunFailed, match=r"expected 0\.0\.0\.9"):
        replace(token, version="0.0.0.9").check()


def _version() -> str:
    from vecsmith import __version__

    return __version__
