"""A comparison pairs the items, corrects for many tests, and names no winner inside the noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from tests.results.builders import FULL, SHORT, make_result, make_sts, make_task
from vecsmith.results import EvalResult, Kind, SpeedResult, View, compare
from vecsmith.results.comparison import verdict_of
from vecsmith.results.resampling import (
    PairedItems,
    PairedTest,
    holm,
    paired_test,
    paired_test_of_average,
)

VERDICTS = {"better", "worse", "no difference shown"}


def items_of(seed: int, n: int = 200) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(0, 1, n)


def pair(shift: float = 0.1, noise: float = 0.1) -> tuple[EvalResult, EvalResult]:
    """Results of which the second is better by `shift` on every task but "same"."""
    ours, theirs = [], []
    for seed, name in enumerate(("scifact", "xquad[en]", "xquad[ko]", "same")):
        items = items_of(seed)
        other = items + noise * np.random.default_rng(seed + 50).standard_normal(200)
        other -= other.mean() - items.mean()
        ours.append(make_task(name, items))
        theirs.append(make_task(name, other if name == "same" else other + shift))
    ours.append(make_sts(noise=1.5))
    theirs.append(make_sts(noise=0.1))
    groups = {"RET": ("scifact", "xquad[en]"), "STS": ("stsb",)}
    return make_result(*ours, groups=groups), make_result(*theirs, groups=groups, model="other")


def test_a_result_is_never_better_than_itself() -> None:
    result, _ = pair()
    for row in compare(result, result).rows:
        assert row.verdict == "no difference shown"
        assert (row.test.difference, row.test.low, row.test.high) == (0, 0, 0)
        assert row.test.p_value == row.p_adjusted == 1


def test_a_planted_difference_is_found_and_its_sign_is_that_of_a() -> None:
    a, b = pair()
    comparison = compare(a, b)
    found = {row.name: row.verdict for row in comparison.tasks}
    assert found.pop("same") == "no difference shown"
    assert set(found.values()) == {"worse"}
    assert {row.verdict for row in (*comparison.means, *comparison.groups)} == {"worse"}
    assert {row.verdict for row in compare(b, a).means} == {"better"}
    assert comparison.count("worse") == 4
    assert comparison.count("better") == 0


def test_swapping_the_sides_turns_every_figure_around() -> None:
    a, b = pair()
    turned = {row.name: row for row in compare(b, a).rows}
    for row in compare(a, b).rows:
        other = turned[row.name]
        assert row.test.difference == pytest.approx(-other.test.difference)
        assert row.test.low == pytest.approx(-other.test.high)
        assert row.test.p_value == pytest.approx(other.test.p_value)
        assert (row.a, row.b) == (other.b, other.a)


def test_scores_and_differences_are_those_of_the_results() -> None:
    a, b = pair()
    comparison = compare(a, b)
    for row in comparison.tasks:
        assert row.a.score == a.tasks[row.name].score()
        assert (row.a.low, row.a.high) == a.interval(row.name)
        assert row.test.difference == pytest.approx(row.a.score - row.b.score)
        assert row.test.low <= row.test.difference <= row.test.high
    for row in (*comparison.families, *comparison.groups, *comparison.means):
        assert row.a.score == pytest.approx(a.average(row.name))
        assert (row.b.low, row.b.high) == b.interval(row.name)
        assert row.test.difference == pytest.approx(row.a.score - row.b.score)
    assert {row.name: (row.n_sets, row.n_tasks) for row in comparison.families} == {
        "similarity": (1, 1),
        "retrieval": (3, 4),
    }


def test_the_p_value_of_a_task_is_near_the_paired_t_tests() -> None:
    a = make_result(make_task("t", items_of(1)))
    b = make_result(make_task("t", items_of(1) + 0.3 * items_of(2) - 0.14))
    found = compare(a, b).tasks[0].test
    first, second = (r.tasks["t"].scores[FULL].items for r in (a, b))
    assert found.p_value == pytest.approx(ttest_rel(first, second).pvalue, abs=0.03)
    assert found == paired_test(first, second, None, "mean") == replace(found, n_items=200)


def test_averages_are_tested_as_if_each_were_drawn_by_itself() -> None:
    a, b = pair(shift=0.004)
    found = compare(a, b).means[0].test
    tasks: list[PairedItems] = []
    for name, task in a.tasks.items():
        first, second = task.scores[FULL].items, b.tasks[name].scores[FULL].items
        tasks.append((first, second, task.gold, task.statistic))
    names = [task.set for task in a.tasks.values()]
    weights = [1 / 4 if name != "xquad" else 1 / 8 for name in names]
    expected = paired_test_of_average(tasks, weights, sets=names)
    assert found.difference == pytest.approx(expected.difference)
    assert found.p_value == expected.p_value
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.1)


def test_p_values_are_raised_by_holm_among_the_tasks() -> None:
    a, b = pair(shift=0.02, noise=0.15)
    rows = compare(a, b).tasks
    expected = holm([row.test.p_value for row in rows])
    assert [row.p_adjusted for row in rows] == pytest.approx(expected.tolist())
    assert all(row.p_adjusted >= row.test.p_value for row in rows)


def test_one_lucky_task_among_many_without_a_difference_is_no_winner() -> None:
    seeds = range(40)
    a = make_result(*(make_task(f"t{i}", items_of(i, 60)) for i in seeds))
    b = make_result(*(make_task(f"t{i}", items_of(100 + i, 60)) for i in seeds))
    comparison = compare(a, b)
    assert min(row.test.p_value for row in comparison.tasks) < 0.1
    assert comparison.count("no difference shown") == 40


def test_a_clear_difference_shows_among_hundreds_of_tasks() -> None:
    seeds = range(300)
    a = make_result(*(make_task(f"t{i}", items_of(i, 30)) for i in seeds))
    b = make_result(*(make_task(f"t{i}", items_of(i, 30) + 0.2 * (i == 7)) for i in seeds))
    comparison = compare(b, a)
    assert [row.name for row in comparison.tasks if row.verdict != "no difference shown"] == ["t7"]
    assert comparison.count("better") == 1


def test_clustering_alone_is_given_no_verdict_however_clear_the_test() -> None:
    of_kinds: dict[Kind, str] = {"retrieval": "r", "clustering": "c"}
    a, b = (
        make_result(
            *(make_task(name, items_of(5) + shift, kind=kind) for kind, name in of_kinds.items()),
            groups={"CLU": ("c",)},
        )
        for shift in (0.3, 0.0)
    )
    comparison = compare(a, b)
    verdicts = {(row.role, row.name): row.verdict for row in comparison.rows}
    for place in (("task", "c"), ("family", "clustering"), ("group", "CLU")):
        assert verdicts.pop(place) == "no difference shown"
    assert len(verdicts) == 4
    assert set(verdicts.values()) == {"better"}  # averages with other kinds are tested
    assert max(row.p_adjusted for row in comparison.tasks) < 0.05
    assert "Clustering alone is given no verdict: the luck of k-means" in comparison.table()
    alone = compare(make_result(a.tasks["c"]), make_result(b.tasks["c"]))
    assert {row.verdict for row in alone.rows} == {"no difference shown"}
    rest = compare(make_result(a.tasks["r"]), make_result(b.tasks["r"]))
    assert "Clustering" not in rest.table()


def test_five_draws_that_all_agree_are_too_few_for_a_verdict() -> None:
    a, b = make_result(make_task("t", [0.5] * 5)), make_result(make_task("t", [0.4] * 5))
    assert compare(a, b).tasks[0].verdict == "no difference shown"


@pytest.mark.parametrize(
    ("low", "high", "p", "verdict"),
    [
        (0.1, 0.2, 0.01, "better"),
        (-0.2, -0.1, 0.01, "worse"),
        (0.1, 0.2, 0.05, "no difference shown"),
        (-0.01, 0.2, 0.01, "no difference shown"),
        (0.0, 0.2, 0.01, "no difference shown"),
        (0.0, 0.0, 0.0, "no difference shown"),
    ],
)
def test_a_verdict_needs_the_test_and_the_interval(
    low: float, high: float, p: float, verdict: str
) -> None:
    test = PairedTest(difference=(low + high) / 2, low=low, high=high, p_value=p, n_items=9)
    assert verdict_of(test, p) == verdict


def test_a_short_prefix_may_be_compared_with_a_long_one() -> None:
    a, b = pair()
    comparison = compare(a, a, view_a=SHORT)
    assert {row.verdict for row in comparison.tasks if row.kind == "retrieval"} == {"worse"}
    assert comparison.a.view == SHORT
    assert comparison.b.view == FULL
    assert comparison.vector_bytes_ratio == 0.25
    across = compare(a, b, view_a=FULL, view_b=SHORT)
    assert across.tasks[0].b.score == pytest.approx(0.9 * b.tasks["scifact"].score())


def test_a_baseline_on_words_is_compared_on_what_it_can_do() -> None:
    words = make_task("same", items_of(3), views=(View(0, "text"),))
    comparison = compare(pair()[0], make_result(words, model="bm25"))
    assert [row.name for row in comparison.tasks] == ["same"]
    assert comparison.groups == ()
    assert set(comparison.only_a) == {"scifact", "xquad[en]", "xquad[ko]", "stsb"}
    assert comparison.b.view == View(0, "text")
    assert comparison.b.vector_bytes is None
    assert comparison.vector_bytes_ratio is None
    assert "B: bm25, on words" in comparison.table()


def test_tasks_on_other_texts_are_refused_and_listed() -> None:
    a = make_result(make_task("a"), make_task("b"), make_task("c"), make_task("d"))
    b = make_result(
        make_task("a"),
        make_task("b", data_hash="other"),
        make_task("c", [1.0, 0.0, 0.0]),
        make_task("e"),
        model="other",
    )
    comparison = compare(a, b)
    assert [row.name for row in comparison.tasks] == ["a"]
    assert comparison.refused["b"].startswith("other texts or answers")
    assert comparison.refused["c"] == "4 and 3 queries"
    assert (comparison.only_a, comparison.only_b) == (("d",), ("e",))
    text = comparison.table()
    assert "Left out: b, other texts or answers" in text
    assert "Only A has: d.\nOnly B has: e." in text


def test_another_split_metric_or_gold_is_another_task() -> None:
    task = make_sts()
    gold = task.gold
    assert gold is not None
    for changed, reason in (
        (replace(task, split="dev"), "split test and dev"),
        (replace(task, gold=gold + 1), "other gold scores"),
        (replace(task, kind="triplets"), "kind similarity and triplets"),
    ):
        with pytest.raises(ValueError, match=f"stsb: {reason}"):
            compare(make_result(task), make_result(changed))


def test_a_view_that_was_not_scored_is_a_reason() -> None:
    a = make_result(make_task("a"), make_task("b", views=(FULL,)))
    comparison = compare(a, a, view_a=SHORT)
    assert comparison.refused == {"b": "minilm-256 was not scored under 64 float32"}
    with pytest.raises(ValueError, match="was not scored under 7 float32"):
        compare(a, a, view_b=View(7))


def test_two_results_without_a_common_task_say_so() -> None:
    with pytest.raises(ValueError, match="no task of one is a task of the other"):
        compare(make_result(make_task("a")), make_result(make_task("b")))


def test_speed_and_size_are_ratios_of_a_to_b() -> None:
    a, b = pair()
    a = replace(a, speed=SpeedResult(texts_per_second=5000.0, model_bytes=10_000_000))
    b = replace(b, speed=SpeedResult(texts_per_second=50.0, model_bytes=80_000_000))
    comparison = compare(a, b)
    assert comparison.speed_ratio == 100
    assert comparison.model_bytes_ratio == 0.125
    assert comparison.same_run
    assert comparison.same_machine
    text = comparison.table()
    assert "A encodes 100.0 times as many texts per second." in text
    assert "A weighs 0.125 times as much in memory." in text
    later = replace(b, run="1" * 32)
    assert not compare(a, later).same_run
    assert not compare(replace(a, run=""), replace(b, run="")).same_run  # it is not known
    assert "measured in two runs on one kind of machine." in compare(a, later).table()
    elsewhere = compare(a, replace(later, machine={"cpu": "y", "cores": 64}))
    assert not elsewhere.same_machine
    assert "measured in two runs on machines that differ." in elsewhere.table()
    assert compare(a, replace(b, speed=SpeedResult())).speed_ratio is None


def test_the_difference_on_other_sets_is_less_sure_than_on_these() -> None:
    a, b = pair()
    row = compare(a, b).means[0]
    assert row.wide is not None
    assert row.wide[1] - row.wide[0] > row.test.high - row.test.low
    assert all(row.wide is None for row in compare(a, b).tasks)


def test_the_text_says_who_is_who_how_many_items_and_what_may_be_said() -> None:
    a, b = pair()
    text = compare(a, b).table()
    assert max(map(len, text.splitlines())) <= 120
    line = next(line for line in text.splitlines() if line.startswith("  scifact"))
    assert "200 queries" in line
    assert line.endswith("worse")
    assert "-10.0 [" in line
    assert "A: minilm-256, 256 dims in float32 (1,024 bytes per vector), 1,234 texts/s" in text
    assert "Of 5 tasks A is better on 0, worse on 4; on 1 no difference is shown." in text
