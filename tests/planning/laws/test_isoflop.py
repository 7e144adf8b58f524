"""IsoFLOP profiles and their parabolas."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._scaling_laws import full_design
from tests.planning.laws.synthetic import FULL
from vecsmith.planning.laws import Observations, isoflop_profiles


def profile_of(loss: np.ndarray, n: np.ndarray) -> Observations:
    flops = np.full(len(n), 1e18)
    return Observations(n=n, tokens=flops / 6 / n, loss=loss, flops=flops)


def test_the_bottom_of_an_exact_parabola_is_found() -> None:
    n = np.geomspace(1e7, 1e8, 5)
    loss = np.exp(0.3 + 0.05 * (np.log(n) - np.log(4e7)) ** 2)
    [profile] = isoflop_profiles(profile_of(loss, n))
    assert profile.optimum == pytest.approx(4e7)
    assert profile.loss == pytest.approx(np.exp(0.3))
    np.testing.assert_allclose(np.polyval(profile.parabola, np.log(n)), np.log(loss))
    assert profile.caution == ""


def test_a_wide_grid_is_said_to_bias_the_parabola_and_does() -> None:
    profiles = isoflop_profiles(full_design().runs(FULL.loss, np.random.default_rng(0), noise=0))
    middle = profiles[3]
    assert "times apart" in middle.caution
    c = FULL.coefficients
    ratio = c["alpha"] * c["A"] / (c["beta"] * c["B"])
    total = c["alpha"] + c["beta"]
    true = ratio ** (1 / total) * (middle.flops / 6) ** (c["beta"] / total)
    assert middle.optimum is not None
    n = true * np.geomspace(1 / 3, 3, 5)
    [narrow] = isoflop_profiles(profile_of(FULL.loss(n, middle.flops / 6 / n), n))
    assert narrow.caution == ""
    assert narrow.optimum is not None
    # of losses without noise
    wide_bias, narrow_bias = (abs(np.log(size / true)) for size in (middle.optimum, narrow.optimum))
    assert wide_bias > 0.03 > 3 * narrow_bias


def test_losses_that_only_fall_have_no_best_size() -> None:
    n = np.geomspace(1e7, 1e8, 4)
    [profile] = isoflop_profiles(profile_of(np.exp(-(np.log(n) ** 2) / 500), n))
    assert profile.optimum is None
    assert "do not bend upwards" in profile.caution


def test_a_size_has_the_best_of_its_shares_and_the_mean_of_its_seeds() -> None:
    n = np.array([1e7, 1e7, 1e7, 3e7, 9e7])
    runs = Observations(
        n=n,
        tokens=1e18 / 6 / n,
        loss=np.array([2.0, 8.0, 5.0, 3.0, 3.5]),
        share=np.array([0.1, 0.1, 0.2, 0.1, 0.1]),
        flops=np.full(5, 1e18),
    )
    [profile] = isoflop_profiles(runs)
    assert profile.losses.tolist() == pytest.approx([4.0, 3.0, 3.5])


def test_models_of_one_size_are_a_point_each() -> None:
    n = np.array([8.5e7, 8.5e7, 3e8])
    runs = Observations(
        n=n, tokens=1e18 / 6 / n, loss=np.array([1.0, 4.0, 3.0]), flops=np.full(3, 1e18),
        names=("gpt2", "pythia-160m", "pythia-410m"),
    )  # fmt: skip
    [profile] = isoflop_profiles(runs)
    assert profile.names == ("gpt2", "pythia-160m", "pythia-410m")
    assert profile.losses.tolist() == pytest.approx([1.0, 4.0, 3.0])
    assert "2 sizes" in profile.caution


def test_two_sizes_make_no_parabola() -> None:
    n = np.array([1e7, 3e7])
    [profile] = isoflop_profiles(profile_of(np.array([1.0, 1.1]), n))
    assert "2 sizes" in profile.caution
