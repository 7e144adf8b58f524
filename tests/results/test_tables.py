"""The table shows every figure with its items and its uncertainty, in the width it is given."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ConstantInputWarning, spearmanr

from tests.results.builders import FULL, SHORT, make_result, make_sts, make_task
from vecsmith.results import EvalResult, Scores, TaskResult, View, compare, table_of
from vecsmith.results.rendering import align, shorten, text_width
from vecsmith.results.statistics import value

LONG = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def result() -> EvalResult:
    names = ("xquad[en]", "xquad[ko]", "scifact")
    teacher = make_result(make_sts(noise=0.1), *map(make_task, names), model=LONG)
    bm25 = make_result(make_task("scifact", views=(View(0, "text"),)), model="bm25")
    return make_result(
        make_sts(),
        make_task("xquad[en]"),
        make_task("xquad[ko]", notes=("5 of 9 documents are empty", "no query of it is judged")),
        make_task("scifact", notes=("no query of it is judged",)),
        groups={"STS": ("stsb",), "CLS": ("absent",)},
        baselines={LONG: teacher, "bm25": bm25},
    )


NASTY = "\x1b]0;mine\x07\x1b[2Ja\nb\u202ec\r"


def test_names_and_notes_of_others_cannot_steer_the_terminal() -> None:
    named = make_task(NASTY, notes=(NASTY,))
    other = make_result(replace(named, split=NASTY), model=NASTY)
    result = make_result(
        replace(named, unit=NASTY), model=NASTY, groups={NASTY: (NASTY,)}, baselines={NASTY: other}
    )
    mixed = make_result(named, make_task("b"), model=NASTY), make_result(make_task("b"), named)
    refused = compare(
        make_result(make_task("b"), named, model=NASTY),
        make_result(make_task("b"), replace(named, split=NASTY), make_task(NASTY * 2)),
    )
    texts = [result.table(), compare(*mixed).table(), refused.table()]
    texts += [compare(result, replace(result, model="x")).table()]
    for text in texts:
        assert "\N{REPLACEMENT CHARACTER}" in text
        assert all(line.isprintable() for line in text.split("\n"))


def test_rows_are_tasks_by_family_then_groups_means_and_retention(result: EvalResult) -> None:
    rows = [(row.role, row.label, row.n_sets) for row in table_of(result).rows]
    assert rows == [
        ("task", "stsb", 1),
        ("task", "xquad[en]", 1),
        ("task", "xquad[ko]", 1),
        ("task", "scifact", 1),
        ("family", "mean of retrieval", 2),
        ("group", "STS", 1),
        ("mean", "mean over sets", 3),
        ("mean", "mean over families", 3),
        ("retention", LONG, 1),  # of the named group
        ("retention", "bm25", 1),  # of the one task that it has
    ]


def test_columns_are_views_then_baselines_with_their_bytes(result: EvalResult) -> None:
    columns = table_of(result).columns
    assert [column.label for column in columns] == ["256", "64", LONG, "bm25"]
    assert [column.n_bytes for column in columns] == [1024, 256, 1024, None]
    assert columns[3].view is None


def test_cells_hold_the_figures_of_the_result(result: EvalResult) -> None:
    table = table_of(result)
    family = next(row for row in table.rows if row.role == "family")
    cell = family.cells[1]
    assert cell is not None
    assert cell.score == result.average("retrieval", SHORT)
    assert (cell.low, cell.high) == result.interval("retrieval", SHORT)
    assert family.cells[3] is None  # bm25 lacks a task of it
    means = next(row for row in table.rows if row.label == "mean over sets")
    assert means.cells[0] is not None
    assert means.cells[0].wide == result.interval(over_sets=True)
    assert (means.n_items, means.unit, means.metric) == (52, "items", None)
    kept = table.rows[-2].cells
    assert kept[0] is not None
    assert kept[0].score == result.retention(LONG).mean.value
    assert kept[2:] == (None, None)


def test_what_is_kept_of_a_baseline_that_lacks_tasks_is_said_to_be_partial(
    result: EvalResult,
) -> None:
    table = table_of(result)
    row = table.rows[-1]
    assert (row.label, row.n_items, row.notes) == ("bm25", 4, (3,))
    assert row.metric == "retention, mean over families"
    assert row.cells[0] is not None
    assert row.cells[0].score == result.retention("bm25").mean.value == 1
    assert table.footnotes[2] == (
        "retention of bm25 is partial, over 1 of 4 tasks: without stsb (not scored), xquad[en] "
        "(not scored), xquad[ko] (not scored)"
    )
    text = " ".join(result.table(width=60).split())
    assert "bm25 [3] 4 items" in text
    assert table.footnotes[2] in text
    nothing = make_result(make_task("a"), baselines={"b": make_result(make_task("c"), model="b")})
    assert table_of(nothing).footnotes == (
        "no retention of b: no task can be compared, a (not scored)",
    )


def test_groups_that_a_baseline_lacks_are_not_in_what_is_kept_of_it() -> None:
    words = make_result(make_task("r"), model="bm25")
    model = make_result(
        make_task("r"),
        make_sts("s"),
        groups={"RET": ("r",), "STS": ("s",)},
        baselines={"bm25": words},
    )
    row = table_of(model).rows[-1]
    assert (row.metric, row.n_items) == ("retention, mean over named groups", 4)
    (note,) = table_of(model).footnotes
    assert note == "retention of bm25 is partial, over 1 of 2 tasks: without s (not scored)"


def test_a_baseline_with_nothing_to_keep_has_no_row_of_retention_but_the_reason() -> None:
    random = make_result(make_task("a", [0.02] * 4), make_task("c", kind="clustering"))
    model = make_result(
        make_task("a"), make_task("c", kind="clustering"), baselines={"random": random}
    )
    assert model.retention().mean.note == "without retrieval: no ratio"
    assert "retention" not in {row.role for row in table_of(model).rows}
    reason = "its scores on retrieval are not clearly above zero"
    assert table_of(model).footnotes == (f"no retention of random: {reason}",)


def test_notes_become_footnotes_each_once(result: EvalResult) -> None:
    table = table_of(result)
    assert table.footnotes[:2] == ("5 of 9 documents are empty", "no query of it is judged")
    assert {row.label: row.notes for row in table.rows if row.notes and row.role == "task"} == {
        "xquad[ko]": (1, 2),
        "scifact": (2,),
    }
    text = result.table()
    assert "xquad[ko] [1] [2]" in text
    assert "\n\n[1] 5 of 9 documents are empty\n[2] no query of it is judged\n[3] reten" in text


def flat(task: TaskResult, *views: View, gold: NDArray[np.float64] | None = None) -> TaskResult:
    """The task with one and the same similarity for all pairs under `views`, and other gold."""
    gold = task.gold if gold is None else gold
    scores = dict(task.scores)
    for view in scores:
        items = np.full(task.n_items, 0.5) if view in views else scores[view].items
        score = value(items, gold, task.statistic)
        scores[view] = Scores(figures={task.metric: score}, items=items)
    return replace(task, scores=scores, gold=gold)


def test_a_correlation_that_is_not_defined_is_no_certain_zero() -> None:
    told = "the correlation is not defined and counts as 0"
    task = make_sts("t")
    for broken, note in (
        (flat(task, FULL, SHORT), f"all similarities are equal: {told}"),
        (flat(task, SHORT), f"all similarities under 64 float32 are equal: {told}"),
        (flat(task, gold=np.full(40, 3.0)), f"all gold scores are equal: {told}"),
    ):
        with pytest.warns(ConstantInputWarning):
            assert np.isnan(spearmanr(broken.scores[SHORT].items, broken.gold).statistic)
        assert table_of(make_result(broken)).footnotes == (note,)
        assert "t [1]" in make_result(broken).table()
    zeros = make_result(flat(task, FULL, SHORT), model="zeros")
    beside = make_result(task, baselines={"zeros": zeros})
    assert table_of(beside).footnotes[0] == f"all similarities of zeros are equal: {told}"
    assert table_of(make_result(task)).footnotes == ()


@pytest.mark.parametrize(
    ("positive", "note"),
    [
        (0.0, "no pair is positive: average precision is not defined and counts as 0"),
        (1.0, "every pair is positive: average precision is 1 for any model"),
    ],
)
def test_pairs_of_one_class_are_told(positive: float, note: str) -> None:
    pairs = replace(make_sts("p"), statistic="average_precision", kind="pair-classification")
    one = flat(pairs, gold=np.full(40, positive))
    assert one.score() == positive
    assert table_of(make_result(one)).footnotes == (note,)
    assert table_of(make_result(flat(pairs, gold=np.arange(40.0) % 2))).footnotes == ()


def test_scores_are_percent_with_one_decimal_beside_the_number_of_items(
    result: EvalResult,
) -> None:
    line = next(line for line in result.table().splitlines() if "scifact" in line)
    low, high = result.interval("scifact")
    assert line.split()[:5] == ["scifact", "[2]", "4", "queries", "50.0"]
    assert f"50.0 ±{50 * (high - low):.1f}" in line


@pytest.mark.parametrize("width", [40, 80, 100, 120])
def test_a_table_keeps_to_its_width_and_loses_no_column(result: EvalResult, width: int) -> None:
    text = result.table(width=width)
    if width >= 80:
        assert max(map(text_width, text.splitlines())) <= width
    headings = [line for line in text.splitlines() if line.startswith("task ")]
    shown = " ".join(headings).split()
    assert [name for name in shown if name not in ("task", "items")] == [
        *("256", "64", "all-MiniLM-L6-v2", "bm25")
    ]


def test_only_the_views_asked_for_are_shown(result: EvalResult) -> None:
    assert [column.label for column in table_of(result, [SHORT]).columns] == ["64", LONG, "bm25"]
    with pytest.raises(ValueError, match="no task was scored under 7 float32, expected one of: "):
        result.table(View(7))


def test_a_view_that_some_tasks_lack_is_shown_where_it_is() -> None:
    result = make_result(make_task("a", views=(FULL,)), make_task("b", views=(SHORT,)))
    rows = {row.label: row.cells for row in table_of(result).rows}
    assert [cell is None for cell in rows["a"]] == [False, True]
    assert [cell is None for cell in rows["b"]] == [True, False]
    assert rows["mean over sets"] == (None, None)


def test_precisions_are_named_and_weighed() -> None:
    views = (FULL, View(256, "int8"), View(256, "binary"), View(100, "binary"))
    columns = table_of(make_result(make_task("a", views=views))).columns
    assert [column.label for column in columns] == [
        *("256", "256 int8", "256 binary", "100 binary")
    ]
    assert [column.n_bytes for column in columns] == [1024, 256, 32, 13]


def test_an_empty_result_has_an_empty_table() -> None:
    assert table_of(make_result()).rows == ()
    assert make_result().table().startswith("minilm-256")


def test_korean_and_marked_letters_are_aligned_by_what_they_take() -> None:
    decomposed = unicodedata.normalize("NFD", "é")
    assert text_width("검색") == 4
    assert text_width(decomposed) == 1
    lines = align([["a", "1"], ["검색", "2"], [decomposed, "30"]]).splitlines()
    assert [text_width(line) for line in lines] == [8, 8, 8]


def test_a_long_label_is_shortened_in_its_middle() -> None:
    assert shorten("abcdefghij", 7) == "abc…hij"
    assert shorten("검색검색검색", 7) == "검…색"
    assert shorten("abc", 3) == "abc"


def test_control_characters_never_reach_the_terminal() -> None:
    text = make_result(make_task("a\x1b[2Jb\nc")).table()
    assert "\x1b" not in text
    assert "a\ufffd[2Jb\ufffdc" in text
