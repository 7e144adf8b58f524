"""From vectors to figures, one function a kind of task.

The one rule: pure functions of a task, its vectors and a view; nothing is encoded, read or kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.evaluation import metrics
from vecsmith.evaluation.clustering import cluster
from vecsmith.evaluation.encoding import Role, apply_view
from vecsmith.evaluation.probing import draw_training, probe
from vecsmith.evaluation.ranking import answerable_queries, rank_documents, score_ranking
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
from vecsmith.results.statistics import value
from vecsmith.retrieval import Similarity, search

Vectors = Mapping[str, FloatArray]

_SIMILARITIES: tuple[Literal["cosine", "dot", "euclidean"], ...] = ("cosine", "dot", "euclidean")

UNITS: Mapping[Kind, str] = {
    "similarity": "pairs",
    "retrieval": "queries",
    "classification": "texts",
    "pair-classification": "pairs",
    "triplets": "triplets",
    "clustering": "texts",
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
    task: Task, vectors: Vectors, view: View, *, unit: bool
) -> tuple[Scores, NDArray[np.int32] | None]:
    """Scores of `task` for the vectors of its columns under `view`.

    The second value is, for retrieval, the ranking they come from: places in the corpus, [Q, K].

    Args:
        task: What is asked.
        vectors: Of each column, all dims.
        view: Which prefix, and in which precision.
        unit: Whether the vectors have length 1.
    """
    seen = {name: apply_view(rows, view, unit=unit) for name, rows in vectors.items()}
    scores, places = _score(task, seen, view)
    return with_subsets(task, scores), places


def _score(task: Task, seen: Vectors, view: View) -> tuple[Scores, NDArray[np.int32] | None]:
    match task.data:
        case SimilarityData() as pairs:
            return _score_similarity(pairs, seen, task.metric), None
        case RetrievalData() as collection:
            found = seen["queries"], seen["documents"]
            places = rank_documents(collection, *found, _similarity(view))
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
            return _score_bitext(bitext, seen, _similarity(view)), None


def with_subsets(task: Task, scores: Scores) -> Scores:
    """The scores with the main metric of each subset, as in "ndcg@10/news", where there are any."""
    subsets = _subsets_of_items(task)
    if subsets is None:
        return scores
    parts = np.asarray(subsets, dtype=object)
    gold, statistic = gold_of(task), statistic_of(task)
    figures = dict(scores.figures)
    for name in sorted(set(subsets)):
        rows = parts == name
        part = None if gold is None else gold[rows]
        figures[f"{task.metric}/{name}"] = value(scores.items[rows], part, statistic)
    return replace(scores, figures=figures)


def _subsets_of_items(task: Task) -> Texts | None:
    """Subset of each item of `task`. Clusters have none: a part of a clustering is none."""
    if isinstance(task.data, ClusteringData) or task.data.subsets is None:
        return None
    if isinstance(task.data, RetrievalData):
        rows = answerable_queries(task.data)
        return [task.data.subsets[row] for row in rows]
    return task.data.subsets


def _similarity(view: View) -> Similarity:
    """What ranks as the cosine does. The dot product of signs is exact, so equals stay equal."""
    return "dot" if view.precision == "binary" else "cosine"


def _score_similarity(pairs: SimilarityData, seen: Vectors, metric: str) -> Scores:
    figures: dict[str, float] = {}
    similarities = {
        kind: metrics.pair_similarities(seen["first"], seen["second"], kind)
        for kind in _SIMILARITIES
    }
    for kind, values in similarities.items():
        figures[f"spearman_{kind}"] = metrics.spearman(values, pairs.scores)
        figures[f"pearson_{kind}"] = metrics.pearson(values, pairs.scores)
    named = metric.partition("_")[2]
    items = next(values for kind, values in similarities.items() if kind == named)
    return Scores(figures=figures, items=items)


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
        "macro_f1": float(np.mean(probed.macro_f1s)),
        "strength": probed.strength,
        "unfinished_fits": float(probed.n_unfinished),
    }
    if len(draws) > 1:
        figures["accuracy_std"] = float(np.std(probed.accuracies))
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
    found = cluster(seen["texts"], clusters.labels)
    figures = {
        "v_measure": float(np.mean(found.v_measures)),
        "v_measure_std": float(np.std(found.v_measures)),
    }
    return Scores(figures=figures, items=found.shares)


def _score_bitext(bitext: BitextData, seen: Vectors, similarity: Similarity) -> Scores:
    forward = _match(seen["sources"], seen["targets"], bitext.targets, similarity)
    backward = _match(seen["targets"], seen["sources"], bitext.sources, similarity)
    items = metrics.bitext_f1(*forward)
    figures = {
        "f1": float(items.mean()) if len(items) else 0.0,
        "accuracy": metrics.accuracy(*forward),
        "f1_backward": float(metrics.bitext_f1(*backward).mean()) if len(items) else 0.0,
    }
    return Scores(figures=figures, items=items)


def _match(
    sources: FloatArray, targets: FloatArray, texts: Texts, similarity: Similarity
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Nearest target of each source, and the right one; equal texts are one target."""
    first: dict[str, int] = {}
    gold = np.array([first.setdefault(text, row) for row, text in enumerate(texts)], dtype=np.int64)
    kept = np.array(list(first.values()), dtype=np.int64)
    found, _ = search(sources, targets[kept], 1, similarity=similarity)
    return kept[found[:, 0]], gold
