"""A small model in a folder, and the command run as a user runs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import vecsmith
from tests.cli.running import COMMAND, Run
from vecsmith import StaticModel
from vecsmith.cli import main
from vecsmith.formats import write_checkpoint
from vecsmith.formats.checkpoint import Checkpoint


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Checkpoint) -> Path:
    """The tiny model, saved."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_checkpoint(folder, tiny_checkpoint)
    return folder


@pytest.fixture(scope="session")
def model(model_folder: Path) -> StaticModel:
    """The tiny model, opened."""
    return StaticModel.from_pretrained(model_folder)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of a command that finds this very package and no terminal."""
    root = str(Path(vecsmith.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "100", "NO_COLOR": "1"}


@pytest.fixture
def run(tmp_path: Path, environment: dict[str, str]) -> Run:
    """Runs `vecsmith ARGUMENTS` in the test's folder."""

    def run_command(
        *arguments: str | Path, stdin: bytes = b"", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env={**environment, **variables},
            input=stdin,
            capture_output=True,
            timeout=300,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run_command


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `vecsmith ARGUMENTS` inside this process: for verbs that would import torch anew."""

    def call_command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        given = [str(argument) for argument in arguments]
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            code = main(given)
        output = capfd.readouterr()
        return subprocess.CompletedProcess(given, code, output.out, output.err)

    return call_command
