"""Baselines that match words: BM25 and TF-IDF, for retrieval, classification and pairs.

The one rule: both are inner products of sparse vectors, so texts that share no term have no score
and are not ranked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._typing import FloatArray
from vecsmith.evaluation.baselines.terms import TermSplitter, installed_version, splitter_versions

Ranking = tuple[NDArray[np.int32], FloatArray]

_PURPOSE: Final = "compare with baselines that match words"
_BLOCK: Final = 2**24  # scores held at once: 128 MiB with their places


class Bm25:
    """BM25 as Lucene has it, by bm25s: rare terms weigh ln(1 + (N - n + 0.5) / (n + 0.5)).

    Attributes:
        name: As shown.
        k1: How slowly the weight of a repeated term levels off.
        b: How much long documents are held back: 0 not at all, 1 fully.
        fingerprint: Hash of all that results depend on besides the texts and their language.
    """

    def __init__(self, *, k1: float = 1.2, b: float = 0.75) -> None:
        self.name = "BM25"
        self.k1 = k1
        self.b = b
        self.fingerprint = _fingerprint(self.name, {"k1": k1, "b": b}, ("bm25s", "scipy"))

    def rank(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        k: int,
        language: str | None = None,
    ) -> Ranking:
        """Places and scores of the best `k` documents of each query, best first.

        Args:
            queries: Q texts.
            documents: N texts.
            k: How many documents of each query.
            language: ISO 639-1 or 639-3 code, for stemming.

        Returns:
            Places, int32 [Q, k], ties in order of place, -1 where no further document shares a
            term with the query; scores, float32 [Q, k], -inf there.
        """
        terms = _Vocabulary(language)
        rows = terms.learn(documents)
        if terms.n_terms == 0:
            return _no_matches(len(queries), k)
        library = require("bm25s", extra="eval", purpose=_PURPOSE)
        index = library.BM25(k1=self.k1, b=self.b, method="lucene")
        index.index((rows, terms.ids), create_empty_token=False, show_progress=False)
        found = index.scores
        parts = (found["data"], found["indices"], found["indptr"])
        weights = _sparse().csc_matrix(parts, shape=(len(rows), terms.n_terms))
        return _best_matches(terms.counts(terms.find(queries)), weights, k)

    def features(
        self, train: Sequence[str], test: Sequence[str], language: str | None = None
    ) -> tuple[Any, Any]:
        """BM25 weights of the terms of each text, unit length, to fit classifiers on.

        How rare terms are and how long texts are is learnt from the `train` texts alone.

        Returns:
            Two scipy sparse matrices, float32 [N, V] and [M, V].
        """
        terms = _Vocabulary(language)
        known, new = terms.counts(terms.learn(train)), terms.counts(terms.find(test))
        n_containing = known.getnnz(axis=0)
        rarity = np.log1p((len(train) - n_containing + 0.5) / (n_containing + 0.5))
        mean_length = known.sum() / max(len(train), 1) or 1.0
        return (
            _unit(self._weights(known, rarity, mean_length)),
            _unit(self._weights(new, rarity, mean_length)),
        )

    def _weights(self, counts: Any, rarity: NDArray[np.float64], mean_length: float) -> Any:
        """The weights that documents get in bm25s, for texts that are not in an index."""
        lengths = np.asarray(counts.sum(axis=1)).ravel()
        held_back = self.k1 * (1 - self.b + self.b * lengths / mean_length)
        weights = counts.copy()
        of_text = np.repeat(held_back, np.diff(counts.indptr))
        weights.data = (rarity[counts.indices] * counts.data / (counts.data + of_text)).astype("f4")
        return weights


class Tfidf:
    """Cosine of TF-IDF vectors by scikit-learn: (1 + ln count) (1 + ln((1 + N) / (1 + n))).

    Attributes:
        name: As shown.
        fingerprint: Hash of all that results depend on besides the texts and their language.
    """

    def __init__(self) -> None:
        self.name = "TF-IDF"
        self.fingerprint = _fingerprint(self.name, {}, ("scikit-learn", "scipy"))

    def rank(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        k: int,
        language: str | None = None,
    ) -> Ranking:
        """Places and scores of the best `k` documents of each query, as `Bm25.rank`.

        How rare terms are is learnt from the documents alone.
        """
        documents_weighted, queries_weighted = self.features(documents, queries, language)
        return _best_matches(queries_weighted, documents_weighted, k)

    def features(
        self, train: Sequence[str], test: Sequence[str], language: str | None = None
    ) -> tuple[Any, Any]:
        """TF-IDF vectors of unit length, to fit classifiers on.

        How rare terms are is learnt from the `train` texts alone.

        Returns:
            Two scipy sparse matrices, float32 [N, V] and [M, V].
        """
        terms = _Vocabulary(language)
        known, new = terms.counts(terms.learn(train)), terms.counts(terms.find(test))
        if not known.nnz:  # scikit-learn refuses to learn from no texts
            return known, new
        text = require("sklearn.feature_extraction.text", extra="eval", purpose=_PURPOSE)
        weighting = text.TfidfTransformer(sublinear_tf=True).fit(known)
        return weighting.transform(known), weighting.transform(new) if len(test) else new

    def pairs(
        self, first: Sequence[str], second: Sequence[str], language: str | None = None
    ) -> NDArray[np.float64]:
        """Cosine of each text of `first` with that of `second` in its place, float64 [N].

        How rare terms are is learnt from all the texts given. 0 for texts that share no term.

        Raises:
            ValueError: If there are not as many of both.
        """
        if len(first) != len(second):
            raise ValueError(
                f"{len(first)} and {len(second)} texts, expected as many of both: they are pairs"
            )
        weighted, _ = self.features([*first, *second], [], language)
        products = weighted[: len(first)].multiply(weighted[len(first) :])
        return np.asarray(products.sum(axis=1), dtype=np.float64).ravel()


class _Vocabulary:
    """Terms of one language as numbers, in the order they are met."""

    def __init__(self, language: str | None) -> None:
        self.ids: dict[str, int] = {}
        self._split = TermSplitter(language)

    @property
    def n_terms(self) -> int:
        return len(self.ids)

    def learn(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of the terms of each text; new terms get one."""
        number = self.ids.setdefault
        return [[number(term, len(self.ids)) for term in self._split(text)] for text in texts]

    def find(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of the terms of each text; unknown terms are left out."""
        ids = self.ids
        return [[ids[term] for term in self._split(text) if term in ids] for text in texts]

    def counts(self, rows: list[list[int]]) -> Any:
        """How often each text has each term: scipy sparse rows, float32 [N, V], V at least 1."""
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        ends = np.concatenate([[0], np.cumsum(lengths)])
        flat = np.fromiter((id_ for row in rows for id_ in row), dtype=np.int32, count=ends[-1])
        ones = np.ones(len(flat), dtype=np.float32)
        shape = (len(rows), max(self.n_terms, 1))
        counts = _sparse().csr_matrix((ones, flat, ends), shape=shape)
        counts.sum_duplicates()
        return counts


def _best_matches(queries: Any, documents: Any, k: int) -> Ranking:
    """Best documents by inner product of sparse rows, [Q, V] and [N, V]."""
    places, scores = _no_matches(queries.shape[0], k)
    by_term = documents.T.tocsr()
    for begin, end in _blocks(queries, by_term):
        products = queries[begin:end] @ by_term
        for row in range(end - begin):
            part = slice(*products.indptr[row : row + 2])
            best, best_scores = _best(products.indices[part], products.data[part], k)
            places[begin + row, : len(best)] = best
            scores[begin + row, : len(best)] = best_scores
    return places, scores


def _no_matches(n_queries: int, k: int) -> Ranking:
    if k < 1:
        raise ValueError(f"k is {k}, expected at least 1")
    places = np.full((n_queries, k), -1, dtype=np.int32)
    return places, np.full((n_queries, k), -np.inf, dtype=np.float32)


def _blocks(queries: Any, by_term: Any) -> Iterator[tuple[int, int]]:
    """Ranges of queries whose scores fit in memory, however many documents match."""
    n_documents = by_term.shape[1]
    matches = np.diff(by_term.indptr)[queries.indices]
    sums = np.concatenate([[0], np.cumsum(matches, dtype=np.int64)])[queries.indptr]
    most = np.minimum(np.diff(sums), n_documents)
    begin, held = 0, 0
    for row, n_scores in enumerate(most.tolist()):
        if held and held + n_scores > _BLOCK:
            yield begin, row
            begin, held = row, 0
        held += n_scores
    if begin < len(most):
        yield begin, len(most)


def _best(places: NDArray[np.int32], scores: FloatArray, k: int) -> Ranking:
    if len(scores) > k:
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = np.flatnonzero(scores >= kth)  # with all that tie for the last place
        places, scores = places[kept], scores[kept]
    order = np.lexsort((places, -scores))[:k]
    return places[order], scores[order]


def _unit(rows: Any) -> Any:
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1), dtype=np.float64)).ravel()
    lengths[lengths == 0] = 1.0
    rows.data /= np.repeat(lengths, np.diff(rows.indptr)).astype(np.float32)
    return rows


def _sparse() -> Any:
    return require("scipy.sparse", extra="eval", purpose=_PURPOSE)


def _fingerprint(name: str, settings: dict[str, Any], libraries: tuple[str, ...]) -> str:
    versions = splitter_versions() | {library: installed_version(library) for library in libraries}
    told = json.dumps([name, settings, versions], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
