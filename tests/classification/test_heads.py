"""Linear heads on frozen embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.classification import LinearHeads, fit_heads

Floats = NDArray[np.float64]


def blobs(n_rows: int = 120, dim: int = 12, n_classes: int = 4) -> tuple[Floats, NDArray[np.intp]]:
    rng = np.random.default_rng(3)
    codes = np.arange(n_rows) % n_classes
    return rng.normal(size=(n_classes, dim))[codes] + rng.normal(size=(n_rows, dim)), codes


def unit(x: Floats) -> Floats:
    scaled: Floats = x / np.linalg.norm(x, axis=1, keepdims=True)
    return scaled


def peer(x: Floats, y: NDArray[np.intp], strength: float, **options: object) -> Floats:
    """Probabilities of scikit-learn's logistic regression."""
    linear = pytest.importorskip("sklearn.linear_model")
    model = linear.LogisticRegression(C=strength, tol=1e-9, max_iter=10_000, **options)
    found: Floats = model.fit(x, y).predict_proba(x)
    return found


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0}])
def test_an_untied_head_is_scikit_learns_logistic_regression_on_the_prefix(
    n_classes: int, class_weight: object
) -> None:
    x, y = blobs(n_classes=n_classes)
    y[:30] = 0  # classes of different sizes
    heads = fit_heads(x, y, dims=[3, 12], strength=2.0, class_weight=class_weight, tol=1e-9)  # type: ignore[arg-type]
    for dim in (3, 12):
        expected = peer(unit(x[:, :dim]), y, 2.0, class_weight=class_weight)
        np.testing.assert_allclose(heads.probabilities(x, dim), expected, atol=1e-5)


def test_a_tied_head_of_one_prefix_is_an_untied_one() -> None:
    x, y = blobs()
    tied, untied = (fit_heads(x, y, dims=[5], tied=tied, tol=1e-9) for tied in (True, False))
    np.testing.assert_allclose(tied.weights, untied.weights, atol=1e-5)


def test_a_tied_head_holds_one_matrix_and_reads_its_first_columns() -> None:
    x, y = blobs()
    heads = fit_heads(x, y, dims=[4, 12], tied=True)
    assert isinstance(heads, LinearHeads)
    assert heads.weights.shape == (4, 12)
    expected = unit(x[:, :4]) @ heads.weights[:, :4].T.astype(float) + heads.biases[0]
    np.testing.assert_allclose(heads.logits(x, 4), expected, atol=1e-12)
