"""Retention is score over the baseline's score: of tasks, of averages, and of named groups."""

from __future__ import annotations

import numpy as np
import pytest

from tests.results.builders import FULL, SHORT, make_result, make_sts, make_task
from vecsmith.results import EvalResult, View

GROUPS = {"RET": ("a", "b"), "CLS": ("c",)}


def results() -> tuple[EvalResult, EvalResult]:
    model = make_result(
        make_task("a", [0.4, 0.6]),
        make_task("b", [0.2, 0.4]),
        make_task("c", [0.9, 0.7], kind="classification"),
        groups=GROUPS,
    )
    teacher = make_result(
        make_task("a", [0.5, 0.9]),
        make_task("b", [0.4, 0.6]),
        make_task("c", [0.8, 0.8], kind="classification"),
        model="teacher",
    )
    return model, teacher


def test_retention_of_a_task_is_its_score_over_the_teachers() -> None:
    model, teacher = results()
    retention = model.retention(teacher)
    assert [ratio.name for ratio in retention.tasks] == ["a", "b", "c"]
    assert [ratio.value for ratio in retention.tasks] == pytest.approx([0.5 / 0.7, 0.3 / 0.5, 1.0])


def test_retention_of_a_group_or_family_is_that_of_the_averages() -> None:
    model, teacher = results()
    retention = model.retention(teacher)
    assert retention.of("RET").value == pytest.approx(0.4 / 0.6)
    assert retention.of("retrieval").value == pytest.approx(0.4 / 0.6)
    assert retention.of("CLS").value == pytest.approx(1.0)
    assert retention.of("RET").n_tasks == 2


def test_the_quoted_retention_is_the_mean_of_the_group_ratios() -> None:
    model, teacher = results()
    retention = model.retention(teacher)
    assert retention.mean.name == "groups"
    assert retention.mean.value == pytest.approx((0.4 / 0.6 + 1.0) / 2)
    assert retention.of("sets").value == pytest.approx((0.5 / 0.7 + 0.3 / 0.5 + 1.0) / 3)


def test_without_named_groups_the_mean_is_over_families() -> None:
    model = make_result(make_task("a", [0.4, 0.6]), make_task("c", [0.9], kind="classification"))
    teacher = make_result(make_task("a", [1.0, 1.0]), make_task("c", [1.0], kind="classification"))
    assert model.retention(teacher).mean.name == "families"
    assert model.retention(teacher).mean.value == pytest.approx((0.5 + 0.9) / 2)


def test_languages_are_averaged_within_their_set() -> None:
    names = ("x[de]", "x[ko]", "y")
    model = make_result(*map(make_task, names, ([0.4], [0.2], [0.9])))
    teacher = make_result(*map(make_task, names, ([0.8], [0.8], [1.0])))
    retention = model.retention(teacher)
    assert retention.of("sets").value == pytest.approx(((0.5 + 0.25) / 2 + 0.9) / 2)
    assert retention.of("retrieval").value == pytest.approx((0.3 + 0.9) / (0.8 + 1.0))


def test_a_constant_share_is_kept_whatever_the_resample() -> None:
    items = np.random.default_rng(0).uniform(0.2, 1, 50)
    model, teacher = make_result(make_task("a", items / 2)), make_result(make_task("a", items))
    ratio = model.retention(teacher).of("a")
    assert [ratio.low, ratio.value, ratio.high] == pytest.approx([0.5, 0.5, 0.5])


def test_the_interval_is_that_of_ratios_taken_resample_by_resample() -> None:
    generator = np.random.default_rng(3)
    ours, theirs = generator.uniform(0, 0.8, 300), generator.uniform(0.4, 1, 300)
    ratio = make_result(make_task("a", ours)).retention(make_result(make_task("a", theirs))).mean
    drawn = np.random.default_rng(4).integers(0, 300, (4000, 300))
    low, high = np.quantile(ours[drawn].mean(1) / theirs[drawn].mean(1), [0.025, 0.975])
    assert ratio.low == pytest.approx(low, abs=0.1 * (high - low))
    assert ratio.high == pytest.approx(high, abs=0.1 * (high - low))


