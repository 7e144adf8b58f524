"""Clustering as MTEB has it: k-means on draws of the texts, held against the known clusters.

Source: Muennighoff et al. 2023, arXiv 2210.07316, section 3.3 (mini-batch k-means with as many
clusters as labels, batches of 512, V-measure).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._typing import FloatArray
from vecsmith.evaluation.metrics import v_measure
from vecsmith.evaluation.probing import share_out

N_DRAWS = 10
MAX_TEXTS = 2048
# Below this many texts a cluster, a share of each would leave one or two: whole clusters instead
_MIN_CLUSTER = 20


def cluster_draws(
    vectors: FloatArray, labels: Sequence[str], *, n_draws: int = N_DRAWS
) -> NDArray[np.float64]:
    """V-measure of k-means on each draw of at most 2,048 texts, float64 [n_draws].

    Args:
        vectors: [N, D].
        labels: The cluster that each belongs to.
        n_draws: How many; draw i is that of seed i, both for the texts and for k-means.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    _, codes = np.unique(np.asarray(labels, dtype=object).astype(str), return_inverse=True)
    return np.array(
        [
            _v_measure(vectors[rows], codes[rows], seed)
            for seed, rows in enumerate(_draws(codes, n_draws))
        ]
    )


def _v_measure(vectors: FloatArray, codes: NDArray[np.int64], seed: int) -> float:
    cluster = require("sklearn.cluster", extra="eval", purpose="cluster vectors")
    n_clusters = len(np.unique(codes))
    if n_clusters == len(codes):  # every text is its own cluster, and k-means can say no less
        return 1.0
    k_means = cluster.MiniBatchKMeans(
        n_clusters=n_clusters, batch_size=512, n_init=1, random_state=seed
    )
    pools = require("threadpoolctl", extra="eval", purpose="cluster vectors")
    with pools.threadpool_limits(1):  # as in the probe: the batches are small
        found = k_means.fit_predict(vectors)
    return v_measure(codes, found)


def _draws(codes: NDArray[np.int64], n_draws: int) -> list[NDArray[np.int64]]:
    counts = np.bincount(codes)
    if len(codes) <= MAX_TEXTS:
        return [np.arange(len(codes))] * n_draws
    by_cluster = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
    draws = []
    for seed in range(n_draws):
        generator = np.random.default_rng(np.random.SeedSequence([seed, len(codes)]))
        if len(codes) >= _MIN_CLUSTER * len(counts):
            quotas = share_out(counts, MAX_TEXTS)
            parts = [
                generator.choice(rows, quota, replace=False)
                for rows, quota in zip(by_cluster, quotas, strict=True)
            ]
        else:
            order = generator.permutation(len(counts))
            n_whole = max(2, int(np.searchsorted(np.cumsum(counts[order]), MAX_TEXTS, "right")))
            parts = [by_cluster[code] for code in order[:n_whole]]
        draws.append(np.sort(np.concatenate(parts)))
    return draws
