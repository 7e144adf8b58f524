"""Metrics of rankings, against trec_eval (by way of pytrec_eval) and hand values."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vecsmith.evaluation import metrics

pytrec_eval: Any = pytest.importorskip("pytrec_eval", reason="needs pytrec_eval (group dev)")

Judgements = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]
CUTS = (1, 3, 10, 100)
MEASURES = ("ndcg_cut", "map_cut", "recall", "P")


def by_trec_eval(qrels: Judgements, run: Run) -> dict[str, NDArray[np.float64]]:
    """Every measure of every judged query, 0 where the run has nothing for it."""
    wanted = {f"{measure}.{','.join(map(str, CUTS))}" for measure in MEASURES}
    found = pytrec_eval.RelevanceEvaluator(qrels, wanted | {"recip_rank", "map"}).evaluate(run)
    names = [f"{measure}_{k}" for measure in MEASURES for k in CUTS] + ["recip_rank", "map"]
    return {
        name: np.array([found.get(query, {}).get(name, 0.0) for query in qrels]) for name in names
    }


def by_vecsmith(qrels: Judgements, run: Run) -> dict[str, NDArray[np.float64]]:
    """The same, ties in the run broken as trec_eval breaks them: by descending document id."""
    depth = max([1, *(len(scores) for scores in run.values())])
    width = max([1, *(len(grades) for grades in qrels.values())])
    grades, ideal = np.zeros((len(qrels), depth)), np.zeros((len(qrels), width))
    for row, (query, judged) in enumerate(qrels.items()):
        scores = run.get(query, {})
        ranking = sorted(scores, key=lambda name: (scores[name], name), reverse=True)
        grades[row, : len(ranking)] = [judged.get(name, 0) for name in ranking]
        best = sorted((grade for grade in judged.values() if grade > 0), reverse=True)
        ideal[row, : len(best)] = best
    n_relevant = (ideal > 0).sum(axis=1)
    values = {"recip_rank": metrics.reciprocal_rank(grades, depth)}
    values["map"] = metrics.average_precision_at(grades, n_relevant, depth)
    for k in CUTS:
        values[f"ndcg_cut_{k}"] = metrics.ndcg(grades, ideal, k)
        values[f"map_cut_{k}"] = metrics.average_precision_at(grades, n_relevant, k)
        values[f"recall_{k}"] = metrics.recall(grades, n_relevant, k)
        values[f"P_{k}"] = metrics.precision(grades, k)
    return values


def check(qrels: Judgements, run: Run) -> None:
    expected, found = by_trec_eval(qrels, run), by_vecsmith(qrels, run)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-9, err_msg=name)


documents = st.sampled_from([f"d{place}" for place in range(15)])
queries = st.sampled_from(["q1", "q2", "q3", "q4"])
# Few scores, as float32 has them, for many ties; grades below zero, and queries with none above.
judgements = st.dictionaries(
    queries,
    # pytrec_eval reads beyond its memory where the best grade of a query is -2 or less.
    st.dictionaries(documents, st.integers(-3, 4), min_size=1).filter(
        lambda grades: max(grades.values()) >= -1
    ),
    min_size=1,
)
runs = st.dictionaries(
    queries,
    st.dictionaries(documents, st.integers(0, 4).map(lambda score: score / 4), min_size=1),
    min_size=1,
)


@settings(deadline=None)
@given(judgements, runs)
def test_rankings_score_as_trec_eval_scores_them(qrels: Judgements, run: Run) -> None:
    check(qrels, run)


CASES: dict[str, tuple[Judgements, Run]] = {
    "all tied": ({"q": {"a": 1, "m": 2, "z": 3}}, {"q": dict.fromkeys("abmyz", 0.5)}),
    "fewer found than relevant": ({"q": {"a": 1, "b": 2, "c": 3}}, {"q": {"b": 0.9}}),
    "none relevant": ({"q": {"a": 0, "b": -1}}, {"q": {"a": 0.9, "b": 0.8}}),
    "negative grades found first": ({"q": {"a": -3, "b": 1}}, {"q": {"a": 0.9, "b": 0.8}}),
    "a query that the run lacks": ({"q": {"a": 1}, "r": {"a": 1}}, {"q": {"a": 1.0}}),
    "a query that nobody judged": ({"q": {"a": 1}}, {"q": {"a": 1.0}, "r": {"a": 1.0}}),
    "more relevant than the cut": (
        {"q": {f"d{place:03}": 1 + place % 3 for place in range(150)}},
        {"q": {f"d{place:03}": float((place * 7919) % 211) for place in range(200)}},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_awkward_rankings_score_as_trec_eval_scores_them(name: str) -> None:
    check(*CASES[name])


def test_large_random_runs_score_as_trec_eval_scores_them() -> None:
    rng = np.random.default_rng(6)
    names = [f"d{place}" for place in range(400)]
    qrels: Judgements = {}
    run: Run = {}
    for query in range(60):
        judged = rng.choice(names, rng.integers(1, 60), replace=False)
        qrels[f"q{query}"] = {name: int(rng.integers(-1, 4)) for name in judged}
        found = rng.choice(names, rng.integers(1, 300), replace=False)
        run[f"q{query}"] = {name: float(rng.integers(0, 50)) / 50 for name in found}
    check(qrels, run)


@pytest.mark.parametrize(
    "name", "scifact trecqa cranfield med xquad papers_retrieval tydiqa_train".split()
)
def test_real_sets_score_as_trec_eval_scores_them(shared_data: Path, name: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (extra data)")
    tables = {
        part: parquet.read_table(shared_data / name / f"{part}.parquet").to_pylist()
        for part in ("corpus", "queries", "qrels")
    }
    qrels: Judgements = {}
    for row in tables["qrels"]:
        qrels.setdefault(row["query_id"], {})[row["doc_id"]] = int(row["relevance"])
    texts = {row["id"]: f"{row['title']} {row['text']}" for row in tables["corpus"]}
    asked = {row["id"]: row["text"] for row in tables["queries"] if row["id"] in qrels}
    some = dict(list(asked.items())[:300])
    check({query: qrels[query] for query in some}, overlaps(some, texts, depth=100))


def overlaps(queries: dict[str, str], texts: dict[str, str], depth: int) -> Run:
    """The documents that share most words with each query: whole numbers, so nearly all tied."""
    holders: dict[str, list[str]] = {}
    for name, text in texts.items():
        for word in set(re.findall(r"\w+", text.lower())):
            holders.setdefault(word, []).append(name)
    run: Run = {}
    for query, text in queries.items():
        shared: Counter[str] = Counter()
        for word in set(re.findall(r"\w+", text.lower())):
            shared.update(holders.get(word, ()))
        # A cut within a tie is made as trec_eval orders, or the two would score other documents.
        best = sorted(shared, key=lambda name: (shared[name], name), reverse=True)[:depth]
        run[query] = {name: float(shared[name]) for name in best}
    return run


def test_hand_values() -> None:
    grades = [[0, 2, 1, 0]]
    best = 3 + 2 / np.log2(3) + 1 / 2
    gained = 2 / np.log2(3) + 1 / 2
    assert metrics.ndcg(grades, [[3, 2, 1]], 10)[0] == pytest.approx(gained / best)
    assert metrics.average_precision_at(grades, [3], 10)[0] == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert metrics.reciprocal_rank(grades, 10)[0] == 0.5
    assert metrics.reciprocal_rank(grades, 1)[0] == 0
    assert metrics.recall(grades, [3], 2)[0] == pytest.approx(1 / 3)
    assert metrics.precision(grades, 10)[0] == pytest.approx(0.2)


def test_an_empty_search_scores_zero() -> None:
    nothing = np.zeros((2, 0))
    assert not metrics.ndcg(nothing, [[1.0], [0.0]], 10).any()
    assert not metrics.average_precision_at(nothing, [1, 0], 10).any()
    assert not metrics.reciprocal_rank(nothing, 10).any()
    assert not metrics.recall(nothing, [1, 0], 10).any()
    assert not metrics.precision(nothing, 10).any()


def test_the_ideal_ranking_scores_one_and_more_padding_changes_nothing() -> None:
    ideal = np.array([[3.0, 1, 1], [2, 0, 0]])
    padded = np.pad(ideal, ((0, 0), (0, 40)))
    np.testing.assert_allclose(metrics.ndcg(ideal, ideal, 10), 1)
    np.testing.assert_allclose(metrics.ndcg(padded, ideal, 10), 1)
    np.testing.assert_allclose(metrics.ndcg(ideal, padded, 2), 1)


def test_rankings_that_do_not_fit_are_refused_with_what_was_found() -> None:
    with pytest.raises(ValueError, match="k is 0, expected at least 1"):
        metrics.precision([[1.0]], 0)
    with pytest.raises(ValueError, match=r"shape \[2\], expected \[queries, ranks\]"):
        metrics.ndcg([1.0, 0.0], [[1.0]], 10)
    with pytest.raises(ValueError, match="2 queries are scored against 1"):
        metrics.recall([[1.0], [0.0]], [1], 10)
    with pytest.raises(ValueError, match="1 queries are scored against 2"):
        metrics.ndcg([[1.0]], [[1.0], [1.0]], 10)
