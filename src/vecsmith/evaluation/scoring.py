"""From vectors to figures, one function a kind of task.

The one rule: pure functions of a task, its vectors and a view; nothing is encoded, read or kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.evaluation import metrics
from vecsmith.evaluation.clustering import cluster_draws
from vecsmith.evaluation.encoding import Role, apply_view, is_unit
from vecsmith.evaluation.probing import draw_training, probe
from vecsmith.evaluation.tasks.settings import METRICS
from vecsmith.evaluation.tasks.task import (
    BitextData,
    ClassificationData,
    ClusteringData,
    PairData,
    RetrievalData,
    SimilarityData,
    Task,
    Texts,
    TripletData,
)
from vecsmith.results import Kind, Scores, Statistic, View
from vecsmith.retrieval import search

# Documents ranked for each query: what MTEB takes, and enough for MAP
DEPTH = 1000
N_NEIGHBORS = 10
Vectors = Mapping[str, FloatArray]

_NDCG_AT = (1, 3, 5, 10, 20, 100)
_MAP_AT = (10, 100, DEPTH)
_MRR_AT = (10, DEPTH)
_RECALL_AT = (1, 5, 10, 100)
_PRECISION_AT = (1, 3, 5, 10)
_SIMILARITIES: tuple[Literal["cosine", "dot", "euclidean"], ...] = ("cosine", "dot", "euclidean")

UNITS: Mapping[Kind, str] = {
    "similarity": "pairs",
    "retrieval": "queries",
    "classification": "texts",
    "pair-classification": "pairs",
    "triplets": "triplets",
    "clustering": "draws",
    "bitext": "sentences",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Texts of a task that are encoded together, and what they are there."""

    texts: Texts
    role: Role = "text"


def check_metric(task: Task) -> None:
    """Refuses a main metric that is not one of items.

    Raises:
        ValueError: If the kind of `task` has no such main metric.
    """
    if task.metric not in METRICS[task.kind]:
        raise ValueError(
            f"task {task.name}: metric {task.metric!r}, expected for {task.kind} one of "
            f"{list(METRICS[task.kind])}"
        )


def statistic_of(task: Task) -> Statistic:
    """How the main metric of `task` comes from its items."""
    if task.kind == "similarity":
        return "pearson" if task.metric.startswith("pearson") else "spearman"
    return "average_precision" if task.kind == "pair-classification" else "mean"


def gold_of(task: Task) -> NDArray[np.float64] | None:
    """What the items are held against, float64 [N], or None where they are scores already."""
    if isinstance(task.data, SimilarityData):
        return task.data.scores
    if isinstance(task.data, PairData):
        return task.data.labels.astype(np.float64)
    return None


def columns_of(task: Task) -> dict[str, Column]:
    """Everything that has to be encoded for `task`, by name."""
    match task.data:
        case SimilarityData(first=first, second=second):
            return {"first": Column(texts=first), "second": Column(texts=second)}
        case RetrievalData(queries=queries, documents=documents):
            return {
                "queries": Column(texts=queries, role="query"),
                "documents": Column(texts=documents, role="document"),
            }
        case ClassificationData(train_texts=train, test_texts=test) as labelled:
            rows = np.unique(np.concatenate(draw_training(labelled.train_labels)))
            return {
                "train": Column(texts=[train[row] for row in rows]),
                "test": Column(texts=test),
            }
        case PairData(first=first, second=second, tuning=tuning):
            columns = {"first": Column(texts=first), "second": Column(texts=second)}
            if tuning is not None:
                columns |= {
                    "tuning first": Column(texts=tuning.first),
                    "tuning second": Column(texts=tuning.second),
                }
            return columns
        case TripletData(anchors=anchors, positives=positives, negatives=negatives):
            return {
                "anchors": Column(texts=anchors),
                "positives": Column(texts=positives),
                "negatives": Column(texts=negatives),
            }
        case ClusteringData(texts=texts):
            return {"texts": Column(texts=texts)}
        case BitextData(sources=sources, targets=targets):
            return {"sources": Column(texts=sources), "targets": Column(texts=targets)}


