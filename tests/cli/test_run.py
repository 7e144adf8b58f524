from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

from tests.execution.test_planned import plan_for
from tests.training.toy_runs import word_pairs
from tests.transformer.teachers import save_teacher
from vecsmith.cli import main
from vecsmith.results.tuning_runs import TuningRun, read_runs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    plan_for(save_teacher(tmp_path / "neox", "gpt-neox")).to_json(tmp_path / "plan.json")
    lines = [json.dumps({"anchor": a, "positive": b}) for a, b in word_pairs(400)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_a_plan_is_carried_out_and_its_model_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", str(folder / "plan.json"), "--pairs", str(folder / "pairs.jsonl")]
    arguments += ["--out", str(folder / "runs"), "--device", "cpu", "--held-out", "32"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    (record,) = read_runs(folder / "runs")
    assert f"loss {record.loss:.4f} on held-out pairs" in printed
    assert main([*arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert TuningRun.from_json(facts["record"]) == record
    assert (Path(facts["model"]) / "modules.json").is_file()


def test_something_that_is_no_plan_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "plan.json").write_text("{}")
    arguments = ["run", str(folder / "plan.json"), "--pairs", str(folder / "pairs.jsonl")]
    assert main([*arguments, "--out", str(folder / "runs")]) == 1
    assert "expected 'vecsmith plan'" in capsys.readouterr().err
