"""Fits of laws to runs whose law is known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.planning.laws.synthetic import CHINCHILLA, LORA
from tests.planning.laws.synthetic import FULL as LAW
from vecsmith.planning.laws import LossLaw, Observations, fit_law

pytest.importorskip("scipy")


def isoflop_design(sizes: int = 7, budgets: int = 6) -> tuple[np.ndarray, np.ndarray]:
    n, flops = np.meshgrid(np.geomspace(1.2e6, 1.2e9, sizes), 1.5e15 * 4.0 ** np.arange(budgets))
    return n.ravel(), (flops / 6 / n).ravel()


def runs_of(
    law: LossLaw, n: np.ndarray, tokens: np.ndarray, noise: float = 0.0, seed: int = 0
) -> Observations:
    random = np.random.default_rng(seed)
    loss = law.loss(n, tokens) * np.exp(noise * random.standard_normal(len(n)))
    return Observations(n=n, tokens=tokens, loss=loss)


@pytest.mark.parametrize("law", [LAW, CHINCHILLA])
def test_a_law_is_found_again_in_losses_without_noise(law: LossLaw) -> None:
    fitted = fit_law(runs_of(law, *isoflop_design()), validate=False, n_bootstrap=20)
    assert fitted.law.coefficients == pytest.approx(dict(law.coefficients), rel=1e-6)


def test_a_law_with_shares_is_found_again_in_losses_without_noise() -> None:
    n, tokens, share = (
        grid.ravel()
        for grid in np.meshgrid(
            np.geomspace(1e7, 1e9, 5), np.geomspace(1e7, 1e10, 5), [0.01, 0.1, 0.3, 0.7]
        )
    )
    observed = Observations(n=n, tokens=tokens, share=share, loss=LORA.loss(n, tokens, share))
    fitted = fit_law(observed, form="nds", validate=False, n_bootstrap=20)
    assert fitted.law.coefficients == pytest.approx(dict(LORA.coefficients), rel=1e-4)


def test_a_predicted_loss_lies_within_an_interval_as_wide_as_the_noise_says() -> None:
    fitted = fit_law(runs_of(LAW, *isoflop_design(), noise=0.02), validate=False)
    prediction = fitted.predict(1e8, 1e9)
    assert prediction.low < float(LAW.loss(1e8, 1e9)) < prediction.high
    assert 0.01 < np.log(prediction.run_high / prediction.run_low) / 2 / 1.645 < 0.04
    assert fitted.noise == pytest.approx(0.02, rel=0.3)


def test_the_best_size_is_that_of_the_closed_form() -> None:
    fitted = fit_law(runs_of(LAW, *isoflop_design()), validate=False, n_bootstrap=20)
    c = LAW.coefficients
    ratio = c["alpha"] * c["A"] / (c["beta"] * c["B"])
    total = c["alpha"] + c["beta"]
    # Hoffmann et al. 2022, eq. 4
    expected = ratio ** (1 / total) * (1e18 / 6) ** (c["beta"] / total)
    assert fitted.optimal(1e18).n == pytest.approx(expected, rel=1e-3)


def test_runs_that_all_train_everything_leave_the_share_terms_out() -> None:
    fitted = fit_law(runs_of(LAW, *isoflop_design(), noise=0.01), form="nds", validate=False)
    assert fitted.law.coefficients["a_s"] == 0
    assert not {"a_s", "b_s"} & set(fitted.identifiable)


def test_fewer_runs_than_coefficients_are_refused() -> None:
    n, tokens = isoflop_design(2, 2)
    with pytest.raises(ValueError, match="4 finished runs for the 5 coefficients"):
        fit_law(runs_of(LAW, n, tokens))


def test_runs_that_hardly_show_their_noise_are_refused() -> None:
    n, tokens = isoflop_design(3, 2)
    with pytest.raises(ValueError, match=r"6 finished runs .*, expected 8 or more"):
        fit_law(runs_of(LAW, n, tokens))


def test_two_sizes_are_refused() -> None:
    n, tokens = isoflop_design(2, 6)
    with pytest.raises(ValueError, match="2 different model sizes"):
        fit_law(runs_of(LAW, n, tokens))


def test_a_share_that_follows_the_size_is_left_out_as_it_is_with_biases_alone() -> None:
    n, tokens = isoflop_design()
    loss = LAW.loss(n, tokens) * np.exp(0.01 * np.random.default_rng(0).standard_normal(len(n)))
    # Ziarko et al. 2024: biases are 0.7 % of the smallest model and 0.04 % of the largest
    fitted = fit_law(
        Observations(n=n, tokens=tokens, loss=loss, share=0.5 / np.sqrt(n)),
        form="nds",
        validate=False,
    )
    assert fitted.law.coefficients["a_s"] == 0
    assert fitted.law.coefficients["b_s"] == 1


def test_far_outside_of_its_runs_a_law_still_gives_a_positive_loss() -> None:
    fitted = fit_law(runs_of(LAW, *isoflop_design(), noise=0.02), form="nds", validate=False)
    n, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1, 1e15, 9), [1, 1e6, 1e20]))
    assert (fitted.draw_losses(n, tokens) > 0).all()
    np.testing.assert_allclose(fitted.law.loss(n, tokens), fitted.loss(n, tokens), rtol=1e-6)
