"""Averages weigh sets alike, whatever their languages; intervals shrink and widen as they must."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from tests.results.builders import FULL, SHORT, make_result, make_sts, make_task
from vecsmith.results import EvalResult, Scores, TaskResult, View


@pytest.fixture(scope="module")
def result() -> EvalResult:
    return make_result(
        make_task("xquad[en]", [0.8, 0.8]),
        make_task("xquad[ko]", [0.2, 0.2]),
        make_task("scifact", [0.6, 0.8]),
        make_task("cr", [0.9, 0.9], kind="classification"),
        groups={"RET": ("scifact", "xquad[en]"), "CLS": ("cr", "absent"), "EMPTY": ()},
    )


def test_a_family_is_averaged_over_sets_and_a_set_over_its_languages(result: EvalResult) -> None:
    # xquad (0.8 + 0.2) / 2 = 0.5, scifact 0.7
    assert result.average("retrieval") == pytest.approx(0.6)
    assert result.average("classification") == pytest.approx(0.9)


def test_the_mean_over_sets_and_the_mean_over_families_are_both_there(result: EvalResult) -> None:
    assert result.average() == result.average("sets") == pytest.approx((0.5 + 0.7 + 0.9) / 3)
    assert result.average("families") == pytest.approx((0.6 + 0.9) / 2)


def test_a_named_group_takes_its_tasks_alone(result: EvalResult) -> None:
    assert result.average("RET") == pytest.approx((0.7 + 0.8) / 2)


@pytest.mark.parametrize("group", ["CLS", "EMPTY", "no such group"])
def test_a_group_that_is_not_complete_is_no_average(result: EvalResult, group: str) -> None:
    with pytest.raises(ValueError, match="expected one of sets, families, retrieval, "):
        result.average(group)


def test_a_view_is_averaged_by_itself(result: EvalResult) -> None:
    assert result.average("retrieval", SHORT) == pytest.approx(0.6 * 0.9)
    assert result.views == (FULL, SHORT)
    with pytest.raises(ValueError, match="has no view 32 float32, expected one of: 256 float32, "):
        result.average("retrieval", View(32))


def test_only_views_of_every_task_are_views_of_the_result() -> None:
    result = make_result(make_task("a"), make_task("b", views=(SHORT, View(8, "binary"))))
    assert result.views == (SHORT,)
    assert make_result().views == ()


def test_families_come_in_one_order_whatever_was_run_first() -> None:
    result = make_result(make_task("b", kind="clustering"), make_task("a"), make_sts())
    assert result.families == ("similarity", "retrieval", "clustering")


def test_a_result_without_tasks_has_no_average() -> None:
    with pytest.raises(ValueError, match="minilm-256 has no task"):
        make_result().average()


def test_a_task_twice_in_a_group_counts_once() -> None:
    result = make_result(make_task("a"), groups={"G": ("a", "a")})
    assert result.average("G") == result.tasks["a"].score()


def test_the_interval_of_a_mean_is_that_of_the_normal_theory() -> None:
    items = np.random.default_rng(1).uniform(0, 1, 400)
    low, high = make_result(make_task("a", items)).interval("a")
    half = norm.ppf(0.975) * items.std() / np.sqrt(len(items))
    assert low == pytest.approx(items.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(items.mean() + half, abs=0.15 * half)


def test_a_higher_level_is_a_wider_interval() -> None:
    result = make_result(make_sts())
    (a, b), (c, d) = result.interval("stsb", level=0.5), result.interval("stsb", level=0.99)
    assert c < a < result.average("similarity") < b < d
    with pytest.raises(ValueError, match=r"level is 1\.5"):
        result.interval("stsb", level=1.5)


def test_the_average_of_many_tasks_is_surer_than_each() -> None:
    generator = np.random.default_rng(2)
    tasks = [make_task(f"t{i}", generator.uniform(0, 1, 100)) for i in range(9)]
    result = make_result(*tasks)
    widths = [np.diff(result.interval(task.name))[0] for task in tasks]
    assert np.diff(result.interval())[0] == pytest.approx(np.mean(widths) / 3, rel=0.2)


def test_drawing_the_sets_anew_shows_how_much_they_differ() -> None:
    scores = np.linspace(0.1, 0.9, 16)
    result = make_result(*(make_task(f"t{i}", [s] * 50) for i, s in enumerate(scores)))
    assert np.diff(result.interval())[0] == pytest.approx(0, abs=1e-12)
    expected = 2 * norm.ppf(0.975) * scores.std() / np.sqrt(len(scores))
    assert np.diff(result.interval(over_sets=True))[0] == pytest.approx(expected, rel=0.15)


def test_languages_of_a_set_are_no_sets_of_their_own() -> None:
    tasks = [make_task(f"xnli[{code}]", [i / 10] * 20) for i, code in enumerate(("de", "fr", "ko"))]
    low, high = make_result(*tasks).interval(over_sets=True)
    assert low == pytest.approx(high)


def test_intervals_are_the_same_at_every_call_and_for_every_copy() -> None:
    a, b = make_result(make_sts()), make_result(make_sts())
    assert a.interval("stsb") == a.interval("stsb") == b.interval("stsb")


def broken(**changes: object) -> dict[str, object]:
    task = make_task()
    fields = {name: getattr(task, name) for name in TaskResult.__dataclass_fields__}
    return {**fields, **changes}


def scores(items: list[float], **figures: float) -> dict[View, Scores]:
    return {FULL: Scores(figures=figures or {"ndcg@10": 0.5}, items=np.array(items, np.float64))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": {}}, "no view was scored"),
        ({"scores": scores([])}, "no queries were scored"),
        ({"statistic": "spearman"}, "no gold"),
        ({"scores": scores([1.0, float("nan")])}, "item 1 is nan"),
        ({"scores": scores([1.0], mrr=0.5)}, "has no figure 'ndcg@10', found mrr"),
        ({"scores": scores([1.0], **{"ndcg@10": float("inf")})}, "is inf, expected a score"),
        ({"scores": scores([1.0], **{"ndcg@10": 1e308})}, r"is 1e\+308, expected a score"),
        ({"scores": scores([1e308, -1e308])}, r"exceed 1e\+100, expected scores"),
        ({"gold": np.zeros(3)}, r"gold: float64 of shape \(3,\), expected float64 of \(4,\)"),
        ({"neighbors": np.zeros(3, np.int32)}, r"neighbors of shape \(3,\)"),
    ],
)
def test_a_record_whose_parts_do_not_fit_is_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TaskResult(**broken(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dim", "precision", "message"),
    [
        (256, "int4", "precision is 'int4', expected one of float32, float16, int8, binary, text"),
        (-1, "float32", "dim is -1, expected a number of dimensions from 0"),
    ],
)
def test_a_view_that_no_vector_can_have_is_refused(dim: int, precision: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        View(dim, precision)  # type: ignore[arg-type]


def test_a_binary_view_takes_an_eighth_of_a_byte_for_each_dim() -> None:
    assert [View(dim, "binary").n_bytes for dim in (0, 1, 8, 9)] == [0, 1, 1, 2]
    assert View(0, "text").n_bytes == 0


@pytest.mark.parametrize("n_items", [1, 4, 90, 5000])
@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("right", [True, False])
def test_all_right_or_all_wrong_is_as_sure_as_scipy_says(
    n_items: int, level: float, right: bool
) -> None:
    result = make_result(make_task("t", [float(right)] * n_items))
    expected = binomtest(n_items * right, n_items).proportion_ci(level, "exact")
    for over in ("t", "retrieval", "sets"):
        assert result.interval(over, level=level) == pytest.approx((expected.low, expected.high))


def test_equal_items_between_the_ends_and_clustering_have_no_such_interval() -> None:
    result = make_result(make_task("t", [0.5] * 9), make_task("c", [1.0] * 9, kind="clustering"))
    assert result.interval("t") == (0.5, 0.5)
    assert result.interval("c") == (1.0, 1.0)
