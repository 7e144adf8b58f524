"""Arrays in files of their own, written block by block and mapped into memory.

Each is a safetensors file of one tensor, so that any other tool can read it. Two rules: a file has
its name only when it is whole, and a file is mapped only when its size, its header and the record
of it (kept in the manifest of the index) agree. How many rows there will be need not be known when
writing begins: the header has its final length from the start and is filled in at the end.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vecsmith._files import atomic_file
from vecsmith.errors import FormatError

# Length of the header with its eight bytes of length: rows start on a line of the cache
HEADER_BYTES: Final = 256
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
}
_NAMES: Final = {dtype: name for name, dtype in _DTYPES.items()}
_TENSOR: Final = "values"
# No path, no hidden file, nothing that a manifest from elsewhere could point outside with
_FILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}\.safetensors")
_COPY_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """What the manifest says of a file.

    Attributes:
        name: Of the file, inside the folder of the index.
        dtype: As safetensors names it.
        shape: Of the whole array.
        sha256: Of the values, without the header.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return _DTYPES[self.dtype]

    @property
    def n_bytes(self) -> int:
        """Length of the file."""
        n_items = 1
        for size in self.shape:
            n_items *= size  # Python numbers do not overflow
        return HEADER_BYTES + n_items * _DTYPES[self.dtype].itemsize

    def to_json(self) -> dict[str, Any]:
        """The record as plain values."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, value: Any, *, source: str) -> ArrayFile:
        """The record that `value` says; `source` names where it stands.

        Raises:
            FormatError: If it is not such a record.
        """
        fields = value if isinstance(value, dict) else {}
        name, dtype = fields.get("name"), fields.get("dtype")
        shape, sha256 = fields.get("shape"), fields.get("sha256")
        if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
            raise FormatError(f"{source}: file {name!r:.80}, expected a name.safetensors")
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise FormatError(f"{source}: dtype {dtype!r:.60}, expected one of {list(_DTYPES)}")
        if (
            not isinstance(shape, list)
            or len(shape) not in (1, 2)
            or not all(type(size) is int and 0 <= size < 2**48 for size in shape)
        ):
            raise FormatError(f"{source}: shape {shape!r:.60}, expected one or two whole numbers")
        if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise FormatError(f"{source}: sha256 {sha256!r:.80}, expected 64 hexadecimal digits")
        return cls(name, dtype, tuple(shape), sha256)


class ArrayWriter(AbstractContextManager["ArrayWriter"]):
    """Writes one array, rows after rows; the file appears when the block ends well."""

    def __init__(self, path: Path, dtype: DTypeLike, *, dim: int | None = None) -> None:
        """Begins the file at `path`.

        Args:
            path: Its final name.
            dtype: Of the values.
            dim: Values in a row; None for an array of one axis.
        """
        self._path = path
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._dim = dim
        self._context = atomic_file(path)
        self._digest = hashlib.sha256()
        self._n_values = 0
        self._file: IO[bytes]

    def __enter__(self) -> ArrayWriter:
        self._file = self._context.__enter__()
        self._file.write(bytes(HEADER_BYTES))
        return self

    def write(self, rows: NDArray[Any]) -> None:
        """Appends `rows`."""
        block = np.ascontiguousarray(rows, dtype=self._dtype)
        view = bytes_of(block)
        self._file.write(view)
        self._digest.update(view)
        self._n_values += block.size

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if error is None:
            self._file.seek(0)
            self._file.write(_header(_NAMES[self._dtype], self._shape))
        return self._context.__exit__(kind, error, trace)

    @property
    def _shape(self) -> tuple[int, ...]:
        if self._dim is None:
            return (self._n_values,)
        return (self._n_values // self._dim, self._dim)

    @property
    def record(self) -> ArrayFile:
        """What to keep of the file, once it is written."""
        name = _NAMES[self._dtype]
        return ArrayFile(self._path.name, name, self._shape, self._digest.hexdigest())


def bytes_of(array: NDArray[Any]) -> memoryview:
    """The bytes of an array, without a copy where they lie one after another."""
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def write_array(path: Path, array: NDArray[Any]) -> ArrayFile:
    """Writes the whole of `array`, mapped or not, in pieces; gives its record."""
    dim = array.shape[1] if array.ndim == 2 else None
    with ArrayWriter(path, array.dtype, dim=dim) as writer:
        for rows in pieces(array):
            writer.write(array[rows])
    return writer.record


def pieces(array: NDArray[Any]) -> Iterable[slice]:
    """Slices of consecutive rows of `array`, each of bounded size."""
    n_row_bytes = max(1, array.itemsize * int(np.prod(array.shape[1:], dtype=np.int64)))
    step = max(1, _COPY_BYTES // n_row_bytes)
    return (slice(start, min(start + step, len(array))) for start in range(0, len(array), step))


def map_array(folder: Path, record: ArrayFile, *, verify: bool = False) -> NDArray[Any]:
    """The array in `folder` that `record` tells of, mapped and not to be written to.

    Args:
        folder: Of the index.
        record: From its manifest.
        verify: Whether to read all of it and compare its digest.

    Raises:
        FormatError: If the file is not what the record says.
        FileNotFoundError: If there is none.
    """
    path = folder / record.name
    with path.open("rb") as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if n_bytes != record.n_bytes:
            raise FormatError(
                f"{path}: {n_bytes} bytes, expected {record.n_bytes}; the file is cut short or "
                "of another index, restore it or build the index again"
            )
        if file.read(HEADER_BYTES) != _header(record.dtype, record.shape):
            raise FormatError(
                f"{path}: the header does not say {record.dtype} of shape {list(record.shape)} as "
                "index.json does; restore the file or build the index again"
            )
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    values = np.frombuffer(mapped, dtype=_DTYPES[record.dtype], offset=HEADER_BYTES)
    array: NDArray[Any] = values.reshape(record.shape)
    if verify:
        _verify(array, record, path)
    return array


def _verify(array: NDArray[Any], record: ArrayFile, path: Path) -> None:
    digest = hashlib.sha256()
    for rows in pieces(array):
        digest.update(bytes_of(array[rows]))
    if digest.hexdigest() != record.sha256:
        raise FormatError(
            f"{path}: values with sha256 {digest.hexdigest()[:12]}..., expected "
            f"{record.sha256[:12]}...; the file was altered, restore it or build the index again"
        )


def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    n_items = 1
    for size in shape:
        n_items *= size
    n_bytes = n_items * _DTYPES[dtype].itemsize
    entry = {"dtype": dtype, "shape": list(shape), "data_offsets": [0, n_bytes]}
    text = json.dumps({_TENSOR: entry}, separators=(",", ":")).encode()
    n_text = HEADER_BYTES - 8
    # the format lets a header end in spaces
    return n_text.to_bytes(8, "little") + text.ljust(n_text)
