"""Sets made of pairs, translations and groups: the figures of outside implementations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.metrics import f1_score, v_measure_score

from vecsmith.evaluation.clustering import MAX_TEXTS, cluster
from vecsmith.evaluation.scoring import columns_of, score_vectors
from vecsmith.evaluation.tasks import Task, find_tasks
from vecsmith.results import View

DIM = 64
N_QUERIES = 300
LETTERS = HashingVectorizer(analyzer="char", ngram_range=(1, 3), n_features=DIM)


def only_task(folder: Path, language: str | None = None) -> Task:
    (source,) = (each for each in find_tasks(folder) if each.kind is not None)
    (task,) = source.load("test", None if language is None else [language])
    return task


def vectors_of(task: Task) -> dict[str, NDArray[np.float32]]:
    """Counts of letters, pairs and triples, hashed: alike texts are alike."""
    return {
        name: LETTERS.transform(column.texts).toarray().astype(np.float32)
        for name, column in columns_of(task).items()
    }


@pytest.mark.parametrize("name", ["asset", "medquad", "wiki_split"])
def test_retrieval_made_of_pairs_is_trec_evals(name: str, shared_data: Path) -> None:
    task = only_task(shared_data / name)
    found, places = score_vectors(task, vectors_of(task), View(DIM), unit=True)
    assert places is not None
    collection: Any = task.data
    qrels: dict[str, dict[str, int]] = {}
    for query, document, grade in zip(
        collection.judged_queries, collection.judged_documents, collection.relevance, strict=True
    ):
        if query < N_QUERIES:
            qrels.setdefault(str(query), {})[str(document)] = int(grade)
    # the ranking as it is, told by falling scores
    run = {
        str(query): {str(place): float(-rank) for rank, place in enumerate(row) if place >= 0}
        for query, row in enumerate(places[:N_QUERIES])
    }
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    ours = found.items[:N_QUERIES]
    expected = [theirs[str(query)]["ndcg_cut_10"] for query in range(len(ours))]
    assert task.metric == "ndcg@10"
    assert ours == pytest.approx(expected, abs=1e-9)
    assert len(set(np.round(expected, 6))) > 2


@pytest.mark.parametrize("language", ["deu", "kor", "nld"])
def test_translations_are_scikit_learns_weighted_f1(language: str, shared_data: Path) -> None:
    task = only_task(shared_data / "tatoeba", language)
    vectors = vectors_of(task)
    found, _ = score_vectors(task, vectors, View(DIM), unit=True)
    bitext: Any = task.data
    first: dict[str, int] = {}
    gold = [first.setdefault(text, row) for row, text in enumerate(bitext.targets)]
    kept = sorted(first.values())
    cosines = vectors["sources"] @ vectors["targets"][kept].T
    predicted = np.array(kept)[cosines.argmax(axis=1)]
    expected = f1_score(gold, predicted, average="weighted", zero_division=0)
    # the letters of two languages: far from chance only where they are alike
    assert found.figures["f1"] == pytest.approx(expected, abs=1e-9)


def test_groups_are_scikit_learns_v_measure(shared_data: Path) -> None:
    task = only_task(shared_data / "parakqc")
    vectors = vectors_of(task)
    clusters: Any = task.data
    labels = np.array(clusters.labels)
    groups = np.unique(labels)[: MAX_TEXTS // 10]
    rows = np.flatnonzero(np.isin(labels, groups))
    drawn = vectors["texts"][rows]
    expected = []
    for seed in range(10):
        k_means = MiniBatchKMeans(
            n_clusters=len(groups), batch_size=512, n_init=1, random_state=seed
        )
        expected.append(v_measure_score(labels[rows], k_means.fit_predict(drawn)))
    found = cluster(drawn, list(labels[rows]))
    assert found.v_measures == pytest.approx(expected, abs=1e-9)
