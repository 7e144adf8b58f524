"""Evaluations that earlier versions wrote open for ever and say what they said then."""

from __future__ import annotations

from pathlib import Path

import pytest

from vecsmith.results import EvalResult, View, compare

HERE = Path(__file__).parent


def test_the_run_of_the_first_version_opens() -> None:
    result = EvalResult.open(HERE / "0.1.0" / "run")
    assert result.model == "minilm-256"
    assert list(result.tasks) == ["stsb", "xquad[ko]"]
    assert result.views == (View(256), View(64, "int8"), View(64, "binary"))
    assert result.groups == {"STS": ("stsb",)}
    task = result.tasks["xquad[ko]"]
    assert (task.set, task.kind, task.language, task.unit) == (
        "xquad",
        "retrieval",
        "ko",
        "queries",
    )
    assert task.scores[View(256)].items.tolist() == [1.0, 0.5, 0.0, 0.5]
    assert task.counts == {"documents": 9}
    assert task.notes == ("2 empty documents",)
    assert task.neighbors is not None
    assert task.neighbors.tolist() == [[2, 1], [0, -1], [1, 2], [2, 0]]
    assert result.speed.texts_per_second == 1234.5
    assert result.versions == {"numpy": "2.0.0", "absent": None}


def test_its_averages_baselines_and_comparisons_are_still_to_be_had() -> None:
    result = EvalResult.open(HERE / "0.1.0" / "run")
    assert result.average("retrieval") == pytest.approx(0.5)
    assert result.retention("teacher").of("xquad[ko]").value == pytest.approx(0.5 / 0.6875)
    assert result.baselines["bm25"].views == (View(0, "text"),)
    assert [row.name for row in compare(result, result.baselines["bm25"]).tasks] == ["xquad[ko]"]


def test_its_tasks_say_nothing_of_what_was_not_written_then() -> None:
    result = EvalResult.open(HERE / "0.1.0" / "run")
    task = result.tasks["xquad[ko]"]
    assert (task.fingerprint, task.date, task.license, task.source) == ("", "", None, None)
    assert (task.versions, task.machine, result.run) == ({}, {}, "")
