"""Whitening by the student's own vectors of texts: strong directions shrink, weak ones grow.

Su et al., "Whitening Sentence Representations for Better Semantics and Faster Retrieval",
arXiv:2103.15316, with a power: E <- E W diag(S^(-w/2)), where S and W are the variances, falling,
and the principal directions of unit vectors of texts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecsmith._directions import fix_signs
from vecsmith._typing import FloatArray
from vecsmith.distillation.regression.count_rows import CountRows


def whitening(table: FloatArray, rows: CountRows, *, power: float, n_texts: int) -> FloatArray:
    """What to multiply `table` by to whiten it and keep its scale, float32 [K, K].

    Args:
        table: Rows of tokens, [V, K].
        rows: Texts; every n-th is taken.
        power: w above.
        n_texts: Most texts taken.
    """
    covariance = text_covariance(table, rows, n_texts)
    variances, directions = np.linalg.eigh(covariance)
    variances = np.maximum(variances[::-1], 0.0)
    # a direction that is nothing but rounding must not be blown up
    variances = np.maximum(variances, max(float(variances[0]) * 1e-10, 1e-30))
    turn = fix_signs(directions[:, ::-1]) * variances ** (-power / 2)
    # |table turn|^2 is a trace, so the turned table need not be there
    before = float(np.square(table, dtype=np.float64).sum())
    after = float(((table.T @ table) * (turn @ turn.T)).sum())
    scaled: FloatArray = (turn * (np.sqrt(before / after) if after > 0 else 1.0)).astype(np.float32)
    return scaled


def text_covariance(table: FloatArray, rows: CountRows, n_texts: int) -> NDArray[np.float64]:
    """Covariance of the unit vectors that `table` gives to at most `n_texts` texts, [K, K]."""
    step = -(-rows.n_texts // n_texts)
    n_columns = table.shape[1]
    total, moment, n_taken, n_before = np.zeros(n_columns), np.zeros((n_columns,) * 2), 0, 0
    for group in rows.groups():
        chosen = group[-n_before % step :: step]
        n_before += group.shape[0]
        vectors = chosen @ table
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors[lengths[:, 0] > 0] / lengths[lengths[:, 0] > 0]
        total += vectors.sum(axis=0, dtype=np.float64)
        moment += vectors.T @ vectors
        n_taken += len(vectors)
    mean = total / max(1, n_taken)
    covariance: NDArray[np.float64] = moment / max(1, n_taken) - np.outer(mean, mean)
    return covariance
