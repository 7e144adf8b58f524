"""Rows of sixteen bits a number that numpy has no type for, or no meaning of its own.

One rule: what a row means is exact, and the engine adds these rows as they are. They are for
memory alone: a folder holds the types that other libraries read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.formats.int4_table import bfloat16_values


@dataclass(frozen=True, slots=True, eq=False)
class Bfloat16Table:
    """A table of bfloat16 numbers, each the upper half of a float32.

    Indexing with rows gives float32, shape [N, D]; numpy takes the whole as such an array.

    Attributes:
        bits: uint16 [R, D].

    Raises:
        ValueError: If they are something else.
    """

    bits: NDArray[np.uint16]

    def __post_init__(self) -> None:
        _check_numbers("bits", self.bits, np.uint16)

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, rows: Any) -> FloatArray:
        """Rows as float32 [N, D]: by a slice, or by an array of whole numbers or bools."""
        return bfloat16_values(np.atleast_2d(self.bits[rows]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return _decoded(self, dtype, copy)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bits.shape[0], self.bits.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers."""
        return self.bits.nbytes

    @property
    def parts(self) -> tuple[NDArray[Any], ...]:
        """All that the numbers depend on."""
        return (self.bits,)

    def rows(self, kept: Any) -> Bfloat16Table:
        """The table of these rows alone, by a slice or an array; they are not decoded."""
        return Bfloat16Table(self.bits[kept])

    def prefix(self, dim: int) -> Bfloat16Table:
        """The table of the first `dim` columns."""
        return Bfloat16Table(np.ascontiguousarray(self.bits[:, :dim]))


@dataclass(frozen=True, slots=True, eq=False)
class Int16Table:
    """A table of 16-bit codes, each column with a scale: sums of rows are whole numbers.

    Indexing with rows gives float32, shape [N, D]; numpy takes the whole as such an array.

    Attributes:
        codes: int16 [R, D].
        scales: float32 [D], finite; column j of a row is its code times `scales[j]`.

    Raises:
        ValueError: If the parts do not fit each other, or a scale is not finite.
    """

    codes: NDArray[np.int16]
    scales: NDArray[np.float32]

    def __post_init__(self) -> None:
        _check_numbers("codes", self.codes, np.int16)
        found = self.scales
        if found.dtype != np.float32 or found.shape != self.codes.shape[1:]:
            raise ValueError(
                f"scales: shape {list(found.shape)} of {found.dtype}, "
                f"expected [{self.codes.shape[1]}] of float32"
            )
        if not np.isfinite(found).all():
            column = int(np.flatnonzero(~np.isfinite(found))[0])
            raise ValueError(
                f"scale of column {column} is {found[column]}, expected a finite number"
            )

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> FloatArray:
        """Rows as float32 [N, D]: by a slice, or by an array of whole numbers or bools."""
        return np.atleast_2d(self.codes[rows]).astype(np.float32) * self.scales

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return _decoded(self, dtype, copy)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.codes.shape[0], self.codes.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self.codes.nbytes + self.scales.nbytes

    @property
    def parts(self) -> tuple[NDArray[Any], ...]:
        """All that the numbers depend on."""
        return self.codes, self.scales

    def rows(self, kept: Any) -> Int16Table:
        """The table of these rows alone, by a slice or an array; they are not decoded."""
        return Int16Table(self.codes[kept], self.scales)

    def prefix(self, dim: int) -> Int16Table:
        """The table of the first `dim` columns, whose numbers stay as they are."""
        return Int16Table(
            np.ascontiguousarray(self.codes[:, :dim]), np.ascontiguousarray(self.scales[:dim])
        )


def quantize_int16(rows: FloatArray) -> Int16Table:
    """`rows` [R, D] with the largest entry of each column at 32,767.

    A number is off by at most a 65,534th of its column's largest, and so is a mean of them.

    Raises:
        ValueError: If a number is not finite.
    """
    if not np.isfinite(rows).all():
        raise ValueError("rows with infinite numbers or none, expected finite ones for int16")
    largest = np.abs(rows).max(axis=0, initial=0).astype(np.float64)
    scales = np.where(largest > 0, largest / 32767, 1).astype(np.float32)
    scales[scales == 0] = np.finfo(np.float32).smallest_subnormal
    codes = np.empty(rows.shape, np.int16)
    for begin in range(0, len(rows), 4096):  # quotients in float64 need not all be there at once
        block = rows[begin : begin + 4096].astype(np.float64) / scales
        codes[begin : begin + 4096] = np.rint(block).clip(-32767, 32767)
    return Int16Table(codes, scales)


def _check_numbers(name: str, numbers: NDArray[Any], dtype: Any) -> None:
    if numbers.dtype != dtype or numbers.ndim != 2 or numbers.shape[1] == 0:
        raise ValueError(
            f"{name}: shape {list(numbers.shape)} of {numbers.dtype}, "
            f"expected [rows, columns] of {np.dtype(dtype)}"
        )


def _decoded(table: Any, dtype: Any, copy: bool | None) -> NDArray[Any]:
    if copy is False:
        raise ValueError("the table is decoded into a new array, expected copy not False")
    rows: NDArray[Any] = table[:].astype(np.float32 if dtype is None else dtype, copy=False)
    return rows
