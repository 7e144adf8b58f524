"""BM25 and TF-IDF against bm25s, scikit-learn and the formulas in float64."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import bm25s
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from vecsmith.evaluation.baselines import lexical
from vecsmith.evaluation.baselines.lexical import Bm25, Tfidf
from vecsmith.evaluation.baselines.terms import TermSplitter

BOTH: tuple[Bm25 | Tfidf, ...] = (Bm25(), Tfidf())
WORDS = [f"w{i}" for i in range(300)]


def texts_of(n: int, length: int, seed: int) -> list[str]:
    """Texts whose words are as unevenly used as in a language."""
    generator = np.random.default_rng(seed)
    chances = 1 / np.arange(1, len(WORDS) + 1)
    lengths = generator.integers(0, 2 * length, size=n)
    return [
        " ".join(generator.choice(WORDS, size=size, p=chances / chances.sum())) for size in lengths
    ]


DOCUMENTS, QUERIES = texts_of(400, 30, 0), texts_of(40, 4, 1)


def bm25_by_hand(query: str, documents: Sequence[str], k1: float, b: float) -> list[float]:
    """Robertson and Zaragoza's formula with Lucene's idf, in Python's floats."""
    split = TermSplitter("en")
    counts = [Counter(split(document)) for document in documents]
    mean_length = sum(map(Counter.total, counts)) / len(counts)
    scores = [0.0] * len(documents)
    for term in split(query):
        n = sum(term in count for count in counts)
        idf = math.log(1 + (len(documents) - n + 0.5) / (n + 0.5))
        for i, count in enumerate(counts):
            if term not in count:
                continue
            held_back = k1 * (1 - b + b * count.total() / mean_length)
            scores[i] += idf * count[term] / (count[term] + held_back)
    return scores


def assert_ranks(places: NDArray[np.int32], scores: Sequence[float]) -> None:
    """Whether `places` are the best by `scores`, those of 0 left out, ties to the lower place."""
    rounded = np.round(np.asarray(scores), 5)
    found = places[places >= 0]
    assert len(found) == min(len(places), np.count_nonzero(rounded))
    assert np.array_equal(rounded[found], np.sort(rounded)[::-1][: len(found)])
    ties = np.flatnonzero(np.diff(np.asarray(scores, dtype=np.float32)[found]) == 0)
    assert (found[ties] < found[ties + 1]).all()
    assert (places[len(found) :] == -1).all()


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.0, 0.0), (1.5, 1.0)])
def test_bm25_is_the_formula(k1: float, b: float) -> None:
    places, scores = Bm25(k1=k1, b=b).rank(QUERIES, DOCUMENTS, 400, "en")
    for query, row, row_scores in zip(QUERIES, places, scores, strict=True):
        expected = bm25_by_hand(query, DOCUMENTS, k1, b)
        assert_ranks(row, expected)
        found = row[row >= 0]
        assert np.allclose(row_scores[: len(found)], np.array(expected)[found], rtol=1e-5)


def test_bm25_is_what_bm25s_retrieves(shared_data: Path) -> None:
    documents = pq.read_table(shared_data / "med" / "corpus.parquet")["text"].to_pylist()
    queries = pq.read_table(shared_data / "med" / "queries.parquet")["text"].to_pylist()
    split = TermSplitter("en")
    index = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    index.index([split(document) for document in documents], show_progress=False)
    _, expected = index.retrieve([split(query) for query in queries], k=100, show_progress=False)
    places, scores = Bm25().rank(queries, documents, 100, language="en")
    # bm25s fills up with documents that do not match, at score 0
    assert np.allclose(np.maximum(scores, 0), expected, rtol=1e-5)
    for query, row in zip(queries, places, strict=True):
        assert_ranks(row, index.get_scores(split(query)).tolist())


def test_tfidf_is_scikit_learns() -> None:
    vectorizer = TfidfVectorizer(analyzer=TermSplitter("en"), sublinear_tf=True)
    vectors = vectorizer.fit_transform(DOCUMENTS)
    expected = (vectorizer.transform(QUERIES) @ vectors.T).toarray()
    places, scores = Tfidf().rank(QUERIES, DOCUMENTS, 50, "en")
    for row, row_scores, all_scores in zip(places, scores, expected, strict=True):
        assert_ranks(row, all_scores.tolist())
        found = row[row >= 0]
        assert np.allclose(row_scores[: len(found)], all_scores[found], atol=1e-6)


@pytest.mark.parametrize("baseline", BOTH, ids=lambda b: b.name)
def test_the_best_k_are_the_first_k_of_all(baseline: Bm25 | Tfidf) -> None:
    everything, all_scores = baseline.rank(QUERIES, DOCUMENTS, 500)
    for k in (1, 7, 399, 400):
        places, scores = baseline.rank(QUERIES, DOCUMENTS, k)
        assert np.array_equal(places, everything[:, :k])
        assert np.array_equal(scores, all_scores[:, :k])


@pytest.mark.parametrize("baseline", BOTH, ids=lambda b: b.name)
def test_equal_documents_are_ranked_in_order_of_place(baseline: Bm25 | Tfidf) -> None:
    documents = ["a dog", "the cat sat", "a cat", "the cat sat", "the cat sat"] * 20
    places, scores = baseline.rank(["cat sat"], documents, 30)
    sat = [i for i, document in enumerate(documents) if "sat" in document]
    assert places[0].tolist() == sat[:30]
    assert len(set(scores[0].tolist())) == 1


