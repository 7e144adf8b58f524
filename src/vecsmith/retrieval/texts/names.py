"""Which texts have a name: the hashes of all names, sorted and mapped, and the texts they are of.

    part-000000.keys      uint64, little-endian, [N], ascending: 64 bits of BLAKE2b of each name
    part-000000.places    int64, little-endian, [N]: the text each of them is of

The one rule: a hash only says where to look; a name is found where the stored name is the same.
An empty name is none: texts that were forgotten have it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import FormatError
from vecsmith.retrieval.texts.mapped import MappedTexts, digest_of, mapped_array

KEYS, PLACES = ".keys", ".places"
_KEY, _PLACE = np.dtype("<u8"), np.dtype("<i8")
_HASH_BLOCK = 2**14


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesRecord:
    """What a manifest says of the sorted names.

    Attributes:
        n_names: How many texts have one.
        keys: BLAKE2b of the file of hashes.
        places: BLAKE2b of the file of places.
    """

    n_names: int
    keys: str
    places: str

    @classmethod
    def parse(cls, value: Any, *, source: str) -> NamesRecord:
        """The record in a JSON value; `source` names it in errors.

        Raises:
            FormatError: If it is no such record.
        """
        fields = value if isinstance(value, dict) else {}
        n_names, keys, places = (fields.get(key) for key in ("n_names", "keys", "places"))
        if type(n_names) is not int or n_names < 0 or not isinstance(keys, str):
            n_names = None
        if n_names is None or not isinstance(places, str):
            raise FormatError(
                f"{source}: {value!r:.80}, expected n_names, keys and places; the file is broken, "
                "build the index again"
            )
        return cls(n_names=n_names, keys=str(keys), places=places)

    def to_json(self) -> dict[str, Any]:
        """The record as `parse` takes it."""
        return asdict(self)


def write_names(stem: Path, names: MappedTexts) -> NamesRecord:
    """Sorts the hashes of `names` into two files of `stem`; memory is some 40 bytes a name.

    Raises:
        OSError: If they cannot be written.
    """
    keys = np.empty(len(names), _KEY)
    has_name = np.empty(len(names), np.bool_)
    block: list[str] = []
    start = 0
    for name in names:
        block.append(name)
        if len(block) == _HASH_BLOCK:
            start = _fill(keys, has_name, start, block)
            block = []
    _fill(keys, has_name, start, block)
    places = np.flatnonzero(has_name)
    order = np.argsort(keys[places], kind="stable")
    places = places[order].astype(_PLACE, copy=False)
    return _write(stem, keys[places], places)


class NameIndex:
    """The places of the texts that have a name.

    Attributes:
        record: As the manifest says.
    """

    def __init__(self, stem: Path, record: NamesRecord, names: MappedTexts) -> None:
        """Maps the files of `stem`, which sort `names`.

        Raises:
            FormatError: If a file is missing or of another size.
        """
        self.record = record
        self._stem = stem
        self._names = names
        keys, places = _files_of(stem)
        self._keys = mapped_array(keys, _KEY, record.n_names)
        self._places = mapped_array(places, _PLACE, record.n_names)

    def find(self, names: Sequence[str]) -> list[list[int]]:
        """The places of the texts that have each name, first to last.

        Raises:
            FormatError: If a file says what cannot be.
        """
        if not len(names):
            return []
        wanted = _hashes(names)
        starts = np.searchsorted(self._keys, wanted, side="left")
        ends = np.searchsorted(self._keys, wanted, side="right")
        found: list[list[int]] = [[] for _ in names]
        for i in np.flatnonzero(ends > starts).tolist():
            candidates = sorted(self._places[starts[i] : ends[i]].tolist())
            self._check(candidates)
            found[i] = [place for place in candidates if names[i] == self._names[place]]
        return found

    def write_without(self, stem: Path, gone: NDArray[np.int64]) -> NamesRecord:
        """Writes these names to files of `stem`, but for those of the texts at `gone`."""
        stays = ~np.isin(self._places, gone)
        return _write(stem, self._keys[stays], self._places[stays])

    @staticmethod
    def write_joined(stem: Path, parts: Sequence[NameIndex]) -> NamesRecord:
        """Writes the names of several parts, one after the other, to files of `stem`."""
        firsts = np.cumsum([0, *(len(part._names) for part in parts)])
        keys = np.concatenate([part._keys for part in parts])
        places = np.concatenate(
            [part._places + first for part, first in zip(parts, firsts[:-1], strict=True)]
        )
        order = np.argsort(keys, kind="stable")
        return _write(stem, keys[order], places[order].astype(_PLACE, copy=False))

    def repeated(self) -> tuple[str, int, int] | None:
        """A name that two texts have, and their places; None where all names differ.

        Raises:
            FormatError: If a file says what cannot be.
        """
        equal = np.flatnonzero(self._keys[1:] == self._keys[:-1])
        for i in equal.tolist():
            a, b = sorted(self._places[i : i + 2].tolist())
            self._check([a, b])
            if self._names[a] == self._names[b]:
                return self._names[a], a, b
        return None

    def verify(self) -> None:
        """Reads every byte.

        Raises:
            FormatError: If the files are not what was written.
        """
        expected = (self.record.keys, self.record.places)
        for path, digest in zip(_files_of(self._stem), expected, strict=True):
            if (found := digest_of(path)) != digest:
                raise FormatError(
                    f"{path}: digest {found}, expected {digest}; the file was altered, build the "
                    "index again"
                )

    def _check(self, places: Iterable[int]) -> None:
        for place in places:
            if not 0 <= place < len(self._names):
                raise FormatError(
                    f"{_files_of(self._stem)[1]}: text {place} of {len(self._names)}; the file is "
                    "broken, build the index again"
                )


def _fill(keys: NDArray[Any], has_name: NDArray[Any], start: int, block: Sequence[str]) -> int:
    end = start + len(block)
    keys[start:end] = _hashes(block)
    has_name[start:end] = [bool(name) for name in block]
    return end


def _write(stem: Path, keys: NDArray[Any], places: NDArray[Any]) -> NamesRecord:
    paths = _files_of(stem)
    for path, array in zip(paths, (keys, places), strict=True):
        path.unlink(missing_ok=True)  # a file that is there may be mapped, or have a second name
        with path.open("wb") as file:
            array.tofile(file)
            file.flush()
            os.fsync(file.fileno())
    digests = [digest_of(path) for path in paths]
    return NamesRecord(n_names=len(places), keys=digests[0], places=digests[1])


def _hashes(names: Sequence[str]) -> NDArray[np.uint64]:
    raw = b"".join([blake2b(_coded(name), digest_size=8).digest() for name in names])
    return np.frombuffer(raw, _KEY).astype(np.uint64)


def _coded(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _files_of(stem: Path) -> tuple[Path, Path]:
    return stem.with_name(stem.name + KEYS), stem.with_name(stem.name + PLACES)
