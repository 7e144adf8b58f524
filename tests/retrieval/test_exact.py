"""Exact search against a sort of all similarities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vecsmith.retrieval import Similarity, exact, search


def sorted_search(
    queries: NDArray[np.float32], documents: NDArray[np.float32], k: int
) -> NDArray[np.int64]:
    """By definition: every dot product, by score and then by place."""
    scores = queries @ documents.T
    order = np.lexsort((np.broadcast_to(np.arange(len(documents)), scores.shape), -scores))
    return order[:, :k]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 9),
    st.integers(1, 60),
    st.integers(1, 70),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
)
def test_ties_go_to_the_lower_place_in_blocks_of_any_size(
    n_queries: int, n_documents: int, k: int, dim: int, seed: int
) -> None:
    # small integers: most scores tie, and every product is exact
    generator = np.random.default_rng(seed)
    queries = generator.integers(-2, 3, (n_queries, dim)).astype(np.float32)
    documents = generator.integers(-2, 3, (n_documents, dim)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_BLOCK_DOCUMENTS", int(generator.integers(1, 30)))
        patch.setattr(exact, "_BLOCK_SCORES", int(generator.integers(1, 100)))
        places, scores = search(queries, documents, k, similarity="dot")
    n_found = min(k, n_documents)
    assert (places[:, :n_found] == sorted_search(queries, documents, k)).all()
    assert (places[:, n_found:] == -1).all()
    assert np.isneginf(scores[:, n_found:]).all()
    expected = np.take_along_axis(queries @ documents.T, places[:, :n_found], axis=1)
    assert (scores[:, :n_found] == expected).all()


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_scores_are_those_of_float64(similarity: Similarity) -> None:
    generator = np.random.default_rng(3)
    queries, documents = generator.normal(size=(7, 33)), generator.normal(size=(500, 33))
    _, scores = search(queries, documents, 20, similarity=similarity)
    expected = queries @ documents.T
    if similarity == "cosine":
        lengths = [np.linalg.norm(rows, axis=1) for rows in (queries, documents)]
        expected = expected / np.outer(*lengths)
    elif similarity == "euclidean":
        expected = -np.linalg.norm(queries[:, None] - documents[None], axis=2)
    assert np.allclose(scores, -np.sort(-expected, axis=1)[:, :20], atol=1e-5)


def test_a_vector_of_zeros_has_cosine_zero_with_all() -> None:
    _, scores = search(np.zeros((1, 4)), np.eye(4), 4)
    assert (scores == 0).all()
    places, _ = search(np.ones((1, 2)), np.array([[0.0, 0.0], [-1.0, -1.0], [1.0, 0.0]]), 3)
    assert places.tolist() == [[2, 0, 1]]


def test_there_may_be_no_documents_or_no_queries() -> None:
    places, _ = search(np.ones((2, 3)), np.ones((0, 3)), 4)
    assert (places == -1).all()
    assert search(np.ones((0, 3)), np.ones((5, 3)), 4)[0].shape == (0, 4)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="queries have 3 dims and documents 4"):
        search(np.ones((1, 3)), np.ones((1, 4)), 1)
    with pytest.raises(ValueError, match="k is 0, expected 1 or more"):
        search(np.ones((1, 3)), np.ones((1, 3)), 0)
    with pytest.raises(ValueError, match=r"queries have shape \[3\]"):
        search(np.ones(3), np.ones((1, 3)), 1)
    with pytest.raises(ValueError, match="similarity 'l2'"):
        search(np.ones((1, 3)), np.ones((1, 3)), 1, similarity="l2")  # type: ignore[arg-type]
