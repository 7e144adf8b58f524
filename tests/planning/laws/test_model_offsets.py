"""Models' own offsets from a law: by hand, and by what they do for unseen runs."""

from __future__ import annotations

import numpy as np
import pytest

from vecsmith.planning.laws import fit_law
from vecsmith.planning.laws.model_offsets import model_offsets
from vecsmith.planning.laws.observations import Observations

pytest.importorskip("scipy", reason="scipy is not installed (extra plan)")


def test_an_offset_is_the_mean_residual_shrunk_by_its_noise() -> None:
    # means 0.1 and -0.1; variance within (4 * 0.02^2) / (4 - 2) = 8e-4, and t^2 = 8e-4
    residuals = np.array([0.12, 0.08, -0.12, -0.08])
    spread = float(np.sqrt(8e-4))
    found = model_offsets(["a", "a", "b", "b"], residuals, spread)
    kept = 8e-4 / (8e-4 + 8e-4 / 2)
    assert found == pytest.approx({"a": 0.1 * kept, "b": -0.1 * kept})


def test_models_that_share_nothing_have_none() -> None:
    assert model_offsets(["a", "b"], np.array([0.1, -0.1]), 0.0) == {"a": 0.0, "b": 0.0}


def test_unseen_runs_of_models_that_lie_off_the_law_are_predicted_better_by_name() -> None:
    rng = np.random.default_rng(0)
    sizes = np.geomspace(1e5, 1e7, 6)
    own = dict(zip(map(str, range(6)), rng.normal(0, 0.06, 6), strict=True))

    def runs(budgets: np.ndarray, noise: float) -> Observations:
        n, c = (each.ravel() for each in np.meshgrid(sizes, budgets))
        tokens = c / (6 * n)
        names = tuple(np.tile(list(own), len(budgets)))
        law = 1.2 + 60 / n**0.3 + 90 / tokens**0.3
        off = np.array([own[name] for name in names]) + rng.normal(0, noise, len(n))
        return Observations(n=n, tokens=tokens, loss=law * np.exp(off), names=names)

    fitted = fit_law(runs(np.geomspace(1e12, 1e14, 5), 0.01), form="hoffmann", n_bootstrap=40)
    assert fitted.model_noise > 0.02
    unseen = runs(np.array([4e12, 4e13]), 0.0)
    errors: dict[str, list[float]] = {"law": [], "name": []}
    for n, tokens, loss, name in zip(
        unseen.n, unseen.tokens, unseen.loss, unseen.names, strict=True
    ):
        for kind, model in (("law", ""), ("name", name)):
            predicted = fitted.predict(float(n), float(tokens), model=model).loss
            errors[kind].append(abs(np.log(predicted / loss)))
    assert np.mean(errors["name"]) < 0.7 * np.mean(errors["law"])
