"""Files of vectors by key, written once and never changed.

A segment is a header of 64 bytes, then N keys of 16 bytes, then N float32 vectors, little endian.
The one rule: a file is either whole, as its checksums say, or not there.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import time
import uuid
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._files import atomic_file
from vecsmith._typing import FloatArray
from vecsmith.errors import FormatError

# A key is two numbers of 64 bits: the first is sorted by, the second only compared
Keys = NDArray[np.uint64]

_MAGIC: Final = b"VSVECTOR"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sIIQII32x")  # magic, version, dim, N, sums of keys and vectors
_NAME: Final = re.compile(r"\d{20}-[0-9a-f]{32}\.vectors")
_UNFINISHED: Final = re.compile(r"\.\d{20}-[0-9a-f]{32}\.vectors\..*\.part")
_ABANDONED_SECONDS: Final = 3600.0  # no segment takes an hour to write


def hash_texts(texts: Iterable[str], role: str) -> Keys:
    """Keys of texts in a role, [N, 2]: BLAKE2b of both in 16 bytes."""
    start = hashlib.blake2b(f"{role}\0".encode(), digest_size=16)
    digests = bytearray()
    for text in texts:
        digest = start.copy()
        digest.update(text.encode("utf-8", "surrogatepass"))
        digests += digest.digest()
    return np.frombuffer(bytes(digests), dtype="<u8").astype(np.uint64).reshape(-1, 2)


class Segment:
    """One file of vectors.

    Attributes:
        path: The file.
        keys: Keys of its rows, [N, 2].
        dim: Length of a vector.
    """

    def __init__(self, path: Path) -> None:
        """Reads the header and the keys.

        Raises:
            FormatError: If the file is broken.
            OSError: If it cannot be read.
        """
        self.path = path
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or not header.startswith(_MAGIC):
                raise FormatError(f"{path}: no segment of vectors")
            _, version, dim, n_rows, keys_sum, vectors_sum = _HEADER.unpack(header)
            if version != _VERSION:
                raise FormatError(f"{path}: version {version}, expected {_VERSION}")
            expected = _HEADER.size + n_rows * (16 + 4 * dim)
            found = os.fstat(file.fileno()).st_size
            if found != expected or not dim or not n_rows:
                raise FormatError(f"{path}: {found} bytes, expected {expected}")
            keys = file.read(16 * n_rows)
        if zlib.crc32(keys) != keys_sum:
            raise FormatError(f"{path}: the keys differ from their checksum")
        self.keys: Keys = np.frombuffer(keys, dtype="<u8").astype(np.uint64).reshape(-1, 2)
        self.dim = int(dim)
        self._vectors_sum = vectors_sum
        self._vectors: FloatArray | None = None

    def rows(self, rows: NDArray[np.int64]) -> FloatArray:
        """The vectors of these rows.

        Raises:
            FormatError: If the vectors differ from their checksum.
            OSError: If they cannot be read.
        """
        if self._vectors is None:
            shape = (len(self.keys), self.dim)
            start = _HEADER.size + self.keys.nbytes
            vectors = np.memmap(self.path, dtype="<f4", mode="r", offset=start, shape=shape)
            if zlib.crc32(vectors.data) != self._vectors_sum:
                raise FormatError(f"{self.path}: the vectors differ from their checksum")
            self._vectors = vectors
        found: FloatArray = np.asarray(self._vectors[rows], dtype=np.float32)
        return found


def write_segment(folder: Path, keys: Keys, vectors: FloatArray) -> Path:
    """The file that now holds `vectors` [N, D] by their `keys`, under a name of its own.

    Raises:
        OSError: If it cannot be written; then nothing is left of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = np.argsort(keys[:, 0], kind="stable")
    sorted_keys = np.ascontiguousarray(keys[order], dtype="<u8")
    rows = np.ascontiguousarray(vectors[order], dtype="<f4")
    header = _HEADER.pack(
        _MAGIC,
        _VERSION,
        rows.shape[1],
        len(rows),
        zlib.crc32(sorted_keys.data),
        zlib.crc32(rows.data),
    )
    path = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}.vectors"
    with atomic_file(path) as file:
        file.write(header)
        file.write(sorted_keys.data)
        file.write(rows.data)
    return path


def find_segments(folder: Path) -> list[Path]:
    """The segments in `folder`, by name, so the oldest first; none if it is not there."""
    try:
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except OSError:
        return []


def delete_least_recent(folders: Sequence[Path], max_bytes: int) -> None:
    """Deletes the segments used least recently until those in `folders` fit into `max_bytes`.

    What another process wrote half and abandoned goes too.
    """
    held: list[tuple[float, int, Path]] = []
    for folder in folders:
        for path in find_segments(folder):
            with suppress(OSError):  # another process deleted it meanwhile
                status = path.stat()
                held.append((status.st_mtime, status.st_size, path))
        _delete_abandoned(folder)
    total = sum(n_bytes for _, n_bytes, _ in held)
    for _, n_bytes, path in sorted(held):
        if total <= max_bytes:
            return
        with suppress(OSError):
            path.unlink()
        total -= n_bytes


def _delete_abandoned(folder: Path) -> None:
    with suppress(OSError):
        for path in folder.iterdir():
            if _UNFINISHED.fullmatch(path.name):
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                        path.unlink()
