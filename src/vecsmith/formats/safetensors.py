"""Tensors of a `.safetensors` file as views of the mapped file, and tensors written to one.

One rule: the header is checked whole before a byte of data is touched, so that a broken file is
an error and never a wrong array or a huge allocation. Format: 8 bytes of header length (little
endian), the header in JSON, the data (huggingface/safetensors README).
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import parse_object

# The limit that the reference implementation keeps.
MAX_HEADER_BYTES = 100_000_000
# Copies are made in pieces of this size, so that a table is never in memory twice.
BLOCK_BYTES = 16 * 2**20

_DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?",
        "U8": "u1",
        "I8": "i1",
        "U16": "<u2",
        "I16": "<i2",
        "F16": "<f2",
        "BF16": "<u2",  # numpy has no bfloat16: read and written as bits, given as float32
        "U32": "<u4",
        "I32": "<i4",
        "F32": "<f4",
        "U64": "<u8",
        "I64": "<i8",
        "F64": "<f8",
    }.items()
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items() if name != "BF16"}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where a tensor lies: `begin` and `end` count from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class TensorFile:
    """The tensors of one file, by name, without a copy where the file's layout allows it.

    Arrays are read-only views; each keeps the mapping alive for as long as it lives.
    """

    def __init__(self, path: PathLike) -> None:
        """Maps `path` and checks its header.

        Raises:
            FormatError: If the file is not a whole safetensors file.
            OSError: If it cannot be read.
        """
        self.path = Path(path)
        with self.path.open("rb") as file:
            n_bytes = os.fstat(file.fileno()).st_size
            self.entries, self.metadata = _read_header(file, n_bytes, source=str(self.path))
            # an empty file cannot be mapped, but its header was refused already
            self._bytes = np.frombuffer(
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8
            )

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def names(self) -> list[str]:
        """Names of the tensors, sorted."""
        return sorted(self.entries)

    def tensor(self, name: str) -> NDArray[Any]:
        """The tensor called `name`: a read-only view, or a copy where no view is possible.

        A copy is made of bfloat16 (given as float32) and of data that is not aligned.

        Raises:
            FormatError: If there is no such tensor.
        """
        array = self._view(name)
        if self.entries[name].dtype == "BF16":
            array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
            array.flags.writeable = False
        return array

    def bfloat16_bits(self, name: str) -> NDArray[np.uint16]:
        """The bits of the bfloat16 tensor called `name`, as `tensor` gives the others.

        Raises:
            FormatError: If there is no such tensor, or it is of another type.
        """
        if name in self.entries and self.entries[name].dtype != "BF16":
            found = self.entries[name].dtype
            raise FormatError(f"{self.path}: tensor {name!r}: dtype {found}, expected BF16")
        return self._view(name)

    def _view(self, name: str) -> NDArray[Any]:
        if name not in self.entries:
            raise FormatError(
                f"{self.path}: no tensor {name!r}, found {', '.join(self.names()) or 'none'}"
            )
        entry = self.entries[name]
        dtype = _DTYPES[entry.dtype]
        raw = self._bytes[entry.begin : entry.end]
        if raw.ctypes.data % dtype.itemsize:
            raw = raw.copy()
        array = raw.view(dtype).reshape(entry.shape)
        array.flags.writeable = False
        return array


@dataclass(frozen=True, slots=True)
class TensorStream:
    """A tensor to be written that is made piece by piece, so that it need not fit in memory.

    Attributes:
        dtype: Type of the elements.
        shape: Whole shape.
        blocks: Consecutive rows, together `shape`.
        bfloat16: Whether the elements, uint16, are the bits of bfloat16 numbers.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    blocks: Iterable[NDArray[Any]]
    bfloat16: bool = False


