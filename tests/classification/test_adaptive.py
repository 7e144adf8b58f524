"""The adaptive classifier: against its heads asked one by one, scikit-learn, and on digits."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vecsmith.classification.adaptive import AdaptiveClassifier
from vecsmith.classification.cascade import confidence_of
from vecsmith.classification.fitting import fit_heads
from vecsmith.classification.holdout import held_out, row_hashes
from vecsmith.classification.rotation import discriminant_rotation

DIGITS = load_digits(return_X_y=True)
TRAIN_X, TEST_X, TRAIN_Y, TEST_Y = train_test_split(*DIGITS, random_state=0, stratify=DIGITS[1])


@pytest.fixture(scope="module")
def digits() -> AdaptiveClassifier:
    return AdaptiveClassifier(dims=[4, 8, 64], C=10.0).fit(TRAIN_X, TRAIN_Y)


def test_each_row_is_decided_by_the_first_head_that_is_sure(digits: AdaptiveClassifier) -> None:
    labels, dims = digits.predict_with_dims(TEST_X)
    coordinates = digits.cascaded_.coordinates(TEST_X, 0, 64)
    for row, label, dim in zip(coordinates, labels, dims, strict=True):
        for asked in digits.dims_:
            probabilities = digits.heads_.probabilities(row[None], asked)
            threshold = digits.thresholds_.get(asked, -1.0)
            if confidence_of(probabilities)[0] > threshold:
                break
        assert (label, dim) == (probabilities.argmax(), asked)
    assert len(set(dims.tolist())) == 3


def test_most_digits_need_few_dimensions_and_lose_nothing(digits: AdaptiveClassifier) -> None:
    full = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    accuracy = digits.score(TEST_X, TEST_Y)
    assert accuracy > full.fit(TRAIN_X, TRAIN_Y).score(TEST_X, TEST_Y) - 0.02
    decisions = digits.decide(TEST_X)
    assert decisions.dims.mean() < 16
    assert digits.expected_dims_ == pytest.approx(decisions.dims.mean(), rel=0.35)
    assert digits.expected_total_dims_ == pytest.approx(decisions.total_dims.mean(), rel=0.35)
    assert digits.validation_accuracy_ == pytest.approx(accuracy, abs=0.05)
    low, high = digits.validation_loss_[1:]
    assert low <= digits.validation_loss_[0] <= high


def test_rows_are_decided_alike_however_many_come_at_a_time(
    digits: AdaptiveClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, dims = digits.predict_with_dims(TEST_X)
    probabilities = digits.predict_proba(TEST_X)
    monkeypatch.setattr("vecsmith.classification.cascaded._MOST_SCORES", 70)  # seven rows
    again, same_dims = digits.predict_with_dims(TEST_X)
    assert (again == labels).all()
    assert (same_dims == dims).all()
    assert digits.predict_proba(TEST_X) == pytest.approx(probabilities, abs=1e-12)


def test_dimensions_of_all_heads_asked_are_summed(digits: AdaptiveClassifier) -> None:
    decisions = digits.decide(TEST_X)
    spent = {4: 4, 8: 12, 64: 76}
    assert decisions.total_dims.tolist() == [spent[dim] for dim in decisions.dims]


def test_the_longest_prefix_to_use_may_be_set_after_the_fit(digits: AdaptiveClassifier) -> None:
    capped = clone(digits).set_params(max_dim=8)
    capped.__dict__.update({k: v for k, v in vars(digits).items() if k.endswith("_")})
    assert set(capped.predict_with_dims(TEST_X)[1].tolist()) <= {4, 8}
    short = AdaptiveClassifier(dims=[4, 8, 64], C=10.0, max_dim=8).fit(TRAIN_X, TRAIN_Y)
    assert short.dims_ == (4, 8)


def test_discriminant_coordinates_span_what_scikit_learn_finds() -> None:
    # with no shrinking to speak of, the first C - 1 coordinates are LDA's, up to sign and scale
    from vecsmith.classification import rotation

    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    x = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 6)) + 3 * rng.normal(size=(4, 6))[y]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rotation, "_SHRINKAGE", 0.0)
        found = discriminant_rotation(x, y, np.ones(400), 6, single=True)
    ours = found.coordinates(x, 0, 3)
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(x, y).transform(x)[:, :3]
    for mine, reference in zip(ours.T, theirs.T, strict=True):
        assert abs(np.corrcoef(mine, reference)[0, 1]) > 0.9999
    # and the change can be undone
    assert np.linalg.cond(found.matrix) < 1e4


def test_coordinates_of_all_rows_have_a_mean_square_length_of_one() -> None:
    rotation = discriminant_rotation(TRAIN_X, TRAIN_Y, np.ones(len(TRAIN_X)), 64, single=True)
    coordinates = rotation.coordinates(TRAIN_X, 0, 64)
    assert (coordinates**2).sum(axis=1).mean() == pytest.approx(1, rel=1e-3)


def test_with_one_prefix_and_no_rotation_it_is_a_logistic_regression() -> None:
    length = np.sqrt((TRAIN_X**2).sum(axis=1).mean())
    adaptive = AdaptiveClassifier(dims=[64], rotation="none", C=3.0, calibrate=False, tol=1e-7).fit(
        TRAIN_X, TRAIN_Y
    )
    reference = LogisticRegression(C=3.0, tol=1e-8, max_iter=5000).fit(TRAIN_X / length, TRAIN_Y)
    expected = reference.predict_proba(TEST_X / length)
    assert adaptive.predict_proba(TEST_X) == pytest.approx(expected, abs=1e-4)
    assert adaptive.expected_dims_ == 64


@pytest.mark.parametrize("heads", ["untied", "tied"])
def test_several_labels_a_row_are_decided_together(heads: Any) -> None:
    x, y = make_multilabel_classification(
        240, n_features=20, n_classes=4, n_labels=2, random_state=1
    )
    adaptive = AdaptiveClassifier(dims=[4, 8, 20], heads=heads, C=1.0).fit(x[:200], y[:200])
    predicted, dims = adaptive.predict_with_dims(x[200:])
    probabilities = adaptive.predict_proba(x[200:])
    assert predicted.shape == probabilities.shape == (40, 4)
    assert (predicted == (probabilities > 0.5)).all()
    sure = np.maximum(probabilities, 1 - probabilities).min(axis=1)
    stopped = dims == 4
    assert (sure[stopped] > adaptive.thresholds_[4]).all()
    apart = [
        LogisticRegression(max_iter=1000).fit(x[:200], y[:200, c]).score(x[200:], y[200:, c])
        for c in range(4)
    ]
    assert (predicted == y[200:]).mean() > np.mean(apart) - 0.08


def test_labels_may_be_text_numbers_or_booleans_and_come_back_as_they_were() -> None:
    for labels in (
        np.array(["가", "나", "b b"])[TRAIN_Y % 3],
        np.array([-5, 7, 2**40])[TRAIN_Y % 3],
        TRAIN_Y % 2 == 0,
        np.array(["x", "yy"], object)[TRAIN_Y % 2],
    ):
        adaptive = AdaptiveClassifier(dims=[8, 64], C=1.0).fit(TRAIN_X[:300], labels[:300])
        predicted = adaptive.predict(TEST_X[:20])
        assert predicted.dtype == labels.dtype
        assert set(predicted.tolist()) <= set(labels.tolist())


def test_a_loss_that_may_be_larger_costs_fewer_dimensions() -> None:
    costs = [
        AdaptiveClassifier(
            dims=[2, 4, 8, 64], C=10.0, thresholds="accuracy_loss", max_accuracy_loss=loss
        )
        .fit(TRAIN_X, TRAIN_Y)
        .expected_total_dims_
        for loss in (0.0, 0.2)
    ]
    assert costs[1] < costs[0] / 2


def test_the_strength_is_the_one_under_which_held_out_labels_are_likeliest() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(80, 60))
    labels = (noise[:, 0] + rng.normal(size=80) > 0).astype(int)
    adaptive = AdaptiveClassifier(dims=[60], rotation="none").fit(noise, labels)
    assert adaptive.strengths_ == {60: 1.0}  # 80 rows of noise: the strongest hold
    chosen = AdaptiveClassifier(dims=[8, 64], rotation="none").fit(TRAIN_X, TRAIN_Y)
    assert max(chosen.strengths_.values()) > 1.0


def test_class_weights_go_by_label() -> None:
    labels = np.where(TRAIN_Y == 3, "three", "other")
    plain = AdaptiveClassifier(dims=[64], C=0.01).fit(TRAIN_X, labels)
    heavy = AdaptiveClassifier(dims=[64], C=0.01, class_weight={"three": 50.0}).fit(TRAIN_X, labels)
    counts = [(one.predict(TEST_X) == "three").sum() for one in (plain, heavy)]
    assert counts[1] > counts[0]
    with pytest.raises(ValueError, match=r"class_weight names \['four'\], expected classes of y"):
        AdaptiveClassifier(class_weight={"four": 2}).fit(TRAIN_X, labels)


def test_it_works_inside_a_pipeline_and_a_search() -> None:
    pipeline = make_pipeline(StandardScaler(), AdaptiveClassifier(dims=[4, 64], C=1.0))
    search = GridSearchCV(
        pipeline, {"adaptiveclassifier__rotation": ["none", "discriminant"]}, cv=2
    )
    search.fit(TRAIN_X, TRAIN_Y)
    assert search.best_score_ > 0.9


def test_equal_rows_are_never_on_both_sides() -> None:
    x = np.repeat(np.random.default_rng(0).normal(size=(90, 5)), 3, axis=0)
    x[0] = -0.0
    x[1:3] = 0.0
    codes = np.repeat(np.arange(90) % 3, 3)
    hashes = row_hashes(x, codes, 0)
    held = held_out(hashes, codes, np.ones(270), 0.2)
    assert (held.reshape(90, 3) == held[::3, None]).all()
    assert 0.15 < held.mean() < 0.25
    assert [held[codes == c].any() for c in range(3)] == [True] * 3
    order = np.random.default_rng(1).permutation(270)
    assert (held_out(hashes[order], codes[order], np.ones(270), 0.2) == held[order]).all()
    assert (held_out(row_hashes(x, codes, 1), codes, np.ones(270), 0.2) != held).any()


def test_a_class_of_one_row_is_fitted_and_not_held_out() -> None:
    labels = TRAIN_Y.copy()
    labels[7] = 99
    adaptive = AdaptiveClassifier(dims=[64], C=100.0, validation_fraction=0.9).fit(TRAIN_X, labels)
    assert 99 in adaptive.classes_
    assert adaptive.predict(TRAIN_X[7:8]).tolist() == [99]


def few(n_classes: int, n_rows: int, spread: float = 0.3) -> tuple[Any, Any, Any]:
    """Rows about the corners of a cube, so many of each class; and what makes more of them."""
    rng = np.random.default_rng(2)
    corners = rng.choice([-1.0, 1.0], (n_classes, 16))

    def draw(n: int) -> tuple[Any, Any]:
        y = np.repeat(np.arange(n_classes), n)
        return corners[y] + spread * rng.normal(size=(len(y), 16)), y

    return *draw(n_rows), draw


def test_of_classes_of_two_rows_rows_are_held_out_together() -> None:
    x, y, draw = few(40, 2, spread=0.9)
    held = held_out(row_hashes(x, y, 0), y, np.ones(80), 0.2)
    assert held.sum() == 16  # a fifth of all
    assert not (held[0::2] & held[1::2]).any()  # a class keeps a row to be learnt from
    order = np.random.default_rng(1).permutation(80)
    again = held_out(row_hashes(x[order], y[order], 0), y[order], np.ones(80), 0.2)
    assert (again == held[order]).all()
    # what is told is of rows never seen: rows that were learnt from are all right
    adaptive = AdaptiveClassifier(dims=[4, 16], C=100.0, rotation="discriminant").fit(x, y)
    assert adaptive.score(x, y) > 0.95
    assert adaptive.validation_accuracy_ < 0.9
    assert adaptive.validation_accuracy_ == pytest.approx(adaptive.score(*draw(50)), abs=0.25)


def test_rare_classes_beside_others_are_held_out_as_well() -> None:
    codes = np.concatenate([np.zeros(100, int), 1 + np.arange(40) // 2])
    x = np.random.default_rng(0).normal(size=(140, 3))
    held = held_out(row_hashes(x, codes, 0), codes, np.ones(140), 0.2)
    assert held[codes == 0].sum() == 20
    assert held[codes > 0].sum() == 8
    assert set(codes[~held].tolist()) == set(codes.tolist())


@pytest.mark.parametrize("several", [False, True])
def test_where_no_row_can_be_held_out_the_longest_head_decides_and_nothing_is_told(
    several: bool,
) -> None:
    x, y, draw = few(6, 1)
    labels: Any = y
    if several:
        x, labels = x[:2], np.array([[1, 0, 1], [0, 1, 1]])
    with pytest.warns(UserWarning, match="too few to hold one out"):
        adaptive = AdaptiveClassifier(dims=[2, 4, 16]).fit(x, labels)
    assert set(adaptive.predict_with_dims(draw(3)[0])[1].tolist()) == {16}
    assert np.isnan([adaptive.expected_dims_, adaptive.expected_total_dims_]).all()
    assert np.isnan([adaptive.validation_accuracy_, *adaptive.validation_loss_]).all()
    assert adaptive.heads_.temperatures is None
    if not several:
        assert adaptive.score(*draw(20)) > 0.9
    with pytest.raises(ValueError, match="no loss of accuracy is sure: expected three different"):
        AdaptiveClassifier(dims=[2, 16], surely=True).fit(x, labels)


def test_equal_rows_are_not_held_out_to_judge_each_other() -> None:
    x = np.repeat(np.eye(3), 50, axis=0)
    with pytest.warns(UserWarning, match="too few to hold one out"):
        AdaptiveClassifier(dims=[2, 3]).fit(x, np.repeat([0, 1, 2], 50))


def test_held_out_rows_count_as_their_classes_do() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [900, 100])
    x = rng.normal(size=(1000, 8)) + 1.2 * y[:, None] * np.eye(8)[0]
    counts: Any = {"C": 1.0, "dims": [8], "rotation": "none"}
    plain = AdaptiveClassifier(**counts, refit=False).fit(x, y)
    balanced = AdaptiveClassifier(**counts, refit=False, class_weight="balanced").fit(x, y)
    held = held_out(row_hashes(x, y, 0), y, np.ones(1000), 0.2)
    for classifier, score in ((plain, accuracy_score), (balanced, balanced_accuracy_score)):
        told = score(y[held], classifier.predict(x[held]))
        assert classifier.validation_accuracy_ == pytest.approx(told, abs=1e-9)
    assert balanced.validation_accuracy_ < plain.validation_accuracy_


def test_figures_stay_those_of_all_heads_when_the_longest_prefix_is_set_later(
    digits: AdaptiveClassifier,
) -> None:
    told = digits.expected_dims_
    try:
        assert digits.set_params(max_dim=8).predict_with_dims(TEST_X)[1].max() == 8
        assert digits.expected_dims_ == told
    finally:
        digits.set_params(max_dim=None)


def test_a_state_that_draws_holds_out_other_rows_each_time() -> None:
    drawing: Any = np.random.RandomState(0)
    adaptive = AdaptiveClassifier(dims=[8], C=1.0, rotation="none", random_state=drawing)
    seeds = {adaptive.fit(TRAIN_X[:200], TRAIN_Y[:200]).seed_ for _ in range(2)}
    assert len(seeds) == 2
    again: Any = np.random.RandomState(0)
    assert adaptive.set_params(random_state=again).fit(TRAIN_X[:200], TRAIN_Y[:200]).seed_ in seeds


def test_numbers_near_the_end_of_their_range_are_decided_without_a_warning(
    digits: AdaptiveClassifier,
) -> None:
    probabilities = digits.predict_proba(np.full((1, 64), 3e38, np.float32))
    assert probabilities.sum() == pytest.approx(1)


def test_a_row_whose_scores_are_not_finite_is_named_by_its_place_among_all(
    digits: AdaptiveClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecsmith.classification.cascaded._MOST_SCORES", 70)  # seven rows
    rows = TEST_X[:60].astype(np.float32)
    rows[52] = np.inf
    for decide in (digits.cascaded_.predict, digits.cascaded_.decide):
        with pytest.raises(ValueError, match="row 52 gives scores that are not finite"):
            decide(rows)


def test_halves_are_read_as_they_are() -> None:
    half = TRAIN_X.astype(np.float16)
    from_half = AdaptiveClassifier(dims=[8, 64], C=1.0).fit(half, TRAIN_Y)
    from_single = AdaptiveClassifier(dims=[8, 64], C=1.0).fit(TRAIN_X.astype(np.float32), TRAIN_Y)
    assert from_half.predict_proba(half) == pytest.approx(
        from_single.predict_proba(half.astype(np.float32)), abs=1e-5
    )


def test_a_fit_that_ends_too_soon_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from vecsmith.classification import cascade_fit

    whole = fit_heads
    monkeypatch.setattr(cascade_fit, "fit_heads", lambda *a, **k: whole(*a, **k, max_iter=2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        AdaptiveClassifier(dims=[8, 64], C=1.0).fit(TRAIN_X, TRAIN_Y)
    assert [str(w.message)[:32] for w in caught] == ["heads of [8, 64] dimensions were"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": "mrl"}, "heads is 'mrl', expected one of"),
        ({"dims": [8, 65]}, r"dims are \[8, 65\], expected different prefix lengths from 1 to 64"),
        ({"dims": [8, 8]}, r"dims are \[8, 8\]"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0, expected a number between"),
        ({"C": 0.0}, "C is 0.0, expected a positive number, or None to choose it"),
        ({"dims": [8], "max_dim": 4}, "max_dim is 4, expected at least 8, the shortest prefix"),
        (
            {"thresholds": "accuracy_loss", "max_accuracy_loss": -1.0},
            "max_accuracy_loss is -1.0, expected a share of rows",
        ),
        ({"max_accuracy_loss": float("nan")}, "max_accuracy_loss is nan"),
        ({"tol": 0.0}, "tol is 0.0, expected a positive number"),
        ({"tol": "1e-4"}, "tol is '1e-4', expected a positive number"),
        ({"dims": [2.9, 64]}, r"dims are \[2.9, 64\], expected different prefix lengths"),
        ({"dims": []}, r"dims are \[\]"),
        ({"max_dim": 8.5}, "max_dim is 8.5, expected a prefix length"),
        ({"surely": 2}, "surely is 2, expected True or False"),
        ({"random_state": -1}, "random_state is -1, expected a whole number that is not negative"),
        ({"random_state": "x"}, "random_state is 'x', expected a whole number"),
        ({"class_weight": {3: 0.0}}, "weight is 0.0, expected a positive one of class 3"),
        ({"class_weight": "even"}, "class_weight is 'even', expected \"balanced\" or a mapping"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_before_anything_is_fitted(
    arguments: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecsmith.classification.adaptive.fit_cascade", pytest.fail)
    with pytest.raises(ValueError, match=message):
        AdaptiveClassifier(**arguments).fit(TRAIN_X, TRAIN_Y)
