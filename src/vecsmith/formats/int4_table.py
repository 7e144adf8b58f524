"""Rows of four bits a number, in groups of 32 that share a scale.

One rule: what a row means is exact. Its numbers are `level * scale`, a product of 7 and 8
significant bits, so decoding to float32 loses nothing, and the engine, which decodes on the way,
gives the vectors of the decoded table bit for bit.

Layout, which is also that of the file and of the engine:
- codes, uint8 [R, 16 G] with G = ceil(D / 32): byte k of a group holds the code of its column k in
  the low four bits and of its column k + 16 in the high four. Groups are always whole; the codes
  behind column D mean nothing.
- scales, uint16 [R, G]: bfloat16, of either sign, finite.
- levels, int8 [16]: what the codes 0 to 15 stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray

GROUP: Final = 32  # columns that share a scale
N_LEVELS: Final = 16
_GROUP_BYTES: Final = GROUP // 2
_INFINITE: Final = 0x7F80  # exponent bits of a bfloat16 that is infinite or no number


@dataclass(frozen=True, slots=True, eq=False)
class Int4Table:
    """A table of R rows and D columns in four bits a number.

    Indexing with rows decodes them: `table[ids]` is float32, shape [len(ids), D]; numpy takes the
    whole as an array of float32 where it must.

    Attributes:
        codes: uint8 [R, 16 G].
        scales: bfloat16 as its bits, uint16 [R, G].
        levels: int8 [16].
        dim: Number of columns D.

    Raises:
        ValueError: If the parts do not fit each other, or a scale is not finite.
    """

    codes: NDArray[np.uint8]
    scales: NDArray[np.uint16]
    levels: NDArray[np.int8]
    dim: int

    def __post_init__(self) -> None:
        for name, dtype in (("codes", np.uint8), ("scales", np.uint16), ("levels", np.int8)):
            part = getattr(self, name)
            if part.dtype != dtype or part.ndim != (1 if name == "levels" else 2):
                raise ValueError(
                    f"{name}: shape {list(part.shape)} of {part.dtype}, "
                    f"expected {'[16]' if name == 'levels' else '[rows, columns]'} "
                    f"of {np.dtype(dtype)}"
                )
        if self.dim < 1:
            raise ValueError(f"{self.dim} dimensions, expected at least 1")
        n_groups = -(-self.dim // GROUP)
        n_rows = len(self.codes)
        found = (self.codes.shape, self.scales.shape, self.levels.shape)
        if found != ((n_rows, n_groups * _GROUP_BYTES), (n_rows, n_groups), (N_LEVELS,)):
            raise ValueError(
                f"codes {list(found[0])}, scales {list(found[1])} and levels {list(found[2])} for "
                f"{self.dim} dimensions, expected [rows, {n_groups * _GROUP_BYTES}], "
                f"[rows, {n_groups}] and [{N_LEVELS}]"
            )
        wrong = np.argwhere((self.scales & _INFINITE) == _INFINITE)
        if len(wrong):
            row, group = wrong[0]
            scale = bfloat16_values(self.scales[row])[group]
            raise ValueError(
                f"scale of group {group} of row {row} is {scale}, expected a finite number"
            )

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> FloatArray:
        """Rows decoded, float32 [N, D]: by a slice, or by an array of whole numbers or bools."""
        if not isinstance(rows, slice):
            rows = np.atleast_1d(np.asarray(rows))
        codes = self.codes[rows].reshape(-1, self.n_groups, _GROUP_BYTES)
        nibbles = np.concatenate((codes & 0x0F, codes >> 4), axis=2)
        numbers = self.levels.astype(np.float32)[nibbles]
        with np.errstate(over="ignore"):  # a hostile scale may reach infinity, as in the engine
            numbers *= bfloat16_values(self.scales[rows])[:, :, None]
        return np.ascontiguousarray(numbers.reshape(-1, self.n_groups * GROUP)[:, : self.dim])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("an int4 table is decoded into a new array, expected copy not False")
        return self[:].astype(np.float32 if dtype is None else dtype, copy=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.codes), self.dim

    @property
    def n_groups(self) -> int:
        """Scales of a row."""
        return int(self.scales.shape[1])

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self.codes) * self.dim

    @property
    def nbytes(self) -> int:
        """Bytes of codes, scales and levels."""
        return self.codes.nbytes + self.scales.nbytes + self.levels.nbytes

    @property
    def parts(self) -> tuple[NDArray[Any], ...]:
        """Codes, scales and levels: all that the numbers depend on, but for `dim`."""
        return self.codes, self.scales, self.levels

    def rows(self, kept: Any) -> Int4Table:
        """The table of these rows alone, by a slice or an array; they are not decoded."""
        return Int4Table(self.codes[kept], self.scales[kept], self.levels, self.dim)

    def prefix(self, dim: int) -> Int4Table:
        """The table of the first `dim` columns, whose numbers stay as they are.

        Raises:
            ValueError: If there are not so many.
        """
        if not 1 <= dim <= self.dim:
            raise ValueError(f"{dim} dimensions, expected 1 to {self.dim}")
        n_groups = -(-dim // GROUP)
        return Int4Table(
            np.ascontiguousarray(self.codes[:, : n_groups * _GROUP_BYTES]),
            np.ascontiguousarray(self.scales[:, :n_groups]),
            self.levels,
            dim,
        )


def pack_codes(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes 0 to 15 of whole groups, [R, G, 32], two to a byte: [R, 16 G]."""
    low, high = codes[:, :, :_GROUP_BYTES], codes[:, :, _GROUP_BYTES:]
    return np.ascontiguousarray((low | (high << 4)).reshape(len(codes), -1))


def bfloat16_bits(numbers: FloatArray) -> NDArray[np.uint16]:
    """The nearest bfloat16 of each number, as its bits; ties go to the even one."""
    bits = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return ((bits + half) >> np.uint32(16)).astype(np.uint16)


def bfloat16_values(bits: NDArray[np.uint16]) -> FloatArray:
    """The numbers of bfloat16 bits."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
