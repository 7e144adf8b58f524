from __future__ import annotations

from dataclasses import replace

import pytest

from tests.reporting.conftest import ENGLISH, make_baselines, make_run
from vecsmith.reporting.report import Report
from vecsmith.reporting.summary import build_report
from vecsmith.reporting.wording import judgements
from vecsmith.results import EvalResult, View
from vecsmith.results.comparison import compare

Pair = tuple[EvalResult, EvalResult]


def row_of(report: Report, name: str) -> int:
    return next(place for place, row in enumerate(report.tasks) if row.name == name)


def test_runs_come_first_and_a_baseline_of_both_comes_once(pair: Pair) -> None:
    report = build_report(pair)
    assert [contender.letter for contender in report.contenders] == ["A", "B", "C", "D"]
    assert [contender.name for contender in report.contenders] == [
        *("minilm-256", "other", "all-MiniLM-L6-v2", "bm25")
    ]
    assert report.opponents == (1,)


def test_differences_and_verdicts_are_those_of_the_comparison(pair: Pair) -> None:
    report = build_report(pair)
    rows = {(row.role, row.name): row for row in compare(*pair).rows}
    for row in (*report.summary, *report.tasks):
        (difference,) = row.differences
        expected = rows[row.key]
        assert difference is not None
        assert difference.verdict == expected.verdict
        assert difference.p_value == expected.p_adjusted
        assert (difference.value, difference.low, difference.high) == (
            *(expected.test.difference, expected.test.low, expected.test.high),
        )
        first, second = row.scores[:2]
        assert first is not None
        assert second is not None
        assert first.value - second.value == pytest.approx(difference.value)


def test_a_model_and_itself_show_no_difference_anywhere() -> None:
    report = build_report([make_run("a"), make_run("b")])
    for row in (*report.summary, *report.tasks):
        assert row.differences[0] is not None
        assert row.differences[0].verdict == "no difference shown"


def test_one_run_is_held_against_its_baselines() -> None:
    report = build_report([make_run(baselines=make_baselines())])
    assert report.opponents == (1, 2)
    sets, difference = report.versus[1].averages["mean", "sets"]
    assert sets == 4  # bm25 has run retrieval and classification
    assert difference.verdict != "no difference shown"
    assert report.summary[0].differences[1] is None  # not over all ten


def test_tasks_on_other_texts_are_shown_and_not_compared(pair: Pair) -> None:
    first, second = pair
    other = replace(second.tasks["scifact"], data_hash="changed")
    report = build_report([first, replace(second, tasks={**second.tasks, "scifact": other})])
    row = report.tasks[row_of(report, "scifact")]
    assert row.differences == (None,)
    assert any("Not compared with B: other texts" in note for note in row.notes)
    assert next(row for row in report.summary if row.name == "retrieval").n_sets == 1
    assert any(caveat.startswith("1 of 10 tasks") for caveat in report.caveats)
    assert "RET" not in {row.name for row in report.summary}


def test_averages_of_three_runs_are_over_what_all_have() -> None:
    runs = [
        make_run("a"),
        make_run("b", seed=2, sets=ENGLISH[:6]),
        make_run("c", seed=3, sets=ENGLISH[3:]),
    ]
    report = build_report(runs)
    assert report.summary[0].n_sets == 3
    assert all(estimate is not None for row in report.summary for estimate in row.scores)
    assert len(report.tasks) == 10
    sst2 = report.tasks[row_of(report, "sst2")]
    assert sst2.scores[1] is None
    assert sst2.scores[2] is not None


def test_a_run_on_words_does_not_narrow_the_averages(pair: Pair) -> None:
    words = pair[0].baselines["bm25"]
    report = build_report([pair[0], pair[1], words], views=[View(64)] * 3)
    assert [contender.name for contender in report.contenders][:3] == [
        "minilm-256",
        "other",
        "bm25",
    ]
    assert report.opponents == (1, 2)
    assert report.summary[0].n_sets == 10
    assert report.summary[0].differences[1] is None
    assert report.versus[1].averages["mean", "sets"][0] == 4
    assert report.caveats == ()


def test_a_family_that_is_a_group_is_not_said_twice(pair: Pair) -> None:
    sentences = " ".join(judgements(build_report(pair))[0].details)
    assert "RET" in sentences
    assert "retrieval" not in sentences
    assert "triplets" in sentences
    assert "retrieval" not in {row.name for row in build_report(pair).summary}


