"""Linear heads on frozen embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.classification import LinearHeads, fit_heads, objective

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


def test_weights_of_rows_are_scikit_learns() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = blobs()
    weights = np.random.default_rng(0).random(len(y)) * 3
    weights[::7] = 0
    heads = fit_heads(x, y, dims=[6], sample_weight=weights, class_weight="balanced", tol=1e-9)
    model = linear.LogisticRegression(tol=1e-9, max_iter=10_000, class_weight="balanced")
    # scikit-learn balances by counting rows, we by weighing them: the counts are made equal here
    counted = np.bincount(y, weights=weights)
    model.set_params(class_weight=dict(enumerate(counted.sum() / (4 * counted))))
    expected = model.fit(unit(x[:, :6]), y, sample_weight=weights).predict_proba(unit(x[:, :6]))
    np.testing.assert_allclose(heads.probabilities(x, 6), expected, atol=1e-5)


def test_a_row_of_weight_two_is_that_row_twice() -> None:
    x, y = blobs()
    twice = np.concatenate([np.arange(len(y)), np.arange(10)])
    weights = np.ones(len(y))
    weights[:10] = 2
    for options in ({}, {"tied": True}, {"class_weight": "balanced"}):
        weighed = fit_heads(x, y, dims=[4, 12], sample_weight=weights, tol=1e-9, **options)
        doubled = fit_heads(x[twice], y[twice], dims=[4, 12], tol=1e-9, **options)
        np.testing.assert_allclose(weighed.weights, doubled.weights, atol=1e-4)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_labels_of_which_a_row_has_several_are_one_logistic_regression_each(
    class_weight: object,
) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    multiclass = pytest.importorskip("sklearn.multiclass")
    x, y = blobs()
    present = np.stack([y == 0, y < 2, x[:, 0] > 1], axis=1)
    heads = fit_heads(x, present, dims=[12], kind="multilabel", class_weight=class_weight, tol=1e-9)  # type: ignore[arg-type]
    one = linear.LogisticRegression(tol=1e-9, max_iter=10_000, class_weight=class_weight)
    peers = multiclass.OneVsRestClassifier(one).fit(unit(x), present)
    np.testing.assert_allclose(heads.probabilities(x, 12), peers.predict_proba(unit(x)), atol=1e-5)
    np.testing.assert_array_equal(heads.predict(x, 12), peers.predict(unit(x)).astype(bool))


def test_a_label_that_all_rows_have_or_none_is_told_by_its_bias() -> None:
    x, _ = blobs()
    present = np.stack([np.ones(len(x)), np.zeros(len(x))], axis=1)
    heads = fit_heads(x, present, kind="multilabel", class_weight="balanced", dims=[12])
    assert heads.predict(x, 12).tolist() == [[True, False]] * len(x)


def test_tied_heads_meet_the_weights_of_prefixes() -> None:
    x, y = blobs(400)
    few = {
        weight: fit_heads(x, y, dims=[2, 12], tied=True, weights={2: weight, 12: 1.0})
        for weight in (0.01, 100.0)
    }
    accuracy = {weight: float((heads.predict(x, 2) == y).mean()) for weight, heads in few.items()}
    assert accuracy[100.0] > accuracy[0.01]


@pytest.mark.parametrize("tied", [True, False])
def test_scaling_rows_changes_nothing_where_prefixes_are_normalized(tied: bool) -> None:
    x, y = blobs()
    sizes = np.random.default_rng(1).uniform(0.1, 10, (len(y), 1))
    one, other = (fit_heads(rows, y, dims=[3, 12], tied=tied) for rows in (x, sizes * x))
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-5)
    np.testing.assert_allclose(one.logits(x, 3), one.logits(sizes * x, 3), atol=1e-9)


def test_a_head_is_the_same_whatever_other_prefixes_are_fitted_with_it() -> None:
    x, y = blobs()
    alone, among = fit_heads(x, y, dims=[12]), fit_heads(x, y, dims=[2, 5, 12])
    np.testing.assert_array_equal(alone.head(12)[0], among.head(12)[0])


@pytest.mark.parametrize("tied", [True, False])
def test_blocks_of_rows_change_nothing(tied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = blobs()
    whole = fit_heads(x, y, dims=[3, 12], tied=tied)
    monkeypatch.setattr(objective, "_BLOCK", 7)
    monkeypatch.setattr(objective, "_KEEP_BYTES", 0)
    np.testing.assert_allclose(
        fit_heads(x, y, dims=[3, 12], tied=tied).weights, whole.weights, atol=1e-4
    )


def test_memory_mapped_halves_are_read_as_they_are(tmp_path: Path) -> None:
    x, y = blobs()
    halves = x.astype(np.float16)
    np.save(tmp_path / "x.npy", halves)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    heads = fit_heads(mapped, y, dims=[12])
    np.testing.assert_array_equal(heads.weights, fit_heads(halves, y, dims=[12]).weights)
    assert heads.logits(mapped, 12).dtype == np.float32


@pytest.mark.parametrize(
    "labels", [["네", "아니오", "글쎄", "몰라"], [7, -1, 3, 2], [True, False, True, False]]
)
def test_labels_come_back_as_they_were_given(labels: list[object]) -> None:
    x, y = blobs()
    given = np.array(labels)[y]
    predicted = fit_heads(x, given, dims=[12], strength=100.0).predict(x, 12)
    assert predicted.dtype == given.dtype
    assert (predicted == given).mean() > 0.9


def test_rows_of_zeros_and_of_huge_numbers_have_finite_scores() -> None:
    x, y = blobs()
    heads = fit_heads(x, y, dims=[3])
    strange = np.array([[0, 0, 0], [1e30, 1e30, 1e30], [1, 1, 1]], np.float32)
    logits = heads.logits(strange, 3)
    np.testing.assert_allclose(logits[0], heads.biases[0], rtol=1e-6)
    np.testing.assert_allclose(logits[1], logits[2], rtol=1e-5)


def test_one_class_alone_is_sure() -> None:
    x, _ = blobs()
    assert fit_heads(x, ["a"] * len(x), dims=[4]).probabilities(x, 4).tolist() == [[1.0]] * len(x)


def test_a_fit_that_stops_early_says_so() -> None:
    x, y = blobs()
    assert fit_heads(x, y, dims=[3, 12], max_iter=1).unfinished == (3, 12)
    assert fit_heads(x, y, dims=[3, 12]).unfinished == ()


def test_prefixes_left_out_are_halves_of_the_width() -> None:
    x, y = blobs(dim=48)
    assert fit_heads(x, y).dims == (12, 24, 48)


def test_probabilities_are_of_logits_divided_by_temperatures() -> None:
    special = pytest.importorskip("scipy.special")
    x, y = blobs()
    heads = fit_heads(x, y, dims=[3, 12]).with_temperatures((2.0, 0.5))
    for dim, temperature in ((3, 2.0), (12, 0.5)):
        expected = special.softmax(heads.logits(x, dim) / temperature, axis=1)
        np.testing.assert_allclose(heads.probabilities(x, dim), expected, rtol=1e-12)


X, Y = blobs()
WIDE = np.zeros((len(Y), 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": [0]}, r"dims are \[0\], expected different prefix lengths from 1 to 12"),
        ({"dims": [13]}, "from 1 to 12"),
        ({"dims": [3, 3]}, "different prefix lengths"),
        ({"dims": []}, "dims are"),
        ({"dims": [2.9]}, r"dims are \[2.9\]"),
        ({"dims": [3], "weights": {4: 1.0}}, r"weights are for dims \[4\], expected \[3\]"),
        ({"dims": [3], "weights": {3: -1.0}}, "weight of 3 dimensions is -1.0"),
        ({"strength": 0.0}, "strength is 0.0"),
        ({"tol": float("nan")}, "tol is nan"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"kind": "ordinal"}, "kind is 'ordinal'"),
        ({"scaling": "unit"}, "scaling is 'unit'"),
        ({"class_weight": "even"}, "class_weight is 'even'"),
        ({"class_weight": {9: 1.0}}, r"class_weight names \[9\]"),
        ({"class_weight": {0: 0.0}}, "expected positive numbers"),
        ({"sample_weight": [1.0]}, "sample_weight has shape"),
        ({"sample_weight": -np.ones(120)}, "not negative"),
        ({"sample_weight": np.zeros(120)}, "zero for all rows"),
        ({"y": Y[:5]}, "expected one for each of 120 embeddings"),
        ({"y": 3}, "expected one for each of 120 embeddings"),
        ({"y": np.linspace(0, 1, 120)}, "labels are float64"),
        ({"y": WIDE}, 'kind="multilabel"'),
        ({"y": np.array(["a", 1] * 60, object)}, r"of types \['int', 'str'\]"),
        ({"y": WIDE + 2, "kind": "multilabel"}, "other than 0 and 1"),
        ({"y": WIDE, "kind": "multilabel", "classes": ["a", "a"]}, "expected 2 different ones"),
        ({"classes": ["a"]}, "expected them with kind"),
        ({"x": X[0]}, "expected numbers"),
        ({"x": X[:0]}, "at least 1"),
        ({"x": np.where(X[7, 3] == X, np.nan, X)}, "row 7 of the embeddings is not finite"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], message: str) -> None:
    given = {"x": X, "y": Y, **options}
    with pytest.raises(ValueError, match=message):
        fit_heads(given.pop("x"), given.pop("y"), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dims": (3, 2)}, "ascending"),
        ({"weights": np.zeros((2, 4), np.float32)}, r"weights are float32 of shape \[2, 4\]"),
        ({"weights": np.zeros((2, 5))}, "weights are float64"),
        ({"weights": np.full((2, 5), np.nan, np.float32)}, "not finite"),
        ({"biases": np.zeros((1, 2), np.float32)}, "biases are"),
        ({"kind": "x"}, "kind is 'x'"),
        ({"temperatures": (1.0,)}, "expected 2 positive numbers"),
        ({"temperatures": (1.0, float("inf"))}, "expected 2 positive numbers"),
    ],
)
def test_heads_of_arrays_that_do_not_fit_are_refused(
    changes: dict[str, object], message: str
) -> None:
    arrays = {
        "dims": (2, 3),
        "tied": False,
        "weights": np.zeros((2, 5), np.float32),
        "biases": np.zeros((2, 2), np.float32),
        "classes": np.array(["a", "b"]),
    }
    LinearHeads(**arrays)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        LinearHeads(**(arrays | changes))  # type: ignore[arg-type]


def test_embeddings_that_a_head_cannot_read_are_refused() -> None:
    heads = fit_heads(X, Y, dims=[3])
    with pytest.raises(ValueError, match=r"no head for 4 dimensions, expected one of \[3\]"):
        heads.logits(X, 4)
    with pytest.raises(ValueError, match="embeddings have 2 dimensions, expected 3"):
        heads.logits(X[:, :2], 3)
    with pytest.raises(ValueError, match="embeddings are <U1"):
        heads.logits([["a"]], 3)
    with pytest.raises(ValueError, match="row 1 gives scores that are not finite"):
        heads.logits([[1.0, 2.0, 3.0], [np.inf, 0.0, 0.0]], 3)
