"""Rows that tokens share, against plain k-means and the vectors themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith import StaticModel
from vecsmith.compression import cluster, with_dtype
from vecsmith.formats import Checkpoint

TEXTS = ["the cat sat on the mat", "hello world!", "", "dogs playing"]


def bundles(n_tokens: int, n_directions: int, spread: float, seed: int = 0) -> NDArray[Any]:
    """Vectors of any length around a few directions."""
    random = np.random.default_rng(seed)
    directions = random.standard_normal((n_directions, 12))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    vectors = directions[np.arange(n_tokens) % n_directions]
    vectors = vectors + spread * random.standard_normal(vectors.shape)
    lengths = random.uniform(0.2, 5, (n_tokens, 1))
    rows: NDArray[Any] = (vectors * lengths).astype(np.float32)
    return rows


def lost(vectors: NDArray[Any], clustered: Checkpoint) -> float:
    """Mean squared error of directions."""
    found = clustered.vectors_of(np.arange(len(vectors)))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return float((((vectors - found) / lengths) ** 2).sum() / len(vectors))


def test_tokens_of_one_direction_share_a_row_and_lose_nothing(tiny_checkpoint: Checkpoint) -> None:
    vectors = bundles(tiny_checkpoint.n_tokens, 9, spread=0.0)
    checkpoint = replace(tiny_checkpoint, table=vectors)
    clustered = cluster(checkpoint, 9)
    assert len(clustered.table) == 9
    np.testing.assert_allclose(np.linalg.norm(clustered.rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(clustered.vectors_of(np.arange(len(vectors))), vectors, atol=1e-5)
    np.testing.assert_allclose(
        StaticModel(clustered).encode(TEXTS), StaticModel(checkpoint).encode(TEXTS), atol=1e-5
    )


def test_less_is_lost_than_by_k_means_with_lengths_as_factors(tiny_checkpoint: Checkpoint) -> None:
    k_means = pytest.importorskip("sklearn.cluster", reason="compares with scikit-learn").KMeans
    vectors = bundles(tiny_checkpoint.n_tokens, 30, spread=0.25)
    clustered = cluster(replace(tiny_checkpoint, table=vectors), 20)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    model = k_means(20, init="random", n_init=1, random_state=42).fit(vectors / lengths)
    theirs = model.cluster_centers_[model.labels_]
    assert lost(vectors, clustered) <= float(((vectors / lengths - theirs) ** 2).sum()) / len(
        vectors
    )


def test_every_token_has_its_nearest_row_and_its_least_squares_factor(
    tiny_checkpoint: Checkpoint,
) -> None:
    vectors = bundles(tiny_checkpoint.n_tokens, 30, spread=0.3)
    clustered = cluster(replace(tiny_checkpoint, table=vectors), 12)
    products = vectors.astype(np.float64) @ clustered.rows.T.astype(np.float64)
    assert clustered.weights is not None
    np.testing.assert_array_equal(clustered.mapping, products.argmax(axis=1))
    np.testing.assert_allclose(clustered.weights, products.max(axis=1), rtol=1e-4)


def test_what_is_counted_often_keeps_its_vector(tiny_checkpoint: Checkpoint) -> None:
    n = tiny_checkpoint.n_tokens
    vectors = np.random.default_rng(1).standard_normal((n, 12)).astype(np.float32)
    checkpoint = replace(tiny_checkpoint, table=vectors)
    counts = np.zeros(n)
    counts[[7, 40]] = 1e9
    counted = cluster(checkpoint, 8, counts=counts).vectors_of(np.array([7, 40]))
    np.testing.assert_allclose(counted, vectors[[7, 40]], atol=1e-3)


def test_weights_and_rows_shared_before_count_as_the_vectors_they_give(
    tiny_checkpoint: Checkpoint,
) -> None:
    n = tiny_checkpoint.n_tokens
    shared = replace(
        tiny_checkpoint,
        mapping=(np.arange(n) % 30).astype(np.uint32),
        weights=np.linspace(-1, 2, n, dtype=np.float32),
        table=tiny_checkpoint.rows[:30].copy(),
    )
    plain = replace(tiny_checkpoint, table=shared.vectors_of(np.arange(n)))
    for first, second in zip(cluster(shared, 10).arrays, cluster(plain, 10).arrays, strict=True):
        assert first is not None
        assert second is not None
        np.testing.assert_array_equal(first, second)


def test_rows_of_zeros_stay_zeros_and_more_rows_than_directions_are_no_trouble(
    tiny_checkpoint: Checkpoint,
) -> None:
    n = tiny_checkpoint.n_tokens
    vectors = bundles(n, 3, spread=0.0)
    vectors[::4] = 0
    clustered = cluster(replace(tiny_checkpoint, table=vectors), 60)
    found = clustered.vectors_of(np.arange(n))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, vectors, atol=1e-5)
    nothing = cluster(replace(tiny_checkpoint, table=np.zeros_like(vectors)), 5)
    assert not nothing.vectors_of(np.arange(n)).any()


def test_a_table_with_no_more_rows_stays_as_it_is(tiny_checkpoint: Checkpoint) -> None:
    assert cluster(tiny_checkpoint, tiny_checkpoint.n_tokens) is tiny_checkpoint


def test_shared_rows_are_rounded_and_saved_like_others(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    clustered = cluster(tiny_checkpoint, 40)
    for dtype in ("float16", "int8", "int4"):
        rounded = StaticModel(with_dtype(clustered, dtype))
        rounded.save_pretrained(tmp_path / dtype)
        opened = StaticModel.from_pretrained(tmp_path / dtype)
        np.testing.assert_allclose(opened.encode(TEXTS), rounded.encode(TEXTS), atol=1e-6)
        cosines = (rounded.encode(TEXTS[:2]) * StaticModel(clustered).encode(TEXTS[:2])).sum(1)
        assert (cosines > 0.98).all()


def test_wrong_numbers_and_counts_are_refused(tiny_checkpoint: Checkpoint) -> None:
    n = tiny_checkpoint.n_tokens
    with pytest.raises(ValueError, match="n_rows is 0, expected at least 1"):
        cluster(tiny_checkpoint, 0)
    for counts in (np.ones(n + 1), np.full(n, np.inf), np.full(n, -1.0)):
        with pytest.raises(ValueError, match=rf"counts have shape .*, expected \[{n}\]"):
            cluster(tiny_checkpoint, 5, counts=counts)
    broken = tiny_checkpoint.rows.copy()
    broken[3, 3] = np.nan
    with pytest.raises(ValueError, match="infinity or NaN"):
        cluster(replace(tiny_checkpoint, table=broken), 5)