def test_another_view_is_compared_where_it_is_asked_for(pair: Pair) -> None:
    report = build_report(pair, views=[View(64), None])
    first, second, *_ = report.summary[0].scores
    assert first is not None
    assert first.value == pytest.approx(pair[0].average(view=View(64)))
    assert second is not None
    assert second.value == pytest.approx(pair[1].average())
    assert report.contenders[0].view == View(64)


def test_retention_is_relative_to_the_best_baseline_that_ran_everything(pair: Pair) -> None:
    chance = make_run("random vectors", 0.9, seed=4, views=(View(256),))
    run = replace(pair[0], baselines={**pair[0].baselines, "random vectors": chance})
    report = build_report([run, pair[1]])
    assert report.reference == "all-MiniLM-L6-v2"
    kept = pair[0].retention("all-MiniLM-L6-v2")
    estimate = report.contenders[0].retention["group", "STS"]
    assert (estimate.value, estimate.low, estimate.high) == (
        *(kept.of("STS").value, kept.of("STS").low, kept.of("STS").high),
    )
    assert report.contenders[2].retention == {}


def test_the_reference_can_be_named(pair: Pair) -> None:
    report = build_report(pair, reference="bm25")
    assert set(report.contenders[0].retention) >= {("group", "RET"), ("mean", "sets")}
    with pytest.raises(ValueError, match=r"'nothing'.*minilm-256, other, all-MiniLM-L6-v2, bm25"):
        build_report(pair, reference="nothing")


def test_folders_are_named_without_their_path(pair: Pair) -> None:
    run = replace(pair[0], settings={"tasks": ["/srv/someone/my-tasks", "b"], "dims": [256, 64]})
    first, _, teacher, _ = build_report([run, pair[1]]).contenders
    assert first.settings["tasks"] == "my-tasks, b"
    assert first.settings["dims"] == "256, 64"
    assert "numpy 2.4.6" in first.settings["versions"]
    assert teacher.settings == {}  # those of its run


def test_speeds_of_different_runs_come_with_a_warning(pair: Pair) -> None:
    first, second = pair
    assert build_report(pair).caveats == ()
    later = replace(second, run="2" * 32)
    (caveat,) = build_report([first, later]).caveats
    assert "different runs, on machines of the same kind" in caveat
    (caveat,) = build_report([first, replace(later, machine={"cpu": "other"})]).caveats
    assert "different machines" in caveat


def test_rows_that_are_no_test_rows_are_said_to_be_so(pair: Pair) -> None:
    def on_dev(run: EvalResult) -> EvalResult:
        tasks = {name: replace(task, split="dev") for name, task in run.tasks.items()}
        return replace(run, tasks=tasks, baselines={})

    (caveat,) = build_report([on_dev(run) for run in pair]).caveats
    assert "dev rows, not of test rows" in caveat


def test_what_cannot_be_compared_is_an_error_that_says_why(pair: Pair) -> None:
    with pytest.raises(ValueError, match=r"one run, minilm-256, and it has no baselines"):
        build_report([make_run()])
    others = make_run("b", sets=(("other", "similarity", None, 50),), groups={})
    with pytest.raises(ValueError, match="minilm-256 and b have no task that can be compared"):
        build_report([pair[0], others])
    with pytest.raises(ValueError, match="was not scored under 17 float32"):
        build_report(pair, views=[View(17), None])
    with pytest.raises(ValueError, match="29 models and baselines, expected at most 26"):
        build_report([make_run(f"m{place}", seed=place) for place in range(29)])


def test_three_runs_with_nothing_in_common_are_an_error() -> None:
    runs = [
        make_run("a", sets=ENGLISH[:6], groups={}),
        make_run("b", seed=2, sets=ENGLISH[:3], groups={}),
        make_run("c", seed=3, sets=ENGLISH[3:6], groups={}),
    ]
    with pytest.raises(ValueError, match="no task is in all of a, b, c"):
        build_report(runs)


def test_one_run_at_two_sizes_has_one_curve_and_two_names(pair: Pair) -> None:
    report = build_report([pair[0], pair[0]], views=[View(256), View(64)])
    first, second, *_ = report.contenders
    assert (first.name, second.name) == ("minilm-256, 256 float32", "minilm-256, 64 float32")
    assert len(first.views) == 4
    assert [point.view for point in second.views] == [View(64)]
    assert not any("same run" in caveat for caveat in report.caveats)
