"""Paired tests: exact against scipy and scikit-learn, calibrated, and able to find a difference."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vecsmith.results import resampling
from vecsmith.results.records import Statistic
from vecsmith.results.swapped import swapped

scipy_stats: Any = pytest.importorskip("scipy.stats", reason="needs scipy (extra eval)")
sklearn_metrics: Any = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")

Floats = NDArray[np.float64]
STATISTICS: tuple[Statistic, ...] = ("mean", "spearman", "pearson", "average_precision")


def on_one_scale(items: Floats, statistic: Statistic) -> Floats:
    """What is swapped: ranks, or for Pearson standard scores."""
    if statistic == "mean":
        return items
    if statistic == "pearson":
        return (items - items.mean()) / items.std() if items.std() else np.zeros(len(items))
    return np.asarray(scipy_stats.rankdata(items))


def outside(items: Floats, gold: Floats, statistic: Statistic) -> float:
    """The statistic as others compute it, 0 where they have none."""
    if statistic == "mean":
        return float(items.mean())
    if statistic == "average_precision":
        labels = gold > 0
        return float(sklearn_metrics.average_precision_score(labels, items)) if any(labels) else 0.0
    if np.ptp(items) < 1e-9 or np.ptp(gold) == 0:
        return 0.0
    correlation = scipy_stats.spearmanr if statistic == "spearman" else scipy_stats.pearsonr
    return float(correlation(items, gold).statistic)


numbers = st.integers(-3, 3).map(float)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers, st.integers(0, 2)), min_size=1, max_size=15),
    st.sampled_from(STATISTICS),
    st.integers(0, 2**15 - 1),
)
def test_the_difference_of_swapped_scores_is_that_of_others(
    rows: list[tuple[float, float, int]], statistic: Statistic, swap_bits: int
) -> None:
    a, b, gold = np.array(rows, float).T
    stay = np.array([swap_bits >> place & 1 for place in range(len(rows))], bool)
    of_a, of_b = on_one_scale(a, statistic), on_one_scale(b, statistic)
    mixed_a, mixed_b = np.where(stay, of_a, of_b), np.where(stay, of_b, of_a)
    expected = outside(mixed_a, gold, statistic) - outside(mixed_b, gold, statistic)
    found = swapped(a, b, gold, statistic)(np.where(stay, 1.0, -1.0)[None])
    np.testing.assert_allclose(found, [expected], rtol=0, atol=1e-9)


def models(
    n: int, statistic: Statistic, rng: np.random.Generator, qualities: tuple[float, float]
) -> tuple[Floats, Floats, Floats]:
    """Items of two models that follow gold so well, and gold."""
    gold = rng.integers(0, 26, n) / 5
    standard = (gold - 2.5) / 1.5
    a, b = (quality * standard + rng.standard_normal(n) for quality in qualities)
    return a, b, (gold > 3).astype(float) if statistic == "average_precision" else gold


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_p_value_is_that_of_all_swaps(statistic: Statistic) -> None:
    a, b, gold = models(11, statistic, np.random.default_rng(1), (1.5, 0.3))
    of_signs = swapped(a, b, gold, statistic)
    every = of_signs(np.array(list(itertools.product([1.0, -1.0], repeat=11))))
    exact = float((np.abs(every) >= abs(every[0]) - 1e-12).mean())
    found = resampling.paired_test(a, b, gold, statistic, n_permutations=20_000, n_resamples=10)
    assert found.p_value == pytest.approx(exact, abs=0.012)
    if statistic == "mean":
        expected = scipy_stats.permutation_test(
            (a, b), lambda x, y: x.mean() - y.mean(), permutation_type="samples", vectorized=False
        )
        assert exact == pytest.approx(expected.pvalue, abs=0.001)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_test_reports_the_difference_of_the_figures_and_its_bootstrap(
    statistic: Statistic,
) -> None:
    a, b, gold = models(300, statistic, np.random.default_rng(2), (1.0, 0.8))
    found = resampling.paired_test(a, b, gold, statistic, n_resamples=500, seed=4)
    figures = [outside(items, gold, statistic) for items in (a, b)]
    assert found.difference == pytest.approx(figures[0] - figures[1], abs=1e-9)
    resampled = [
        resampling.bootstrap(items, gold, statistic, n_resamples=500, seed=4) for items in (a, b)
    ]
    expected = np.percentile(resampled[0] - resampled[1], [2.5, 97.5])
    np.testing.assert_allclose([found.low, found.high], expected, atol=1e-12)
    assert found.n_items == 300


@pytest.mark.parametrize("statistic", STATISTICS)
def test_5_of_100_tests_reject_where_nothing_differs(statistic: Statistic) -> None:
    rng = np.random.default_rng(3)
    p_values = np.empty(2000)
    for place in range(2000):
        a, b, gold = models(60, statistic, rng, (1.0, 0.5))
        p_values[place] = p_value_of(*swapped_at_random(a, b, rng), gold, statistic, place)
    assert 0.03 <= (p_values <= 0.05).mean() <= 0.07
    assert 0.16 <= (p_values <= 0.2).mean() <= 0.24


def swapped_at_random(a: Floats, b: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    stay = rng.random(len(a)) < 0.5
    return np.where(stay, a, b), np.where(stay, b, a)


def p_value_of(a: Floats, b: Floats, gold: Floats, statistic: Statistic, seed: int) -> float:
    result = resampling.paired_test(
        a, b, gold, statistic, n_resamples=1, n_permutations=99, seed=seed
    )
    return result.p_value


def test_5_of_100_tests_reject_where_the_similarities_of_two_models_lie_apart() -> None:
    rng = np.random.default_rng(4)
    rejected = 0
    for place in range(2000):
        a, b, gold = models(60, "spearman", rng, (1.0, 0.5))
        rejected += (
            p_value_of(*swapped_at_random(a, b / 5 + 5, rng), gold, "spearman", place) <= 0.05
        )
    assert 0.03 <= rejected / 2000 <= 0.07


def test_5_of_100_tests_of_an_average_reject_where_nothing_differs() -> None:
    rng = np.random.default_rng(5)
    rejected = 0
    for place in range(2000):
        tasks = []
        for n, statistic in ((50, "spearman"), (40, "mean")):
            a, b, gold = models(n, statistic, rng, (1.0, 0.5))  # type: ignore[arg-type]
            tasks.append((*swapped_at_random(a, b, rng), gold, statistic))
        result = resampling.paired_test_of_average(
            tasks,  # type: ignore[arg-type]
            [0.6, 0.4],
            n_resamples=1,
            n_permutations=99,
            seed=place,
        )
        rejected += result.p_value <= 0.05
    assert 0.03 <= rejected / 2000 <= 0.07


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_planted_difference_is_found(statistic: Statistic) -> None:
    rng = np.random.default_rng(6)
    a, b, gold = models(1379, statistic, rng, (1.0, 0.6))
    if statistic == "mean":
        a = a + 0.3
    found = resampling.paired_test(a, b, gold, statistic)
    assert found.p_value < 0.01
    assert 0 < found.low < found.difference < found.high


@pytest.mark.parametrize("statistic", STATISTICS)
def test_swapping_the_models_turns_the_difference_round(statistic: Statistic) -> None:
    a, b, gold = models(80, statistic, np.random.default_rng(7), (1.0, 0.7))
    forth = resampling.paired_test(a, b, gold, statistic)
    back = resampling.paired_test(b, a, gold, statistic)
    assert back.difference == pytest.approx(-forth.difference, abs=1e-12)
    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low), abs=1e-12)
    assert back.p_value == forth.p_value


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_model_does_not_differ_from_itself(statistic: Statistic) -> None:
    a, _, gold = models(50, statistic, np.random.default_rng(8), (1.0, 1.0))
    found = resampling.paired_test(a, a, gold, statistic)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize("statistic", ["spearman", "average_precision"])
def test_the_scale_of_similarities_does_not_matter_to_what_goes_by_rank(
    statistic: Statistic,
) -> None:
    a, b, gold = models(70, statistic, np.random.default_rng(9), (1.0, 0.7))
    plain = resampling.paired_test(a, b, gold, statistic)
    assert resampling.paired_test(a, np.exp(b) - 50, gold, statistic) == plain
    assert resampling.paired_test(a, np.exp(a), gold, statistic).p_value == 1


def test_rounding_does_not_make_a_difference() -> None:
    a = np.array([0.1, 0.2, 0.3, 0.7])
    b = np.array([0.2, 0.3, 0.1, 0.7])  # the same mean but for rounding
    assert resampling.paired_test(a, b, None, "mean").p_value == 1


@pytest.mark.parametrize("statistic", STATISTICS)
def test_one_item_shows_no_difference(statistic: Statistic) -> None:
    assert resampling.paired_test([0.9], [0.1], [1.0], statistic).p_value == 1


def task(n: int, seed: int) -> tuple[Floats, Floats, None, Statistic]:
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, n))
    return a + 0.05, b, None, "mean"


def test_an_average_of_one_task_is_tested_as_the_task() -> None:
    one = task(120, 1)
    assert resampling.paired_test_of_average([one], [1.0], seed=2) == resampling.paired_test(
        *one, seed=2
    )


def test_a_copy_of_a_set_in_another_language_is_no_further_evidence() -> None:
    one = task(120, 1)
    alone = resampling.paired_test_of_average([one], [1.0])
    copies = resampling.paired_test_of_average([one] * 5, np.full(5, 0.2), sets=["same"] * 5)
    others = resampling.paired_test_of_average([one] * 5, np.full(5, 0.2))
    assert copies.p_value == alone.p_value
    assert copies.low == pytest.approx(alone.low, abs=1e-12)
    assert others.p_value < alone.p_value
    assert others.low > alone.low
    assert copies.n_items == others.n_items == 600


def test_the_difference_of_an_average_is_the_weighted_one() -> None:
    tasks = [task(50, 1), task(80, 2)]
    found = resampling.paired_test_of_average(tasks, [0.25, 0.75])
    expected = 0.25 * (tasks[0][0] - tasks[0][1]).mean() + 0.75 * (tasks[1][0] - tasks[1][1]).mean()
    assert found.difference == pytest.approx(expected, abs=1e-12)


def test_holms_p_values_are_those_worked_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; none may fall.
    np.testing.assert_allclose(resampling.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(resampling.holm([0.6, 0.9]), [1, 1])
    assert resampling.holm([]).shape == (0,)


def test_holm_keeps_false_alarms_among_many_tests_at_5_in_100() -> None:
    p_values = np.random.default_rng(10).random((2000, 20))
    alarms = np.mean([resampling.holm(row).min() <= 0.05 for row in p_values])
    assert 0.035 <= alarms <= 0.065


def test_what_cannot_be_compared_is_refused_with_what_was_found() -> None:
    with pytest.raises(ValueError, match="model A has 2 items and B 3"):
        resampling.paired_test([1, 2], [1, 2, 3], None, "mean")
    with pytest.raises(ValueError, match="n_permutations is 0"):
        resampling.paired_test([1, 2], [1, 2], None, "mean", n_permutations=0)
    with pytest.raises(ValueError, match="items of B hold nan"):
        resampling.paired_test([1, 2], [1, np.nan], None, "mean")
    with pytest.raises(ValueError, match=r"shape \[0\]"):
        resampling.paired_test_of_average([], [])
    with pytest.raises(ValueError, match="from 0 to 1"):
        resampling.holm([0.5, 1.5])
