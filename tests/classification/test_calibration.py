"""Temperatures and calibration errors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.classification import (
    LinearHeads,
    calibrate,
    calibration_error,
    fit_heads,
    reliability,
)

Floats = NDArray[np.float64]
CLASSES = np.array(["ham", "other", "spam"])


def drawn(heads: LinearHeads, temperature: float, n_rows: int = 40_000) -> tuple[Floats, Floats]:
    """Rows, and labels drawn from the probabilities that a temperature would give."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n_rows, heads.dims[-1]))
    p = heads.with_temperatures((temperature,) * len(heads.dims)).probabilities(x, heads.dims[-1])
    if heads.kind == "multilabel":
        return x, (rng.random(p.shape) < p).astype(np.int8)
    places = (p.cumsum(axis=1) < rng.random((n_rows, 1))).sum(axis=1)
    return x, heads.classes[np.minimum(places, p.shape[1] - 1)]


def made(kind: str = "softmax", tied: bool = True) -> LinearHeads:
    rng = np.random.default_rng(1)
    return LinearHeads(
        dims=(3, 6),
        tied=tied,
        weights=(4 * rng.normal(size=(3, 6))).astype(np.float32),
        biases=rng.normal(size=(1, 3)).astype(np.float32),
        classes=CLASSES,
        kind=kind,  # type: ignore[arg-type]
        scaling="none",
    )


@pytest.mark.parametrize("kind", ["softmax", "multilabel"])
@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_the_temperature_that_labels_were_drawn_with_is_found(
    kind: str, temperature: float
) -> None:
    heads = made(kind)
    x, y = drawn(heads, temperature)
    calibrated = calibrate(heads, x, y)
    assert calibrated.temperatures is not None
    assert calibrated.temperatures[1] == pytest.approx(temperature, rel=0.05)
    assert calibration_error(calibrated, x, y, 6) < 0.01 < calibration_error(heads, x, y, 6)


def test_a_temperature_is_the_one_of_the_least_log_loss() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    metrics = pytest.importorskip("sklearn.metrics")
    heads = made()
    x, y = drawn(heads, 2.0, 500)
    weights = np.random.default_rng(2).random(500)

    def loss(log_temperature: float) -> float:
        tried = heads.with_temperatures((float(np.exp(log_temperature)),) * 2)
        found: float = metrics.log_loss(y, tried.probabilities(x, 3), sample_weight=weights)
        return found

    best = optimize.minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9})
    calibrated = calibrate(heads, x, y, sample_weight=weights)
    assert calibrated.temperatures is not None
    assert calibrated.temperatures[0] == pytest.approx(np.exp(best.x), rel=1e-5)


def test_a_temperature_changes_no_prediction() -> None:
    heads = made()
    x, y = drawn(heads, 3.0, 300)
    np.testing.assert_array_equal(calibrate(heads, x, y).predict(x, 6), heads.predict(x, 6))


def test_heads_that_are_right_of_all_rows_get_the_coldest_temperature_and_no_overflow() -> None:
    x = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]] * 5)
    heads = fit_heads(x, ["a", "b", "c"] * 5, dims=[2], strength=100.0)
    calibrated = calibrate(heads, x, ["a", "b", "c"] * 5)
    assert calibrated.temperatures == (0.01,)
    assert np.isfinite(calibrated.probabilities(x, 2)).all()


def test_reliability_is_scikit_learns_calibration_curve() -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    rng = np.random.default_rng(4)
    sure = rng.random(1000)
    right = rng.random(1000) < sure**2
    found = reliability(sure, right, n_bins=10)
    accuracies, confidences = calibration.calibration_curve(right, sure, n_bins=10)
    np.testing.assert_allclose(found.accuracies, accuracies)
    np.testing.assert_allclose(found.confidences, confidences)


def test_the_calibration_error_of_a_hand_made_case_is_right() -> None:
    # bin (0.5, 1]: mean confidence 0.8, accuracy 0.5; bin [0, 0.5]: 0.4 and 1
    found = reliability([0.7, 0.9, 0.4], [True, False, True], n_bins=2)
    assert found.error == pytest.approx((2 * 0.3 + 1 * 0.6) / 3)


def test_empty_bins_count_for_nothing() -> None:
    assert reliability([1.0, 1.0], [True, True], n_bins=15).error == 0


def test_a_label_that_the_heads_do_not_know_is_named() -> None:
    heads = made()
    with pytest.raises(ValueError, match="'egg' of row 1 is not one of the 3 classes"):
        calibrate(heads, np.ones((2, 6)), ["ham", "egg"])


@pytest.mark.parametrize("weights", [[-1.0, 2.0], [0.0, 0.0], [1.0], [np.nan, 1.0]])
def test_weights_that_cannot_be_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="sample_weight"):
        calibrate(made(), np.ones((2, 6)), ["ham", "spam"], sample_weight=weights)


def test_confidences_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="confidences from 0 to 1"):
        reliability([1.5], [True])
