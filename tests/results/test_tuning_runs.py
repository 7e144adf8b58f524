from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vecsmith.errors import FormatError
from vecsmith.results.tuning import Tuning
from vecsmith.results.tuning_runs import TuningRun, differing_settings, key_of, read_runs

RUN = TuningRun(
    key="0123456789abcdef" * 4,
    status="done",
    model="tiny",
    fingerprint="f" * 64,
    shape={
        "family": "gpt_neox",
        "n_layers": 2,
        "dim": 32,
        "vocab_size": 2048,
        "n_non_embedding": 25472,
        "n_embedding": 65536,
    },
    tuning=Tuning(method="lora", rank=8),
    flops=1e10,
    counted_flops=9.9e9,
    n_params=25472,
    n_trained=8192,
    share=0.25,
    cost_per_token=151040.0,
    tokens=65546,
    pairs=1280,
    steps=20,
    epochs=0.5,
    batch_size=64,
    max_length=32,
    seed=3,
    loss=2.5,
    train_loss=2.75,
    metrics={"recall@1": 0.25, "mrr": 0.375},
    settings={"temperature": 0.05, "lr": 1e-3, "pairs": "abc"},
    timing={"seconds": 1.5, "date": "2026-01-01T00:00:00+00:00"},
)


def test_a_run_read_back_from_its_file_is_equal(tmp_path: Path) -> None:
    path = RUN.save(tmp_path)
    assert path == tmp_path / "records" / f"{RUN.key}.json"
    assert TuningRun.open(path) == RUN
    assert TuningRun.open(path).timing == RUN.timing
    assert TuningRun.from_json(RUN.to_json()) == RUN


def test_runs_that_differ_in_timing_alone_are_equal() -> None:
    assert replace(RUN, timing={"seconds": 99.0}) == RUN
    assert replace(RUN, loss=2.6) != RUN


def test_runs_are_read_from_a_sweep_from_its_records_and_from_files(tmp_path: Path) -> None:
    other = replace(RUN, key="f" * 64, seed=4)
    paths = [RUN.save(tmp_path), other.save(tmp_path)]
    for source in (tmp_path, tmp_path / "records", paths, [tmp_path]):
        assert read_runs(source) == [RUN, other]
    assert read_runs(paths[1]) == [other]


def test_a_run_in_several_places_is_read_once_and_finished_where_it_is(tmp_path: Path) -> None:
    done = RUN
    broken_off = replace(done, status="failed", reason="the loss is nan", loss=None, metrics={})
    broken_off.save(tmp_path / "first")
    done.save(tmp_path / "second")
    done.save(tmp_path / "copy")
    found = read_runs([tmp_path / name for name in ("first", "second", "copy")])
    assert [run.status for run in found] == ["done"]


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no records"):
        read_runs(tmp_path)


@pytest.mark.parametrize("name", list(RUN.to_json()))
def test_a_record_without_a_field_is_refused_by_file_and_field(tmp_path: Path, name: str) -> None:
    path = RUN.save(tmp_path)
    values = RUN.to_json()
    del values[name]
    path.write_text(json.dumps(values))
    with pytest.raises(FormatError, match=rf"{RUN.key}.json.*{name}"):
        read_runs(tmp_path)


@pytest.mark.parametrize(("name", "value"), [
    ("key", "../../etc/passwd"),
    ("status", "finished"),
    ("status", "failed"),
    ("reason", "why"),
    ("loss", None),
    ("loss", "2.5"),
    ("tokens", -1),
    ("tokens", 1.5),
    ("flops", -1.0),
    ("flops", 1e400),
    ("share", True),
    ("tuning", {"method": "lora", "frozen_blocks": 0, "rank": 0, "alpha": 0.0}),
    ("tuning", "lora"),
    ("shape", {"family": "gpt_neox"}),
    ("metrics", {"mrr": "high"}),
    ("settings", []),
    ("version", 99),
    ("format", "vecsmith plan"),
])  # fmt: skip
def test_a_record_with_a_wrong_field_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    path = RUN.save(tmp_path)
    path.write_text(json.dumps({**RUN.to_json(), name: value}))
    with pytest.raises(FormatError, match=RUN.key):
        TuningRun.open(path)


def test_a_record_cut_short_is_refused(tmp_path: Path) -> None:
    path = RUN.save(tmp_path)
    path.write_text(path.read_text()[:200])
    with pytest.raises(FormatError, match="expected JSON"):
        read_runs(tmp_path)


def test_a_run_that_is_not_done_has_a_reason_and_no_loss() -> None:
    skipped = replace(RUN, status="skipped", reason="too short", loss=None, train_loss=None)
    assert TuningRun.from_json(skipped.to_json()) == skipped
    with pytest.raises(ValueError, match="reason"):
        replace(skipped, reason="")
    with pytest.raises(ValueError, match="loss"):
        replace(RUN, status="failed", reason="nan")


def test_losses_are_comparable_whatever_the_rate() -> None:
    faster = replace(RUN, settings={**RUN.settings, "lr": 1e-2})
    assert faster.comparable_key == RUN.comparable_key
    assert differing_settings(RUN, faster) == []


def test_losses_at_another_temperature_are_not_comparable() -> None:
    warmer = replace(RUN, settings={**RUN.settings, "temperature": 0.1})
    assert warmer.comparable_key != RUN.comparable_key
    assert differing_settings(RUN, warmer) == ["temperature 0.05 and 0.1"]


def test_a_key_does_not_depend_on_the_order_of_names() -> None:
    assert key_of({"a": 1, "b": [2.5, "x"]}) == key_of({"b": [2.5, "x"], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})
