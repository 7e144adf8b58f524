"""Clustering as MTEB has it: k-means on a draw of the texts, held against the known clusters.

Source: Muennighoff et al. 2023, arXiv 2210.07316, section 3.3 (mini-batch k-means with as many
clusters as labels, batches of 512, V-measure). Where MTEB draws texts anew for each run, we draw
once and start k-means ten times: then each text is an item of its own, and two models can be
compared by their texts instead of by the luck of k-means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._typing import FloatArray
from vecsmith.evaluation.tasks.drawing import codes_of, draw, stratified_draw

N_STARTS = 10
MAX_TEXTS = 2048
# Below this many texts a cluster, a share of each would leave one or two: whole clusters instead
_MIN_CLUSTER = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clustering:
    """How well k-means finds the clusters.

    Attributes:
        v_measures: V-measure of each start.
        shares: What each text adds, averaged over the starts, float64 [N]; their mean is that of
            the V-measures. They are jackknife pseudo-values (Efron and Tibshirani 1993, chapter
            11), moved to that mean: a text's is high where leaving it out makes the score worse.
    """

    v_measures: tuple[float, ...]
    shares: NDArray[np.float64]


def cluster(vectors: FloatArray, labels: Sequence[str], *, n_starts: int = N_STARTS) -> Clustering:
    """K-means on at most 2,048 of the texts, started `n_starts` times.

    Args:
        vectors: [N, D].
        labels: The cluster that each belongs to, at least two different ones.
        n_starts: How many; start i is that of seed i.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    codes = codes_of(labels)
    rows = _draw(codes)
    codes = np.unique(codes[rows], return_inverse=True)[1]
    drawn = vectors[rows]
    v_measures, shares = [], np.zeros(len(rows))
    for seed in range(n_starts):
        score, parts = _v_measure_parts(codes, _k_means(drawn, int(codes.max()) + 1, seed))
        v_measures.append(score)
        shares += parts / n_starts
    return Clustering(v_measures=tuple(v_measures), shares=shares)


def _k_means(vectors: FloatArray, n_clusters: int, seed: int) -> NDArray[np.int64]:
    if n_clusters == len(vectors):  # every text is its own cluster, and k-means can say no less
        return np.arange(n_clusters)
    sklearn = require("sklearn.cluster", extra="eval", purpose="cluster vectors")
    pools = require("threadpoolctl", extra="eval", purpose="cluster vectors")
    k_means = sklearn.MiniBatchKMeans(
        n_clusters=n_clusters, batch_size=512, n_init=1, random_state=seed
    )
    with pools.threadpool_limits(1):  # as in the probe: the batches are small
        found: NDArray[np.int64] = k_means.fit_predict(vectors)
    return found


def _v_measure_parts(
    codes: NDArray[np.int64], found: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """V-measure, and what each text adds to it, float64 [N]; the mean of these is the former.

    V is 2 I / (H(codes) + H(found)), a function of the sums of n log n over the rows, the columns
    and the cells of the table of counts; leaving out a text changes one of each.
    """
    n = len(codes)
    cells = codes * (int(found.max()) + 1) + found
    sums, sums_without = [], []
    for part in (codes, found, cells):
        _, places, counts = np.unique(part, return_inverse=True, return_counts=True)
        total, own = _n_log_n(counts).sum(), counts[places]
        sums.append(np.array([total]))
        sums_without.append(total - _n_log_n(own) + _n_log_n(own - 1))
    whole = float(_v_of(n, *sums)[0])
    pseudo = n * whole - (n - 1) * _v_of(n - 1, *sums_without)
    return whole, whole + (pseudo - pseudo.mean())


def _v_of(
    n: int, rows: NDArray[np.float64], columns: NDArray[np.float64], cells: NDArray[np.float64]
) -> NDArray[np.float64]:
    """V-measure from sums of n log n over a table of `n` texts."""
    of_rows, of_columns = np.log(n) - rows / n, np.log(n) - columns / n
    shared = of_rows + of_columns - (np.log(n) - cells / n)
    total = of_rows + of_columns
    ratios: NDArray[np.float64] = np.ones(np.shape(total))
    np.divide(2 * shared, total, out=ratios, where=total > 1e-12)
    return ratios


def _n_log_n(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(counts * np.log(np.maximum(counts, 1)), dtype=np.float64)


def _draw(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of at most `MAX_TEXTS` texts, ascending: a share of each cluster, or whole ones."""
    counts = np.bincount(codes)
    if len(codes) <= MAX_TEXTS:
        return np.arange(len(codes))
    if len(codes) >= _MIN_CLUSTER * len(counts):
        return stratified_draw(codes, MAX_TEXTS, at_least=1)
    n_whole = max(2, int(MAX_TEXTS * len(counts) / len(codes)))
    return np.flatnonzero(np.isin(codes, draw(len(counts), n_whole)))