def test_a_shorter_view_is_held_against_the_whole_baseline() -> None:
    model, teacher = results()
    assert model.retention(teacher, SHORT).of("a").value == pytest.approx(0.9 * 0.5 / 0.7)
    with pytest.raises(ValueError, match="a: minilm-256 was not scored under 7 float32; b: "):
        model.retention(teacher, View(7))


@pytest.mark.parametrize("items", [[0.0, 0.0], [-0.5, 0.1], [0.04, 0.04], [0.0, 1.0]])
def test_there_is_no_ratio_to_a_score_that_is_not_clearly_above_zero(items: list[float]) -> None:
    model = make_result(make_task("a"), make_task("b", [0.5]), make_task("c", [0.4]))
    teacher = make_result(make_task("a", [*items, *items]), make_task("b", [1.0]))
    retention = model.retention(teacher)
    ratio = retention.of("a")
    assert ratio.value is None
    assert ratio.low is None
    assert "is not clearly above zero" in ratio.note
    assert retention.of("sets").value == pytest.approx(0.5)
    assert retention.of("sets").note == "without a: no ratio"


def test_a_named_group_that_the_baseline_lacks_is_missed_in_the_mean() -> None:
    model, teacher = results()
    part = make_result(*(teacher.tasks[name] for name in ("a", "b")), model="part")
    mean = model.retention(part).mean
    assert (mean.name, mean.note) == ("groups", "without CLS: no ratio")
    assert mean.value == pytest.approx(0.4 / 0.6)


def test_no_ratio_at_all_says_so() -> None:
    model, teacher = make_result(make_task("a", [1.0])), make_result(make_task("a", [0.0]))
    assert model.retention(teacher).mean.value is None
    assert model.retention(teacher).mean.note == "no member has a ratio"


def test_a_baseline_on_words_counts_on_the_tasks_it_has() -> None:
    bm25 = make_result(make_task("a", [0.5, 0.5], views=(View(0, "text"),)), model="bm25")
    model = make_result(
        make_task("a", [0.6, 0.2]), make_sts(), groups={"RET": ("a",)}, baselines={"bm25": bm25}
    )
    retention = model.retention()
    assert retention.of("RET").value == pytest.approx(0.8)
    assert [ratio.name for ratio in retention.families] == ["retrieval"]
    assert retention.left_out == {"stsb": "not scored"}
    assert model.retention("bm25").mean.value == retention.mean.value
    assert bm25.retention(model).of("a").value == pytest.approx(1.25)


def test_other_texts_are_never_divided_by() -> None:
    model = make_result(make_task("a"), make_task("b"))
    teacher = make_result(make_task("a", data_hash="other"), make_task("b"))
    assert list(model.retention(teacher).left_out) == ["a"]
    with pytest.raises(ValueError, match="have no task that can be compared"):
        make_result(make_task("a")).retention(teacher)


def test_which_baseline_is_asked_for_where_it_is_not_clear() -> None:
    model, teacher = results()
    with pytest.raises(ValueError, match="baselines are none, expected exactly one"):
        model.retention()
    both = make_result(make_task("a"), baselines={"teacher": teacher, "bm25": teacher})
    with pytest.raises(ValueError, match="baselines are teacher, bm25, expected exactly one"):
        both.retention()
    with pytest.raises(ValueError, match="no baseline is called 'x', found teacher, bm25"):
        both.retention("x")


def test_a_name_without_a_ratio_is_refused() -> None:
    model, teacher = results()
    with pytest.raises(ValueError, match="no ratio is called 'STS', found sets, families, groups"):
        model.retention(teacher).of("STS")
    assert model.retention(teacher).view is None
    assert model.retention(teacher, FULL).of("a").value == model.retention(teacher).of("a").value
