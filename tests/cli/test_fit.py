"""`vecsmith fit`: laws from a folder of records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.planning.laws.synthetic import FULL, SHAPES, run_of, sweep
from vecsmith.cli import main
from vecsmith.planning.laws import FittedLaws
from vecsmith.results.tuning_runs import TuningRun

pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def runs() -> list[TuningRun]:
    return sweep()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, runs: list[TuningRun]) -> Path:
    place = tmp_path_factory.mktemp("runs")
    for run in runs:
        run.save(place)
    return place


def test_the_laws_of_a_sweep_are_printed_and_kept(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "laws.json"
    assert main(["fit", str(folder), "--law", "nds", "--out", str(out), "--bootstrap", "40"]) == 0
    printed = capsys.readouterr().out
    assert "nds laws of 210 finished runs of 7 models" in printed
    assert "full is better below" in printed
    assert FittedLaws.open(out).methods == ("full", "lora")


def test_json_holds_one_object_with_every_figure(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(folder), "--law", "hoffmann", "--bootstrap", "20", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["runs"] == {"done": 210, "failed": 0, "skipped": 0}
    assert facts["methods"]["full"]["coefficients"]["alpha"] == pytest.approx(0.3, rel=0.2)
    # ranks differ and the form does not know it
    assert any("wrong form" in text for text in facts["methods"]["lora"]["warnings"])


def test_the_largest_model_is_predicted_without_its_runs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--without-largest", "--bootstrap", "40", "--json"]
    assert main(["fit", str(folder), *arguments, "--out", str(tmp_path / "laws.json")]) == 0
    unseen = json.loads(capsys.readouterr().out)["unseen"]
    assert unseen["full"]["n_runs"] == 6
    # noise of 2 % alone makes a mean absolute error of 1.6 %
    assert unseen["full"]["mean_error"] < 0.06
    layers, dim = SHAPES[-1]
    assert f"gpt-{dim}x{layers}" not in FittedLaws.open(tmp_path / "laws.json").provenance["models"]


def test_runs_of_two_recipes_are_refused_by_the_setting_that_differs(
    tmp_path: Path, runs: list[TuningRun], capsys: pytest.CaptureFixture[str]
) -> None:
    other = run_of(
        runs[0].tuning, SHAPES[0], 1e16, FULL, 0.0, settings={"temperature": 0.05, "lr": 1e-4}
    )
    for run in [*runs[:20], other]:
        run.save(tmp_path)
    assert main(["fit", str(tmp_path)]) == 1
    assert "temperature 0.0" in capsys.readouterr().err


def test_a_folder_without_records_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(tmp_path)]) == 1
    assert "no records" in capsys.readouterr().err


def test_a_broken_record_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.json").write_text('{"format": "vecsmith tuning run"')
    assert main(["fit", str(tmp_path)]) == 1
    assert "a.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--bootstrap", "3"], ["--level", "1.5"], ["--delta", "0"], ["--out", "/no/such/laws.json"]],
)
def test_a_number_out_of_range_is_a_usage_error(arguments: list[str], tmp_path: Path) -> None:
    assert main(["fit", str(tmp_path), *arguments]) == 2
