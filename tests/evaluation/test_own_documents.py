"""Queries that are documents themselves, as in ArguAna: held against trec_eval's own code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval

from tests.evaluation.conftest import sentence, write_rows
from vecsmith import StaticModel, evaluate
from vecsmith.evaluation import Bm25

N_DOCUMENTS = 40


class Alone:
    """The tiny model in one role, so that a query lies where the document does."""

    def __init__(self, model: StaticModel) -> None:
        self.model = model

    def encode(self, texts: Sequence[str], /) -> Any:
        return self.model.encode(texts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A corpus whose first 25 documents are the queries, each with three others to find."""
    generator = np.random.default_rng(3)
    documents = [{"id": f"x{i}", "text": sentence(generator)} for i in range(N_DOCUMENTS)]
    judged = [
        {"query_id": f"x{i}", "doc_id": f"x{place}", "relevance": 1}
        for i in range(25)
        for place in generator.choice([p for p in range(N_DOCUMENTS) if p != i], 3, replace=False)
    ]
    write_rows(tmp_path / "search" / "corpus.jsonl", documents)
    write_rows(tmp_path / "search" / "queries.jsonl", documents[:25])
    write_rows(tmp_path / "search" / "qrels.jsonl", judged)
    return tmp_path / "search"


def expected(folder: Path, model: Alone, *, own: bool) -> float:
    """nDCG@10 with the run that trec_eval is given, as MTEB gives it: without the own ids."""
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.jsonl").read_text().splitlines():
        row = json.loads(line)
        qrels.setdefault(row["query_id"], {})[row["doc_id"]] = row["relevance"]
    vectors = model.encode([row["text"] for row in rows])
    ids = [row["id"] for row in rows]
    run = {
        query: {
            id_: float(score) for id_, score in zip(ids, row, strict=True) if own or id_ != query
        }
        for query, row in zip(ids[:25], vectors[:25] @ vectors.T, strict=True)
    }
    found = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10"}).evaluate(run)
    return float(np.mean([each["ndcg_cut_10"] for each in found.values()]))


def test_the_document_that_is_the_query_is_ranked_unless_the_set_says_not(
    folder: Path, tiny_model: StaticModel
) -> None:
    model = Alone(tiny_model)
    with_own = evaluate(model, folder, measure_speed=False).tasks["search"]
    (folder / "task.toml").write_text("ignore_identical_ids = true")
    without = evaluate(model, folder, measure_speed=False).tasks["search"]
    assert with_own.score() == pytest.approx(expected(folder, model, own=True), abs=1e-9)
    assert without.score() == pytest.approx(expected(folder, model, own=False), abs=1e-9)
    assert without.score() > with_own.score()
    assert without.neighbors is not None
    assert not (without.neighbors == np.arange(25)[:, None]).any()


def test_word_baselines_leave_it_out_too(folder: Path) -> None:
    with_own = evaluate(Bm25(), folder, measure_speed=False).tasks["search"]
    (folder / "task.toml").write_text("ignore_identical_ids = true")
    without = evaluate(Bm25(), folder, measure_speed=False).tasks["search"]
    assert without.score() > with_own.score()
    assert without.neighbors is not None
    assert not (without.neighbors == np.arange(25)[:, None]).any()
