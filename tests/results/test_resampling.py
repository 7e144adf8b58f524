"""Bootstrap and averages, against scipy and scikit-learn on the items written out."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vecsmith.results import draws, resampling
from vecsmith.results.records import Statistic

scipy_stats: Any = pytest.importorskip("scipy.stats", reason="needs scipy (extra eval)")
sklearn_metrics: Any = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")

Floats = NDArray[np.float64]
STATISTICS: tuple[Statistic, ...] = ("mean", "spearman", "pearson", "average_precision")


def outside(items: Floats, gold: Floats, statistic: Statistic) -> float:
    """The statistic as others compute it, 0 where they have none."""
    if statistic == "mean":
        return float(items.mean())
    if statistic == "average_precision":
        labels = gold > 0
        return float(sklearn_metrics.average_precision_score(labels, items)) if any(labels) else 0.0
    if len(set(items)) == 1 or len(set(gold)) == 1:
        return 0.0
    correlation = scipy_stats.spearmanr if statistic == "spearman" else scipy_stats.pearsonr
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy_stats.NearConstantInputWarning)
        return float(correlation(items, gold).statistic)


def drawn(n: int, n_resamples: int, seed: int = 0) -> NDArray[np.int64]:
    """How often each item is in each resample, [B, N]."""
    return np.concatenate(list(draws.counts(n, n_resamples, seed))).astype(np.int64)


def check(items: Floats, gold: Floats, statistic: Statistic, n_resamples: int) -> None:
    """Every resample's value is that of its items written out."""
    values = resampling.bootstrap(items, gold, statistic, n_resamples=n_resamples, seed=3)
    expected = []
    for times in drawn(len(items), n_resamples, seed=3):
        chosen = np.repeat(np.arange(len(items)), times)
        expected.append(outside(items[chosen], gold[chosen], statistic))
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9)


coarse = st.integers(-2, 2).map(float)
fine = st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: round(value, 6))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(coarse | fine, coarse), min_size=1, max_size=25),
    st.sampled_from(STATISTICS),
)
def test_a_resample_scores_as_its_items_written_out(
    rows: list[tuple[float, float]], statistic: Statistic
) -> None:
    items, gold = np.array(rows).T
    check(items, gold, statistic, n_resamples=8)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_resamples_of_a_set_of_usual_size_score_as_their_items_written_out(
    statistic: Statistic,
) -> None:
    items, gold = similarities(1379)
    if statistic == "average_precision":
        gold = (gold > 2.5).astype(float)
    check(items, gold, statistic, n_resamples=25)


