"""Clustering: draws, and figures against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import v_measure_score

from vecsmith.evaluation.clustering import MAX_TEXTS, cluster_draws

GENERATOR = np.random.default_rng(2)


def test_clusters_far_apart_are_found_and_noise_is_not() -> None:
    codes = np.repeat(np.arange(5), 60)
    centers = 20 * np.eye(5, 8)
    near = (centers[codes] + GENERATOR.normal(size=(300, 8))).astype(np.float32)
    labels = [str(code) for code in codes]
    assert np.median(cluster_draws(near, labels)) == 1.0
    noise = GENERATOR.normal(size=(300, 8)).astype(np.float32)
    assert cluster_draws(noise, labels).mean() < 0.15


def test_each_draw_is_scikit_learns_k_means_and_v_measure() -> None:
    vectors = GENERATOR.normal(size=(200, 4)).astype(np.float32)
    labels = [str(i % 7) for i in range(200)]
    expected = []
    for seed in range(3):
        found = MiniBatchKMeans(
            n_clusters=7, batch_size=512, n_init=1, random_state=seed
        ).fit_predict(vectors)
        expected.append(v_measure_score(labels, found))
    assert cluster_draws(vectors, labels, n_draws=3) == pytest.approx(expected, abs=1e-9)


def test_large_sets_are_drawn_from_and_small_clusters_drawn_whole() -> None:
    vectors = GENERATOR.normal(size=(3 * MAX_TEXTS, 2)).astype(np.float32)
    assert len(cluster_draws(vectors, ["a", "b", "c"] * MAX_TEXTS, n_draws=2)) == 2
    # a text and its twin: only whole clusters can be found again
    twins = np.repeat(GENERATOR.normal(size=(2500, 16)), 2, axis=0).astype(np.float32)
    scores = cluster_draws(twins, [str(i // 2) for i in range(5000)], n_draws=1)
    assert scores[0] > 0.97


def test_texts_that_are_all_alone_are_clustered_by_definition() -> None:
    vectors = GENERATOR.normal(size=(5, 2)).astype(np.float32)
    assert cluster_draws(vectors, list("abcde"), n_draws=1).tolist() == [1.0]
