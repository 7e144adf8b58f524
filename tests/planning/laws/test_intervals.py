"""Intervals from draws, against Student's t."""

from __future__ import annotations

import numpy as np
import pytest

from vecsmith.planning.laws.bootstrap import Noise
from vecsmith.planning.laws.intervals import centred_interval, interval
from vecsmith.planning.laws.model_offsets import ModelScatter

stats = pytest.importorskip("scipy.stats", reason="scipy is not installed (extra plan)")


@pytest.mark.parametrize("n_draws", [40, 200, 4000])
@pytest.mark.parametrize("degrees", [1, 2, 5, 200])
def test_ends_are_quantiles_of_students_t_however_few_draws_there_are(
    n_draws: int, degrees: int
) -> None:
    # quantiles of a normal variate as even as draws can be
    draws = 5 + stats.norm.ppf((np.arange(n_draws) + 0.5) / n_draws)
    expected = stats.t.isf(0.05, degrees)
    low, high = interval(draws[:, None], 0.9, degrees)
    assert (float(high[0]) - 5) == pytest.approx(expected, rel=0.1)
    assert (5 - float(low[0])) == pytest.approx(expected, rel=0.1)
    low, high = centred_interval(draws[:, None], np.array([5.0]), 0.9, degrees)
    assert (float(high[0]) - 5) == pytest.approx(expected, rel=0.1)
    assert (5 - float(low[0])) == pytest.approx(expected, rel=0.1)


def test_what_a_few_models_share_is_drawn_with_the_tails_of_students_t() -> None:
    models = np.repeat(np.arange(8), 3)
    scatter = ModelScatter(models=0.02, degrees=6, runs=0.01)
    noise = Noise(residuals=np.zeros(24), scatter=scatter, models=models)
    drawn = noise.draw(np.random.default_rng(0), 20_000)
    assert (np.ptp(drawn[:, models == 3], axis=1) == 0).all()
    assert drawn.std() == pytest.approx(0.02 * stats.t.std(6), rel=0.03)
    beyond = np.mean(np.abs(drawn[:, 0]) > 0.02 * stats.t.isf(0.005, 6))
    assert beyond == pytest.approx(0.01, abs=0.003)