def write_tensors(
    file: IO[bytes],
    tensors: Mapping[str, NDArray[Any] | TensorStream],
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes `tensors` as a safetensors file, in the order given, in bounded memory.

    Args:
        file: Opened for writing.
        tensors: Arrays or streams by name; wider types first keeps all of them aligned.
        metadata: Strings kept in the header.

    Raises:
        ValueError: If a dtype has no name in the format, or a stream is not as long as it said.
    """
    header: dict[str, Any] = {}
    if metadata:
        header["__metadata__"] = dict(metadata)
    offset = 0
    for name, tensor in tensors.items():
        dtype = tensor.dtype.newbyteorder("<")
        if dtype not in _NAMES:
            raise ValueError(f"tensor {name!r} has dtype {dtype}, expected one of {set(_NAMES)}")
        n_bytes = dtype.itemsize * int(np.prod(tensor.shape, dtype=np.int64))
        is_bfloat16 = isinstance(tensor, TensorStream) and tensor.bfloat16
        header[name] = {
            "dtype": "BF16" if is_bfloat16 else _NAMES[dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + n_bytes],
        }
        offset += n_bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data starts aligned
    file.write(len(text).to_bytes(8, "little") + text)
    for name, tensor in tensors.items():
        n_bytes = 0
        for block in _blocks(tensor):
            n_bytes += file.write(np.ascontiguousarray(block, tensor.dtype.newbyteorder("<")).data)
        expected = header[name]["data_offsets"][1] - header[name]["data_offsets"][0]
        if n_bytes != expected:
            raise ValueError(f"tensor {name!r} gave {n_bytes} bytes, expected {expected}")


def row_blocks(array: NDArray[Any]) -> Iterator[slice]:
    """Slices of consecutive rows of `array`, of bounded size."""
    n_row_bytes = max(1, array.itemsize * int(np.prod(array.shape[1:], dtype=np.int64)))
    step = max(1, BLOCK_BYTES // n_row_bytes)
    for start in range(0, len(array), step):
        yield slice(start, min(start + step, len(array)))


def _blocks(tensor: NDArray[Any] | TensorStream) -> Iterator[NDArray[Any]]:
    if isinstance(tensor, TensorStream):
        yield from tensor.blocks
    else:
        array = np.atleast_1d(tensor)
        for rows in row_blocks(array):
            yield array[rows]


def _read_header(
    file: IO[bytes], n_bytes: int, *, source: str
) -> tuple[dict[str, TensorEntry], dict[str, str]]:
    remedy = "the file may be cut short, fetch it again"
    if n_bytes < 8:
        raise FormatError(f"{source}: {n_bytes} bytes, expected a safetensors file; {remedy}")
    n_header = int.from_bytes(file.read(8), "little")
    if n_header > min(n_bytes - 8, MAX_HEADER_BYTES):
        raise FormatError(
            f"{source}: header of {n_header} bytes in a file of {n_bytes}, "
            f"expected a safetensors file; {remedy}"
        )
    try:
        text = file.read(n_header).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{source}: header byte {error.start} is not UTF-8, expected JSON; {remedy}"
        ) from error
    root = parse_object(text, source=f"{source}: header")
    entries = {}
    metadata = {}
    for name, block in root.items():
        if name == "__metadata__":
            if isinstance(block, dict):
                metadata = {key: value for key, value in block.items() if isinstance(value, str)}
            continue
        where = f"{source}: tensor {name!r:.60}"
        entries[name] = _entry(block, n_bytes=n_bytes, start=8 + n_header, where=where)
    return entries, metadata


def _entry(block: Any, *, n_bytes: int, start: int, where: str) -> TensorEntry:
    if not isinstance(block, dict):
        raise FormatError(f"{where}: {block!r:.60}, expected dtype, shape and data_offsets")
    dtype = block.get("dtype")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise FormatError(f"{where}: dtype {dtype!r:.60}, expected one of {sorted(_DTYPES)}")
    shape = block.get("shape")
    offsets = block.get("data_offsets")
    if not _are_sizes(shape) or len(shape) > 8:
        raise FormatError(f"{where}: shape {shape!r:.60}, expected up to eight whole numbers")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise FormatError(f"{where}: data_offsets {offsets!r:.60}, expected two whole numbers")
    begin, end = offsets
    if not begin <= end <= n_bytes - start:
        raise FormatError(
            f"{where}: data_offsets {offsets} in {n_bytes - start} bytes of data, expected them "
            "inside; the file may be cut short, fetch it again"
        )
    n_elements = 1
    for size in shape:
        n_elements *= size  # Python numbers do not overflow
    if n_elements * _DTYPES[dtype].itemsize != end - begin:
        raise FormatError(
            f"{where}: shape {shape} of {dtype} needs {n_elements * _DTYPES[dtype].itemsize} "
            f"bytes, data_offsets {offsets} hold {end - begin}"
        )
    return TensorEntry(dtype=dtype, shape=tuple(shape), begin=start + begin, end=start + end)


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item < 2**63 for item in value
    )
