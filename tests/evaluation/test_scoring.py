"""Figures of whole tasks against scipy, scikit-learn and pytrec_eval on the same vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, f1_score

from vecsmith.evaluation.ranking import score_ranking
from vecsmith.evaluation.scoring import (
    check_metric,
    columns_of,
    gold_of,
    score_vectors,
    statistic_of,
)
from vecsmith.evaluation.tasks.task import (
    BitextData,
    ClassificationData,
    ClusteringData,
    Data,
    PairData,
    RetrievalData,
    SimilarityData,
    Task,
    TripletData,
)
from vecsmith.results import Kind, Scores, View

GENERATOR = np.random.default_rng(11)
DIM = 24
FULL = View(DIM)


def make_task(kind: Kind, metric: str, data: Data) -> Task:
    return Task(
        name="made", set="made", kind=kind, language=None, split="test", metric=metric, data=data
    )


def vectors_of(task: Task, noise: float = 1.0) -> dict[str, NDArray[np.float32]]:
    """A vector for every text: equal texts alike, others at random."""
    seen: dict[str, NDArray[np.float32]] = {}
    vectors = {}
    for name, column in columns_of(task).items():
        for text in column.texts:
            seen.setdefault(text, GENERATOR.normal(size=DIM).astype(np.float32))
        rows = np.array([seen[text] for text in column.texts], dtype=np.float32)
        vectors[name] = rows + noise * GENERATOR.normal(size=rows.shape).astype(np.float32)
    return vectors


def scored(task: Task, vectors: Mapping[str, NDArray[np.float32]], view: View = FULL) -> Scores:
    check_metric(task)
    return score_vectors(task, vectors, view, unit=False)[0]


def unit(rows: NDArray[Any]) -> NDArray[Any]:
    rows = rows.astype(np.float64)
    lengths: NDArray[Any] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return lengths


def texts(prefix: str, n: int) -> list[str]:
    return [f"{prefix} {i}" for i in range(n)]


SIMILARITY = SimilarityData(
    first=texts("a", 300),
    second=texts("b", 300),
    scores=GENERATOR.integers(0, 6, 300).astype(np.float64),
    subsets=["news", "video"] * 150,
)


def test_similarity_is_scipys_correlations_of_every_similarity_and_subset() -> None:
    task = make_task("similarity", "spearman_cosine", SIMILARITY)
    vectors = vectors_of(task)
    found = scored(task, vectors)
    a, b = (vectors[name].astype(np.float64) for name in ("first", "second"))
    expected = {
        "cosine": (unit(a) * unit(b)).sum(1),
        "dot": (a * b).sum(1),
        "euclidean": -np.linalg.norm(a - b, axis=1),
    }
    for kind, values in expected.items():
        rho = spearmanr(values, SIMILARITY.scores).statistic
        assert found.figures[f"spearman_{kind}"] == pytest.approx(rho, abs=1e-9)
        r = pearsonr(values, SIMILARITY.scores).statistic
        assert found.figures[f"pearson_{kind}"] == pytest.approx(r, abs=1e-7)
    rho = spearmanr(expected["cosine"][::2], SIMILARITY.scores[::2]).statistic
    assert found.figures["spearman_cosine/news"] == pytest.approx(rho, abs=1e-9)
    assert np.allclose(found.items, expected["cosine"], atol=1e-6)
    assert gold_of(task) is SIMILARITY.scores
    assert statistic_of(task) == "spearman"


def test_a_set_may_name_another_correlation_as_its_main_metric() -> None:
    task = make_task("similarity", "pearson_dot", SIMILARITY)
    vectors = vectors_of(task)
    found = scored(task, vectors)
    assert statistic_of(task) == "pearson"
    r = pearsonr(found.items, SIMILARITY.scores).statistic
    assert found.figures["pearson_dot"] == pytest.approx(r, abs=1e-9)
    with pytest.raises(ValueError, match="metric 'map', expected for similarity one of"):
        check_metric(make_task("similarity", "map", SIMILARITY))


def make_collection(n_queries: int = 40, n_documents: int = 90) -> RetrievalData:
    """Graded and negative judgements, ids out of order, a query without relevant documents."""
    judged = [
        (query, document, float(GENERATOR.integers(-1, 4)))
        for query in range(1, n_queries)
        for document in GENERATOR.choice(n_documents, 12, replace=False)
    ]
    judged += [(0, 3, 0.0), (0, 5, -1.0)]
    columns = [np.array(column) for column in zip(*judged, strict=True)]
    ids = [f"d{i * 7919 % 1000}" for i in range(n_documents)]
    return RetrievalData(
        query_ids=[f"q{i}" for i in range(n_queries)],
        queries=texts("query", n_queries),
        document_ids=ids,
        documents=texts("document", n_documents),
        judged_queries=columns[0].astype(np.int64),
        judged_documents=columns[1].astype(np.int64),
        relevance=columns[2].astype(np.float64),
    )


COLLECTION = make_collection()
TREC_NAMES = {
    "ndcg@10": "ndcg_cut_10",
    "ndcg@100": "ndcg_cut_100",
    "map@10": "map_cut_10",
    "map@1000": "map",
    "mrr@1000": "recip_rank",
    "recall@5": "recall_5",
    "recall@100": "recall_100",
    "precision@3": "P_3",
}


def trec(collection: RetrievalData, scores: NDArray[np.float32]) -> dict[str, dict[str, float]]:
    """Figures of every query by trec_eval's own code."""
    qrels: dict[str, dict[str, int]] = {}
    for query, document, grade in zip(
        collection.judged_queries, collection.judged_documents, collection.relevance, strict=True
    ):
        name = collection.document_ids[document]
        qrels.setdefault(collection.query_ids[query], {})[name] = int(grade)
    run = {
        query: {name: float(s) for name, s in zip(collection.document_ids, row, strict=True)}
        for query, row in zip(collection.query_ids, scores, strict=True)
    }
    measures = {"ndcg_cut.10,100", "map_cut.10", "map", "recip_rank", "recall.5,100", "P.3"}
    found: dict[str, dict[str, float]] = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(
        run
    )
    return found