def similarities(n: int, noise: float = 1.0, seed: int = 1) -> tuple[Floats, Floats]:
    """Similarities and the human scores, many of them tied, that they follow."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 26, n) / 5
    return gold + noise * rng.standard_normal(n), gold


@pytest.mark.parametrize("statistic", STATISTICS)
def test_all_views_meet_the_same_resamples(statistic: Statistic) -> None:
    items, gold = similarities(200)
    views = np.stack([items, np.round(items), gold - items])
    together = resampling.bootstrap(views, gold, statistic, n_resamples=40)
    assert together.shape == (3, 40)
    for view, values in zip(views, together, strict=True):
        alone = resampling.bootstrap(view, gold, statistic, n_resamples=40)
        np.testing.assert_array_equal(values, alone)


@pytest.mark.parametrize("n", [1, 7, 64, 200])
def test_blocks_and_further_resamples_do_not_change_the_draws(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, signs = drawn(n, 50), np.concatenate(list(draws.swaps(n, 50, 0)))
    assert (drawn(n, 90)[:50] == counts).all()
    monkeypatch.setattr(draws, "_BLOCK", 300)
    assert (drawn(n, 50) == counts).all()
    assert (np.concatenate(list(draws.swaps(n, 50, 0))) == signs).all()


def test_the_draws_are_the_same_for_ever() -> None:
    # From the bits of PCG64 by the documented scheme: equal on every machine and numpy version.
    bits = np.random.PCG64(np.random.SeedSequence([7, 6], spawn_key=(0, 0))).random_raw(6)
    halves = [half for word in bits.tolist() for half in (word & 0xFFFFFFFF, word >> 32)]
    places = [half * 6 >> 32 for half in halves]
    expected = [[places[row * 6 : row * 6 + 6].count(item) for item in range(6)] for row in (0, 1)]
    assert drawn(6, 2, seed=7).tolist() == expected
    assert drawn(6, 2, seed=7).tolist() == [[5, 0, 0, 0, 0, 1], [1, 1, 0, 1, 0, 3]]
    assert next(draws.swaps(6, 2, 7)).tolist() == [[1, 1, 1, 1, -1, 1], [1, -1, -1, 1, -1, 1]]


def test_every_item_is_as_likely_as_any_other_and_every_swap_too() -> None:
    counts = drawn(50, 4000)
    assert (counts.sum(axis=1) == 50).all()
    assert scipy_stats.chisquare(counts.sum(axis=0)).pvalue > 0.001
    # The count of an item is binomial, of n draws at 1 / n.
    expected = scipy_stats.binom.pmf(np.arange(5), 50, 1 / 50)
    np.testing.assert_allclose(np.bincount(counts.ravel())[:5] / counts.size, expected, atol=0.005)
    signs = np.concatenate(list(draws.swaps(50, 4000, 0)))
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert np.abs((signs > 0).sum(axis=0) - 2000).max() < 5 * np.sqrt(1000)
    assert abs(signs.mean()) < 0.01
    assert np.abs(np.corrcoef(signs.T) - np.eye(50)).max() < 0.08


def test_seeds_and_numbers_of_items_have_draws_of_their_own() -> None:
    assert (drawn(30, 5, seed=0) != drawn(30, 5, seed=1)).any()
    assert (drawn(31, 5)[:, :30] != drawn(30, 5)).any()


def coverage(
    of_sample: Callable[[int], tuple[Floats, Floats]], statistic: Statistic, true: float
) -> float:
    """Share of 400 samples whose 95 % interval holds the true value."""
    hits = 0
    for seed in range(400):
        values = resampling.bootstrap(*of_sample(seed), statistic, n_resamples=400, seed=seed)
        low, high = resampling.interval(values)
        hits += low <= true <= high
    return hits / 400


def test_95_of_100_intervals_hold_the_true_value() -> None:
    def normal(seed: int) -> tuple[Floats, Floats]:
        x, y = np.random.default_rng(seed).standard_normal((2, 150))
        return 0.6 * x + 0.8 * y, x

    assert 0.92 <= coverage(normal, "mean", 0.0) <= 0.98
    assert 0.92 <= coverage(normal, "pearson", 0.6) <= 0.98
    assert 0.92 <= coverage(normal, "spearman", 6 / np.pi * np.arcsin(0.3)) <= 0.98


def test_the_interval_is_near_that_of_scipy() -> None:
    items, gold = similarities(300)
    expected = scipy_stats.bootstrap(
        (items, gold),
        lambda x, y: scipy_stats.spearmanr(x, y).statistic,
        paired=True,
        vectorized=False,
        n_resamples=1500,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    found = resampling.interval(resampling.bootstrap(items, gold, "spearman", n_resamples=4000))
    np.testing.assert_allclose(found, [expected.low, expected.high], atol=0.006)


def test_the_interval_is_of_percentiles() -> None:
    values = np.random.default_rng(2).standard_normal(999)
    np.testing.assert_allclose(resampling.interval(values), np.percentile(values, [2.5, 97.5]))
    np.testing.assert_allclose(resampling.interval(values, 0.8), np.percentile(values, [10, 90]))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_one_item_and_equal_items_have_no_uncertainty(statistic: Statistic) -> None:
    for n in (1, 9):
        values = resampling.bootstrap(np.full(n, 0.1), np.ones(n), statistic, n_resamples=20)
        np.testing.assert_allclose(values, outside(np.full(n, 0.1), np.ones(n), statistic))


def test_memory_does_not_grow_with_the_resamples() -> None:
    items, gold = similarities(100_000)
    tracemalloc.start()
    for statistic in STATISTICS:
        resampling.bootstrap(items, gold, statistic, n_resamples=40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # all counts at once would be 32 MB, and there are several such arrays


def test_the_value_is_that_of_others() -> None:
    items, gold = similarities(500)
    for statistic in STATISTICS:
        found = resampling.value(items, gold, statistic)
        assert found == pytest.approx(outside(items, gold, statistic), abs=1e-9)
    assert resampling.value(items, None, "mean") == pytest.approx(items.mean())


def normal_bootstraps(n_tasks: int) -> list[Floats]:
    """Tasks of spread 0.1 whose draws are all the same, as tasks of equal numbers of items have."""
    shared = 0.1 * np.random.default_rng(3).standard_normal(20_000)
    return [0.5 + shared for _ in range(n_tasks)]


def test_tasks_of_different_sets_are_independent_in_an_average() -> None:
    values = resampling.average_bootstrap(normal_bootstraps(4), np.full(4, 0.25), list("abcd"))
    assert values.mean() == pytest.approx(0.5, abs=0.002)
    assert values.std() == pytest.approx(0.1 / 2, rel=0.03)


def test_languages_of_one_set_keep_their_common_draws_in_an_average() -> None:
    values = resampling.average_bootstrap(normal_bootstraps(4), np.full(4, 0.25), ["a"] * 4)
    assert values.std() == pytest.approx(0.1, rel=0.01)


def test_weights_need_not_sum_to_one() -> None:
    tasks, sets = [np.full(50, 0.2), np.full(50, 0.8)], ["a", "b"]
    for over_tasks in (False, True):
        values = resampling.average_bootstrap(tasks, [3, 3], sets, over_tasks=over_tasks)
        assert values.mean() == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(resampling.average_bootstrap(tasks, [3, 1], sets), 0.35)


def test_an_average_over_tasks_varies_as_the_tasks_do() -> None:
    levels = np.random.default_rng(4).uniform(0.3, 0.9, 12)
    tasks = [np.full(20_000, level) for level in levels]
    names = [f"set {place}" for place in range(12)]
    values = resampling.average_bootstrap(tasks, np.full(12, 1 / 12), names, over_tasks=True)
    assert values.mean() == pytest.approx(levels.mean(), abs=0.003)
    assert values.std() == pytest.approx(levels.std() / np.sqrt(12), rel=0.03)


def test_the_interval_over_tasks_holds_that_over_items() -> None:
    rng = np.random.default_rng(5)
    tasks = [rng.normal(level, 0.02, 1000) for level in rng.uniform(0.3, 0.9, 10)]
    names = [f"set {place}" for place in range(10)]
    low, high = resampling.average_interval(tasks, np.ones(10), names)
    wide_low, wide_high = resampling.average_interval(tasks, np.ones(10), names, over_tasks=True)
    assert wide_low < low < high < wide_high
    assert high - low == pytest.approx(2 * 1.96 * 0.02 / np.sqrt(10), rel=0.1)


def test_averages_of_two_models_stay_paired() -> None:
    first = normal_bootstraps(3)
    second = [values - 0.01 for values in first]
    for over_tasks in (False, True):
        a, b = (
            resampling.average_bootstrap(tasks, np.ones(3), list("abc"), over_tasks=over_tasks)
            for tasks in (first, second)
        )
        np.testing.assert_allclose(a - b, 0.01, atol=1e-12)


def test_what_cannot_be_resampled_is_refused_with_what_was_found() -> None:
    with pytest.raises(ValueError, match="n_resamples is 0"):
        resampling.bootstrap([1.0], None, "mean", n_resamples=0)
    with pytest.raises(ValueError, match="hold nan at place 1"):
        resampling.bootstrap([[1.0, 2.0], [1.0, np.nan]], None, "mean")
    with pytest.raises(ValueError, match="gold is None"):
        resampling.bootstrap([1.0, 2.0], None, "spearman")
    with pytest.raises(ValueError, match="2 items are compared with 3 of gold"):
        resampling.bootstrap([1.0, 2.0], [1, 2, 3], "average_precision")
    with pytest.raises(ValueError, match="statistic is 'median'"):
        resampling.bootstrap([1.0, 2.0], [1, 2], "median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="N at least 1"):
        resampling.bootstrap([], None, "mean")
    with pytest.raises(ValueError, match="level is 95"):
        resampling.interval([1.0], 95)
    with pytest.raises(ValueError, match=r"\[2, 3\] resamples"):
        resampling.average_bootstrap([np.ones(2), np.ones(3)], [1, 1], ["a", "b"])
    with pytest.raises(ValueError, match="1 sets are named for 2 tasks"):
        resampling.average_bootstrap([np.ones(2), np.ones(2)], [1, 1], ["a"])
    with pytest.raises(ValueError, match="expected 1 positive numbers"):
        resampling.average_bootstrap([np.ones(2)], [0.0], ["a"])
