"""What is said of a law that should not be believed, and not said of one that should."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._scaling_laws import NOISE, full_design, lora_design, product
from tests.planning.laws.synthetic import FULL, LORA
from vecsmith.planning.laws import Observations, fit_law

pytest.importorskip("scipy")


def changed(runs: Observations, place: int, factor: float) -> Observations:
    loss = runs.loss.copy()
    loss[place] *= factor
    return Observations(n=runs.n, tokens=runs.tokens, loss=loss)


def test_a_right_form_is_not_called_wrong() -> None:
    for seed in range(3):
        runs = full_design().runs(FULL.loss, np.random.default_rng(seed))
        fitted = fit_law(runs, n_bootstrap=20)
        assert not [said for said in fitted.warnings if "wrong form" in said]


def test_a_law_of_another_form_is_called_wrong() -> None:
    runs = full_design().runs(product, np.random.default_rng(0))
    for form in ("hoffmann", "nds"):
        fitted = fit_law(runs, form=form, n_bootstrap=20)
        assert any("wrong form" in said for said in fitted.warnings)


def test_a_form_without_shares_is_called_wrong_where_shares_matter() -> None:
    runs = lora_design().runs(LORA.loss, np.random.default_rng(0))
    fitted = fit_law(runs, form="hoffmann", n_bootstrap=20)
    assert any("an nds law leaves" in said for said in fitted.warnings)


def test_a_run_that_went_astray_is_named_and_moves_the_law_little() -> None:
    runs = full_design().runs(FULL.loss, np.random.default_rng(1))
    fitted = fit_law(changed(runs, 20, 1.5), n_bootstrap=20)
    assert any("+4" in said and "look at it" in said for said in fitted.warnings)
    clean = fit_law(runs, n_bootstrap=20, validate=False)
    assert float(fitted.loss(1e8, 1e9)) == pytest.approx(float(clean.loss(1e8, 1e9)), rel=0.01)


def test_what_a_fit_without_the_largest_size_predicts_is_near_the_noise() -> None:
    runs = full_design().runs(FULL.loss, np.random.default_rng(2))
    held = {each.what: each for each in fit_law(runs, n_bootstrap=20).held_out}
    assert held["largest size"].n_runs == 6
    assert held["highest budget"].n_runs == 7
    assert held["largest size or highest budget"].n_runs == 12
    assert all(each.mean_error < 3 * NOISE for each in held.values())


def test_models_that_lie_off_the_law_by_amounts_of_their_own_widen_the_intervals() -> None:
    design, random = full_design(), np.random.default_rng(4)
    own = np.repeat(0.03 * random.standard_normal(len(design.n)), len(design.budgets))
    runs = design.runs(FULL.loss, random, noise=0.005, shared=own)
    fitted = fit_law(runs, n_bootstrap=100)
    assert fitted.model_noise == pytest.approx(0.03, rel=0.6)
    assert any("each by its own" in said for said in fitted.warnings)
    # Runs that were independent would fix the law far better than models do.
    said = fitted.predict(1e8, 1e9)
    assert np.log(said.high / said.low) / 2 / 1.645 > 0.005


def test_few_runs_are_said_to_be_few() -> None:
    runs = full_design((1.5e15, 6e15, 2.4e16), 3).runs(FULL.loss, np.random.default_rng(0))
    said = " ".join(fit_law(runs, n_bootstrap=20).warnings)
    assert "degrees of freedom" in said
    assert "3 model sizes" in said
