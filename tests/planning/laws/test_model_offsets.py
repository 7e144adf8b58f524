"""Models' own offsets from a law: by hand, and by what they do for unseen runs."""

from __future__ import annotations

import numpy as np
import pytest

from vecsmith.planning.laws import FittedLaw, fit_law
from vecsmith.planning.laws.model_offsets import ModelScatter, drawn_offsets, model_offsets
from vecsmith.planning.laws.observations import Observations

pytest.importorskip("scipy", reason="scipy is not installed (extra plan)")

SIZES = np.geomspace(1e5, 1e8, 10)
FITTED = np.geomspace(1e12, 1e15, 6)
UNSEEN = np.geomspace(2e12, 6e14, 4)


def own_offsets(seed: int, spread: float) -> dict[str, float]:
    """What each of the models is off its law, and that of one that is never fitted to."""
    drawn = np.random.default_rng(seed).normal(0, spread, len(SIZES) + 1)
    return dict(zip([*map(str, range(len(SIZES))), "new"], drawn.tolist(), strict=True))


def runs_of(
    own: dict[str, float], sizes: dict[str, float], budgets: np.ndarray, noise: float, seed: int
) -> Observations:
    """A run of each model on each budget, its loss off the law by the model's own and by noise."""
    names = tuple(np.repeat(list(sizes), len(budgets)).tolist())
    n = np.array([sizes[name] for name in names])
    tokens = np.tile(budgets, len(sizes)) / (6 * n)
    law = 1.2 + 60 / n**0.3 + 90 / tokens**0.3
    scatter = np.random.default_rng(seed).normal(0, noise, len(n))
    off = np.array([own[name] for name in names]) + scatter
    return Observations(n=n, tokens=tokens, loss=law * np.exp(off), names=names)


def fitted_to(own: dict[str, float], noise: float, seed: int) -> FittedLaw:
    sizes = dict(zip(map(str, range(len(SIZES))), SIZES.tolist(), strict=True))
    runs = runs_of(own, sizes, FITTED, noise, seed)
    return fit_law(runs, n_starts=2, n_bootstrap=60, seed=seed, validate=False)


def test_an_offset_is_the_mean_residual_shrunk_by_its_noise() -> None:
    residuals = np.array([0.12, 0.08, -0.12, -0.08])
    scatter = ModelScatter(models=0.03, degrees=1, runs=0.02)
    kept = 9e-4 / (9e-4 + 4e-4 / 2)
    found = model_offsets(["a", "a", "b", "b"], residuals, scatter)
    assert found == pytest.approx({"a": 0.1 * kept, "b": -0.1 * kept})


def test_models_that_share_nothing_have_none() -> None:
    scatter = ModelScatter(models=0.0, degrees=1, runs=0.1)
    assert model_offsets(["a", "b"], np.array([0.1, -0.1]), scatter) == {"a": 0.0, "b": 0.0}


def test_offsets_are_drawn_as_a_normal_prior_and_its_runs_leave_them() -> None:
    # precisions add: 1 / 0.03^2 of the models, and two runs of 1 / 0.02^2 each
    scatter = ModelScatter(models=0.03, degrees=5, runs=0.02)
    precision = 1 / 9e-4 + 2 / 4e-4
    drawn = drawn_offsets("a", np.tile([0.12, 0.08], (4000, 1)), scatter, 8)
    assert drawn.shape == (8, 4000)
    assert drawn.mean() == pytest.approx(0.1 * (2 / 4e-4) / precision, rel=0.01)
    assert drawn.std() == pytest.approx(precision**-0.5, rel=0.02)
    new = drawn_offsets("b", np.zeros((4000, 0)), scatter, 8)
    # Student's t of 5 degrees has the variance 5 / 3
    assert new.std() == pytest.approx(0.03 * (5 / 3) ** 0.5, rel=0.05)


def test_the_interval_of_a_run_of_a_known_model_is_no_wider_than_its_runs_scatter() -> None:
    own = own_offsets(3, 0.05)
    fitted = fitted_to(own, 0.005, 3)
    assert fitted.run_noise == pytest.approx(0.005, rel=0.3)
    known, new = (fitted.predict(3e6, 1e7, model=name) for name in (str(4), "new"))
    half = np.log(known.run_high / known.run_low) / 2
    # 1.645 times the noise of a run, and what six runs leave to doubt
    assert 1.645 * 0.005 < half < 1.645 * 0.005 * 2.5
    assert np.log(new.run_high / new.run_low) > 8 * half
    assert np.log(new.high / new.low) > 8 * half


@pytest.mark.parametrize("spread", [0.0, 0.05])
def test_nine_of_ten_unseen_runs_are_inside_the_interval_of_a_run(spread: float) -> None:
    inside: dict[str, list[bool]] = {"known": [], "new": [], "unnamed": []}
    for seed in range(24):
        own = own_offsets(seed, spread)
        fitted = fitted_to(own, 0.005, seed + 100)
        sizes = {"2": SIZES[2], "5": SIZES[5], "8": SIZES[8], "new": 4e6}
        unseen = runs_of(own, sizes, UNSEEN, 0.005, seed + 200)
        for n, tokens, loss, name in zip(
            unseen.n, unseen.tokens, unseen.loss, unseen.names, strict=True
        ):
            kinds = {"new": "new", "unnamed": ""} if name == "new" else {"known": name}
            for kind, model in kinds.items():
                said = fitted.predict(float(n), float(tokens), model=model)
                inside[kind].append(said.run_low <= loss <= said.run_high)
    shares = {kind: float(np.mean(found)) for kind, found in inside.items()}
    assert 0.83 <= shares["known"] <= 0.96
    # the runs of one model are in or out together, so that their share strays
    assert min(shares["new"], shares["unnamed"]) >= 0.75


def test_unseen_runs_of_models_that_lie_off_the_law_are_predicted_better_by_name() -> None:
    own = own_offsets(0, 0.06)
    fitted = fitted_to(own, 0.01, 0)
    assert fitted.model_noise > 0.02
    sizes = dict(zip(map(str, range(len(SIZES))), SIZES.tolist(), strict=True))
    unseen = runs_of(own, sizes, np.array([4e12, 4e13]), 0.0, 0)
    errors: dict[str, list[float]] = {"law": [], "name": []}
    for n, tokens, loss, name in zip(
        unseen.n, unseen.tokens, unseen.loss, unseen.names, strict=True
    ):
        for kind, model in (("law", ""), ("name", name)):
            predicted = fitted.predict(float(n), float(tokens), model=model).loss
            errors[kind].append(abs(np.log(predicted / loss)))
    assert np.mean(errors["name"]) < 0.7 * np.mean(errors["law"])
