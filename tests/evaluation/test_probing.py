"""The probe against scikit-learn by hand, and what the draws promise."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from vecsmith.evaluation.probing import MAX_TRAIN, N_DRAWS, draw_training, probe
from vecsmith.evaluation.tasks.drawing import stratified_draw

GENERATOR = np.random.default_rng(5)
CENTERS = GENERATOR.normal(size=(4, 16))
GOLD = GENERATOR.integers(0, 4, 900)
FEATURES = (CENTERS[GOLD] + GENERATOR.normal(scale=1.5, size=(900, 16))).astype(np.float32)
SCALED = FEATURES / np.sqrt((FEATURES[:600] ** 2).sum(axis=1).mean())
LABELS = [f"label {code}" for code in GOLD]


def test_the_probe_is_scikit_learns_logistic_regression() -> None:
    train, test = slice(0, 600), slice(600, None)
    draws = [np.arange(0, 600, 2), np.arange(1, 600, 3)]
    scores = probe(FEATURES[train], LABELS[train], FEATURES[test], LABELS[test], draws)
    accuracies, f1s = [], []
    for rows in draws:
        classifier = LogisticRegression(max_iter=1000, C=scores.strength)
        classifier.fit(SCALED[train][rows], np.array(LABELS[train])[rows])
        predicted = classifier.predict(SCALED[test])
        accuracies.append(accuracy_score(LABELS[test], predicted))
        f1s.append(f1_score(LABELS[test], predicted, average="macro"))
    assert scores.accuracies == pytest.approx(accuracies, abs=1e-12)
    assert scores.macro_f1s == pytest.approx(f1s, abs=1e-12)
    assert scores.correct.mean() == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert set(np.unique(scores.correct)) <= {0.0, 0.5, 1.0}
    assert scores.n_unfinished == 0


def test_sparse_features_give_the_same_as_dense_ones() -> None:
    draws = [np.arange(600)]
    dense = probe(FEATURES[:600], LABELS[:600], FEATURES[600:], LABELS[600:], draws)
    sparse = probe(
        csr_matrix(FEATURES[:600]), LABELS[:600], csr_matrix(FEATURES[600:]), LABELS[600:], draws
    )
    assert sparse.accuracies == pytest.approx(dense.accuracies, abs=0.01)


def test_training_on_one_label_predicts_that_label() -> None:
    scores = probe(FEATURES[:3], ["a"] * 3, FEATURES[3:5], ["a", "b"], [np.arange(3)])
    assert scores.correct.tolist() == [1.0, 0.0]


def test_draws_are_stratified_distinct_and_the_same_every_time() -> None:
    labels = ["often"] * 9000 + ["sometimes"] * 990 + ["once"] * 10
    draws = draw_training(labels)
    assert len(draws) == N_DRAWS
    for draw in draws:
        assert len(np.unique(draw)) == len(draw) == MAX_TRAIN
        counts = Counter(labels[row] for row in draw)
        assert counts == {"often": 1800, "sometimes": 198, "once": 2}
    assert not np.array_equal(draws[0], draws[1])
    assert all(np.array_equal(a, b) for a, b in zip(draws, draw_training(labels), strict=True))


def test_few_training_texts_are_drawn_once_and_whole() -> None:
    (draw,) = draw_training(["a", "b"] * 1000)
    assert draw.tolist() == list(range(2000))


def test_a_long_label_costs_no_more_than_itself() -> None:
    labels = ["a" * 2_000_000, *["b", "c"] * 1500]
    tracemalloc.start()
    draw_training(labels)
    probe(FEATURES[:600], labels[:600], FEATURES[600:700], labels[:100], [np.arange(600)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


def test_labels_that_differ_by_what_numpy_strips_are_two() -> None:
    labels = ["a", "a\0"] * 50
    features = np.array([[1.0, 0.0], [0.0, 1.0]] * 50)
    scores = probe(features, labels, features[:3], [*labels[:2], "a "], [np.arange(100)])
    assert scores.correct.tolist() == [1.0, 1.0, 0.0]


def test_how_long_vectors_are_does_not_matter() -> None:
    parts = (LABELS[:600], LABELS[600:], [np.arange(600)])
    plain, long = (
        probe(FEATURES[:600] * scale, parts[0], FEATURES[600:] * scale, parts[1], parts[2])
        for scale in (np.float32(1), np.float32(64))  # a power of two rounds nothing
    )
    assert np.array_equal(plain.correct, long.correct)


def test_the_strength_is_the_best_on_a_quarter_of_the_first_draw() -> None:
    generator = np.random.default_rng(8)
    codes = np.arange(1200) % 60
    features = np.eye(60)[codes] + generator.normal(scale=0.4, size=(1200, 60))
    features /= np.sqrt((features**2).sum(axis=1).mean())
    held = stratified_draw(codes, 300)
    rest = np.setdiff1d(np.arange(1200), held)
    scores = [
        LogisticRegression(C=c, max_iter=1000)
        .fit(features[rest], codes[rest])
        .score(features[held], codes[held])
        for c in (1, 10, 100)
    ]
    assert len(set(scores)) == 3
    # labels in the order of their numbers
    labels = [f"{code:02}" for code in codes]
    found = probe(features, labels, features[:5], labels[:5], [np.arange(1200)])
    assert found.strength == (1, 10, 100)[int(np.argmax(scores))]


def test_too_few_texts_to_choose_by_leave_the_strength_as_it_is() -> None:
    labels = ["a", "b", "a"]
    found = probe(np.eye(3), labels, np.eye(3), labels, [np.arange(3)])
    assert found.strength == 1
