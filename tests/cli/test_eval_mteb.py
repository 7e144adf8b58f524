"""`vecsmith eval --mteb` as a user runs it, on tasks made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Run
from vecsmith.evaluation.mteb import run
from vecsmith.transformer.text_encoder import TextEncoder

pytest.importorskip("mteb", reason="mteb is not installed (extra mteb)")

from tests.evaluation.mteb.test_mteb import MadeMood, MadePairs, PrivateTask


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Puts made tasks in the place of those that mteb fetches."""
    monkeypatch.setenv("MTEB_CACHE", str(tmp_path / "mteb"))

    def put(*tasks: Any) -> None:
        monkeypatch.setattr(run, "_choose", lambda mteb, name: (name, [task() for task in tasks]))

    return put


def test_scores_and_means_are_printed_and_written(
    call: Run, offer: Any, model_folder: Path, tmp_path: Path
) -> None:
    offer(MadePairs, MadeMood)
    done = call("eval", model_folder, "--mteb", "Made", "--dims", "8,8", "--out", "run")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "run" / "mteb.json").read_text())
    assert (record["model"], record["truncate_dim"]) == ("vecsmith/tiny", 8)
    printed = {row[:48].strip(): float(row[48:]) for row in done.stdout.splitlines()}
    mean = 50 * sum(record["tasks"].values())
    assert printed.pop("mean over tasks") == pytest.approx(mean, abs=0.051)
    assert printed.pop("mean over types") == pytest.approx(mean, abs=0.051)
    assert printed == pytest.approx({k: 100 * v for k, v in record["tasks"].items()}, abs=0.051)


@pytest.mark.filterwarnings("ignore:Dataset for private task 'PrivateTask' not found:UserWarning")
def test_a_task_without_score_is_named_and_fails_the_command(
    call: Run, offer: Any, model_folder: Path, tmp_path: Path
) -> None:
    offer(MadePairs, PrivateTask)
    done = call("eval", model_folder, "--mteb", "Made", "--quiet", "--out", "run")
    assert (done.returncode, done.stdout) == (1, "")
    assert "PrivateTask gave no score: no such data on the Hub" in done.stderr
    record = json.loads((tmp_path / "run" / "mteb.json").read_text())
    assert list(record["tasks"]) == ["MadePairs"]
    offer(PrivateTask)
    done = call("eval", model_folder, "--mteb", "Made", "--json")
    assert done.returncode == 1
    assert "NaN" not in done.stdout
    record = json.loads(done.stdout)
    assert record["averages"] == {"tasks": None, "types": None}
    assert list(record["failed"]) == ["PrivateTask"]


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("--tasks", "my-tasks"),
        ("--baseline", "bm25"),
        ("--suite", "korean"),
        ("--split", "test"),
        ("--languages", "en"),
        ("--precisions", "float32"),
        ("--cache", "somewhere"),
        ("--cache-size", "10"),
    ],
)
def test_an_option_that_would_not_be_heeded_is_refused(
    call: Run, model_folder: Path, tmp_path: Path, option: str, given: str
) -> None:
    done = call("eval", model_folder, "--mteb", "STS12", option, given, "--out", "run")
    assert done.returncode == 2
    assert f"takes no {option}, expected it without" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_transformer_runs_on_the_device_and_in_the_type_asked_for(
    call: Run, offer: Any, teacher_folder: Path
) -> None:
    offer(MadeMood)
    done = call(
        *("eval", teacher_folder, "--mteb", "Made", "--compute-dtype", "bfloat16", "--json"),
        *("--name", "me/teacher"),
    )
    assert done.returncode == 0, done.stderr
    encoder = TextEncoder.from_pretrained(teacher_folder, compute_dtype="bfloat16")
    assert json.loads(done.stdout)["revision"] == encoder.fingerprint
    done = call("eval", teacher_folder, "--mteb", "Made", "--device", "nowhere")
    assert done.returncode == 1
    assert "device 'nowhere', expected a torch device" in done.stderr


def test_what_mteb_cannot_take_is_a_mistake_of_usage(call: Run, model_folder: Path) -> None:
    for arguments, message in (
        (("bm25",), "--mteb needs a model that encodes texts, bm25 ranks words"),
        ((model_folder, "--dims", "8,4"), "--mteb takes one prefix length at a time"),
        ((model_folder, "--dims", "17"), "which has 16, expected at most 16"),
    ):
        done = call("eval", *arguments, "--mteb", "STS12")
        assert done.returncode == 2
        assert message in done.stderr
