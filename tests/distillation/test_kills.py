"""A distillation that is killed, at any point, ends with the bytes of one that is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vecsmith
from tests.distillation import killed_run
from tests.distillation.killed_run import POINTS, whole_run
from tests.transformer.teachers import save_teacher
from vecsmith.distillation import teacher_pass, tokenlearn


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("teacher") / "bert", "bert")


@pytest.fixture(scope="module")
def killed(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Work folders by the point where the process that wrote them was killed."""
    root = tmp_path_factory.mktemp("killed")
    sources = [str(Path(__file__).parents[2]), str(Path(vecsmith.__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sources)}
    running = {
        point: subprocess.Popen(
            [sys.executable, killed_run.__file__, str(teacher), str(root / point), point],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for point in POINTS
    }
    for process in running.values():
        _, errors = process.communicate(timeout=300)
        assert process.returncode == -signal.SIGKILL, errors.decode()
    return {point: root / point for point in POINTS}


@pytest.fixture(autouse=True)
def settings_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (teacher_pass, "SHARD_TEXTS"),
        (teacher_pass, "SAVE_SECONDS"),
        (tokenlearn, "SAVE_SECONDS"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # put back what the run sets


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".part")
    }


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_was_killed_ends_with_the_bytes_of_one_that_was_not(
    point: str, teacher: Path, killed: dict[str, Path], tmp_path: Path
) -> None:
    n_shards = len(list((killed[point] / "pass").glob("shard*")))
    assert (0 < n_shards < 10) == (point in ("shard", "record"))
    resumed = whole_run(teacher, killed[point], point)
    whole = whole_run(teacher, tmp_path / "work", point)
    np.testing.assert_array_equal(resumed.checkpoint.table, whole.checkpoint.table)
    resumed.save_pretrained(tmp_path / "resumed" / "model")
    whole.save_pretrained(tmp_path / "whole" / "model")
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")
    assert contents(killed[point]) == contents(tmp_path / "work")