@pytest.mark.parametrize("ties", [False, True])
def test_retrieval_is_trec_eval_with_grades_negatives_and_ties(ties: bool) -> None:
    task = make_task("retrieval", "ndcg@10", COLLECTION)
    vectors = vectors_of(task)
    if ties:  # a handful of directions, all cosines exact: most documents tie
        vectors = {name: np.sign(rows) * (np.arange(DIM) == rows.argmax(1)[:, None] % 4)
                   for name, rows in vectors.items()}  # fmt: skip
        vectors = {name: rows.astype(np.float32) for name, rows in vectors.items()}
    found, places = score_vectors(task, vectors, FULL, unit=False)
    lengths = {name: np.linalg.norm(rows, axis=1, keepdims=True) for name, rows in vectors.items()}
    queries, documents = (
        np.divide(vectors[name], lengths[name], out=np.zeros_like(vectors[name]),
                  where=lengths[name] > 0)
        for name in ("queries", "documents")
    )  # fmt: skip
    expected = trec(COLLECTION, queries @ documents.T)
    answerable = [query for query in COLLECTION.query_ids if query != "q0"]
    for ours, theirs in TREC_NAMES.items():
        mean = np.mean([expected[query][theirs] for query in answerable])
        assert found.figures[ours] == pytest.approx(mean, abs=1e-9), ours
    by_query = [expected[query]["ndcg_cut_10"] for query in answerable]
    assert found.items == pytest.approx(by_query, abs=1e-9)
    assert places is not None
    assert places.shape == (40, 90)


def test_documents_that_are_not_ranked_count_as_not_found() -> None:
    places = np.full((40, 3), -1, dtype=np.int32)
    assert score_ranking(COLLECTION, places, "ndcg@10").items.sum() == 0
    best = COLLECTION.judged_documents[COLLECTION.relevance == 3]
    query = COLLECTION.judged_queries[COLLECTION.relevance == 3]
    places[query[0], 1] = best[0]
    assert score_ranking(COLLECTION, places, "mrr@10").items.max() == 0.5