def score_vectors(
    task: Task, vectors: Vectors, view: View
) -> tuple[Scores, NDArray[np.int32] | None]:
    """Scores of `task` for the vectors of its columns under `view`.

    The second value is, for retrieval, the ranking they come from: places in the corpus, [Q, K].
    """
    unit = all(is_unit(rows) for rows in vectors.values())
    seen = {name: apply_view(rows, view, unit=unit) for name, rows in vectors.items()}
    match task.data:
        case SimilarityData() as pairs:
            return _score_similarity(pairs, seen, task.metric), None
        case RetrievalData() as collection:
            places = rank_documents(collection, seen)
            return score_ranking(collection, places, task.metric), places
        case ClassificationData() as labelled:
            return score_features(labelled, seen["train"], seen["test"]), None
        case PairData() as labelled_pairs:
            return _score_pairs(labelled_pairs, seen), None
        case TripletData():
            return _score_triplets(seen), None
        case ClusteringData() as clusters:
            return _score_clusters(clusters, seen), None
        case BitextData() as bitext:
            return _score_bitext(bitext, seen), None


def _score_similarity(pairs: SimilarityData, seen: Vectors, metric: str) -> Scores:
    figures: dict[str, float] = {}
    similarities = {
        kind: metrics.pair_similarities(seen["first"], seen["second"], kind)
        for kind in _SIMILARITIES
    }
    for kind, values in similarities.items():
        figures[f"spearman_{kind}"] = metrics.spearman(values, pairs.scores)
        figures[f"pearson_{kind}"] = metrics.pearson(values, pairs.scores)
    correlation, _, named = metric.partition("_")
    items = next(values for kind, values in similarities.items() if kind == named)
    if pairs.subsets is not None:
        measure = metrics.pearson if correlation == "pearson" else metrics.spearman
        subsets = np.asarray(pairs.subsets, dtype=object)
        for subset in sorted(set(pairs.subsets)):
            rows = subsets == subset
            figures[f"{metric}/{subset}"] = measure(items[rows], pairs.scores[rows])
    return Scores(figures=figures, items=items)


def rank_documents(collection: RetrievalData, seen: Vectors) -> NDArray[np.int32]:
    """Places of the best documents of each query by cosine, int32 [Q, DEPTH at most].

    Equal scores in descending order of the document's id, as trec_eval has it.
    """
    order = id_order(collection)
    depth = max(1, min(DEPTH, len(order)))
    found, _ = search(seen["queries"], seen["documents"][order], depth)
    return in_corpus(found, order)


def id_order(collection: RetrievalData) -> NDArray[np.int64]:
    """Places of the documents in descending order of their ids."""
    ids = collection.document_ids
    return np.array(sorted(range(len(ids)), key=ids.__getitem__, reverse=True), dtype=np.int64)


def in_corpus(found: NDArray[np.int32], order: NDArray[np.int64]) -> NDArray[np.int32]:
    """Places among documents in `order` as places in the corpus; -1 stays."""
    if not len(order):
        return np.full_like(found, -1)
    places: NDArray[np.int32] = np.where(found < 0, -1, order[found]).astype(np.int32)
    return places


def score_ranking(collection: RetrievalData, places: NDArray[np.int32], metric: str) -> Scores:
    """Figures of a ranking, int32 [Q, K] of places in the corpus, -1 for none.

    The items are the values of `metric` of the queries that have a relevant document; the others
    could score nothing but 0 and are left out.
    """
    grades = _grades(collection, places)
    ideal = _ideal(collection)
    n_relevant = (ideal > 0).sum(axis=1)
    answerable = n_relevant > 0
    grades, ideal, n_relevant = grades[answerable], ideal[answerable], n_relevant[answerable]
    values: dict[str, NDArray[np.float64]] = {}
    values |= {f"ndcg@{k}": metrics.ndcg(grades, ideal, k) for k in _NDCG_AT}
    values |= {f"map@{k}": metrics.average_precision_at(grades, n_relevant, k) for k in _MAP_AT}
    values |= {f"mrr@{k}": metrics.reciprocal_rank(grades, k) for k in _MRR_AT}
    values |= {f"recall@{k}": metrics.recall(grades, n_relevant, k) for k in _RECALL_AT}
    values |= {f"precision@{k}": metrics.precision(grades, k) for k in _PRECISION_AT}
    figures = {name: float(rows.mean()) if len(rows) else 0.0 for name, rows in values.items()}
    return Scores(figures=figures, items=values[metric])


