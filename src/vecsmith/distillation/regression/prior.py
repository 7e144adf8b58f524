"""Where the regression starts: rows from a token's states in texts and from the token alone.

With s[t] the sum of the states of token t in n[t] places, each over the length of its text's
pooled vector, and v[t] the vector of the token alone:

    r    = mean over t with n[t] > c of |s[t] / n[t]|, over the mean of |v[t]|
    m[t] = (s[t] + k r v[t]) / (n[t] + k)
    b[t] = a / (a + p[t]) m[t],   p[t] = (n[t] + 1) / (sum n + V)

A token that texts hold often has the mean of its states, a rare one its own vector at their scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.distillation.weighting import count_probabilities, sif_weights

_ROWS_A_BLOCK = 8192


def mix_states(
    sums: NDArray[np.floating[Any]],
    counts: NDArray[np.int64],
    isolated: FloatArray,
    *,
    shrinkage: float,
    common_count: int,
) -> Iterator[tuple[slice, FloatArray]]:
    """Means of states in texts shrunk to vectors of tokens alone: some rows of m at a time.

    Args:
        sums: Of states in texts, [V, D].
        counts: How many states, [V].
        isolated: Vectors of the tokens alone, [V, D].
        shrinkage: k above.
        common_count: c above; if no token was seen so often, those that were seen at all.

    Yields:
        Which rows, and the rows, float32.
    """
    scale = _state_scale(sums, counts, isolated, common_count)
    total = counts.astype(np.float64) + shrinkage
    total[total == 0] = 1.0
    for start in range(0, len(sums), _ROWS_A_BLOCK):
        rows = slice(start, start + _ROWS_A_BLOCK)
        block = sums[rows] + np.float32(shrinkage * scale) * isolated[rows]
        block /= total[rows, None].astype(np.float32)
        yield rows, block.astype(np.float32, copy=False)


def _state_scale(
    sums: NDArray[np.floating[Any]],
    counts: NDArray[np.int64],
    isolated: FloatArray,
    common_count: int,
) -> float:
    """The scale r above; 1 where nothing was seen or no token has a vector."""
    chosen = counts > common_count
    if not chosen.any():
        chosen = counts > 0
    lengths = _row_lengths(isolated)
    alone = float(lengths.mean()) if len(lengths) else 0.0
    if not chosen.any() or alone == 0.0:
        return 1.0
    return float((_row_lengths(sums)[chosen] / counts[chosen]).mean()) / alone


def _row_lengths(rows: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    lengths = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), _ROWS_A_BLOCK):
        block = rows[start : start + _ROWS_A_BLOCK]
        lengths[start : start + _ROWS_A_BLOCK] = np.linalg.norm(block.astype(np.float64), axis=1)
    return lengths


def weigh_rows(
    rows: FloatArray, counts: NDArray[np.int64], coefficient: float | None
) -> FloatArray:
    """`rows` [V, D], each times a / (a + p) of its token, in place; None for `coefficient`: as is.

    Args:
        rows: Of the tokens.
        counts: How often each was seen, [V].
        coefficient: a above.
    """
    if coefficient is not None:
        probabilities = count_probabilities(counts.astype(np.float64))
        rows *= sif_weights(probabilities, coefficient).astype(np.float32)[:, None]
    return rows
