"""Plans written and read back; files that are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vecsmith.errors import FormatError
from vecsmith.planning import Plan, Serving, make_plan

RUN = (
    "method", "model", "tokens", "pairs", "steps", "epochs", "rank", "alpha", "frozen_blocks",
    "learning_rate", "batch_size", "max_length", "temperature", "pooling", "warmup", "schedule",
    "weight_decay", "flops", "cost_per_token", "predicted_loss",
)  # fmt: skip


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(
        1e17,
        memory=40e9,
        serving=Serving(queries_per_month=1e6, documents=1e6),
        menu={"methods": ("full", "lora"), "ranks": (128,)},
    )


def test_a_plan_read_back_is_the_same(plan: Plan, tmp_path: Path) -> None:
    plan.to_json(tmp_path / "plan.json")
    read = Plan.open(tmp_path / "plan.json")
    assert read == plan
    assert read.plain() == plan.plain()


def test_the_top_of_the_file_holds_what_a_run_needs(plan: Plan) -> None:
    values = plan.plain()
    assert set(RUN) <= set(values)
    assert values["method"] == plan.chosen.tuning.method
    assert values["steps"] * values["batch_size"] == values["pairs"]
    assert values["tokens"] * values["cost_per_token"] == pytest.approx(values["flops"])


def test_a_plan_of_unequal_numbers_is_unequal(plan: Plan) -> None:
    other = make_plan(
        1.01e17, memory=40e9, serving=plan.serving,
        menu={"methods": ("full", "lora"), "ranks": (128,)},
    )  # fmt: skip
    assert other != plan
    assert other.chosen.tuning == plan.chosen.tuning


def _paths(values: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where each value of a JSON tree is; of lists the first item alone."""
    found = [place] if place else []
    if isinstance(values, dict):
        found += [each for key in values for each in _paths(values[key], (*place, key))]
    if isinstance(values, list) and values:
        found += _paths(values[0], (*place, 0))
    return found


def _broken(values: Any, place: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(values))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return copy


@pytest.mark.parametrize("value", [None, -1, "x" * 100, [[]], {"a": 1}, 1e400, True])
def test_a_field_of_another_kind_is_a_format_error_or_a_plan(
    plan: Plan, tmp_path: Path, value: Any
) -> None:
    values = plan.plain()
    path = tmp_path / "plan.json"
    refusals = []
    for place in _paths(values):
        path.write_text(json.dumps(_broken(values, place, value)), encoding="utf-8")
        try:
            Plan.open(path)
        except FormatError as error:
            refusals.append(str(error))
    assert len(refusals) > 50
    assert all(str(path) in said for said in refusals)


def test_a_missing_field_is_named(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    values = plan.plain()
    for name in ("chosen", "ranked", "budget", "batch_size", "explanation", "constants"):
        path.write_text(json.dumps({k: v for k, v in values.items() if k != name}))
        with pytest.raises(FormatError, match=f"no field '{name}'"):
            Plan.open(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": "vecsmith plan"}', "\x00\xff"])
def test_a_file_that_is_no_plan_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(FormatError, match=r"plan\.json"):
        Plan.open(path)


def test_a_later_version_is_refused(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**plan.plain(), "version": 99}), encoding="utf-8")
    with pytest.raises(FormatError, match="version 99, expected at most 1"):
        Plan.open(path)
