from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

import numpy as np

from tests.training.toy_runs import word_pairs
from tests.transformer.teachers import save_teacher
from vecsmith.errors import FormatError, RunFailed
from vecsmith.execution import planned
from vecsmith.execution.planned import run_plan
from vecsmith.planning import CatalogueEntry, ModelShape, Plan, make_plan
from vecsmith.results.tuning_runs import read_runs
from vecsmith.transformer.text_encoder import TextEncoder

PAIRS = word_pairs(400)
HELD_OUT: dict[str, Any] = {"held_out_pairs": 32, "held_out_batch": 16}


def plan_for(folder: Path, name: str | None = None, **changes: Any) -> Plan:
    """A plan of full tuning with some twenty steps of eight pairs."""
    entry = CatalogueEntry(name=name or str(folder), shape=ModelShape.from_folder(folder))
    options: dict[str, Any] = {
        "catalogue": [entry],
        "data": {"pairs": 400, "tokens_per_pair": 30.0},
        "settings": {"batch_size": 8, "max_length": 24, "precision": "float32"},
        "limits": {"min_steps": 1, "min_warmup_steps": 0, "max_epochs": 9.0},
        "menu": {"methods": ("full",)},
        "learning_rates": {"full": 1e-3},
    }
    return make_plan(1.3e8, **{**options, **changes})


def test_a_plan_becomes_a_model_and_a_record(tmp_path: Path, neox: Path) -> None:
    path = tmp_path / "plan.json"
    plan_for(neox).to_json(path)
    done = run_plan(path, PAIRS, tmp_path / "runs", **HELD_OUT, device="cpu")
    assert [done.record] == read_runs(tmp_path / "runs")
    assert done.record.counted_flops <= 1.3e8 < done.record.counted_flops * 1.1
    assert done.record.settings["schedule"] == "cosine"
    assert done.record.settings["temperature"] == 0.025
    assert done.record.batch_size == 8
    assert TextEncoder.from_pretrained(done.model).encode(["hello"]).shape == (1, 16)


def test_a_plan_carried_out_twice_is_run_once(
    tmp_path: Path, neox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(neox)
    done = run_plan(plan, PAIRS, tmp_path, **HELD_OUT, device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(planned, "run_task", None)
        assert run_plan(plan, PAIRS, tmp_path, **HELD_OUT, device="cpu") == done
    other = run_plan(plan, PAIRS, tmp_path, **HELD_OUT, device="cpu", seed=1)
    assert other.record.key != done.record.key
    assert other.model != done.model


def test_a_base_that_costs_another_sum_is_refused(tmp_path: Path, neox: Path) -> None:
    deeper = save_teacher(tmp_path / "deeper", "gpt-neox", n_layers=3)
    with pytest.raises(ValueError, match="give the base model that the plan is for"):
        run_plan(plan_for(neox), PAIRS, tmp_path / "runs", base=deeper, **HELD_OUT, device="cpu")


def test_a_base_may_lie_elsewhere_than_the_plan_says(tmp_path: Path, neox: Path) -> None:
    plan = plan_for(neox, name="mine/neox")
    done = run_plan(plan, PAIRS, tmp_path, base=neox, **HELD_OUT, device="cpu")
    assert done.record.model == "mine/neox"


def test_pairs_longer_than_planned_are_told_before_the_run(tmp_path: Path, neox: Path) -> None:
    plan = plan_for(neox, data={"pairs": 400, "tokens_per_pair": 10.0})
    told: list[str] = []
    run_plan(plan, PAIRS, tmp_path, **HELD_OUT, device="cpu", tell=told.append)
    assert any("steps, the plan says" in line and "the plan took 10" in line for line in told)


def test_a_twentieth_of_few_pairs_is_held_out(tmp_path: Path, neox: Path) -> None:
    done = run_plan(plan_for(neox), word_pairs(500), tmp_path, device="cpu")
    assert done.record.settings["held_out_pairs"] == 24  # of 25, in batches of 8
    with pytest.raises(ValueError, match="expected 320 or more"):
        run_plan(plan_for(neox), word_pairs(100), tmp_path, device="cpu")


def test_a_plan_whose_loss_is_no_number_fails_with_its_reason(tmp_path: Path, neox: Path) -> None:
    plan = plan_for(neox, learning_rates={"full": 1e30})
    with pytest.raises(RunFailed, match=r"came to nothing: step .* lower the rate"):
        run_plan(plan, PAIRS, tmp_path, **HELD_OUT, device="cpu")
    (record,) = read_runs(tmp_path)
    assert record.status == "failed"


def test_a_plan_cut_short_is_refused(tmp_path: Path, neox: Path) -> None:
    path = tmp_path / "plan.json"
    plan_for(neox).to_json(path)
    path.write_text(path.read_text()[:300])
    with pytest.raises(FormatError, match=r"plan\.json"):
        run_plan(path, PAIRS, tmp_path / "runs", device="cpu")


def test_the_model_is_that_of_the_record(tmp_path: Path, neox: Path) -> None:
    done = run_plan(plan_for(neox), PAIRS, tmp_path, **HELD_OUT, device="cpu")
    base = TextEncoder.from_pretrained(neox).encode(["hello"])
    tuned = TextEncoder.from_pretrained(done.model).encode(["hello"])
    assert not np.allclose(base, tuned)
