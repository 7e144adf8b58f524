"""The cascade's rules, against the paper's written out row by row, and against hand values."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.classification.cascade import (
    NOTEBOOK_GRID,
    Cascade,
    HeadOutcomes,
    confidence_of,
    paper_cascade,
)


def drawn_outcomes(seed: int, n_heads: int, n_rows: int) -> HeadOutcomes:
    """Heads that are right the more often the surer and the longer they are."""
    rng = np.random.default_rng(seed)
    confidences = rng.beta(2, 1, (n_heads, n_rows)).round(2)
    skill = np.linspace(0.7, 1, n_heads)[:, None]
    correct = rng.random((n_heads, n_rows)) < skill * (0.3 + 0.7 * confidences)
    return HeadOutcomes.of([8 * 2**m for m in range(n_heads)], confidences, correct)


def threshold_row_by_row(
    sure: list[float], short: list[float], long: list[float], grid: list[float]
) -> float:
    """Appendix D.1 as it is written: try each threshold, keep the smallest of the best."""
    best, kept = -1.0, nan
    for threshold in grid:
        n_right = 0.0
        for confidence, right_if_short, right_if_long in zip(sure, short, long, strict=True):
            n_right += right_if_short if confidence > threshold else right_if_long
        if n_right > best:
            best, kept = n_right, threshold
    return kept


@pytest.mark.parametrize("grid", [NOTEBOOK_GRID, np.linspace(0, 1, 100)], ids=["notebook", "text"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), n_heads=st.integers(2, 5), n_rows=st.integers(1, 40))
def test_thresholds_are_those_of_the_paper_tried_one_by_one(
    grid: np.ndarray, seed: int, n_heads: int, n_rows: int
) -> None:
    outcomes = drawn_outcomes(seed, n_heads, n_rows)
    expected = [
        threshold_row_by_row(
            list(outcomes.confidences[m]), list(outcomes.correct[m]), list(outcomes.correct[m + 1]),
            list(grid),
        )
        for m in range(n_heads - 1)
    ]  # fmt: skip
    assert paper_cascade(outcomes, grid).thresholds == pytest.approx(expected, abs=0)


def test_the_smallest_of_the_best_thresholds_is_taken() -> None:
    # the short head is wrong at 0.6 and right above: every threshold in [0.6, 0.8) keeps all right
    outcomes = HeadOutcomes.of([1, 2], [[0.6, 0.8, 0.9], [1.0, 1.0, 1.0]], [[0, 1, 1], [1, 1, 1]])
    assert paper_cascade(outcomes, [0.5, 0.6, 0.7, 0.8]).thresholds == (0.6,)


def test_a_row_as_sure_as_the_threshold_goes_on() -> None:
    cascade = Cascade((8, 16), (0.6,))
    assert cascade.stops([[0.6, 0.6000001], [0.1, 0.1]]).tolist() == [1, 0]


def test_rows_that_weigh_double_count_as_two() -> None:
    outcomes = drawn_outcomes(3, 4, 50)
    twice = np.random.default_rng(0).integers(1, 4, 50)
    weighted = HeadOutcomes.of(outcomes.dims, outcomes.confidences, outcomes.correct, twice)
    repeated = outcomes.rows(np.repeat(np.arange(50), twice))
    cascade = paper_cascade(weighted)
    assert cascade == paper_cascade(repeated)
    assert cascade.figures(weighted).accuracy == pytest.approx(cascade.figures(repeated).accuracy)


def test_the_two_accounts_of_what_a_row_cost_are_the_last_head_and_all_that_were_asked() -> None:
    sure = np.array([[0.9, 0.1, 0.1], [0.2, 0.9, 0.2], [0.0, 0.0, 0.0]])
    right = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    figures = Cascade((8, 16, 256), (0.5, 0.5)).figures(HeadOutcomes.of([8, 16, 256], sure, right))
    assert figures.accuracy == pytest.approx(2 / 3)
    assert figures.mean_dims == pytest.approx((8 + 16 + 256) / 3)
    assert figures.mean_total_dims == pytest.approx((8 + 24 + 280) / 3)


def test_a_head_left_out_costs_nothing_and_says_nothing() -> None:
    cascade = Cascade((8, 16, 32), (inf, 0.5))
    assert cascade.asked() == (1, 2)
    assert cascade.total_dims().tolist() == [0, 16, 48]
    assert cascade.stops([[1.0], [0.4], [0.0]]).tolist() == [2]


def test_a_cap_gives_the_last_word_to_the_longest_head_within_it() -> None:
    outcomes = drawn_outcomes(5, 4, 200)
    cascade = Cascade(outcomes.dims, (0.8, inf, 0.8))
    capped = cascade.figures(outcomes, max_dim=40)
    assert cascade.asked(40) == (0, 2)
    shorter = HeadOutcomes.of(outcomes.dims[:3], outcomes.confidences[:3], outcomes.correct[:3])
    alone = Cascade(outcomes.dims[:3], (0.8, inf)).figures(shorter)
    assert capped == alone
    assert cascade.figures(outcomes, max_dim=outcomes.dims[-1]) == cascade.figures(outcomes)
    with pytest.raises(ValueError, match="max_dim is 7, expected at least 8, the shortest prefix"):
        cascade.figures(outcomes, max_dim=7)


def test_one_head_alone_always_has_the_last_word() -> None:
    outcomes = HeadOutcomes.of([64], [[0.2, 0.9]], [[1, 0]])
    cascade = paper_cascade(outcomes)
    assert cascade.thresholds == ()
    assert cascade.figures(outcomes).mean_total_dims == 64


def test_with_several_labels_a_head_is_as_sure_as_of_its_least_sure_label() -> None:
    probabilities = np.array([[0.99, 0.3, 0.01], [0.9, 0.2, 0.05]], np.float32)
    assert confidence_of(probabilities, multilabel=True) == pytest.approx([0.7, 0.8])
    assert confidence_of(probabilities) == pytest.approx([0.99, 0.9])


@pytest.mark.parametrize(
    ("dims", "thresholds", "message"),
    [
        ((), (), "dims are \\[\\], expected positive lengths, ascending"),
        ((16, 8), (0.5,), "dims are \\[16, 8\\]"),
        ((8, 16), (), "thresholds are \\[\\], expected 1 numbers"),
        ((8, 16), (nan,), "thresholds are \\[nan\\]"),
    ],
)
def test_a_cascade_that_cannot_be_is_refused(
    dims: tuple[int, ...], thresholds: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Cascade(dims, thresholds)


def test_outcomes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="confidences have shape \\[1, 2\\], expected \\[2, 2\\]"):
        HeadOutcomes.of([8, 16], [[0.1, 0.2]], [[1, 1], [1, 1]])
    with pytest.raises(ValueError, match="confidences hold a number that is not finite"):
        HeadOutcomes.of([8], [[nan]], [[1]])
    with pytest.raises(ValueError, match="0 rows of weight 0, expected at least one row"):
        HeadOutcomes.of([8], np.empty((1, 0)), np.empty((1, 0)))
    with pytest.raises(ValueError, match="expected ascending numbers"):
        paper_cascade(drawn_outcomes(0, 2, 5), [0.5, 0.5])
