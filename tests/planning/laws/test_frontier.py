"""Frontiers of methods, and where they cross."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._scaling_laws import full_design, lora_design, true_crossover
from tests.planning.laws.synthetic import BUDGETS, FULL, LORA
from vecsmith.planning.laws import (
    FrontierLine,
    LawFrontier,
    Observations,
    crossover,
    fit_law,
    frontier_line,
    probability_better,
)

stats = pytest.importorskip("scipy.stats")


def line_of(slope: float, intercept: float, noise: float = 0.0, seed: int = 0) -> FrontierLine:
    flops = np.array(BUDGETS)
    random = np.random.default_rng(seed)
    loss = np.exp(intercept + slope * np.log(flops) + noise * random.standard_normal(len(flops)))
    runs = Observations(n=np.full(len(flops), 1e8), tokens=flops / 6e8, loss=loss)
    return frontier_line(runs, name=f"slope {slope}", n_bootstrap=4000, seed=seed)


def test_a_line_is_scipys_regression_and_so_is_the_spread_of_its_draws() -> None:
    line = line_of(-0.21, 8.39, noise=0.02)
    expected = stats.linregress(np.log(line.flops), np.log(line.losses))
    assert line.slope == pytest.approx(expected.slope)
    assert line.intercept == pytest.approx(expected.intercept)
    assert line.draws[:, 0].std() == pytest.approx(expected.stderr, rel=0.05)


def test_the_papers_lines_cross_where_their_unrounded_slopes_put_it() -> None:
    # Ziarko et al. 2024, section 4.4: -0.21 and 8.39, -0.22 and 8.93; the crossover of 9.06e16
    # asks for a difference of the slopes of 0.54 / ln 9.06e16, which rounding hides.
    steeper = 0.54 / np.log(9.06e16)
    found = crossover(line_of(-0.21, 8.39), line_of(-0.21 - steeper, 8.93))
    assert found.flops == pytest.approx(9.06e16, rel=1e-3)
    assert (found.below, found.above) == ("slope -0.21", f"slope {-0.21 - steeper}")
    assert not found.extrapolated
    rounded = crossover(line_of(-0.21, 8.39), line_of(-0.22, 8.93), reach=1e7)
    assert rounded.flops == pytest.approx(np.exp(54), rel=1e-3)
    assert rounded.extrapolated


def test_the_noise_of_two_percent_makes_a_crossover_uncertain_by_its_factor() -> None:
    steeper = 0.54 / np.log(9.06e16)
    found = crossover(line_of(-0.21, 8.39, 0.01, 1), line_of(-0.21 - steeper, 8.93, 0.01, 2))
    # sd of ln C* is 43 times the noise, and t of 8 degrees stretches it: a factor of about two
    assert 0 < found.low < found.flops < found.high  # type: ignore[operator]
    assert found.high / found.low > 2


def test_lines_that_noise_cannot_tell_apart_leave_the_interval_open() -> None:
    found = crossover(line_of(-0.21, 8.39, 0.05, 1), line_of(-0.211, 8.43, 0.05, 2))
    assert found.low == 0
    assert found.high == np.inf


def test_the_best_of_a_budget_is_the_mean_over_seeds_of_a_cell() -> None:
    runs = Observations(
        n=np.array([1e8, 1e8, 1e8, 2e8] * 3),
        tokens=np.repeat([1e9, 4e9, 1.6e10], 4),
        loss=np.array([1.0, 0.5, 1.1, 0.7] * 3),
        flops=np.repeat([1e18, 4e18, 1.6e19], 4),
    )
    line = frontier_line(runs)
    # the lucky 0.5 is one of three seeds, whose geometric mean is above 0.7
    assert line.losses.tolist() == pytest.approx([0.7] * 3)


def test_models_of_one_size_are_no_seeds_of_each_other() -> None:
    runs = Observations(
        n=np.full(6, 8.5e7),
        tokens=np.repeat([1e9, 4e9, 1.6e10], 2),
        loss=np.array([1.0, 4.0] * 3),
        flops=np.repeat([1e18, 4e18, 1.6e19], 2),
        names=("gpt2", "pythia-160m") * 3,
    )
    line = frontier_line(runs)
    assert line.losses.tolist() == pytest.approx([1.0] * 3)
    assert line.models == ("gpt2",) * 3


def test_two_budgets_are_too_few_for_a_line() -> None:
    runs = full_design((1e16, 4e16)).runs(FULL.loss, np.random.default_rng(0))
    with pytest.raises(ValueError, match="2 budgets, expected at least 3"):
        frontier_line(runs)


def test_laws_without_noise_cross_where_the_true_frontiers_do() -> None:
    still = {"noise": 0.0}
    random = np.random.default_rng(0)
    full = fit_law(full_design().runs(FULL.loss, random, **still), n_bootstrap=20, validate=False)
    lora = fit_law(
        lora_design().runs(LORA.loss, random, **still),
        form="nds",
        n_bootstrap=20,
        validate=False,
    )
    a, b = LawFrontier.of("full", full), LawFrontier.of("lora", lora)
    found = crossover(a, b)
    assert (found.below, found.above) == ("full", "lora")
    assert found.flops == pytest.approx(true_crossover(), rel=0.02)
    assert probability_better(a, b, BUDGETS[0]) == 1
    assert probability_better(a, b, BUDGETS[-1]) == 0
    assert probability_better(a, a, BUDGETS[0]) == pytest.approx(0.5)


def test_a_law_frontier_is_the_least_loss_over_the_cells_that_ran() -> None:
    design = full_design()
    fitted = fit_law(
        design.runs(FULL.loss, np.random.default_rng(0), noise=0.0), n_bootstrap=20, validate=False
    )
    frontier = LawFrontier.of("full", fitted)
    assert sorted(frontier.n) == sorted(design.n)
    expected = min(float(FULL.loss(n, 1e17 / (6 * n))) for n in design.n)
    assert np.exp(frontier.log_loss(np.log([1e17])))[0] == pytest.approx(expected, rel=1e-6)