def _grades(collection: RetrievalData, places: NDArray[np.int32]) -> NDArray[np.float64]:
    """Grade of the document at each rank, 0 where it is unjudged or there is none, [Q, K]."""
    n_documents = len(collection.documents)
    keys = collection.judged_queries * n_documents + collection.judged_documents
    order = np.argsort(keys, kind="stable")
    keys, relevance = keys[order], collection.relevance[order]
    if not len(keys):
        return np.zeros(places.shape)
    asked = np.arange(len(places), dtype=np.int64)[:, None] * n_documents + places
    found = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    grades: NDArray[np.float64] = np.where(
        (keys[found] == asked) & (places >= 0), relevance[found], 0.0
    )
    return grades


def _ideal(collection: RetrievalData) -> NDArray[np.float64]:
    """Positive grades of each query, largest first, padded with 0, [Q, most of any query]."""
    good = collection.relevance > 0
    queries, relevance = collection.judged_queries[good], collection.relevance[good]
    order = np.lexsort((-relevance, queries))
    queries, relevance = queries[order], relevance[order]
    counts = np.bincount(queries, minlength=len(collection.queries))
    ideal = np.zeros((len(counts), max(1, int(counts.max(initial=0)))))
    ranks = np.arange(len(queries)) - np.repeat(np.cumsum(counts) - counts, counts)
    ideal[queries, ranks] = relevance
    return ideal


def score_features(labelled: ClassificationData, train: Any, test: Any) -> Scores:
    """Figures of a logistic regression on features of any sort.

    Args:
        labelled: The task.
        train: Features of the training texts that were drawn, as `columns_of` gives them.
        test: Features of the test texts.
    """
    draws = draw_training(labelled.train_labels)
    rows = np.unique(np.concatenate(draws))
    probed = probe(
        train,
        [labelled.train_labels[row] for row in rows],
        test,
        labelled.test_labels,
        [np.searchsorted(rows, draw) for draw in draws],
    )
    figures = {
        "accuracy": float(np.mean(probed.accuracies)),
        "accuracy_std": float(np.std(probed.accuracies)),
        "macro_f1": float(np.mean(probed.macro_f1s)),
        "unfinished_fits": float(probed.n_unfinished),
    }
    return Scores(figures=figures, items=probed.correct)


def _score_pairs(pairs: PairData, seen: Vectors) -> Scores:
    items = metrics.pair_similarities(seen["first"], seen["second"], "cosine")
    figures = {"average_precision": metrics.average_precision(items, pairs.labels)}
    if pairs.tuning is not None:
        tuning = metrics.pair_similarities(seen["tuning first"], seen["tuning second"], "cosine")
        threshold = metrics.best_threshold(tuning, pairs.tuning.labels)
        predicted = items >= threshold
        figures |= {
            "accuracy": metrics.accuracy(predicted, pairs.labels),
            "macro_f1": metrics.macro_f1(predicted, pairs.labels),
            "threshold": threshold,
        }
    return Scores(figures=figures, items=items)


def _score_triplets(seen: Vectors) -> Scores:
    near = metrics.pair_similarities(seen["anchors"], seen["positives"], "cosine")
    far = metrics.pair_similarities(seen["anchors"], seen["negatives"], "cosine")
    items = (near > far).astype(np.float64)
    return Scores(figures={"accuracy": float(items.mean()) if len(items) else 0.0}, items=items)


def _score_clusters(clusters: ClusteringData, seen: Vectors) -> Scores:
    values = cluster_draws(seen["texts"], clusters.labels)
    figures = {"v_measure": float(values.mean()), "v_measure_std": float(values.std())}
    return Scores(figures=figures, items=values)


def _score_bitext(bitext: BitextData, seen: Vectors) -> Scores:
    forward = _match(seen["sources"], seen["targets"], bitext.targets)
    backward = _match(seen["targets"], seen["sources"], bitext.sources)
    items = metrics.bitext_f1(*forward)
    figures = {
        "f1": float(items.mean()) if len(items) else 0.0,
        "accuracy": metrics.accuracy(*forward),
        "f1_backward": float(metrics.bitext_f1(*backward).mean()) if len(items) else 0.0,
    }
    return Scores(figures=figures, items=items)


def _match(
    sources: FloatArray, targets: FloatArray, texts: Texts
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Nearest target of each source, and the right one; equal texts are one target."""
    first: dict[str, int] = {}
    gold = np.array([first.setdefault(text, row) for row, text in enumerate(texts)], dtype=np.int64)
    kept = np.array(list(first.values()), dtype=np.int64)
    found, _ = search(sources, targets[kept], 1)
    return kept[found[:, 0]], gold
