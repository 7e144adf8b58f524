"""The optimiser beside scipy's, on the same objective."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._scaling_laws import full_design, lora_design
from tests.planning.laws.synthetic import FULL, LORA
from vecsmith.planning.laws.best_fit import best_fit
from vecsmith.planning.laws.forms import Floats
from vecsmith.planning.laws.observations import Observations
from vecsmith.planning.laws.solving import huber
from vecsmith.planning.laws.surface import Points, Surface

optimize = pytest.importorskip("scipy.optimize")


def lora_runs(seed: int = 3) -> Observations:
    return lora_design().runs(LORA.loss, np.random.default_rng(seed))


def surface_of(runs: Observations, form: str, with_share: bool) -> tuple[Surface, Points]:
    points = Points.of(runs.n, runs.tokens, runs.share)
    return Surface.over(form, points, with_share=with_share), points  # type: ignore[arg-type]


@pytest.mark.parametrize("delta", [1e-3, 0.03])
def test_scipy_finds_no_better_huber_fit_from_any_of_ten_starts(delta: float) -> None:
    runs = full_design().runs(FULL.loss, np.random.default_rng(5))
    log_loss = np.log(runs.loss)
    surface, points = surface_of(runs, "hoffmann", with_share=False)
    best, _ = best_fit(surface, points, log_loss, delta=delta)
    ours = float(huber(log_loss - surface.log_loss(best[None], points)[0], np.ones(42), delta))

    def residuals(p: Floats) -> Floats:
        loss = p[0] + np.exp(p[1] - np.exp(p[3]) * np.log(runs.n / 1e8))
        loss += np.exp(p[2] - np.exp(p[4]) * np.log(runs.tokens / 1e9))
        return np.asarray(np.log(loss) - log_loss)

    random = np.random.default_rng(0)
    for _ in range(10):
        start = np.array([0.5, -1.0, -1.0, -1.0, -1.0]) + random.uniform(-0.3, 0.3, 5)
        found = optimize.least_squares(
            residuals, start, loss="huber", f_scale=delta, bounds=([0, *[-9] * 4], 9), max_nfev=3000
        )
        assert ours <= found.cost * (1 + 1e-6)


@pytest.mark.parametrize(
    ("form", "with_share"), [("hoffmann", False), ("nds", True), ("nds", False)]
)
def test_derivatives_are_those_of_finite_differences(form: str, with_share: bool) -> None:
    surface, points = surface_of(lora_runs(), form, with_share)
    n_parameters = surface.n_heights + surface.n_exponents
    parameters = np.random.default_rng(0).uniform(0.2, 0.9, n_parameters)
    _, jacobian = surface.linearized(parameters[None], points)
    step = 1e-6
    for i in range(n_parameters):
        off = np.eye(n_parameters)[i] * step
        ends = surface.log_loss(np.stack([parameters - off, parameters + off]), points)
        np.testing.assert_allclose(
            jacobian[0, :, i], (ends[1] - ends[0]) / (2 * step), rtol=1e-5, atol=1e-8
        )


@pytest.mark.parametrize(
    ("form", "with_share"), [("hoffmann", False), ("nds", True), ("nds", False)]
)
def test_a_law_in_its_papers_coefficients_says_what_the_scaled_surface_says(
    form: str, with_share: bool
) -> None:
    runs = lora_runs()
    surface, points = surface_of(runs, form, with_share)
    n_parameters = surface.n_heights + surface.n_exponents
    parameters = np.random.default_rng(1).uniform(0.2, 0.9, n_parameters)
    losses = surface.law(parameters).loss(runs.n, runs.tokens, runs.share)
    np.testing.assert_allclose(
        np.log(losses), surface.log_loss(parameters[None], points)[0], atol=1e-12
    )


def test_hubers_loss_is_a_square_within_delta_and_a_line_beyond() -> None:
    ones = np.ones(1)
    assert float(huber(np.array([0.1]), ones, 0.5)) == pytest.approx(0.005)
    assert float(huber(np.array([-2.0]), ones, 0.5)) == pytest.approx(0.5 * (2 - 0.25))
