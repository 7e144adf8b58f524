"""Tables in fewer bytes: two a number, or int8 with a scale a row, or int4 with one for 32."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray, TableDtype
from vecsmith.compression.int4 import quantize_int4
from vecsmith.formats.checkpoint import Checkpoint, Table
from vecsmith.formats.int4_table import bfloat16_bits
from vecsmith.formats.short_tables import Bfloat16Table, quantize_int16


def with_dtype(checkpoint: Checkpoint, dtype: TableDtype) -> Checkpoint:
    """The checkpoint with its table rounded to `dtype`; int8 gets a scale for each row.

    The weights of tokens that have a row each are multiplied in before int4, whose scales hold
    them at no cost, and before int16, whose sums then are whole numbers; a packed table is decoded
    before it is rounded to another type.

    Raises:
        ValueError: If `dtype` is unknown, or rows are too large for it, or not finite for int4 or
            int16.
    """
    if checkpoint.table_dtype == _checked(dtype):
        return checkpoint
    table = checkpoint.rows
    weights = checkpoint.weights
    if dtype in ("int4", "int16") and weights is not None and checkpoint.mapping is None:
        table, weights = table * weights[:, None], None
    rounded, scales = quantize_rows(table, dtype)
    if scales is not None:
        scales = scales if checkpoint.mapping is None else scales[checkpoint.mapping]
        weights = scales if weights is None else scales * weights
    return replace(checkpoint, table=rounded, weights=weights)


def quantize_rows(table: NDArray[Any], dtype: TableDtype) -> tuple[Table, FloatArray | None]:
    """`table` [R, D] in `dtype`, and for int8 the scale of each row, its largest size over 127.

    Raises:
        ValueError: If `dtype` is unknown, or rows are too large for it, or not finite for int4 or
            int16.
    """
    if _checked(dtype) == "int4":
        return quantize_int4(table), None
    rows = np.ascontiguousarray(table, dtype=np.float32)
    if dtype == "bfloat16":
        nearest = Bfloat16Table(bfloat16_bits(rows))
        if not np.isfinite(nearest[:]).all():
            raise ValueError(f"rows reach {np.abs(rows).max():.4g}, too large for bfloat16")
        return nearest, None
    if dtype == "int16":
        return quantize_int16(rows), None
    if dtype != "int8":
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
