"""Vectors of texts kept on disk, so that a slow encoder reads a text once.

The one rule: the cache only ever saves time. What is broken in it is dropped, what cannot be
written is not kept, and the vectors are those the encoder gave, bit for bit.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._files import cache_folder
from vecsmith._typing import Encoder, FloatArray, PathLike
from vecsmith.errors import FormatError
from vecsmith.evaluation.encoding import Role, distinct, encode_role
from vecsmith.evaluation.segments import (
    Keys,
    Segment,
    delete_least_recent,
    find_segments,
    hash_texts,
    write_segment,
)

logger = logging.getLogger(__name__)

DEFAULT_MAX_BYTES: Final = 10 * 10**9
# A segment is written about this often: what an interruption costs
_SECONDS_PER_SEGMENT: Final = 10.0
_FIRST_CHUNK, _CHUNK_BYTES, _FASTEST_GROWTH = 256, 64 * 2**20, 4.0
# Above so many texts a second, encoding again costs about what reading costs
_NOT_WORTH_KEEPING: Final = 20_000

Advance = Callable[[int], object]


def default_cache_folder() -> Path:
    """`embeddings` in the folder VECSMITH_CACHE, else in the platform's cache of vecsmith.

    Raises:
        ValueError: If VECSMITH_CACHE is empty, which switches caches off.
    """
    folder = cache_folder()
    if folder is None:
        raise ValueError("VECSMITH_CACHE is empty, expected a folder: name one for the vectors")
    return folder / "embeddings"


class EmbeddingCache:
    """Vectors by encoder, role and text, in a folder of limited size.

    Any number of processes may use one folder at once. A run that is interrupted keeps what it has
    encoded but for the last seconds.

    Example:
        >>> cache = EmbeddingCache("embeddings")
        >>> vectors = cache.encode(teacher, ["a text"], "text", fingerprint=teacher.fingerprint)

    Attributes:
        folder: Where the vectors are.
        max_bytes: Size beyond which what was used least recently is deleted.
    """

    def __init__(self, folder: PathLike | None = None, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Takes `folder`, which is made when there is something to keep.

        Args:
            folder: Where vectors are; None for `default_cache_folder()`.
            max_bytes: Size beyond which what was used least recently is deleted.

        Raises:
            NotADirectoryError: If `folder` is a file.
            ValueError: If `max_bytes` is negative, or there is no default folder.
        """
        if max_bytes < 0:
            raise ValueError(f"max_bytes is {max_bytes}, expected 0 or more")
        self.folder = default_cache_folder() if folder is None else Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"{self.folder} is a file, expected a folder for the cache")
        self.max_bytes = max_bytes
        self._shelves: dict[Path, _Shelf] = {}
        self._fast: set[str] = set()
        self._is_writable = True

    def encode(
        self,
        encoder: Encoder,
        texts: Sequence[str],
        role: Role = "text",
        *,
        fingerprint: str,
        advance: Advance | None = None,
    ) -> FloatArray:
        """Vectors of `texts` as `encoder` makes them for their `role`, float32 [N, D].

        Each different text is encoded once, and not at all if its vector is here.

        Args:
            encoder: What makes the vectors.
            texts: The texts.
            role: What they are for; an encoder without a method for it uses `encode`.
            fingerprint: Hash of all that a vector depends on; "" to look up and keep nothing.
            advance: Called with the number of texts done since the last call.

        Raises:
            ValueError: If the encoder gives something else than one finite vector a text, or
                vectors of another length than those kept under its fingerprint.
        """
        if not hasattr(encoder, f"encode_{role}"):
            role = "text"
        advance = advance or _ignore
        different, places = distinct(texts)
        advance(len(texts) - len(different))
        if not fingerprint or not different or fingerprint in self._fast:
            vectors = encode_role(encoder, different, role)
            advance(len(different))
        else:
            shelf = self._shelf(fingerprint, role)
            vectors = self._complete(encoder, different, role, shelf, advance, fingerprint)
        return vectors if len(different) == len(texts) else vectors[places]

    def _shelf(self, fingerprint: str, role: Role) -> _Shelf:
        # a fingerprint is anybody's text, a folder's name is not
        plain = re.fullmatch(r"[A-Za-z0-9_-]{1,64}", fingerprint)
        name = fingerprint if plain else hashlib.sha256(fingerprint.encode()).hexdigest()
        folder = self.folder / f"{name}-{role}"
        return self._shelves.setdefault(folder, _Shelf(folder))

    def _complete(
        self,
        encoder: Encoder,
        texts: list[str],
        role: Role,
        shelf: _Shelf,
        advance: Advance,
        fingerprint: str,
    ) -> FloatArray:
        """Vectors of different `texts`: those on the `shelf`, and the others encoded."""
        keys = hash_texts(texts, role)
        shelf.refresh()
        vectors, missing = shelf.look_up(keys)
        advance(len(texts) - len(missing))
        # about equally long texts together: an encoder that pads a batch has less to pad
        longest_first = sorted(missing.tolist(), key=lambda i: len(texts[i]), reverse=True)
        chunks = _Chunks(longest_first)
        for chunk in chunks:
            found = encode_role(encoder, [texts[i] for i in chunk], role)
            if vectors is None:
                vectors = np.empty((len(texts), found.shape[1]), dtype=np.float32)
            elif vectors.shape[1] != found.shape[1]:
                raise ValueError(
                    f"the encoder gave vectors of {found.shape[1]} dims, but those kept under its "
                    f"fingerprint in {shelf.folder} have {vectors.shape[1]}: expected a "
                    "fingerprint that changes with the encoder; delete the folder"
                )
            vectors[chunk] = found
            rate = chunks.note_time(found.shape[1])
            if rate > _NOT_WORTH_KEEPING:
                self._fast.add(fingerprint)
                chunks.take_all()
            else:
                self._keep(shelf, keys[chunk], found)
            advance(len(chunk))
        assert vectors is not None
        return vectors

    def _keep(self, shelf: _Shelf, keys: Keys, vectors: FloatArray) -> None:
        """Writes a segment, if there is room for one."""
        if not self._is_writable or vectors.nbytes + keys.nbytes >= self.max_bytes:
            return
        try:
            write_segment(shelf.folder, keys, vectors)
            folders = [path for path in self.folder.iterdir() if path.is_dir()]
        except OSError as error:
            self._is_writable = False
            logger.warning(
                "the embedding cache %s takes no more vectors (%s); going on without",
                self.folder,
                error,
            )
            return
        delete_least_recent(folders, self.max_bytes)


