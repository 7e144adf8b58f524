"""Exact search: every query against every document, block by block.

The one rule: the answer does not depend on the blocks; equal scores go to the lower place.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vecsmith._similarity import similarity as similarities
from vecsmith._similarity import unit_rows
from vecsmith._typing import FloatArray

Similarity = Literal["cosine", "dot", "euclidean"]

# Scores held at once, 64 MB: beyond the caches, so that products are long, and no burden
_BLOCK_SCORES = 2**24
_BLOCK_DOCUMENTS = 2**16


def search(
    queries: NDArray[Any], documents: NDArray[Any], k: int, *, similarity: Similarity = "cosine"
) -> tuple[NDArray[np.int32], FloatArray]:
    """Places and scores of the `k` documents nearest to each query, best first.

    Both have shape [Q, k]; where there are fewer documents, the place is -1 and the score -inf.
    Documents of equal score come in the order of their places. A vector of zeros has cosine 0
    with all.

    Args:
        queries: Vectors, [Q, D].
        documents: Vectors, [N, D].
        k: How many to find, 1 or more.
        similarity: "cosine", "dot", or "euclidean" (the distance, negated).

    Raises:
        ValueError: If the shapes do not fit, `k` is below 1 or `similarity` is unknown.
    """
    left, right = _rows(queries, "queries"), _rows(documents, "documents")
    if left.shape[1] != right.shape[1]:
        raise ValueError(
            f"queries have {left.shape[1]} dims and documents {right.shape[1]}, "
            "expected as many of both"
        )
    if k < 1:
        raise ValueError(f"k is {k}, expected 1 or more")
    if similarity not in get_args(Similarity):
        raise ValueError(f"similarity {similarity!r}, expected one of {list(get_args(Similarity))}")
    places = np.full((len(left), k), -1, dtype=np.int32)
    scores = np.full((len(left), k), -np.inf, dtype=np.float32)
    left = _prepared(left, similarity)
    # of unit vectors the dot product is the cosine: each vector is scaled once, not once a block
    kind: Similarity = "dot" if similarity == "cosine" else similarity
    n_block = max(1, min(len(right), _BLOCK_DOCUMENTS))
    step = max(1, _BLOCK_SCORES // n_block)
    for start in range(0, len(right), n_block):
        block = _prepared(right[start : start + n_block], similarity)
        for first in range(0, len(left), step):
            rows = slice(first, first + step)
            found = similarities(left[rows], block, kind=kind)
            _merge(places[rows], scores[rows], *_best(found, k), start)
    return places, scores


def _rows(vectors: NDArray[Any], name: str) -> FloatArray:
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.ndim != 2:
        raise ValueError(f"{name} have shape {list(rows.shape)}, expected [N, D]")
    return rows


def _prepared(rows: FloatArray, similarity: Similarity) -> FloatArray:
    return unit_rows(rows) if similarity == "cosine" else rows


def _best(scores: FloatArray, k: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Places and scores of the `k` largest of each row, largest first, lower places first."""
    n = scores.shape[1]
    if k == 1:  # argmax takes the first of equals, and takes a tenth of the time
        first = scores.argmax(axis=1)[:, None]
        return first, np.take_along_axis(scores, first, axis=1)
    if k >= n:
        places = np.broadcast_to(np.arange(n), scores.shape)
    else:
        places = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        picked = np.take_along_axis(scores, places, axis=1)
        last = picked.min(axis=1, keepdims=True)
        # argpartition takes any of the documents that tie for the last place
        torn = np.flatnonzero((scores == last).sum(axis=1) > (picked == last).sum(axis=1))
        for row in torn:
            above = np.flatnonzero(scores[row] > last[row])
            level = np.flatnonzero(scores[row] == last[row])[: k - len(above)]
            places[row] = np.concatenate([above, level])
        places = np.sort(places, axis=1)
    picked = np.take_along_axis(scores, places, axis=1)
    order = np.argsort(-picked, axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(picked, order, axis=1)


def _merge(
    places: NDArray[np.int32],
    scores: FloatArray,
    new_places: NDArray[np.int64],
    new_scores: FloatArray,
    start: int,
) -> None:
    """Joins the best of a block that begins at `start` to the best so far, in place."""
    k = places.shape[1]
    both = np.concatenate([scores, new_scores], axis=1)
    # earlier blocks stand first and have lower places: a stable sort keeps the rule
    order = np.argsort(-both, axis=1, kind="stable")[:, :k]
    joined = np.concatenate([places, (new_places + start).astype(np.int32)], axis=1)
    places[:] = np.take_along_axis(joined, order, axis=1)
    scores[:] = np.take_along_axis(both, order, axis=1)
