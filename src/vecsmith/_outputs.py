"""Where vectors go: the caller's array, one of known length, or one that grows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray

OutputDtype = Literal["float32", "float16", "int8", "binary", "ubinary"]
Vectors = NDArray[Any]


def columns_of(dim: int, dtype: OutputDtype) -> tuple[int, np.dtype[Any]]:
    """How many numbers of which type a vector of `dim` dimensions is.

    A byte of "binary" and "ubinary" holds eight dimensions; the names and the bytes are those of
    sentence-transformers, which counts the first from -128.
    """
    if dtype not in ("binary", "ubinary"):
        return dim, np.dtype(dtype)
    return (dim + 7) // 8, np.dtype(np.int8 if dtype == "binary" else np.uint8)


class OutputRows:
    """Rows of vectors, filled from the first on."""

    def __init__(
        self, n_texts: int | None, dim: int, dtype: OutputDtype, out: Vectors | None
    ) -> None:
        """Makes room for `n_texts` rows, or for as many as come if None.

        Args:
            n_texts: How many rows there will be, or None.
            dim: Length of a row.
            dtype: Type of the rows; int8 rows are scaled so that the largest entry is 127, rows of
                "binary" and "ubinary" hold a bit for each entry.
            out: The caller's array, of `n_texts` rows as `columns_of` says, or None for a new one.

        Raises:
            ValueError: If `dtype` is unknown or `out` does not fit.
        """
        dtype = checked_dtype(dtype)
        self._n_texts = n_texts
        self._done = 0
        self._is_callers = out is not None
        n_columns, number = columns_of(dim, dtype)
        if out is None:
            out = np.empty((0 if n_texts is None else n_texts, n_columns), dtype=number)
        else:
            _check_out(out, n_texts, n_columns, number)
        self._out = out

    @classmethod
    def for_one(cls, dim: int, dtype: OutputDtype, out: Vectors | None) -> OutputRows:
        """Room for one row; `out` may have shape [dim] or [1, dim]."""
        if isinstance(out, np.ndarray) and out.ndim == 1 and out.flags.c_contiguous:
            out = out[None, :]
        return cls(1, dim, dtype, out)

    @contextmanager
    def take(self, n: int) -> Iterator[Vectors]:
        """The array to write the next `n` rows to; they count when the block ends well."""
        begin, end = self._done, self._done + n
        if end > len(self._out):
            self._grow(end)
        yield self._out[begin:end]
        self._done = end

    def finish(self) -> Vectors:
        """The vectors, once all are there."""
        if self._is_callers and self._done < len(self._out):
            raise ValueError(f"out has {len(self._out)} rows, expected {self._done}")
        return self._out if self._done == len(self._out) else self._out[: self._done].copy()

    def _grow(self, n_rows: int) -> None:
        if self._is_callers or self._n_texts is not None:
            raise ValueError(
                f"out has {len(self._out)} rows but there are more texts, at least {n_rows}"
            )
        grown = np.empty((n_rows + n_rows // 2, self._out.shape[1]), dtype=self._out.dtype)
        grown[: self._done] = self._out[: self._done]
        self._out = grown


def checked_dtype(dtype: Any) -> OutputDtype:
    """The name of a type of rows, which may be given as numpy's.

    Raises:
        ValueError: If there are no such rows.
    """
    name = _name_of(dtype)
    if name not in get_args(OutputDtype):
        raise ValueError(f"dtype is {name!r}, expected one of {list(get_args(OutputDtype))}")
    found: OutputDtype = name
    return found


def _name_of(dtype: Any) -> Any:
    """The name of a numpy type; anything else as it is."""
    is_numpys = isinstance(dtype, np.dtype) or (
        isinstance(dtype, type) and issubclass(dtype, np.generic)
    )
    return np.dtype(dtype).name if is_numpys else dtype


def _check_out(out: Vectors, n_texts: int | None, dim: int, dtype: np.dtype[Any]) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is of type {type(out).__name__}, expected a numpy array")
    n_rows = "N" if n_texts is None else n_texts
    expected = f"expected [{n_rows}, {dim}] of {dtype}, C-contiguous, aligned and writable"
    fits = out.ndim == 2 and out.shape[1] == dim and n_texts in (None, len(out))
    if not fits or out.dtype != dtype:
        raise ValueError(f"out is {list(out.shape)} of {out.dtype}, {expected}")
    if not out.flags.carray:
        state = "not aligned" if out.flags.writeable else "read-only"
        raise ValueError(
            f"out is {state if out.flags.c_contiguous else 'not C-contiguous'}, {expected}"
        )


def int8_codes(vectors: FloatArray) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Codes of `vectors` [N, D] with the largest entry of each at 127, and the steps, [N, 1].

    A vector is about its codes times its step.
    """
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    # float64, because 127 over a subnormal number is no float32
    largest = largest.astype(np.float64)
    scales = np.divide(127, largest, out=np.zeros_like(largest), where=largest > 0)
    rounded: NDArray[np.int8] = np.rint(vectors * scales).clip(-127, 127).astype(np.int8)
    return rounded, largest / 127
