from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

from tests.training.toy_runs import word_pairs
from tests.transformer.teachers import save_teacher
from vecsmith.cli import main
from vecsmith.results.tuning_runs import read_runs

GRID = """
[grid]
name = "toy"
models = ["neox"]
budgets = [4e7]

[methods]
full = true
freeze = ["1/2"]

[learning_rates]
full = 1e-3
freeze = 1e-3

[settings]
batch_size = 8
max_length = 24
held_out_pairs = 16
held_out_batch = 8

[limits]
min_steps = 1
min_warmup_steps = 0
max_epochs = 9
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_teacher(tmp_path / "neox", "gpt-neox")
    (tmp_path / "grid.toml").write_text(GRID)
    lines = [json.dumps({"anchor": a, "positive": b}) for a, b in word_pairs(200)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_a_sweep_writes_a_record_a_cell_and_says_how_many(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sweep", str(folder / "grid.toml"), "--pairs", str(folder / "pairs.jsonl")]
    arguments += ["--out", str(folder / "runs"), "--device", "cpu"]
    assert main([*arguments, "--only", "method=full"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip().endswith("1 cells, 1 done, 0 failed, 0 skipped")
    assert "neox, full, 4e+07 FLOP, seed 0: loss" in printed.err
    assert main([*arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["done"], facts["failed"], facts["skipped"]) == (2, 0, 0)
    losses = {run.key: run.loss for run in read_runs(folder / "runs")}
    assert {run["key"]: run["loss"] for run in facts["runs"]} == losses
    assert main([*arguments, "--dry-run"]) == 0
    assert "2 cells, 0 to be run, 0 FLOP" in capsys.readouterr().out


def test_a_dry_run_reads_nothing_but_the_grid_and_the_shapes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sweep", str(folder / "grid.toml"), "--dry-run", "--n-pairs", "1e4"]
    assert main([*arguments, "--tokens-per-pair", "30", "--gflops", "1e-3", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [cell["tuning"] for cell in facts["cells"]] == ["full", "freeze 1"]
    assert facts["open_flops"] == 8e7
    assert facts["hours"] == pytest.approx(8e7 / 1e6 / 3600)
    assert facts["cells"][0]["steps"] == int(4e7 / 26880 / 30 / 8)  # 6 N with N = 4,480
    assert not (folder / "runs").exists()


def test_a_sweep_without_pairs_asks_for_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(folder / "grid.toml"), "--out", str(folder / "runs")]) == 2
    assert "expected --pairs and --out, or --dry-run" in capsys.readouterr().err


def test_a_broken_grid_is_one_line_on_stderr(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "grid.toml").write_text(GRID.replace("batch_size", "batchsize"))
    assert main(["sweep", str(folder / "grid.toml"), "--dry-run"]) == 1
    error = capsys.readouterr().err
    assert "grid.toml" in error
    assert "field 'batchsize' is unknown" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("option", "value", "words"), [
    ("--n-pairs", "0", "n_pairs is 0.0, expected a finite number, more than zero"),
    ("--n-pairs", "nan", "n_pairs is nan, expected"),
    ("--n-pairs", "-5", "n_pairs is -5.0, expected"),
    ("--tokens-per-pair", "0", "tokens_per_pair is 0.0, expected"),
    ("--tokens-per-pair", "-3", "tokens_per_pair is -3.0, expected"),
    ("--gflops", "0", "gflops is 0.0, expected"),
    ("--workers", "0", "workers is 0, expected 1 or more"),
    ("--only", "method=fulll", "none of the cells fits method=fulll"),
])  # fmt: skip
def test_a_dry_run_of_what_cannot_be_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, words: str
) -> None:
    given = {"--n-pairs": "1e4", "--gflops": "1e-3", option: value}
    arguments = ["sweep", str(folder / "grid.toml"), "--dry-run"]
    assert main([*arguments, *(f"{name}={text}" for name, text in given.items())]) == 1
    assert words in capsys.readouterr().err


def test_a_dry_run_names_a_record_that_cannot_be_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sweep", str(folder / "grid.toml"), "--pairs", str(folder / "pairs.jsonl")]
    arguments += ["--out", str(folder / "runs"), "--device", "cpu", "--only", "method=full"]
    assert main([*arguments, "--quiet"]) == 0
    (path,) = (folder / "runs" / "records").iterdir()
    path.write_text("")
    capsys.readouterr()
    assert main([*arguments, "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert str(path) in printed.err
    assert "1 cells, 1 to be run" in printed.out


def test_a_sweep_in_which_every_cell_failed_ends_with_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = GRID.replace("full = 1e-3", "full = 1e30").replace('freeze = ["1/2"]', "")
    (folder / "grid.toml").write_text(text)
    arguments = ["sweep", str(folder / "grid.toml"), "--pairs", str(folder / "pairs.jsonl")]
    assert main([*arguments, "--out", str(folder / "runs"), "--device", "cpu"]) == 1
    assert "1 cells, 0 done, 1 failed, 0 skipped" in capsys.readouterr().out
