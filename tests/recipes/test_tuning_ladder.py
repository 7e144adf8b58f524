"""The ladder on the docstrings of Python itself: pre-trained, swept, fitted, planned and run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("peft", reason="peft is not installed (extra train)")

from recipes._ladder_models import Pretraining, Size
from recipes._ladder_report import report_of, tables_of
from recipes._ladder_texts import write_docstrings
from recipes.tuning_ladder import GUIDE, RECORD, RUNS, pack, prepare, unpack
from vecsmith.cli import main
from vecsmith.planning.laws.fitted import FittedLaws
from vecsmith.results.tuning_runs import TuningRun, read_runs

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
SIZES = (
    Size(dim=16, layers=1, heads=2),
    Size(dim=24, layers=2, heads=3),
    Size(dim=32, layers=3, heads=4),
)
BATCH = 16
GRID = """
[grid]
name = "docstrings"
models = ["models/neox-16x1", "models/neox-24x2", "models/neox-32x3"]
budgets = [{budgets}]

[methods]
full = true
lora = [4]

[learning_rates]
full = 3e-3
lora = 1e-2

[settings]
batch_size = 16
max_length = 24
temperature = 0.05
precision = "float32"
held_out_pairs = 128
held_out_batch = 16

[limits]
min_steps = 4
min_warmup_steps = 0
max_epochs = 4.0
"""
BUDGETS = (1e9, 2e9, 4e9)


def vecsmith(*arguments: str | Path) -> None:
    """Runs the command, and fails with it."""
    assert main([str(each) for each in arguments]) == 0


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep, with its laws."""
    work = tmp_path_factory.mktemp("ladder")
    texts, pairs = write_docstrings(work / "docstrings")
    prepare(work, SIZES, texts, pairs, Pretraining(vocab_size=512, n_tokens=60_000, length=32))
    (work / "grid.toml").write_text(GRID.format(budgets=", ".join(f"{b:g}" for b in BUDGETS)))
    sweep = ("sweep", work / "grid.toml", "--pairs", work / "pairs.parquet", "--quiet")
    vecsmith(*sweep, "--out", work / "runs")
    vecsmith("fit", work / "runs", "--law", "hoffmann", "--out", work / "laws.json", "--quiet")
    return work


def test_every_cell_is_run_and_more_of_the_budget_is_worth_it(work: Path) -> None:
    runs = read_runs(work / "runs")
    assert {run.status for run in runs} == {"done"}
    assert len(runs) == len(SIZES) * len(BUDGETS) * 2
    for method in ("full", "lora"):
        means = [
            np.mean([r.loss for r in runs if r.flops == b and r.tuning.method == method])
            for b in BUDGETS
        ]
        assert means[0] > means[-1]
        assert means[0] < math.log(BATCH) + 0.5
    for run in runs:
        step = run.cost_per_token * run.tokens / run.steps
        assert run.flops - 2 * step < run.counted_flops <= run.flops


def test_a_plan_by_the_laws_is_run_as_it_says(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    vecsmith(
        *("plan", "--flops", "3e9", "--laws", work / "laws.json", "--json"),
        *("--catalogue", work / "catalogue.toml"),
    )
    plan = json.loads(capsys.readouterr().out)
    assert plan["model"] in {size.name for size in SIZES}
    (work / "plan.json").write_text(json.dumps(plan))
    pairs = ("--pairs", work / "pairs.parquet", "--quiet")
    vecsmith("run", work / "plan.json", *pairs, "--out", work / "planned")
    (run,) = read_runs(work / "planned")
    assert (run.model, run.tuning.method) == (plan["model"], plan["method"])
    assert run.counted_flops == pytest.approx(3e9, rel=0.1)
    assert run.tokens == pytest.approx(plan["tokens"], rel=0.1)
    # toy runs are noisy, and a prediction is not a measurement: both are of the same kind
    assert run.loss == pytest.approx(plan["predicted_loss"]["loss"], rel=0.15)
    laws = FittedLaws.open(work / "laws.json")
    assert laws.settings == run.comparable


def test_packed_runs_come_back(work: Path, tmp_path: Path) -> None:
    runs = read_runs(work / "runs")
    pack(runs, tmp_path / "runs.jsonl")
    assert {run.key: run for run in unpack(tmp_path / "runs.jsonl")} == {r.key: r for r in runs}


def test_the_guide_says_what_the_committed_runs_give() -> None:
    fitted, unseen = (committed(name) for name in ("runs", "unseen"))
    found = report_of(fitted, unseen)
    assert tables_of(found) in GUIDE.read_text(encoding="utf-8")
    record = json.loads((RESULTS / f"{RECORD}.json").read_text(encoding="utf-8"))
    assert record["noise"]["ln_loss"] == pytest.approx(found["noise"]["ln_loss"])
    held = found["held_out"]["nds"]["largest size on the highest budget"]
    said = record["held_out"]["nds"]["largest size on the highest budget"]
    assert {name: each["mean_error"] for name, each in said.items()} == pytest.approx(
        {name: each["mean_error"] for name, each in held.items()}, rel=1e-3
    )
    for form, plans in found["plans"].items():
        assert [row["chosen"] for row in plans] == [row["chosen"] for row in record["plans"][form]]


def committed(name: str) -> list[TuningRun]:
    """Runs of the ladder that are in the repository."""
    return unpack(RESULTS / RUNS[name])
