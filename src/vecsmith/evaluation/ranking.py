"""Retrieval: documents ranked for queries, and the figures of a ranking.

The one rule: equal scores are ranked by descending document id, as trec_eval ranks them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.evaluation import metrics
from vecsmith.evaluation.tasks import RetrievalData
from vecsmith.results import Scores
from vecsmith.retrieval import Similarity, search

# Documents ranked for each query: what MTEB takes, and enough for MAP
DEPTH = 1000
N_NEIGHBORS = 10
Figures = dict[str, NDArray[np.float64]]

_NDCG_AT = (1, 3, 5, 10, 20, 100)
_MAP_AT = (10, 100, DEPTH)
_MRR_AT = (10, DEPTH)
_RECALL_AT = (1, 5, 10, 100)
_PRECISION_AT = (1, 3, 5, 10)
# Grades of so many queries are held at once: 33 MB
_BLOCK_QUERIES = 4096


def rank_documents(
    collection: RetrievalData,
    queries: FloatArray,
    documents: FloatArray,
    similarity: Similarity = "cosine",
) -> NDArray[np.int32]:
    """Places of the best documents of each query, int32 [Q, DEPTH at most].

    Args:
        collection: The task.
        queries: Vectors, [Q, D].
        documents: Vectors in the order of the corpus, [N, D].
        similarity: What ranks them.
    """
    order = id_order(collection)
    depth = max(1, min(DEPTH, len(order)))
    found, _ = search(queries, documents[order], depth, similarity=similarity)
    return in_corpus(collection, found, order)


def id_order(collection: RetrievalData) -> NDArray[np.int64]:
    """Places of the documents in descending order of their ids."""
    ids = collection.document_ids
    return np.array(sorted(range(len(ids)), key=ids.__getitem__, reverse=True), dtype=np.int64)


def in_corpus(
    collection: RetrievalData, found: NDArray[np.int32], order: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Places among documents in `order` as places in the corpus; -1 stays.

    What is a query itself goes, where the task says so: MTEB, too, takes it out of the ranking.
    """
    if not len(order):
        return np.full_like(found, -1)
    places: NDArray[np.int32] = np.where(found < 0, -1, order[found]).astype(np.int32)
    if collection.own_documents is not None:
        own = (places == collection.own_documents[:, None]) & (places >= 0)
        for query in np.flatnonzero(own.any(axis=1)):
            others = places[query, ~own[query]]
            places[query] = np.append(others, -1)
    return places


def score_ranking(collection: RetrievalData, places: NDArray[np.int32], metric: str) -> Scores:
    """Figures of a ranking, int32 [Q, K] of places in the corpus, -1 for none.

    The items are the values of `metric` of the queries that have a relevant document; the others
    could score nothing but 0 and are left out.
    """
    judgements = _Judgements(collection)
    blocks = [
        _values(judgements, start, places[start : start + _BLOCK_QUERIES])
        for start in range(0, max(1, len(places)), _BLOCK_QUERIES)
    ]
    values = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    figures = {name: float(rows.mean()) if len(rows) else 0.0 for name, rows in values.items()}
    return Scores(figures=figures, items=values[metric])


def answerable_queries(collection: RetrievalData) -> NDArray[np.int64]:
    """Places of the queries with a relevant document, ascending: those that are items."""
    return np.unique(collection.judged_queries[collection.relevance > 0])


class _Judgements:
    """Grades by query and document, in order."""

    def __init__(self, collection: RetrievalData) -> None:
        self._n_documents = len(collection.documents)
        keys = collection.judged_queries * self._n_documents + collection.judged_documents
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._relevance = collection.relevance[order]

    def grades(self, first: int, places: NDArray[np.int32]) -> NDArray[np.float64]:
        """Grade of the document at each rank, 0 where it is unjudged or there is none, [Q, K].

        Args:
            first: The query of the first row of `places`.
            places: In the corpus, [Q, K].
        """
        if not len(self._keys):
            return np.zeros(places.shape)
        queries = np.arange(first, first + len(places), dtype=np.int64)
        asked = queries[:, None] * self._n_documents + places
        found = np.minimum(np.searchsorted(self._keys, asked), len(self._keys) - 1)
        grades: NDArray[np.float64] = np.where(
            (self._keys[found] == asked) & (places >= 0), self._relevance[found], 0.0
        )
        return grades

    def ideal(self, first: int, n_queries: int) -> NDArray[np.float64]:
        """Positive grades of each of `n_queries` queries, largest first, padded with 0, [Q, K']."""
        ends = np.array([first, first + n_queries]) * self._n_documents
        start, stop = np.searchsorted(self._keys, ends)
        good = np.flatnonzero(self._relevance[start:stop] > 0) + start
        queries = self._keys[good] // max(1, self._n_documents) - first
        relevance = self._relevance[good]
        order = np.lexsort((-relevance, queries))
        queries, relevance = queries[order], relevance[order]
        counts = np.bincount(queries, minlength=n_queries)
        ideal = np.zeros((n_queries, max(1, int(counts.max(initial=0)))))
        ranks = np.arange(len(queries)) - np.repeat(np.cumsum(counts) - counts, counts)
        ideal[queries, ranks] = relevance
        return ideal


def _values(judgements: _Judgements, first: int, places: NDArray[np.int32]) -> Figures:
    """Every figure of each query of a block that has a relevant document."""
    grades, ideal = judgements.grades(first, places), judgements.ideal(first, len(places))
    n_relevant = (ideal > 0).sum(axis=1)
    answerable = n_relevant > 0
    grades, ideal, n_relevant = grades[answerable], ideal[answerable], n_relevant[answerable]
    values: Figures = {f"ndcg@{k}": metrics.ndcg(grades, ideal, k) for k in _NDCG_AT}
    values |= {f"map@{k}": metrics.average_precision_at(grades, n_relevant, k) for k in _MAP_AT}
    values |= {f"mrr@{k}": metrics.reciprocal_rank(grades, k) for k in _MRR_AT}
    values |= {f"recall@{k}": metrics.recall(grades, n_relevant, k) for k in _RECALL_AT}
    values |= {f"precision@{k}": metrics.precision(grades, k) for k in _PRECISION_AT}
    return values
