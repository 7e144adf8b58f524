"""How alike two models rank the same texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Means over queries.

    Attributes:
        overlap: Share of the teacher's k nearest texts that are among the student's k nearest.
        first_found: Share of queries whose nearest text by the teacher is among the student's k.
        spearman: Rank correlation of the similarities of all texts.
        k: How many nearest texts count.
        chance: `overlap` of a student that ranks at random.
    """

    overlap: float
    first_found: float
    spearman: float
    k: int
    chance: float


def agreement(
    teacher: tuple[Vectors, Vectors],
    student: tuple[Vectors, Vectors],
    *,
    own: NDArray[np.int64],
    k: int = 10,
) -> Agreement:
    """Agreement of the student's ranking of texts with the teacher's.

    Args:
        teacher: Unit vectors of queries [Q, D] and of texts [N, D].
        student: The same queries and texts by the student, of its own dimension.
        own: Row of each query among the texts, left out of its ranking; -1 where it is none.
        k: How many nearest texts count.
    """
    theirs, ours = (_similarities(queries, texts, own) for queries, texts in (teacher, student))
    nearest_theirs = np.argsort(-theirs, axis=1, kind="stable")[:, :k]
    nearest_ours = np.argsort(-ours, axis=1, kind="stable")[:, :k]
    pairs = list(zip(nearest_theirs, nearest_ours, strict=True))
    return Agreement(
        overlap=float(np.mean([len(np.intersect1d(a, b)) / k for a, b in pairs])),
        first_found=float(np.mean([a[0] in b for a, b in pairs])),
        spearman=float(np.mean([_spearman(a, b) for a, b in zip(theirs, ours, strict=True)])),
        k=k,
        chance=k / theirs.shape[1],
    )


def _similarities(queries: Vectors, texts: Vectors, own: NDArray[np.int64]) -> NDArray[Any]:
    similarities = queries @ texts.T
    rows = np.flatnonzero(own >= 0)
    similarities[rows, own[rows]] = -2.0  # below any cosine: last for both models
    return similarities


def _spearman(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Spearman's correlation; equal float values are too rare among cosines to need mean ranks."""
    ranks_a, ranks_b = (np.argsort(np.argsort(values, kind="stable")) for values in (a, b))
    return float(np.corrcoef(ranks_a, ranks_b)[0, 1])
