"""The command as a whole: help, version, errors, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vecsmith
from tests.cli.running import COMMAND, Run
from vecsmith.cli import main

VERBS = ["distill", "encode", "info", "demo"]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_shows_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert f"vecsmith {verb}" in text.split("Examples:")[1]


def test_help_names_every_verb_and_no_argument_asks_for_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f" {verb} " in text for verb in VERBS)
    assert main([]) == 0
    assert capsys.readouterr().out == text


def test_the_version_is_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vecsmith {vecsmith.__version__}\n"


def test_help_imports_none_of_the_heavy_libraries(environment: dict[str, str]) -> None:
    code = """
import sys
from vecsmith.cli import main
assert main(["encode", "--help"]) == 0
heavy = {"torch", "transformers", "tokenizers", "pyarrow", "matplotlib", "huggingface_hub", "scipy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode"], "missing argument"),
        (["encode", "m", "t.txt"], "missing option '--out'"),
        (["encodes"], "no such command 'encodes'"),
        (
            ["encode", "m", "t.txt", "--out", "v.npy", "--dtype", "f64"],
            "'f64' is not one of",
        ),
        (["encode", "m", "t.txt", "--out", "v.npy", "--dim", "0"], "invalid value for '--dim'"),
        (["info", "m", "--colour"], "no such option"),
        (["distill", "t", "--out", "m", "--dim", "many"], "expected a number of dimensions"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("vecsmith: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err.lower()
    assert "--help" in captured.err


@pytest.mark.parametrize("name", ["absent-model", "../../etc/passwd", "a/b/c", ""])
def test_a_model_that_is_not_there_is_one_line(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "t.txt").write_text("hello\n")
    done = run("encode", name, "t.txt", "--out", "v.npy")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("vecsmith: error: ")
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.txt"]


def test_control_characters_of_a_file_never_reach_the_terminal(
    run: Run, model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("\x1b[31mred\x07,b\n1,2\n")
    done = run("encode", model_folder, "t.csv", "--out", "v.npy")
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert "\x07" not in done.stderr


def test_a_traceback_is_shown_only_when_asked_for(run: Run) -> None:
    assert "Traceback" not in run("info", "absent-model").stderr
    assert "Traceback" in run("info", "absent-model", VECSMITH_DEBUG="1").stderr


def test_a_reader_that_goes_away_is_no_error(
    model_folder: Path, environment: dict[str, str]
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [*COMMAND, "info", str(model_folder), "--json"],
        env=environment,
        stdout=write_end,
        stderr=subprocess.PIPE,
        timeout=300,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, b"")
