"""Texts in two files, mapped: where each begins, and their bytes one after the other.

    part-000000.offsets    uint64, little-endian, [N + 1]: text i is bytes offsets[i]:offsets[i + 1]
    part-000000.utf8       the texts in UTF-8, nothing between them

The one rule: reading a text touches its own bytes and two offsets, whatever else is there; no
number in a file is believed before it is known to lie inside the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import FormatError

OFFSETS, BYTES = ".offsets", ".utf8"
_OFFSET = np.dtype("<u8")
_BLOCK_TEXTS = 2**16
_BLOCK_BYTES = 2**22
# More texts than any disk holds: a larger number in a record is a broken one
_MOST = 2**48


@dataclass(frozen=True, slots=True, kw_only=True)
class TextsRecord:
    """What a manifest says of one pair of files.

    Attributes:
        n_texts: How many texts.
        n_bytes: Bytes of all of them.
        digest: BLAKE2b of the offsets and the bytes.
    """

    n_texts: int
    n_bytes: int
    digest: str

    @classmethod
    def parse(cls, value: Any, *, source: str) -> TextsRecord:
        """The record in a JSON value; `source` names it in errors.

        Raises:
            FormatError: If it is no such record.
        """
        fields = value if isinstance(value, dict) else {}
        n_texts, n_bytes, digest = (fields.get(k) for k in ("n_texts", "n_bytes", "digest"))
        counts = all(type(n) is int and 0 <= n < _MOST for n in (n_texts, n_bytes))
        if not counts or not isinstance(digest, str):
            raise FormatError(
                f"{source}: {value!r:.80}, expected n_texts, n_bytes and digest; the file is "
                "broken, build the index again"
            )
        return cls(n_texts=n_texts, n_bytes=n_bytes, digest=digest)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """The record as `parse` takes it."""
        return asdict(self)


class TextWriter:
    """Two files that grow by texts; none is kept in memory.

    Attributes:
        n_texts: Texts written so far.
        n_bytes: Bytes of them.
    """

    def __init__(self, stem: Path, *, n_texts: int = 0) -> None:
        """Opens the files of `stem`, new ones or to go on after the first `n_texts` texts.

        Args:
            stem: Path of the files without their endings.
            n_texts: Texts that are there already; what follows them is cut off.

        Raises:
            FormatError: If fewer are there.
        """
        self.n_texts = n_texts
        self._stem = stem
        mode = "r+b" if n_texts else "w+b"
        self._offsets: IO[bytes] = _with_ending(stem, OFFSETS).open(mode)
        self._bytes: IO[bytes] = _with_ending(stem, BYTES).open(mode)
        try:
            self.n_bytes = self._go_on() if n_texts else self._begin()
        except BaseException:
            self.close()
            raise

    def append(self, texts: Sequence[str]) -> None:
        """Adds texts; half characters become U+FFFD, for there is no UTF-8 of them."""
        coded = [_utf8(text) for text in texts]
        lengths = np.fromiter(map(len, coded), dtype=np.int64, count=len(coded))
        ends = self.n_bytes + np.cumsum(lengths)
        self._bytes.write(b"".join(coded))
        self._offsets.write(ends.astype(_OFFSET).tobytes())
        self.n_texts += len(coded)
        self.n_bytes = int(ends[-1]) if len(coded) else self.n_bytes

    def append_without(self, texts: MappedTexts, gone: NDArray[np.int64]) -> None:
        """Adds all of `texts`, with nothing in the place of those at `gone` (ascending)."""
        for first in range(0, len(texts), _BLOCK_TEXTS):
            end = min(first + _BLOCK_TEXTS, len(texts))
            lost = gone[np.searchsorted(gone, first) : np.searchsorted(gone, end)] - first
            offsets = texts.offsets(first, end)
            lengths = np.diff(offsets)
            lengths[lost] = 0
            self._offsets.write((self.n_bytes + np.cumsum(lengths)).astype(_OFFSET).tobytes())
            begins = [offsets[0], *offsets[lost + 1].tolist()]
            ends = [*offsets[lost].tolist(), offsets[-1]]
            for begin, stop in zip(begins, ends, strict=True):
                for at in range(int(begin), int(stop), _BLOCK_BYTES):
                    self._bytes.write(texts.raw(at, min(at + _BLOCK_BYTES, int(stop))))
            self.n_texts += end - first
            self.n_bytes += int(lengths.sum())

    def sync(self) -> None:
        """Returns when all that was appended is on the disk."""
        for file in (self._bytes, self._offsets):
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> TextsRecord:
        """Closes the files, all of them on the disk; what a manifest keeps of them."""
        self.sync()
        self.close()
        return TextsRecord(
            n_texts=self.n_texts, n_bytes=self.n_bytes, digest=_digest(files_of(self._stem))
        )

    def close(self) -> None:
        """Closes the files as they are."""
        self._offsets.close()
        self._bytes.close()

    def _begin(self) -> int:
        self._offsets.write(np.zeros(1, _OFFSET).tobytes())
        return 0

    def _go_on(self) -> int:
        n_there = os.fstat(self._offsets.fileno()).st_size // _OFFSET.itemsize - 1
        if n_there < self.n_texts:
            raise FormatError(
                f"{self._offsets.name}: {max(0, n_there)} texts, expected at least the "
                f"{self.n_texts} that were finished; --restart discards the unfinished run"
            )
        self._offsets.seek(self.n_texts * _OFFSET.itemsize)
        end = int(np.frombuffer(self._offsets.read(_OFFSET.itemsize), _OFFSET)[0])
        n_bytes = os.fstat(self._bytes.fileno()).st_size
        if n_bytes < end:
            raise FormatError(
                f"{self._bytes.name}: {n_bytes} bytes, expected at least {end}; --restart "
                "discards the unfinished run"
            )
        self._offsets.truncate()
        self._bytes.truncate(end)
        self._bytes.seek(end)
        return end


class MappedTexts:
    """Texts of two files; a text is read when it is asked for.

    Attributes:
        record: How many there are, as the manifest says.
    """

    def __init__(self, stem: Path, record: TextsRecord) -> None:
        """Maps the files of `stem`.

        Args:
            stem: Path of the files without their endings.
            record: What they were when they were written.

        Raises:
            FormatError: If a file is missing or of another size, or the ends do not fit.
        """
        self.record = record
        self._stem = stem
        offsets, texts = files_of(stem)
        self._offsets = mapped_array(offsets, _OFFSET, record.n_texts + 1)
        self._bytes = mapped_array(texts, np.dtype(np.uint8), record.n_bytes)
        first, last = int(self._offsets[0]), int(self._offsets[-1])
        if (first, last) != (0, record.n_bytes):
            raise FormatError(
                f"{offsets}: texts from byte {first} to {last}, expected 0 to {record.n_bytes}; "
                "the file is broken, build the index again"
            )

    def __len__(self) -> int:
        return self.record.n_texts

    def __getitem__(self, place: int) -> str:
        if not 0 <= place < len(self):
            raise IndexError(f"text {place} of {len(self)}, expected 0 to {len(self) - 1}")
        start, end = (int(offset) for offset in self._offsets[place : place + 2])
        return self._text(place, start, end)

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _BLOCK_TEXTS):
            offsets = self._offsets[first : first + _BLOCK_TEXTS + 1].tolist()
            for i, (start, end) in enumerate(pairwise(offsets)):
                yield self._text(first + i, start, end)

    def take(self, places: Iterable[int]) -> list[str]:
        """The texts at `places`."""
        return [self[int(place)] for place in places]

    def offsets(self, first: int, end: int) -> NDArray[np.int64]:
        """Where the texts from `first` to before `end` begin, and where the last ends, [n + 1].

        Raises:
            FormatError: If they are not in order.
        """
        found = self._offsets[first : end + 1].astype(np.int64)
        if found[0] < 0 or found[-1] > self.record.n_bytes or (np.diff(found) < 0).any():
            raise FormatError(
                f"{_with_ending(self._stem, OFFSETS)}: texts {first} to {end} are not in order; "
                "the file is broken, build the index again"
            )
        return found

    def raw(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to before `end`."""
        return bytes(self._bytes[begin:end])

    def verify(self) -> None:
        """Reads every byte.

        Raises:
            FormatError: If the files are not what was written.
        """
        found = _digest(files_of(self._stem))
        if found != self.record.digest:
            raise FormatError(
                f"{self._stem}: digest {found}, expected {self.record.digest}; the texts were "
                "altered, build the index again"
            )

    def _text(self, place: int, start: int, end: int) -> str:
        if not 0 <= start <= end <= self.record.n_bytes:
            raise FormatError(
                f"{_with_ending(self._stem, OFFSETS)}: text {place} is bytes {start} to {end} of "
                f"{self.record.n_bytes}; the file is broken, build the index again"
            )
        try:
            return self._bytes[start:end].tobytes().decode()
        except UnicodeDecodeError as error:
            raise FormatError(
                f"{_with_ending(self._stem, BYTES)}: byte {start + error.start} of text {place} "
                "is not UTF-8; the file is broken, build the index again"
            ) from error


def files_of(stem: Path) -> tuple[Path, Path]:
    """The file of offsets and the file of bytes."""
    return _with_ending(stem, OFFSETS), _with_ending(stem, BYTES)


def mapped_array(path: Path, dtype: np.dtype[Any], n: int) -> NDArray[Any]:
    """The `n` numbers that are all of a file, mapped and read-only, shape [n].

    Raises:
        FormatError: If it is missing or of another size.
    """
    try:
        n_bytes = path.stat().st_size
    except FileNotFoundError:
        raise FormatError(f"{path}: missing, expected it; build the index again") from None
    if n_bytes != n * dtype.itemsize:
        raise FormatError(
            f"{path}: {n_bytes} bytes, expected {n * dtype.itemsize}; the file is cut short or "
            "not of this index, build the index again"
        )
    # an empty file cannot be mapped
    return np.memmap(path, dtype, mode="r", shape=(n,)) if n else np.empty(0, dtype)


def digest_of(path: Path) -> str:
    """BLAKE2b of a file, read in blocks."""
    return _digest([path])


def _digest(paths: Iterable[Path]) -> str:
    digest = blake2b(digest_size=16)
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def _with_ending(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
