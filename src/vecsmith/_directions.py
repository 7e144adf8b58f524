"""Directions of vectors, the most important first, so that a prefix is the best of its size.

Vectors of texts are taken as they are: with their mean taken away the dimension all texts share is
lost, and in distillation with it a point of quality.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def principal_directions(
    moment: NDArray[np.float64], dim: int | float | None
) -> tuple[NDArray[np.float64], float]:
    """Columns to project vectors on, float64 [D, K], and the share of their size that is kept.

    Args:
        moment: Sum of outer products of the vectors, [D, D].
        dim: How many columns; a share between 0 and 1 takes as many as keep it; None keeps the
            vectors as they are.
    """
    if dim is None:
        return np.eye(len(moment)), 1.0
    sizes, directions = np.linalg.eigh(moment)
    sizes = np.maximum(sizes[::-1], 0.0)
    directions = directions[:, ::-1]
    total = float(sizes.sum())
    if isinstance(dim, float):
        shares = np.cumsum(sizes) / max(total, np.finfo(float).tiny)
        dim = min(int(np.searchsorted(shares, dim)) + 1, len(sizes))
    kept = np.ascontiguousarray(fix_signs(directions[:, :dim]))
    return kept, float(sizes[:dim].sum() / total) if total > 0 else 1.0


def fix_signs(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """`columns`, each turned so that its value of largest size is positive."""
    largest = columns[np.abs(columns).argmax(axis=0), np.arange(columns.shape[1])]
    turned: NDArray[np.float64] = columns * np.where(largest < 0, -1.0, 1.0)
    return turned
