"""Fewer, better dimensions: principal components, whitening, removal of the top components.

Pure functions of arrays. The covariance is summed in float64 and taken apart in float64, so the
result does not depend on threads or on the order of blocks beyond rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROWS_A_BLOCK = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """Rows in their principal components.

    Attributes:
        table: Rows, float32, shape [R, D], components in falling order of variance.
        explained: Share of the rows' variance that is kept, between 0 and 1.
    """

    table: NDArray[np.float32]
    explained: float


def reduce(
    table: NDArray[np.float32],
    dim: int | float | None,
    *,
    whitening: float = 0.0,
    remove_components: int = 0,
    center: bool = True,
    fit_rows: NDArray[np.bool_] | None = None,
) -> Reduction:
    """The rows of `table` in `dim` principal components.

    Args:
        table: Rows, shape [R, D].
        dim: How many components; a share of variance between 0 and 1 takes as many as explain
            it; None leaves the rows as they are.
        whitening: Power w: component k is divided by its standard deviation to the power w;
            0 leaves it, 1 gives every component unit variance.
        remove_components: How many of the strongest components are left out first.
        center: Whether the mean of the rows is taken away first.
        fit_rows: Which rows the components are fitted on; None for all.

    Raises:
        ValueError: If `dim` does not fit the table.
    """
    n_rows, n_columns = table.shape
    if dim is None:
        if whitening or remove_components:
            raise ValueError(
                f"whitening {whitening} and remove_components {remove_components} work on "
                "components, expected a dim; give the teacher's own to keep all"
            )
        return Reduction(table=table, explained=1.0)
    check_dim(dim, n_columns - remove_components, n_rows)
    rows = table if fit_rows is None else table[fit_rows]
    mean = rows.mean(axis=0, dtype=np.float64) if center else np.zeros(n_columns)
    variances, components = _components(rows, mean)
    total = variances.sum()
    if isinstance(dim, float):
        shares = np.cumsum(variances[remove_components:]) / max(total, np.finfo(float).tiny)
        n_kept = min(int(np.searchsorted(shares, dim)) + 1, n_columns - remove_components)
    else:
        n_kept = int(dim)
    kept = slice(remove_components, remove_components + n_kept)
    rotation = components[:, kept]
    if whitening:
        # variance that is nothing but rounding must not be blown up
        floor = max(float(variances[0]) * 1e-10, 1e-30)
        rotation = rotation * np.maximum(variances[kept], floor) ** (-whitening / 2)
    projected = _project(table, mean, rotation)
    _fix_signs(projected)
    return Reduction(
        table=projected,
        explained=float(variances[kept].sum() / total) if total > 0 else 1.0,
    )


def check_dim(dim: int | float, n_columns: int, n_rows: int | None = None) -> None:
    """Raises ValueError unless `dim` is a number of components there can be, or a share."""
    if isinstance(dim, bool) or not isinstance(dim, int | float | np.integer):
        raise TypeError(f"dim is {type(dim).__name__}, expected an int, a float or None")
    if isinstance(dim, float):
        if not 0 < dim < 1:
            raise ValueError(f"dim {dim}, expected an int, or a share of variance between 0 and 1")
        return
    if dim < 1:
        raise ValueError(f"dim {dim}, expected 1 or more")
    if dim > n_columns:
        raise ValueError(
            f"dim {dim} is more than the {n_columns} dimensions the teacher has left, "
            f"expected at most {n_columns}, or None to skip the reduction"
        )
    if n_rows is not None and dim >= n_rows:
        raise ValueError(
            f"dim {dim} needs more than {dim} tokens, the vocabulary has {n_rows}, "
            "expected fewer dimensions, or None to skip the reduction"
        )


def _components(
    rows: NDArray[np.float32], mean: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances, falling, and unit components as columns, of `rows` around `mean`."""
    n_columns = rows.shape[1]
    covariance = np.zeros((n_columns, n_columns))
    for start in range(0, len(rows), _ROWS_A_BLOCK):
        # products in float32 are twice as fast, and a block is short enough to lose nothing
        block = (rows[start : start + _ROWS_A_BLOCK] - mean).astype(np.float32)
        covariance += block.T @ block
    covariance /= max(1, len(rows) - 1)
    variances, components = np.linalg.eigh(covariance)
    return np.maximum(variances[::-1], 0.0), np.ascontiguousarray(components[:, ::-1])


def _project(
    table: NDArray[np.float32], mean: NDArray[np.float64], rotation: NDArray[np.float64]
) -> NDArray[np.float32]:
    projected = np.empty((len(table), rotation.shape[1]), dtype=np.float32)
    rotation32 = rotation.astype(np.float32)
    for start in range(0, len(table), _ROWS_A_BLOCK):
        block = (table[start : start + _ROWS_A_BLOCK] - mean).astype(np.float32)
        np.matmul(block, rotation32, out=projected[start : start + len(block)])
    return projected


def _fix_signs(projected: NDArray[np.float32]) -> None:
    """Turns each column, in place, so that its value of largest size is positive."""
    largest = np.zeros(projected.shape[1], dtype=np.float32)
    for start in range(0, len(projected), _ROWS_A_BLOCK):
        block = projected[start : start + _ROWS_A_BLOCK]
        best = block[np.abs(block).argmax(axis=0), np.arange(block.shape[1])]
        largest = np.where(np.abs(best) > np.abs(largest), best, largest)
    projected *= np.where(largest < 0, -1, 1).astype(np.float32)
