"""Clustering: draws, figures against scikit-learn, and what each text adds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import v_measure_score

from vecsmith.evaluation.clustering import MAX_TEXTS, cluster

GENERATOR = np.random.default_rng(2)


def test_clusters_far_apart_are_found_and_noise_is_not() -> None:
    codes = np.repeat(np.arange(5), 60)
    centers = 20 * np.eye(5, 8)
    near = (centers[codes] + GENERATOR.normal(size=(300, 8))).astype(np.float32)
    labels = [str(code) for code in codes]
    assert np.median(cluster(near, labels).v_measures) == pytest.approx(1.0)
    noise = GENERATOR.normal(size=(300, 8)).astype(np.float32)
    assert np.mean(cluster(noise, labels).v_measures) < 0.15


def test_each_start_is_scikit_learns_k_means_and_v_measure() -> None:
    vectors = GENERATOR.normal(size=(200, 4)).astype(np.float32)
    labels = [str(i % 7) for i in range(200)]
    expected = []
    for seed in range(3):
        found = MiniBatchKMeans(
            n_clusters=7, batch_size=512, n_init=1, random_state=seed
        ).fit_predict(vectors)
        expected.append(v_measure_score(labels, found))
    found = cluster(vectors, labels, n_starts=3)
    assert found.v_measures == pytest.approx(expected, abs=1e-9)
    assert found.shares.mean() == pytest.approx(np.mean(expected), abs=1e-9)


def test_what_a_text_adds_is_what_leaving_it_out_takes() -> None:
    vectors = GENERATOR.normal(size=(60, 3)).astype(np.float32)
    labels = [str(i % 4) for i in range(60)]
    k_means = MiniBatchKMeans(n_clusters=4, batch_size=512, n_init=1, random_state=0)
    clusters = k_means.fit_predict(vectors)
    whole = v_measure_score(labels, clusters)
    without = np.array(
        [v_measure_score(np.delete(labels, row), np.delete(clusters, row)) for row in range(60)]
    )
    pseudo = 60 * whole - 59 * without
    found = cluster(vectors, labels, n_starts=1)
    assert found.shares == pytest.approx(pseudo - pseudo.mean() + whole, abs=1e-9)


def test_large_sets_are_drawn_from_and_small_clusters_drawn_whole() -> None:
    vectors = GENERATOR.normal(size=(3 * MAX_TEXTS, 2)).astype(np.float32)
    assert len(cluster(vectors, ["a", "b", "c"] * MAX_TEXTS, n_starts=1).shares) == MAX_TEXTS
    # a text and its twin: only whole clusters can be found again
    twins = np.repeat(GENERATOR.normal(size=(2500, 16)), 2, axis=0).astype(np.float32)
    found = cluster(twins, [str(i // 2) for i in range(5000)], n_starts=1)
    assert found.v_measures[0] > 0.97
    assert len(found.shares) == MAX_TEXTS


def test_texts_that_are_all_alone_are_clustered_by_definition() -> None:
    vectors = GENERATOR.normal(size=(5, 2)).astype(np.float32)
    assert cluster(vectors, list("abcde"), n_starts=1).v_measures == (1.0,)
