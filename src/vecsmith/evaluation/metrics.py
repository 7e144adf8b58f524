"""Metrics as functions of arrays: numpy in, float64 inside, nothing else.

Correlations and average precision are of `vecsmith.results.statistics` and are names here too.
Retrieval follows trec_eval (NIST; https://github.com/usnistgov/trec_eval), whose figures are those
that papers quote: the gain is the grade itself, a grade of 0 or less counts as not judged, a query
without a relevant document scores 0, and what is not found is missing from the sum but not from
the divisor. Equal scores are no matter of these functions: the search has ordered the documents.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith._similarity import SimilarityName
from vecsmith.results.statistics import average_precision, finite, pearson, spearman

__all__ = [
    "accuracy",
    "average_precision",
    "average_precision_at",
    "best_threshold",
    "binary_f1",
    "bitext_f1",
    "macro_f1",
    "ndcg",
    "pair_similarities",
    "pearson",
    "precision",
    "recall",
    "reciprocal_rank",
    "spearman",
    "v_measure",
]

Floats = NDArray[np.float64]
Labels = Sequence[Hashable] | NDArray[Any]

_BLOCK = 1 << 20  # numbers of a block in float64: 8 MiB


def pair_similarities(a: NDArray[Any], b: NDArray[Any], kind: SimilarityName = "cosine") -> Floats:
    """How alike row i of `a` and row i of `b` are, float64 [N].

    Sums are in float64, so that equal pairs come out exactly equal and a vector's cosine with
    itself is exactly 1. A zero vector has cosine 0 with all. Distances are negated: larger is more
    alike.

    Args:
        a: Vectors of any numeric type, [N, D].
        b: Vectors, [N, D].
        kind: "cosine", "dot", "euclidean" or "manhattan".

    Raises:
        ValueError: If the shapes differ or the kind is unknown.
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(
            f"vectors have shapes {list(a.shape)} and {list(b.shape)}, expected one shape [N, D]"
        )
    if kind not in _PAIRWISE:
        raise ValueError(f"kind is {kind!r}, expected one of {', '.join(map(repr, _PAIRWISE))}")
    similarities = np.empty(len(a))
    rows = max(1, _BLOCK // max(1, a.shape[1]))
    for start in range(0, len(a), rows):
        block = slice(start, start + rows)
        similarities[block] = _PAIRWISE[kind](a[block].astype(float), b[block].astype(float))
    return similarities


def _dot(a: Floats, b: Floats) -> Floats:
    # Not einsum and not matmul: this sum adds up in one order wherever a row lies in memory.
    total: Floats = (a * b).sum(axis=1)
    return total


def _cosine(a: Floats, b: Floats) -> Floats:
    # One root of the product, not a product of two roots: x / sqrt(x * x) is exactly 1.
    lengths = np.sqrt(_dot(a, a) * _dot(b, b))
    return np.divide(_dot(a, b), lengths, out=np.zeros(len(a)), where=lengths > 0)


def _euclidean(a: Floats, b: Floats) -> Floats:
    return -np.sqrt(_dot(a - b, a - b))


def _manhattan(a: Floats, b: Floats) -> Floats:
    total: Floats = np.abs(a - b).sum(axis=1)
    return -total


_PAIRWISE = {"cosine": _cosine, "dot": _dot, "euclidean": _euclidean, "manhattan": _manhattan}


def ndcg(grades: ArrayLike, ideal: ArrayLike, k: int) -> Floats:
    """Normalised discounted cumulative gain of each query at rank k: trec_eval's ndcg_cut, [Q].

    The gain is the grade (not 2^grade - 1), the discount log2(rank + 1).

    Args:
        grades: Of the document at each rank, 0 where unjudged or none, [Q, K].
        ideal: All positive grades of the query, largest first, padded with 0, [Q, K'].
        k: How many ranks count.
    """
    gains, best = _gains(grades, k), _gains(ideal, k)
    _same_queries(gains, best)
    return _shares(_discounted(gains), _discounted(best))


def average_precision_at(grades: ArrayLike, n_relevant: ArrayLike, k: int) -> Floats:
    """Average precision of each query at rank k: trec_eval's map_cut, whose mean is MAP, [Q].

    Divided by the number of relevant documents, even where that is more than k.

    Args:
        grades: Of the document at each rank, 0 where unjudged or none, [Q, K].
        n_relevant: Number of documents with a positive grade, [Q].
        k: How many ranks count.
    """
    hits = _gains(grades, k) > 0
    precisions = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return _shares((precisions * hits).sum(axis=1), np.asarray(n_relevant, float))


def reciprocal_rank(grades: ArrayLike, k: int) -> Floats:
    """One over the rank of the first relevant document of each query, 0 if not in k: MRR@k, [Q].

    Args:
        grades: Of the document at each rank, 0 where unjudged or none, [Q, K].
        k: How many ranks count.
    """
    hits = _gains(grades, k) > 0
    if not hits.shape[1]:
        return np.zeros(len(hits))
    return np.where(hits.any(axis=1), 1 / (1 + hits.argmax(axis=1)), 0.0)


def recall(grades: ArrayLike, n_relevant: ArrayLike, k: int) -> Floats:
    """Share of each query's relevant documents that are among the first k: recall_k, [Q].

    Args:
        grades: Of the document at each rank, 0 where unjudged or none, [Q, K].
        n_relevant: Number of documents with a positive grade, [Q].
        k: How many ranks count.
    """
    hits = (_gains(grades, k) > 0).sum(axis=1)
    return _shares(hits.astype(float), np.asarray(n_relevant, float))


def precision(grades: ArrayLike, k: int) -> Floats:
    """Share of the first k ranks that hold a relevant document: P_k, [Q].

    Divided by k even where fewer documents were found.

    Args:
        grades: Of the document at each rank, 0 where unjudged or none, [Q, K].
        k: How many ranks count.
    """
    shares: Floats = (_gains(grades, k) > 0).sum(axis=1) / k
    return shares


def _gains(grades: ArrayLike, k: int) -> Floats:
    """Positive grades at the first k ranks, [Q, at most k]."""
    array = np.asarray(grades, np.float64)
    if array.ndim != 2:
        raise ValueError(f"grades have shape {list(array.shape)}, expected [queries, ranks]")
    if k < 1:
        raise ValueError(f"k is {k}, expected at least 1")
    return np.maximum(array[:, :k], 0)


def _discounted(gains: Floats) -> Floats:
    return gains @ (1 / np.log2(np.arange(2, gains.shape[1] + 2)))


def _shares(parts: Floats, wholes: Floats) -> Floats:
    """Part by whole, 0 where the whole is 0."""
    _same_queries(parts, wholes)
    return np.divide(parts, wholes, out=np.zeros(len(parts)), where=wholes > 0)


def _same_queries(first: Floats, second: Floats) -> None:
    if len(first) != len(second):
        raise ValueError(f"{len(first)} queries are scored against {len(second)}, expected as many")


def best_threshold(similarities: ArrayLike, labels: ArrayLike) -> float:
    """The threshold at which "similarity >= threshold" agrees with most labels.

    Of several that agree with as many, the smallest; midway between two similarities, so that it
    serves pairs not seen here; at the lowest one if all are best called positive, just above the
    highest one if none is.

    Args:
        similarities: Of each pair, [N].
        labels: Whether it is positive, [N].

    Raises:
        ValueError: If there are no pairs, a similarity is not finite, or the lengths differ.
    """
    similarities, labels = finite(similarities, "similarities"), np.asarray(labels, bool)
    _same_length(similarities, labels)
    distinct, groups = np.unique(similarities, return_inverse=True)
    positives = np.bincount(groups, weights=labels)
    negatives = np.bincount(groups, weights=~labels)
    # Right when all below the threshold are called negative: negatives below, positives above.
    below = np.concatenate([[0], np.cumsum(negatives - positives)])
    best = int(np.argmax(below))
    if best == 0:
        return float(distinct[0])
    if best == len(distinct):
        return float(np.nextafter(distinct[-1], np.inf))
    lower, upper = distinct[best - 1], distinct[best]
    middle = lower / 2 + upper / 2
    return float(middle if lower < middle else upper)


def accuracy(predicted: Labels, gold: Labels) -> float:
    """Share of N labels that are right.

    Args:
        predicted: Labels of any kind, [N].
        gold: The right ones, [N].

    Raises:
        ValueError: If there are none or the lengths differ.
    """
    first, second = _codes(predicted, gold)
    return float((first == second).mean())


def macro_f1(predicted: Labels, gold: Labels) -> float:
    """Mean over labels of the F1 of each, however rare: scikit-learn's f1_score(average="macro").

    A label that is only predicted counts too, with 0.

    Args:
        predicted: Labels of any kind, [N].
        gold: The right ones, [N].

    Raises:
        ValueError: If there are none or the lengths differ.
    """
    return float(_f1_by_label(*_codes(predicted, gold)).mean())


def binary_f1(predicted: ArrayLike, gold: ArrayLike) -> float:
    """F1 of "positive": the harmonic mean of its precision and recall, 0 if never hit.

    Args:
        predicted: Whether each is called positive, [N].
        gold: Whether it is, [N].

    Raises:
        ValueError: If the lengths differ.
    """
    predicted, gold = np.asarray(predicted, bool), np.asarray(gold, bool)
    _same_length(predicted, gold)
    named = int(predicted.sum()) + int(gold.sum())
    return 2 * int((predicted & gold).sum()) / named if named else 0.0


def bitext_f1(predicted: Labels, gold: Labels) -> Floats:
    """F1 of the right translation of each sentence, [N].

    Their mean is scikit-learn's f1_score(gold, predicted, average="weighted"), the figure of bitext
    mining in MTEB: a target that many sentences take for theirs is worth little to the right one.

    Args:
        predicted: Target that each sentence is matched with, [N].
        gold: The right ones, [N].

    Raises:
        ValueError: If there are none or the lengths differ.
    """
    codes = _codes(predicted, gold)
    return _f1_by_label(*codes)[codes[1]]


def v_measure(gold: Labels, clusters: Labels) -> float:
    """Harmonic mean of homogeneity and completeness of a clustering, 0 to 1.

    Rosenberg and Hirschberg 2007, as `sklearn.metrics.v_measure_score`: 1 for the gold clusters
    under any names, 0 for one cluster of several labels.

    Args:
        gold: The right cluster of each of N texts.
        clusters: The cluster found for each.

    Raises:
        ValueError: If there are none or the lengths differ.
    """
    (gold_codes,), (cluster_codes,) = _codes(gold), _codes(clusters)
    _same_length(gold_codes, cluster_codes)
    _, joint_codes = np.unique(  # only cells that occur: a table of all would be N by N
        gold_codes * (cluster_codes.max() + 1) + cluster_codes, return_inverse=True
    )
    both, of_gold, of_clusters = map(_entropy, (joint_codes, gold_codes, cluster_codes))
    homogeneity = _explained(both - of_clusters, of_gold)
    completeness = _explained(both - of_gold, of_clusters)
    total = homogeneity + completeness
    return 2 * homogeneity * completeness / total if total else 0.0


def _entropy(codes: NDArray[np.int64]) -> float:
    """Entropy of a label, in nats."""
    # Sorted, so that names do not matter to the last digit: equal clusterings score exactly 1.
    shares = np.sort(np.bincount(codes)) / len(codes)
    return abs(float(shares @ np.log(shares)))


def _explained(left: float, entropy: float) -> float:
    """Share of an entropy that is not left, 1 if there was none."""
    return 1 - min(1.0, max(0.0, left / entropy)) if entropy else 1.0


def _f1_by_label(predicted: NDArray[np.int64], gold: NDArray[np.int64]) -> Floats:
    n_labels = 1 + int(max(predicted.max(), gold.max()))
    hits = np.bincount(gold[predicted == gold], minlength=n_labels)
    named = np.bincount(predicted, minlength=n_labels) + np.bincount(gold, minlength=n_labels)
    scores: Floats = 2 * hits / named  # each code occurs, so nothing is divided by 0
    return scores


def _codes(*series: Labels) -> tuple[NDArray[np.int64], ...]:
    """Each label as a number from 0 without gaps, the same one in every series.

    Not `numpy.unique`: as an array of strings, a single long label makes every one as long.
    """
    places: dict[Hashable, int] = {}
    codes = tuple(
        np.fromiter((places.setdefault(label, len(places)) for label in _listed(labels)), np.int64)
        for labels in series
    )
    if not len(codes[0]):
        raise ValueError("there are no labels, expected at least one")
    for other in codes[1:]:
        _same_length(codes[0], other)
    return codes


def _listed(labels: Labels) -> Iterable[Hashable]:
    return labels.tolist() if isinstance(labels, np.ndarray) else labels


def _same_length(first: NDArray[Any], second: NDArray[Any]) -> None:
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} values are compared with {len(second)}, expected as many")
