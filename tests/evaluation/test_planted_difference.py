"""A model that was spoilt on purpose is called worse; the same model twice is not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vecsmith import StaticModel, distill, evaluate
from vecsmith.evaluation.tasks import find_tasks
from vecsmith.evaluation.tasks.suites import GROUPS, Suite, find_suite
from vecsmith.results import EvalResult
from vecsmith.results.comparison import compare

DIMS = (64, 32)


@pytest.fixture(scope="module")
def distilled(teacher_folder: Path) -> StaticModel:
    """MiniLM as a small table."""
    return distill(teacher_folder, dim=DIMS[0])


@pytest.fixture(scope="module")
def suite() -> Suite:
    """The named groups STS and RET."""
    groups = find_suite("groups")
    tasks = tuple(task for group in ("STS", "RET") for task in GROUPS[group])
    return replace(groups, tasks=tasks)


@pytest.fixture(scope="module")
def result(distilled: StaticModel, suite: Suite, shared_data: Path) -> EvalResult:
    """What it scores."""
    return evaluate(distilled, shared_data, suite=suite, dims=DIMS, measure_speed=False)


def shuffled(model: StaticModel, folder: Path) -> StaticModel:
    """The model with the rows of its 5 % most frequent tokens in another order."""
    counts: Counter[int] = Counter()
    for name in ("stsb", "scifact"):
        (source,) = find_tasks(folder / name)
        for task in source.load("test"):
            texts = getattr(task.data, "first", None) or getattr(task.data, "documents", [])
            for ids in model.tokenize(texts):
                counts.update(ids)
    table = np.array(model.checkpoint.table)
    n_frequent = len(table) // 20
    frequent = np.array([token for token, _ in counts.most_common(n_frequent)])
    assert model.checkpoint.mapping is None
    table[frequent] = table[np.random.default_rng(0).permutation(frequent)]
    return StaticModel(replace(model.checkpoint, table=table))


@pytest.mark.slow
def test_shuffling_the_most_frequent_rows_is_called_worse_on_sts_and_retrieval(
    result: EvalResult, distilled: StaticModel, suite: Suite, shared_data: Path
) -> None:
    spoilt = evaluate(
        shuffled(distilled, shared_data), shared_data, suite=suite, dims=DIMS, measure_speed=False
    )
    comparison = compare(spoilt, result)
    verdicts = {row.name: row.verdict for row in comparison.groups}
    assert verdicts == {"STS": "worse", "RET": "worse"}


@pytest.mark.slow
def test_half_of_the_dims_is_called_worse_and_the_same_twice_is_not(result: EvalResult) -> None:
    whole, half = result.tasks["stsb"].scores
    comparison = compare(result, result, view_a=half, view_b=whole)
    assert {row.name: row.verdict for row in comparison.groups}["RET"] == "worse"
    twice = compare(result, result)
    rows = (*twice.groups, *twice.families, *twice.tasks)
    assert {row.verdict for row in rows} == {"no difference shown"}