class _Chunks:
    """Takes texts in chunks that take about ten seconds each to encode."""

    def __init__(self, order: list[int]) -> None:
        self._order = order
        self._done = 0
        self._size = _FIRST_CHUNK
        self._largest = len(order)

    def __iter__(self) -> Iterator[list[int]]:
        while self._done < len(self._order):
            chunk = self._order[self._done : self._done + min(self._size, self._largest)]
            self._n_texts = len(chunk)
            self._started = time.perf_counter()
            self._done += len(chunk)
            yield chunk

    def note_time(self, dim: int) -> float:
        """Texts a second since the last chunk was taken; the next is made to last."""
        seconds = max(time.perf_counter() - self._started, 1e-9)
        growth = min(_SECONDS_PER_SEGMENT / seconds, _FASTEST_GROWTH)
        self._size = max(1, int(self._n_texts * growth))
        self._largest = max(1, _CHUNK_BYTES // (4 * dim))
        return self._n_texts / seconds

    def take_all(self) -> None:
        """Leaves one chunk: what is not kept needs no parts."""
        self._size = self._largest = max(1, len(self._order))


class _Shelf:
    """The segments of one encoder and role, and where each key is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._segments: dict[Path, Segment] = {}
        self._index(())

    def refresh(self) -> None:
        """Takes in what other processes wrote, and forgets what they deleted."""
        paths = find_segments(self.folder)
        if set(paths) == set(self._segments):
            return
        opened = {path: self._segments.get(path) or _open(path) for path in paths}
        self._index([segment for segment in opened.values() if segment is not None])

    def look_up(self, keys: Keys) -> tuple[FloatArray | None, NDArray[np.int64]]:
        """Vectors [N, D] of `keys` [N, 2], None if none is here; and the places of the missing."""
        vectors: FloatArray | None = None
        is_missing = np.ones(len(keys), dtype=np.bool_)
        rows = self._find(keys)
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(numbers[rows >= 0]).tolist():
            segment = self._ordered[number]
            wanted = np.flatnonzero((numbers == number) & (rows >= 0))
            if vectors is None:
                vectors = np.empty((len(keys), segment.dim), dtype=np.float32)
            if segment.dim != vectors.shape[1]:
                continue
            found = self._read(segment, rows[wanted] - self._starts[number])
            if found is not None:
                vectors[wanted] = found
                is_missing[wanted] = False
        if is_missing.all():
            vectors = None
        return vectors, np.flatnonzero(is_missing)

    def _find(self, keys: Keys) -> NDArray[np.int64]:
        """Place of each key among the rows of all segments, -1 for none."""
        if not len(self._first):
            return np.full(len(keys), -1, dtype=np.int64)
        places = np.searchsorted(self._first, keys[:, 0]).clip(max=len(self._first) - 1)
        rows = self._rows[places]
        # two keys may share a first half: then the later one counts as missing, never as the other
        same = (self._first[places] == keys[:, 0]) & (self._second[places] == keys[:, 1])
        return np.where(same, rows, -1)

    def _read(self, segment: Segment, rows: NDArray[np.int64]) -> FloatArray | None:
        """Vectors of a segment, or None where they are broken; then it is deleted."""
        try:
            found = segment.rows(rows)
            with suppress(OSError):
                os.utime(segment.path)  # used: not the next to be deleted
        except FileNotFoundError:
            return None
        except (FormatError, OSError, ValueError) as error:
            _drop(segment.path, error)
            return None
        return found

    def _index(self, segments: Sequence[Segment]) -> None:
        self._ordered = list(segments)
        self._segments = {segment.path: segment for segment in segments}
        lengths = [len(segment.keys) for segment in segments]
        self._starts = np.cumsum([0, *lengths[:-1]], dtype=np.int64)
        every = [segment.keys for segment in segments] or [np.empty((0, 2), dtype=np.uint64)]
        keys = np.concatenate(every)
        self._rows = np.argsort(keys[:, 0], kind="stable")
        self._first, self._second = keys[self._rows, 0], keys[self._rows, 1]


def _open(path: Path) -> Segment | None:
    """The segment, or None where it is broken; then it is deleted."""
    try:
        return Segment(path)
    except FileNotFoundError:
        return None
    except (FormatError, OSError) as error:
        _drop(path, error)
        return None


def _drop(path: Path, error: Exception) -> None:
    logger.warning("the embedding cache drops a broken file (%s)", error)
    with suppress(OSError):
        path.unlink()


def _ignore(n_texts: int) -> None:
    pass
