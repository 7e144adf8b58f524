"""Thresholds of a whole cascade: against all that there are, and on rows never seen."""

from __future__ import annotations

from itertools import product
from math import inf

import numpy as np
import pytest

from vecsmith.classification.cascade import Cascade, HeadOutcomes, paper_cascade
from vecsmith.classification.joint import cheapest_cascade, learn_cascade
from vecsmith.classification.paired import paired_loss

DIMS = (8, 16, 32, 64)


def drawn_outcomes(seed: int, n_rows: int, dims: tuple[int, ...] = DIMS) -> HeadOutcomes:
    """Rows more or less hard; a longer head is wrong on fewer of them, and knows how sure it is."""
    rng = np.random.default_rng(seed)
    hard = rng.random(n_rows)
    skill = np.linspace(0.6, 0.95, len(dims))[:, None]
    chance = 1 / (1 + np.exp(12 * (hard - skill)))
    noise = rng.normal(0, 0.05, (len(dims), n_rows))
    return HeadOutcomes.of(dims, np.clip(chance + noise, 0, 1), rng.random((1, n_rows)) < chance)


def value(cascade: Cascade, outcomes: HeadOutcomes, price: float) -> float:
    figures = cascade.figures(outcomes)
    return figures.accuracy - price * figures.mean_total_dims


@pytest.mark.parametrize("price", [1e-2, 1e-3, 1e-4, 0.0])
def test_no_cascade_of_all_there_are_is_worth_more(price: float) -> None:
    outcomes = drawn_outcomes(1, 14, dims=(8, 16, 64))
    tried = [[inf, -1.0, *map(float, np.unique(sure))] for sure in outcomes.confidences[:-1]]
    best = max(value(Cascade((8, 16, 64), pair), outcomes, price) for pair in product(*tried))
    found = value(cheapest_cascade(outcomes, price), outcomes, price)
    assert found == pytest.approx(best, abs=1e-12)


def test_a_higher_price_makes_a_cheaper_and_never_a_better_cascade() -> None:
    outcomes = drawn_outcomes(2, 3000)
    figures = [
        cheapest_cascade(outcomes, price).figures(outcomes) for price in (1e-5, 1e-4, 1e-3, 1e-2)
    ]
    assert sorted(figures, key=lambda f: -f.mean_total_dims) == figures
    assert sorted(figures, key=lambda f: -f.accuracy) == figures
    assert figures[-1].mean_total_dims < figures[0].mean_total_dims / 2


def test_it_is_never_worth_less_than_the_papers_thresholds_it_began_with() -> None:
    outcomes = drawn_outcomes(3, 500)
    paper = paper_cascade(outcomes)
    for price in (0.0, 1e-3):
        found = cheapest_cascade(outcomes, price, start=[paper])
        assert value(found, outcomes, price) >= value(paper, outcomes, price) - 1e-12


def test_a_head_that_says_nothing_is_left_out() -> None:
    outcomes = drawn_outcomes(4, 2000)
    rng = np.random.default_rng(0)
    confidences, correct = outcomes.confidences.copy(), outcomes.correct.copy()
    confidences[1], correct[1] = rng.random(2000), rng.random(2000) < 0.05
    cascade = cheapest_cascade(HeadOutcomes.of(DIMS, confidences, correct), 2e-3)
    assert cascade.thresholds[1] == inf
    assert 1 not in cascade.asked()
    assert 0 in cascade.asked()


@pytest.mark.parametrize("max_loss", [0.01, 0.03])
def test_the_asked_loss_holds_on_rows_never_seen_as_often_as_promised(max_loss: float) -> None:
    unseen = drawn_outcomes(99, 100_000)
    losses = [
        learn_cascade(drawn_outcomes(seed, 800), max_loss=max_loss, sure=True, seed=seed)
        .cascade.figures(unseen)
        .accuracy
        for seed in range(8)
    ]
    full = unseen.correct[-1].mean()
    # each may fail once in forty
    assert sum(full - accuracy > max_loss for accuracy in losses) <= 1


