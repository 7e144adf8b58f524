"""The evaluators of sentence-transformers give the figures of `vecsmith.evaluate`.

Each model is saved, opened by sentence-transformers and scored there, on rows read here anew.
Where the two may part, and by how much:

- Similarities. Theirs are float32, ours float64 of float32 vectors: they differ by some 2e-7, so
  two that are nearer than CLOSE may change places. What a figure may differ by is worked out from
  how many such neighbours there are (on most sets none, and then nothing differs).
- Equal scores of documents. They rank ascending ids first, we descending ones, as trec_eval does.
  Only documents of equal words (empty ones) have equal scores; none of them is judged.
- nDCG. Theirs counts a document as relevant or not; the sets here have one grade.
- MAP@k. They divide by min(k, relevant documents), trec_eval and we by all relevant ones: the same
  where no query has more than k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import evaluation

from tests.evaluation.made_sets import MadeSets, column, worded_model
from vecsmith import StaticModel
from vecsmith.evaluation.evaluator import evaluate
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.results import EvalResult, View

THEIRS: Any = evaluation  # their types name every kind of input there is
DIMS = (32, 8)
CLOSE = 5e-7
CUTS = {
    "ndcg_at_k": [1, 3, 5, 10, 100],
    "map_at_k": [100],
    "mrr_at_k": [10],
    "precision_recall_at_k": [1, 5, 10],
}

Rows = Sequence[Mapping[str, Any]]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> tuple[StaticModel, SentenceTransformer]:
    """A model of made words, in both libraries."""
    return in_both(worded_model(max(DIMS)), tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def english(
    minilm_tokenizer_json: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StaticModel, SentenceTransformer]:
    """A random table under a real tokenizer, in both libraries."""
    table = np.random.default_rng(5).standard_normal((30522, max(DIMS))).astype(np.float32)
    model = StaticModel(Checkpoint(table=table, tokenizer_json=minilm_tokenizer_json))
    return in_both(model, tmp_path_factory.mktemp("english"))


def in_both(model: StaticModel, folder: Path) -> tuple[StaticModel, SentenceTransformer]:
    model.save_pretrained(folder / "model")
    return model, SentenceTransformer(str(folder / "model"), device="cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[MadeSets, Path]:
    """Made sets with one grade, as values and as a folder."""
    sets = MadeSets(seed=1)
    sets.judgements = [{**row, "relevance": min(row["relevance"], 1)} for row in sets.judgements]
    return sets, sets.write(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def found(
    words: tuple[StaticModel, SentenceTransformer], made: tuple[MadeSets, Path]
) -> EvalResult:
    """What evaluate finds on the made sets."""
    return evaluate(words[0], made[1], dims=DIMS, measure_speed=False)


def figure(result: EvalResult, task: str, dim: int, metric: str) -> float:
    return result.tasks[task].scores[View(dim)].figures[metric]


def n_close(similarities: NDArray[Any], labels: Sequence[Any]) -> int:
    """Neighbours by similarity that float32 cannot tell apart and whose labels differ."""
    order = np.argsort(similarities, kind="stable")
    gold = np.asarray(labels)[order]
    near = np.diff(np.asarray(similarities, dtype=np.float64)[order]) < CLOSE
    return int((near & (gold[1:] != gold[:-1])).sum())


def assert_same_similarity(
    result: EvalResult, task: str, model: SentenceTransformer, rows: Rows
) -> None:
    first, second = column(rows, "sentence1"), column(rows, "sentence2")
    names = ["cosine", "dot", "euclidean"]
    for dim in DIMS:
        theirs = THEIRS.EmbeddingSimilarityEvaluator(
            first,
            second,
            column(rows, "score"),
            similarity_fn_names=names,
            truncate_dim=dim,
            write_csv=False,
        )(model)
        swaps = n_close(result.tasks[task].scores[View(dim)].items, column(rows, "score"))
        allowed = {
            "spearman": 1e-9 + 12 * swaps / len(rows) ** 2,  # the most that neighbours can move rho
            "pearson": 1e-7,  # of float32 values
        }
        # dot and euclidean: they do not scale a prefix to unit length, we do
        for name in names if dim == max(DIMS) else ["cosine"]:
            for statistic in allowed:
                metric = f"{statistic}_{name}"
                expected = pytest.approx(theirs[metric], abs=allowed[statistic])
                assert figure(result, task, dim, metric) == expected, (dim, metric)


def assert_same_retrieval(
    result: EvalResult,
    task: str,
    model: SentenceTransformer,
    documents: Rows,
    queries: Rows,
    judgements: Rows,
) -> None:
    relevant: dict[str, set[str]] = {}
    for row in judgements:
        if row["relevance"] > 0:
            relevant.setdefault(row["query_id"], set()).add(row["doc_id"])
    assert max(map(len, relevant.values())) <= min(CUTS["map_at_k"])
    corpus = {row["id"]: f"{row['title']} {row['text']}".strip() for row in documents}
    for dim in DIMS:
        theirs = THEIRS.InformationRetrievalEvaluator(
            {row["id"]: row["text"] for row in queries},
            corpus,
            relevant,
            truncate_dim=dim,
            write_csv=False,
            **CUTS,
        )(model)
        ours = result.tasks[task].scores[View(dim)].figures
        compared = [name for name in theirs if name.removeprefix("cosine_") in ours]
        assert len(compared) == 5 + 1 + 1 + 6
        swaps = n_close_documents(model, dim, corpus, queries, relevant)
        allowed = 1e-9 + swaps / len(relevant)  # the most that they can move a mean over queries
        for name in compared:
            expected = pytest.approx(theirs[name], abs=allowed)
            assert ours[name.removeprefix("cosine_")] == expected, (dim, name)


def assert_same_average_precision(
    result: EvalResult, task: str, model: SentenceTransformer, rows: Rows
) -> None:
    texts = [column(rows, name) for name in ("sentence1", "sentence2")]
    labels = [int(row["label"]) for row in rows]
    for dim in DIMS:
        theirs = THEIRS.BinaryClassificationEvaluator(
            *texts, labels, similarity_fn_names=["cosine"], truncate_dim=dim, write_csv=False
        )(model)
        # a positive that changes places with its neighbour moves the mean over positives
        items = result.tasks[task].scores[View(dim)].items
        allowed = 1e-9 + n_close(items, labels) / sum(labels)
        ours = figure(result, task, dim, "average_precision")
        assert ours == pytest.approx(theirs["cosine_ap"], abs=allowed)


def n_close_documents(
    model: SentenceTransformer,
    dim: int,
    corpus: Mapping[str, str],
    queries: Rows,
    relevant: Mapping[str, set[str]],
) -> int:
    """Neighbours among the best 101 of every query that may change places and score."""
    asked = [row for row in queries if row["id"] in relevant]
    units = []
    for texts in (column(asked, "text"), list(corpus.values())):
        vectors = model.encode(texts)[:, :dim].astype(np.float64)
        units.append(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
    swaps = 0
    for row, cosines in zip(asked, units[0] @ units[1].T, strict=True):
        best = np.argsort(-cosines)[:101]
        ids = np.array(list(corpus))[best]
        swaps += n_close(cosines[best], [id_ in relevant[row["id"]] for id_ in ids])
    return swaps


def test_similarity_is_theirs_on_made_pairs(
    words: tuple[StaticModel, SentenceTransformer],
    made: tuple[MadeSets, Path],
    found: EvalResult,
) -> None:
    assert_same_similarity(found, "pairs", words[1], made[0].pairs)


def test_retrieval_is_theirs_on_a_made_collection(
    words: tuple[StaticModel, SentenceTransformer],
    made: tuple[MadeSets, Path],
    found: EvalResult,
) -> None:
    sets = made[0]
    parts = (sets.documents, sets.queries, sets.judgements)
    assert_same_retrieval(found, "search", words[1], *parts)


def test_triplets_are_theirs(
    words: tuple[StaticModel, SentenceTransformer],
    made: tuple[MadeSets, Path],
    found: EvalResult,
) -> None:
    rows = made[0].triplets
    texts = [column(rows, name) for name in ("anchor", "positive", "negative")]
    for dim in DIMS:
        theirs = THEIRS.TripletEvaluator(*texts, truncate_dim=dim, write_csv=False)(words[1])
        ours = figure(found, "nearer", dim, "accuracy")
        assert ours == pytest.approx(theirs["cosine_accuracy"], abs=1e-7)  # a float32
        assert 0 < ours < 1


def test_average_precision_is_theirs(
    words: tuple[StaticModel, SentenceTransformer],
    made: tuple[MadeSets, Path],
    found: EvalResult,
) -> None:
    assert_same_average_precision(found, "alike", words[1], made[0].paraphrases)


def test_similarity_is_theirs_on_stsb(
    english: tuple[StaticModel, SentenceTransformer], shared_data: Path
) -> None:
    rows = pq.read_table(shared_data / "stsb" / "data.parquet", filters=[("split", "=", "test")])
    result = evaluate(english[0], shared_data / "stsb", dims=DIMS, measure_speed=False)
    assert_same_similarity(result, "stsb", english[1], rows.to_pylist())


def test_average_precision_is_theirs_on_mrpc(
    english: tuple[StaticModel, SentenceTransformer], shared_data: Path
) -> None:
    rows = pq.read_table(shared_data / "mrpc" / "data.parquet", filters=[("split", "=", "test")])
    result = evaluate(english[0], shared_data / "mrpc", dims=DIMS, measure_speed=False)
    assert_same_average_precision(result, "mrpc", english[1], rows.to_pylist())


@pytest.mark.parametrize("name", ["cranfield", "med"])
def test_retrieval_is_theirs_on_real_collections(
    name: str, english: tuple[StaticModel, SentenceTransformer], shared_data: Path
) -> None:
    result = evaluate(english[0], shared_data / name, dims=DIMS, measure_speed=False)
    documents, queries, judgements = (
        pq.read_table(shared_data / name / f"{part}.parquet").to_pylist()
        for part in ("corpus", "queries", "qrels")
    )
    judged = [row for row in judgements if row["split"] == "test"]
    assert_same_retrieval(result, name, english[1], documents, queries, judged)
