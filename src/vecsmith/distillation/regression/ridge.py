"""Ridge regression of a sparse matrix towards a prior, by conjugate gradients.

Minimises |Y - X E|^2 + sum over t of lam[t] |E[t] - B[t]|^2, that is, solves

    (X'X + diag(lam)) D = X'Y - X'X B,   E = B + D,

Hestenes & Stiefel (1952) with the diagonal as preconditioner (Jacobi), all columns at once and a
step length for each: the same as one run a column, without the normal matrix ever being there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray

_ROWS_A_BLOCK = 8192


def penalties(
    column_squares: NDArray[np.float64], *, ridge: float, growth: float
) -> NDArray[np.float64]:
    """lam[t] = ridge + growth * sqrt(sum over texts of X[i, t]^2), float64 [V]."""
    found: NDArray[np.float64] = ridge + growth * np.sqrt(column_squares)
    return found


def solve_ridge(
    gram: Callable[[FloatArray], FloatArray],
    correlations: FloatArray,
    prior: FloatArray,
    lam: NDArray[np.float64],
    column_squares: NDArray[np.float64],
    *,
    n_steps: int,
    gram_prior: FloatArray | None = None,
    advance: Callable[[int], object] | None = None,
) -> tuple[FloatArray, list[float]]:
    """The table E, float32 [V, K], and the relative residual before each step and after the last.

    Args:
        gram: X'X times a table.
        correlations: X'Y, [V, K].
        prior: B, [V, K].
        lam: Pull of each row towards the prior, above 0, [V].
        column_squares: Diagonal of X'X, [V].
        n_steps: Steps; 0 gives the prior.
        gram_prior: X'X B, if it is known.
        advance: Called with 1 after each step.
    """
    residual = correlations - (gram(prior) if gram_prior is None else gram_prior)
    pull = lam.astype(np.float32)[:, None]
    scale = (1.0 / (column_squares + lam)).astype(np.float32)[:, None]
    moved = np.zeros_like(prior)
    direction = scale * residual
    size = _products(residual, direction)
    first = float(np.sqrt(_products(residual, residual).sum()))
    sizes = [1.0 if first > 0 else 0.0]
    for _ in range(n_steps):
        image = gram(direction)
        image += pull * direction
        steps = _ratio(size, _products(direction, image))
        moved += steps * direction
        residual -= steps * image
        better = scale * residual
        size_now = _products(residual, better)
        direction *= _ratio(size_now, size)
        direction += better
        size = size_now
        left = float(np.sqrt(_products(residual, residual).sum()))
        sizes.append(left / first if first > 0 else 0.0)
        if advance is not None:
            advance(1)
    moved += prior
    return moved, sizes


def _products(left: FloatArray, right: FloatArray) -> NDArray[np.float64]:
    """Inner products of columns, float64 [K]: in float32 a million rows would lose digits."""
    found = np.zeros(left.shape[1])
    for start in range(0, len(left), _ROWS_A_BLOCK):
        rows = slice(start, start + _ROWS_A_BLOCK)
        found += np.einsum("tk,tk->k", left[rows], right[rows])
    return found


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float32]:
    """Ratios of columns, 0 where a column is solved and both are nothing."""
    done = below <= 0
    found: NDArray[np.float32] = np.where(done, 0.0, above / np.where(done, 1.0, below)).astype(
        np.float32
    )
    return found
