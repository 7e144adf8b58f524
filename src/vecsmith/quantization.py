"""Tables in fewer bytes: float16, or int8 with a scale for each row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray, TableDtype
from vecsmith.formats import Checkpoint


def with_dtype(checkpoint: Checkpoint, dtype: TableDtype) -> Checkpoint:
    """The checkpoint with its table rounded to `dtype`; int8 gets a scale for each row.

    Raises:
        ValueError: If `dtype` is unknown, or rows are too large for float16.
    """
    if checkpoint.table.dtype == np.dtype(_checked(dtype)):
        return checkpoint
    table, scales = quantize_rows(checkpoint.table, dtype)
    if scales is None:
        return replace(checkpoint, table=table)
    weights = scales if checkpoint.mapping is None else scales[checkpoint.mapping]
    if checkpoint.weights is not None:
        weights = weights * checkpoint.weights
    return replace(checkpoint, table=table, weights=weights)


def quantize_rows(table: NDArray[Any], dtype: TableDtype) -> tuple[NDArray[Any], FloatArray | None]:
    """`table` [R, D] in `dtype`, and for int8 the scale of each row, its largest size over 127.

    Raises:
        ValueError: If `dtype` is unknown, or rows are too large for float16.
    """
    rows = np.ascontiguousarray(table, dtype=np.float32)
    if _checked(dtype) != "int8":
        with np.errstate(over="ignore"):
            rounded = rows.astype(dtype, copy=False)
        if not np.isfinite(rounded).all():
            raise ValueError(f"rows reach {np.abs(rows).max():.4g}, too large for {dtype}")
        return rounded, None
    largest = np.abs(rows).max(axis=1, initial=0)
    scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    # float64, so that a subnormal scale cannot push a quotient past 127
    quotients = rows.astype(np.float64) / scales[:, None]
    return np.rint(quotients).clip(-127, 127).astype(np.int8), scales


def _checked(dtype: TableDtype) -> TableDtype:
    if dtype not in get_args(TableDtype):
        raise ValueError(f"dtype is {dtype!r}, expected one of {list(get_args(TableDtype))}")
    return dtype