def test_the_figures_told_of_held_out_rows_are_on_average_those_of_rows_never_seen() -> None:
    unseen = drawn_outcomes(98, 100_000)
    learnt = [learn_cascade(drawn_outcomes(seed, 1500), max_loss=0.01) for seed in range(6)]
    truly = [one.cascade.figures(unseen) for one in learnt]
    lost = [unseen.correct[-1].mean() - figures.accuracy for figures in truly]
    # 6 x 1500 rows, of which one in twenty tells the two apart: a standard error of 0.0024
    assert np.mean([one.loss.value for one in learnt]) == pytest.approx(np.mean(lost), abs=0.006)
    assert np.mean(lost) < 0.016
    assert np.mean([one.figures.mean_total_dims for one in learnt]) == pytest.approx(
        np.mean([figures.mean_total_dims for figures in truly]), rel=0.05
    )


def test_a_loss_that_may_be_larger_costs_no_more() -> None:
    outcomes = drawn_outcomes(8, 1500)
    costs = [
        learn_cascade(outcomes, max_loss=loss).figures.mean_total_dims
        for loss in (0.0, 0.005, 0.02, 0.1)
    ]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]


def test_a_loss_that_no_cascade_surely_keeps_leaves_all_to_the_last_head() -> None:
    learnt = learn_cascade(drawn_outcomes(9, 40), max_loss=0.0, sure=True)
    assert learnt.cascade.asked() == (len(DIMS) - 1,)
    assert learnt.loss.value == 0
    assert learnt.figures.mean_total_dims == DIMS[-1]


def test_folds_decide_nothing_but_the_figures_of_the_papers_thresholds() -> None:
    outcomes = drawn_outcomes(10, 600)
    learnt = learn_cascade(outcomes, max_loss=None, seed=1)
    assert learnt.cascade == paper_cascade(outcomes)
    assert learnt.figures != learn_cascade(outcomes, max_loss=None, seed=2).figures


def test_of_more_rows_than_are_needed_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecsmith.classification.joint.MAX_ROWS", 300)
    assert learn_cascade(drawn_outcomes(11, 1000), max_loss=0.02).loss.n_rows == 300


@pytest.mark.parametrize("n_rows", [1, 2, 4])
def test_very_few_rows_still_give_a_cascade(n_rows: int) -> None:
    learnt = learn_cascade(drawn_outcomes(12, n_rows), max_loss=0.01)
    assert len(learnt.cascade.thresholds) == len(DIMS) - 1


def test_a_loss_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_loss is -0\.1, expected a share of rows, 0 or more"):
        learn_cascade(drawn_outcomes(0, 10), max_loss=-0.1)


def test_an_interval_of_no_differences_is_the_one_known_in_closed_form() -> None:
    # Tango 1998: with no row that tells the two apart, z^2 / (n + z^2) on either side
    loss = paired_loss(np.ones(100), np.ones(100))
    z2 = 1.959963984540054**2
    assert (loss.value, loss.low, loss.high) == pytest.approx(
        (0, -z2 / (100 + z2), z2 / (100 + z2))
    )


def test_the_interval_ends_where_a_score_test_ends() -> None:
    # 12 lost, 2 gained of 50; the likeliest shares under each difference by brute force
    from scipy.optimize import minimize_scalar

    before = np.repeat([1, 0, 1], [12, 2, 36])
    after = np.repeat([0, 1, 1], [12, 2, 36])
    loss = paired_loss(before, after)
    assert loss.value == pytest.approx(0.2)
    for end in (loss.low, loss.high):

        def likelihood(gained: float, end: float = end) -> float:
            shares = np.array([gained + end, gained, 1 - 2 * gained - end])
            return -float(np.array([12, 2, 36]) @ np.log(shares))

        room = (max(1e-9, -end + 1e-9), (1 - end) / 2 - 1e-9)
        gained = float(minimize_scalar(likelihood, bounds=room, options={"xatol": 1e-12}).x)
        spread = np.sqrt(50 * (2 * gained + end - end**2))
        assert abs(10 - 50 * end) / spread == pytest.approx(1.959964, abs=1e-4)


def test_rows_of_equal_weight_count_as_without_weights() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random(80) < 0.9, rng.random(80) < 0.8
    assert paired_loss(before, after, np.full(80, 3.0)) == paired_loss(before, after)
    uneven = paired_loss(before, after, rng.random(80) + 0.01)
    plain = paired_loss(before, after)
    assert uneven.high - uneven.low > plain.high - plain.low