def test_pairs_are_scikit_learns_average_precision_and_tuned_elsewhere() -> None:
    labels = GENERATOR.random(400) < 0.4
    same = ["same" for _ in range(400)]
    pairs = PairData(
        first=[f"{i}" for i in range(400)],
        second=[f"{i}" if label else f"x{i}" for i, label in enumerate(labels)],
        labels=labels,
        tuning=PairData(first=same[:4], second=same[:4], labels=labels[:4]),
    )
    task = make_task("pair-classification", "average_precision", pairs)
    vectors = vectors_of(task, noise=2.0)
    vectors["tuning first"] = np.eye(4, DIM, dtype=np.float32)
    # cosines 1, 0.6, 0.2 and 0: two of the pairs are positive, so the threshold is known
    cosines = np.array([1, 0.6, 0.2, 0], dtype=np.float32)
    second = np.zeros((4, DIM), dtype=np.float32)
    second[np.arange(4), np.arange(4)] = cosines
    second[:, -1] = np.sqrt(1 - cosines**2)
    vectors["tuning second"] = second
    tuned = PairData(first=same[:4], second=same[:4], labels=np.array([True, True, False, False]))
    task = make_task(
        "pair-classification",
        "average_precision",
        PairData(first=pairs.first, second=pairs.second, labels=labels, tuning=tuned),
    )
    found = scored(task, vectors)
    cosine = (unit(vectors["first"]) * unit(vectors["second"])).sum(1)
    assert found.figures["average_precision"] == pytest.approx(
        average_precision_score(labels, cosine), abs=1e-9
    )
    assert 0.2 < found.figures["threshold"] <= 0.6 + 1e-6
    predicted = cosine >= found.figures["threshold"]
    assert found.figures["accuracy"] == pytest.approx((predicted == labels).mean())
    assert found.figures["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))


def test_triplets_are_right_where_the_positive_is_strictly_nearer() -> None:
    triplets = TripletData(anchors=["a"] * 3, positives=["p"] * 3, negatives=["n"] * 3)
    task = make_task("triplets", "accuracy", triplets)
    anchors = np.tile(np.eye(1, DIM, dtype=np.float32), (3, 1))
    positives = np.eye(3, DIM, dtype=np.float32)
    negatives = np.eye(3, DIM, k=1, dtype=np.float32)
    negatives[2, 0] = 1
    found = scored(task, {"anchors": anchors, "positives": positives, "negatives": negatives})
    # nearer, a tie at zero, farther
    assert found.items.tolist() == [1.0, 0.0, 0.0]


def test_bitext_is_scikit_learns_weighted_f1_with_equal_targets_as_one() -> None:
    targets = [*texts("t", 60), "t 3", "t 4"]
    bitext = BitextData(sources=texts("s", 62), targets=targets)
    task = make_task("bitext", "f1", bitext)
    vectors = vectors_of(task)
    twins = {60: 3, 61: 4}
    vectors["targets"] = GENERATOR.normal(size=(62, DIM)).astype(np.float32)
    for twin, first in twins.items():
        vectors["targets"][twin] = vectors["targets"][first]
    vectors["sources"] = vectors["targets"] + GENERATOR.normal(size=(62, DIM)).astype(np.float32)
    found = scored(task, vectors)
    cosines = unit(vectors["sources"]) @ unit(vectors["targets"][:60]).T
    gold = [twins.get(i, i) for i in range(62)]
    expected = f1_score(gold, cosines.argmax(1), average="weighted", zero_division=0)
    assert found.figures["f1"] == pytest.approx(expected, abs=1e-9)
    assert found.items.mean() == pytest.approx(expected, abs=1e-9)


def test_classification_encodes_only_what_is_drawn() -> None:
    labels = [str(i % 3) for i in range(20_000)]
    labelled = ClassificationData(
        train_texts=texts("train", 20_000),
        train_labels=labels,
        test_texts=texts("test", 50),
        test_labels=labels[:50],
    )
    task = make_task("classification", "accuracy", labelled)
    columns = columns_of(task)
    assert 7_000 < len(columns["train"].texts) < 10_000
    vectors = vectors_of(task)
    for name, column in columns.items():
        codes = [int(text.split()[1]) % 3 for text in column.texts]
        vectors[name] = np.eye(3, DIM, dtype=np.float32)[codes]
    found = scored(task, vectors)
    assert found.figures["accuracy"] == 1.0
    assert (found.items == 1.0).all()


def test_clusters_are_scored_by_text() -> None:
    clusters = ClusteringData(texts=texts("c", 90), labels=[str(i % 3) for i in range(90)])
    task = make_task("clustering", "v_measure", clusters)
    rows = 10 * np.eye(3, DIM, dtype=np.float32)[np.arange(90) % 3]
    vectors = {"texts": rows + GENERATOR.normal(size=rows.shape).astype(np.float32)}
    found = scored(task, vectors)
    assert len(found.items) == 90
    assert found.items.mean() == pytest.approx(found.figures["v_measure"])
    assert found.figures["v_measure"] > 0.9


@pytest.mark.parametrize("precision", ["float16", "int8", "binary"])
def test_views_are_scored_on_what_they_keep(precision: Any) -> None:
    task = make_task("similarity", "spearman_cosine", SIMILARITY)
    vectors = vectors_of(task)
    whole = scored(task, vectors)
    cut = scored(task, vectors, View(8, precision))
    same = scored(task, {name: rows[:, :8] for name, rows in vectors.items()}, View(8, precision))
    assert np.array_equal(cut.items, same.items)
    assert not np.array_equal(cut.items, whole.items)


@pytest.mark.parametrize("dim", [DIM, 7])
def test_a_classifier_sees_codes_at_the_length_of_their_vectors(dim: int) -> None:
    # the penalty is relative to that length: codes of 127 would be fitted with almost none
    labels = [str(i % 3) for i in range(400)]
    labelled = ClassificationData(
        train_texts=texts("train", 300),
        train_labels=labels[:300],
        test_texts=texts("test", 100),
        test_labels=labels[300:],
    )
    task = make_task("classification", "accuracy", labelled)
    vectors = {}
    for name, numbers in (("train", range(300)), ("test", range(300, 400))):
        codes = np.array([number % 3 for number in numbers])
        noisy = np.eye(3, DIM)[codes] + GENERATOR.normal(scale=0.8, size=(len(codes), DIM))
        vectors[name] = unit(noisy).astype(np.float32)
    views = [View(dim, precision) for precision in ("float32", "float16", "int8", "binary")]
    scores = [score_vectors(task, vectors, view, unit=True)[0] for view in views]
    accuracies = [found.figures["accuracy"] for found in scores]
    assert accuracies[1] == pytest.approx(accuracies[0], abs=0.011)
    assert accuracies[2] == pytest.approx(accuracies[0], abs=0.021)
    signs = {}
    for name, rows in vectors.items():
        signs[name] = unit(np.where(rows[:, :dim] > 0, 1, -1)).astype(np.float32)
    assert accuracies[3] == scored(task, signs, View(dim)).figures["accuracy"]


@pytest.mark.parametrize("dim", [7, 13, 20, 24])
def test_signs_at_equal_distance_are_ranked_by_descending_id(dim: int) -> None:
    task = make_task("retrieval", "ndcg@10", COLLECTION)
    vectors = vectors_of(task)
    _, places = score_vectors(task, vectors, View(dim, "binary"), unit=False)
    assert places is not None
    bits = {name: rows[:, :dim] > 0 for name, rows in vectors.items()}
    distances = (bits["queries"][:, None] != bits["documents"][None]).sum(axis=2)
    for row, found in zip(distances, places, strict=True):
        ids = COLLECTION.document_ids
        by_id = sorted(range(len(ids)), key=ids.__getitem__, reverse=True)
        assert found.tolist() == sorted(by_id, key=row.__getitem__)


def test_rankings_are_scored_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    places = np.array([GENERATOR.permutation(90)[:50] for _ in range(40)], dtype=np.int32)
    whole = score_ranking(COLLECTION, places, "ndcg@10")
    monkeypatch.setattr("vecsmith.evaluation.ranking._BLOCK_QUERIES", 7)
    blocks = score_ranking(COLLECTION, places, "ndcg@10")
    assert whole.items == pytest.approx(blocks.items, abs=1e-15)
    assert whole.figures == pytest.approx(blocks.figures, abs=1e-12)


def test_subsets_of_every_kind_have_their_figure() -> None:
    collection = replace(COLLECTION, subsets=["easy", "hard"] * 20)
    task = make_task("retrieval", "ndcg@10", collection)
    found = scored(task, vectors_of(task))
    queries = np.flatnonzero(
        np.isin(np.arange(40), collection.judged_queries[collection.relevance > 0])
    )
    hard = found.items[queries % 2 == 1]
    assert found.figures["ndcg@10/hard"] == pytest.approx(hard.mean())
    triplets = TripletData(
        anchors=texts("a", 6), positives=texts("p", 6), negatives=texts("n", 6),
        subsets=["x", "y", "y"] * 2,
    )  # fmt: skip
    task = make_task("triplets", "accuracy", triplets)
    found = scored(task, vectors_of(task))
    assert found.figures["accuracy/x"] == pytest.approx(found.items[[0, 3]].mean())
