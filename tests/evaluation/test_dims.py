"""Quality by dimension, and the smallest prefix that is known to keep enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap

from tests.results.builders import make_task
from vecsmith.evaluation.dims import halvings, quality_by_dim
from vecsmith.results import EvalResult, Scores, TaskResult, View


def result_of(*tasks: TaskResult) -> EvalResult:
    return EvalResult(
        model="made", fingerprint="f", tasks={task.name: task for task in tasks}, groups={},
        settings={},
    )  # fmt: skip


def task_of(
    items: Mapping[int, Sequence[float] | np.ndarray[Any, Any]], name: str = "t", **fields: Any
) -> TaskResult:
    """A task whose items are given for each dim."""
    views = tuple(View(dim) for dim in items)
    made = make_task(name, next(iter(items.values())), views=views, **fields)
    for view, values in zip(views, items.values(), strict=True):
        column = np.array(values, np.float64)
        made.scores[view] = Scores(  # type: ignore[index]
            figures={"ndcg@10": float(column.mean())}, items=column
        )
    return made


def noisy(shares: Mapping[int, float], n_items: int, seed: int = 0) -> TaskResult:
    """Items of every prefix: those of all dims, of which it keeps exactly the share given."""
    order = np.random.default_rng(seed).permutation(n_items) / n_items
    return task_of({dim: (order < share) * 0.8 for dim, share in shares.items()})


def test_the_share_kept_and_its_interval_are_those_of_a_paired_bootstrap() -> None:
    draw = np.random.default_rng(3)
    full = draw.uniform(0.2, 1.0, 400)
    short = np.clip(full - draw.uniform(0, 0.15, 400), 0, 1)
    found = quality_by_dim(result_of(task_of({256: full, 64: short})), keep=0.9, over="t")
    kept = found.prefixes[1].kept
    assert kept.value == pytest.approx(short.mean() / full.mean(), abs=1e-12)
    theirs = bootstrap(
        (short, full), lambda a, b, axis: a.mean(axis) / b.mean(axis), paired=True,
        n_resamples=20_000, method="percentile", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert kept.low == pytest.approx(theirs.low, abs=2e-3)
    assert kept.high == pytest.approx(theirs.high, abs=2e-3)
    assert found.prefixes[1].score == pytest.approx(short.mean())


def test_the_lower_end_decides_and_not_the_score() -> None:
    task = noisy({256: 1.0, 128: 0.99, 64: 0.957, 32: 0.80}, 500)
    found = quality_by_dim(result_of(task), keep=0.95)
    by_dim = {prefix.view.dim: prefix for prefix in found.prefixes}
    assert by_dim[64].kept.value is not None
    assert by_dim[64].kept.low is not None
    assert by_dim[64].kept.low < 0.95 < by_dim[64].kept.value
    assert found.smallest.view.dim == 128
    assert found.smallest_by_score.view.dim == 64


def test_more_items_make_the_same_share_known() -> None:
    shares = {256: 1.0, 64: 0.957}
    few, many = (quality_by_dim(result_of(noisy(shares, n)), keep=0.95) for n in (500, 50_000))
    assert (few.smallest.view.dim, many.smallest.view.dim) == (256, 64)


def test_a_prefix_below_one_that_fails_is_not_taken_however_good() -> None:
    task = noisy({256: 1.0, 128: 0.7, 64: 0.999}, 2000)
    found = quality_by_dim(result_of(task), keep=0.9)
    assert [prefix.is_enough for prefix in found.prefixes] == [True, False, False]
    assert found.smallest.view.dim == 256


def test_a_prefix_that_does_not_keep_enough_is_taken_once_in_forty_or_less() -> None:
    """64 and 32 dims truly keep just below 95 %: over 100 samples they are rarely called enough."""
    wrong = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        whole = draw.uniform(0.3, 1.0, 400)
        lost = {64: draw.random(400) < 0.0505, 32: draw.random(400) < 0.0505}
        items = {128: whole} | {dim: np.where(gone, 0, whole) for dim, gone in lost.items()}
        found = quality_by_dim(result_of(task_of(items)), keep=0.95)
        wrong += found.smallest.view.dim < 128
    assert wrong <= 7  # 2.5 expected at most; more than seven has a chance of 1 in 200


def test_ten_items_that_did_not_change_do_not_show_that_none_will() -> None:
    found = quality_by_dim(result_of(task_of({256: [1.0] * 10, 8: [1.0] * 10})), keep=0.95)
    kept = found.prefixes[1].kept
    assert kept.value == 1.0
    assert kept.low == pytest.approx(0.025 ** (1 / 10))  # Clopper and Pearson of 10 in 10
    assert found.smallest.view.dim == 256


def test_a_thousand_items_that_did_not_change_do() -> None:
    found = quality_by_dim(result_of(task_of({256: [1.0] * 1000, 8: [1.0] * 1000})), keep=0.95)
    assert found.smallest.view.dim == 8


def test_a_family_that_the_mean_hides_is_told() -> None:
    good = task_of({256: [1.0, 0.9] * 300, 64: [1.0, 0.9] * 300}, "good", kind="retrieval")
    bad = task_of({256: [0.5, 0.6] * 300, 64: [0.5, 0.5] * 300}, "bad", kind="bitext")
    found = quality_by_dim(result_of(good, bad), keep=0.93)
    assert found.smallest.view.dim == 64
    assert list(found.families_below()) == ["bitext"]
    assert quality_by_dim(result_of(good, bad), keep=0.93, over="bitext").smallest.view.dim == 256


def test_only_prefixes_of_the_first_precision_are_compared() -> None:
    views = (View(64), View(64, "int8"), View(32), View(32, "int8"))
    found = quality_by_dim(result_of(make_task(views=views)), keep=0.5)
    assert [prefix.view for prefix in found.prefixes] == [View(64), View(32)]


def test_one_prefix_or_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="256 float32, expected two prefixes or more"):
        quality_by_dim(result_of(make_task(views=(View(256),))))
    with pytest.raises(ValueError, match="keep is 95, expected a share"):
        quality_by_dim(result_of(make_task()), keep=95)
    with pytest.raises(ValueError, match="no average or task is called 'nope'"):
        quality_by_dim(result_of(make_task()), over="nope")


def test_a_score_of_nothing_has_no_share() -> None:
    with pytest.raises(ValueError, match="not clearly above zero"):
        quality_by_dim(result_of(task_of({64: [0.01, 0.0], 32: [0.0, 0.0]})))


def test_halvings_go_down_to_eight() -> None:
    assert halvings(384) == [384, 192, 96, 48, 24, 12]
    assert halvings(256) == [256, 128, 64, 32, 16, 8]
    assert halvings(5) == [5]
    with pytest.raises(ValueError, match="dim is 0"):
        halvings(0)