@pytest.mark.parametrize("baseline", BOTH, ids=lambda b: b.name)
def test_a_document_that_shares_no_term_is_not_ranked(baseline: Bm25 | Tfidf) -> None:
    documents = ["the cat", "", "a dog", "?!", "cats and dogs"]
    places, scores = baseline.rank(["dog", "house", "", "cat?"], documents, 3, "en")
    assert sorted(places[0].tolist()) == [-1, 2, 4]
    assert places[1].tolist() == places[2].tolist() == [-1, -1, -1]
    assert sorted(places[3].tolist()) == [-1, 0, 4]
    assert np.array_equal(np.isneginf(scores), places == -1)
    assert places.dtype == np.int32
    assert scores.dtype == np.float32


@pytest.mark.parametrize("baseline", BOTH, ids=lambda b: b.name)
@pytest.mark.parametrize("documents", [[], [""], ["", "..."]])
def test_documents_without_words_are_no_trouble(
    baseline: Bm25 | Tfidf, documents: list[str]
) -> None:
    places, _ = baseline.rank(["the cat", ""], documents, 2)
    assert (places == -1).all()
    train, test = baseline.features(documents, ["the cat"])
    assert train.shape[0] == len(documents)
    assert test.shape[0] == 1
    assert train.nnz == test.nnz == 0


@pytest.mark.parametrize("baseline", BOTH, ids=lambda b: b.name)
def test_small_blocks_of_queries_change_nothing(
    baseline: Bm25 | Tfidf, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = baseline.rank(QUERIES, DOCUMENTS, 10)
    for size in (1, 100, 1000):
        monkeypatch.setattr(lexical, "_BLOCK", size)
        parts = baseline.rank(QUERIES, DOCUMENTS, 10)
        assert np.array_equal(parts[0], whole[0])
        assert np.array_equal(parts[1], whole[1])


def test_bm25_features_are_the_weights_of_bm25s_at_unit_length() -> None:
    split = TermSplitter("en")
    index = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    index.index([split(document) for document in DOCUMENTS], show_progress=False)
    train, test = Bm25().features(DOCUMENTS, DOCUMENTS[:10], "en")
    for row in (*range(10), 250):
        weights = [index.get_scores([word])[row] for word in WORDS]
        length = math.sqrt(sum(weight**2 for weight in weights)) or 1.0
        expected = np.sort([weight / length for weight in weights if weight > 0])
        assert np.allclose(np.sort(train[row].data), expected, atol=1e-6)
    assert abs(test - train[:10]).max() < 1e-7  # a text of the same words has the same features


def test_features_of_a_new_text_do_not_depend_on_the_other_new_texts() -> None:
    for baseline in BOTH:
        train, alone = baseline.features(DOCUMENTS, [QUERIES[3]], language="en")
        again, together = baseline.features(DOCUMENTS, QUERIES, language="en")
        assert abs(together[3] - alone[0]).max() == 0
        assert abs(train - again).max() == 0


@pytest.mark.parametrize("baseline", BOTH, ids=lambda b: b.name)
def test_features_tell_sentiment_better_than_chance(
    baseline: Bm25 | Tfidf, shared_data: Path
) -> None:
    rows = pq.read_table(shared_data / "cr" / "data.parquet", filters=[("split", "=", "train")])
    order = np.random.default_rng(0).permutation(len(rows))  # the file has one label after another
    texts, labels = (rows.take(order)[name].to_pylist() for name in ("text", "label"))
    train, test = baseline.features(texts[:2000], texts[2000:], language="en")
    classifier = LogisticRegression(max_iter=1000).fit(train, labels[:2000])
    guess = max(Counter(labels[2000:]).values()) / len(labels[2000:])
    assert classifier.score(test, labels[2000:]) > guess + 0.08


def test_tfidf_of_pairs_is_the_cosine_of_scikit_learns_vectors() -> None:
    first, second = DOCUMENTS[:200], [*DOCUMENTS[200:399], DOCUMENTS[199]]
    vectors = TfidfVectorizer(analyzer=TermSplitter(None), sublinear_tf=True)
    rows = vectors.fit_transform([*first, *second]).toarray()
    expected = (rows[:200] * rows[200:]).sum(axis=1)
    assert np.allclose(Tfidf().pairs(first, second), expected, atol=1e-6)
    assert Tfidf().pairs(["a cat", "", ""], ["the dog", "", "cat"]).tolist() == [0, 0, 0]
    assert Tfidf().pairs([], []).tolist() == []
    with pytest.raises(ValueError, match="2 and 1 texts, expected as many of both"):
        Tfidf().pairs(["a", "b"], ["c"])


def test_korean_is_found_whatever_particle_a_word_carries() -> None:
    documents = ["고양이가 소파에서 잔다", "강아지는 마당에서 뛴다", "기차가 역을 떠났다"]
    for baseline in BOTH:
        places, _ = baseline.rank(["고양이는 어디에", "강아지를", "역으로"], documents, 1, "ko")
        assert places[:, 0].tolist() == [0, 1, 2]


def test_a_fingerprint_tells_settings_apart() -> None:
    prints = [
        Bm25().fingerprint,
        Bm25(k1=1.5).fingerprint,
        Bm25(b=0.7).fingerprint,
        Tfidf().fingerprint,
    ]
    assert len(set(prints)) == 4
    assert Bm25().fingerprint == Bm25(k1=1.2, b=0.75).fingerprint


def test_a_ranking_of_no_documents_is_refused() -> None:
    for baseline in BOTH:
        with pytest.raises(ValueError, match="k is 0, expected at least 1"):
            baseline.rank(["a"], ["a"], 0)
