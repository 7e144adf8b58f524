"""Texts by number, and by name where they have one: a folder of mapped files that only grows.

    texts/
    ├── texts.json                     which parts there are: written last, so it is always whole
    ├── part-000000.offsets, .utf8     the texts of the first part, see mapped_texts.py
    ├── part-000000-names.*            their names and where to find them, see text_names.py
    └── part-000001.*                  what was added later

Texts are numbered from 0 in the order in which they came. A number is never given to another text:
what is forgotten leaves an empty text behind.

The one rule: files that texts.json does not name do not exist. A writer adds files, then replaces
texts.json; whoever opened the store before goes on with what it has.
"""

from __future__ import annotations

import os
import re
import shutil
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._files import read_json, sync_folder, write_json
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError, RunFailed
from vecsmith.retrieval.mapped_texts import MappedTexts, TextsRecord, TextWriter
from vecsmith.retrieval.text_names import NameIndex, NamesRecord, write_names

NameKind = Literal["str", "int"]

MANIFEST = "texts.json"
_FORMAT, _VERSION = "vecsmith texts", 1
_STEM = re.compile(r"part-\d{6,12}", re.ASCII)
_MAX_MANIFEST_BYTES = 2**24
_TRIES = 5
_REMEDY = "build the index again"


@dataclass(frozen=True, slots=True, kw_only=True)
class _PartRecord:
    """What the manifest says of a part."""

    stem: str
    texts: TextsRecord
    names: TextsRecord | None
    sorted_names: NamesRecord | None

    @classmethod
    def parse(cls, value: Any, *, source: str) -> _PartRecord:
        fields = value if isinstance(value, dict) else {}
        stem = fields.get("stem")
        # it becomes a path: nothing but names of ours
        if not isinstance(stem, str) or not _STEM.fullmatch(stem):
            raise FormatError(f"{source}.stem: {stem!r:.80}, expected as in 'part-000000'")
        texts = TextsRecord.parse(fields.get("texts"), source=f"{source}.texts")
        if fields.get("names") is None:
            return cls(stem=stem, texts=texts, names=None, sorted_names=None)
        names = TextsRecord.parse(fields["names"], source=f"{source}.names")
        of_names = NamesRecord.parse(fields.get("sorted_names"), source=f"{source}.sorted_names")
        if names.n_texts != texts.n_texts or of_names.n_names > texts.n_texts:
            raise FormatError(
                f"{source}: {names.n_texts} names of {texts.n_texts} texts, {of_names.n_names} of "
                f"them sorted, expected as many; the file is broken, {_REMEDY}"
            )
        return cls(stem=stem, texts=texts, names=names, sorted_names=of_names)

    def to_json(self) -> dict[str, Any]:
        return {
            "stem": self.stem,
            "texts": self.texts.to_json(),
            "names": self.names and self.names.to_json(),
            "sorted_names": self.sorted_names and self.sorted_names.to_json(),
        }


class _Part:
    """One part, mapped."""

    def __init__(self, folder: Path, record: _PartRecord) -> None:
        self.record = record
        stem = folder / record.stem
        self.texts = MappedTexts(stem, record.texts)
        self.names: MappedTexts | None = None
        self.index: NameIndex | None = None
        if record.names is not None and record.sorted_names is not None:
            of_names = _of_names(stem)
            self.names = MappedTexts(of_names, record.names)
            self.index = NameIndex(of_names, record.sorted_names, self.names)

    def verify(self) -> None:
        self.texts.verify()
        if self.names is not None and self.index is not None:
            self.names.verify()
            self.index.verify()


class TextStore:
    """Texts by number.

    Example:
        >>> store = TextStore.open("index/texts")
        >>> store[0], store.names([0]), store.find(["a-name"])

    Attributes:
        folder: Where it is.
        name_kind: What the names were: "str", or "int" for numbers in figures; None where texts
            have only their numbers.
    """

    def __init__(
        self, folder: Path, parts: Sequence[_PartRecord], *, name_kind: NameKind | None
    ) -> None:
        """Maps the parts; `TextStore.open` and `TextStoreWriter.commit` make stores."""
        self.folder = folder
        self.name_kind = name_kind
        self._parts = [_Part(folder, record) for record in parts]
        counts = accumulate((len(part.texts) for part in self._parts), initial=0)
        *self._firsts, self._n_texts = counts

    @classmethod
    def open(cls, folder: PathLike, *, verify: bool = False) -> TextStore:
        """The store in `folder`, mapped: nothing but the ends of files is read.

        Args:
            folder: Where it was written.
            verify: Whether every byte is read and compared with its digest.

        Raises:
            FormatError: If it is no store, or a file of it is missing, cut short or altered.
        """
        folder = Path(folder)
        name_kind, parts = _read_manifest(folder / MANIFEST)
        for _ in range(_TRIES):
            try:
                store = cls(folder, parts, name_kind=name_kind)
                if verify:
                    store._verify()
                return store
            except (FormatError, FileNotFoundError):
                newer = _read_manifest(folder / MANIFEST)
                if newer == (name_kind, parts):
                    raise
                name_kind, parts = newer  # a writer replaced it between our two looks
        raise RunFailed(f"{folder}: is replaced faster than it can be opened; try again")

    def __len__(self) -> int:
        return self._n_texts

    def __getitem__(self, number: int) -> str:
        part, place = self._place(number)
        return part.texts[place]

    def __iter__(self) -> Iterator[str]:
        for part in self._parts:
            yield from part.texts

    @property
    def n_bytes(self) -> int:
        """Bytes of all texts."""
        return sum(part.record.texts.n_bytes for part in self._parts)

    def texts(self, numbers: Iterable[int]) -> list[str]:
        """The texts of these numbers."""
        return [self[int(number)] for number in numbers]

    def names(self, numbers: Iterable[int]) -> list[str | int]:
        """The names of the texts of these numbers: the numbers themselves where there are none."""
        return [self._name(int(number)) for number in numbers]

    def find(self, names: Sequence[str | int]) -> list[list[int]]:
        """The numbers of the texts that have each name, first to last; of none no number.

        A name that was given to a new text is still that of the old one until that is forgotten.
        """
        if self.name_kind is None:
            return [_number(name, self._n_texts) for name in names]
        wanted = [str(name) for name in names]
        found: list[list[int]] = [[] for _ in wanted]
        for part, first in zip(self._parts, self._firsts, strict=True):
            if part.index is not None:
                for numbers, places in zip(found, part.index.find(wanted), strict=True):
                    numbers += [first + place for place in places]
        return found

    def add(self) -> TextStoreWriter:
        """A writer of more texts; only one at a time."""
        return TextStoreWriter(self.folder, name_kind=self.name_kind, after=self)

    def forget(self, numbers: Collection[int]) -> TextStore:
        """The store without these texts and their names, which no file holds any more.

        Each part that has one of them is written anew.

        Raises:
            IndexError: If there is no such number.
            OSError: If it cannot be written.
        """
        by_part: dict[int, set[int]] = {}
        for number in numbers:
            self._place(number)
            which = bisect_right(self._firsts, number) - 1
            by_part.setdefault(which, set()).add(number - self._firsts[which])
        records = [part.record for part in self._parts]
        old = [records[which].stem for which in by_part]
        for which, gone in by_part.items():
            stem = _next_stem(records)
            records[which] = _copy_without(self.folder, self._parts[which], stem, gone)
        return _commit(self.folder, records, self.name_kind, unlink=old)

    def adopt(self, other: TextStore) -> TextStore:
        """The store with the parts of `other` at its end; `other` keeps its files.

        Raises:
            ValueError: If one has names and the other not, or of another kind.
            OSError: If they cannot be linked or copied.
        """
        if other.name_kind != self.name_kind:
            raise ValueError(
                f"names of kind {other.name_kind!r} for a store with {self.name_kind!r}, expected "
                "the same: give ids where there are ids, numbers where there are numbers"
            )
        records = [part.record for part in self._parts]
        _remove_unnamed(self.folder, {record.stem for record in records})
        for part in other._parts:
            stem = _next_stem(records)
            _link_part(other.folder, part.record.stem, self.folder, stem)
            records.append(replace(part.record, stem=stem))
        return _commit(self.folder, records, self.name_kind)

    def _verify(self) -> None:
        for part in self._parts:
            part.verify()

    def _place(self, number: int) -> tuple[_Part, int]:
        if not 0 <= number < self._n_texts:
            raise IndexError(f"text {number} of {self._n_texts}, expected 0 to {self._n_texts - 1}")
        which = bisect_right(self._firsts, number) - 1
        return self._parts[which], number - self._firsts[which]

    def _name(self, number: int) -> str | int:
        part, place = self._place(number)
        if part.names is None:
            return number
        name = part.names[place]
        return int(name) if self.name_kind == "int" and re.fullmatch(r"-?\d{1,30}", name) else name


class TextStoreWriter:
    """A part that is being written; the store has it from `commit` on.

    Args:
        folder: Of the store, made if need be.
        name_kind: What the names are, None for texts without.
        after: The store it is added to; None for a new one.
        n_texts: Texts of the part that an unfinished writer left on the disk.
    """

    def __init__(
        self,
        folder: PathLike,
        *,
        name_kind: NameKind | None = None,
        after: TextStore | None = None,
        n_texts: int = 0,
    ) -> None:
        self._folder = Path(folder)
        self._name_kind = name_kind
        self._before = [] if after is None else [part.record for part in after._parts]
        self._folder.mkdir(exist_ok=True)
        if not n_texts:
            _remove_unnamed(self._folder, {record.stem for record in self._before})
        self._stem = self._folder / _next_stem(self._before)
        self._texts = TextWriter(self._stem, n_texts=n_texts)
        self._names = (
            None if name_kind is None else TextWriter(_of_names(self._stem), n_texts=n_texts)
        )

    def __enter__(self) -> TextStoreWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def n_texts(self) -> int:
        """Texts of this part so far."""
        return self._texts.n_texts

    def append(self, texts: Sequence[str], names: Sequence[str | int] | None = None) -> None:
        """Adds texts and, in a store that has them, their names.

        Raises:
            ValueError: If names are missing, empty, not as many, or not meant.
        """
        if (names is None) != (self._names is None):
            kind = "with names" if self._names is not None else "without names"
            given = "none" if names is None else f"{len(names)}"
            raise ValueError(f"{given} given for texts of a store {kind}, expected it all alike")
        if self._names is not None and names is not None:
            if len(names) != len(texts):
                raise ValueError(f"{len(names)} names for {len(texts)} texts, expected as many")
            spelt = [str(name) for name in names]
            if "" in spelt:
                raise ValueError(
                    f"the name of text {self.n_texts + spelt.index('')} is empty, expected one to "
                    "know it by"
                )
            self._names.append(spelt)
        self._texts.append(texts)

    def sync(self) -> None:
        """Returns when all that was appended is on the disk."""
        self._texts.sync()
        if self._names is not None:
            self._names.sync()

    def commit(self) -> TextStore:
        """The store with this part.

        Raises:
            ValueError: If two texts of the part have one name.
            OSError: If it cannot be written.
        """
        try:
            record = _finish_part(self._stem, self._texts, self._names)
            if record.names is not None:
                _check_names(_Part(self._folder, record))
        except BaseException:
            self.discard()
            raise
        return _commit(self._folder, [*self._before, record], self._name_kind)

    def close(self) -> None:
        """Closes the files as they are, for a writer that goes on later."""
        self._texts.close()
        if self._names is not None:
            self._names.close()

    def discard(self) -> None:
        """Removes what was written."""
        self.close()
        _remove(self._folder, self._stem.name)


def _finish_part(stem: Path, texts: TextWriter, names: TextWriter | None) -> _PartRecord:
    """Closes a part, sorts its names, and says what a manifest keeps of it."""
    of_texts = texts.finish()
    if names is None:
        return _PartRecord(stem=stem.name, texts=of_texts, names=None, sorted_names=None)
    of_names = names.finish()
    in_order = write_names(_of_names(stem), MappedTexts(_of_names(stem), of_names))
    return _PartRecord(stem=stem.name, texts=of_texts, names=of_names, sorted_names=in_order)


def _copy_without(folder: Path, part: _Part, stem: str, gone: set[int]) -> _PartRecord:
    """Writes a part anew, with nothing at the places that are gone."""
    path, places = folder / stem, np.array(sorted(gone), np.int64)
    try:
        texts = _texts_without(path, part.texts, places)
        if part.names is None or part.index is None:
            return _PartRecord(stem=stem, texts=texts, names=None, sorted_names=None)
        names = _texts_without(_of_names(path), part.names, places)
        in_order = part.index.write_without(_of_names(path), places)
        return _PartRecord(stem=stem, texts=texts, names=names, sorted_names=in_order)
    except BaseException:
        _remove(folder, stem)
        raise


def _texts_without(stem: Path, texts: MappedTexts, gone: NDArray[np.int64]) -> TextsRecord:
    writer = TextWriter(stem)
    try:
        writer.append_without(texts, gone)
        return writer.finish()
    finally:
        writer.close()


def _check_names(part: _Part) -> None:
    twice = part.index.repeated() if part.index is not None else None
    if twice is not None:
        name, a, b = twice
        raise ValueError(
            f"texts {a} and {b} are both called {name!r:.80}, expected each name once: remove one, "
            "or name another column"
        )


def _commit(
    folder: Path,
    records: Sequence[_PartRecord],
    name_kind: NameKind | None,
    *,
    unlink: Iterable[str] = (),
) -> TextStore:
    """Makes these parts the store, then removes the parts that were replaced."""
    sync_folder(folder)
    write_json(
        folder / MANIFEST,
        {
            "format": _FORMAT,
            "version": _VERSION,
            "names": name_kind,
            "parts": [record.to_json() for record in records],
        },
    )
    for stem in unlink:
        _remove(folder, stem)
    return TextStore(folder, records, name_kind=name_kind)


def _read_manifest(path: Path) -> tuple[NameKind | None, list[_PartRecord]]:
    try:
        found = read_json(path, max_bytes=_MAX_MANIFEST_BYTES, remedy=_REMEDY)
    except FileNotFoundError:
        raise FormatError(f"{path}: missing, expected a store of texts; {_REMEDY}") from None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise FormatError(f"{path}: not a store of texts, expected format {_FORMAT!r}")
    if found.get("version") != _VERSION:
        raise FormatError(
            f"{path}.version: {found.get('version')!r:.40}, expected {_VERSION}; it was written by "
            "another version of vecsmith, use that one or build the index again"
        )
    names, parts = found.get("names"), found.get("parts")
    if names not in (None, "str", "int") or not isinstance(parts, list):
        raise FormatError(f"{path}: names {names!r:.40} or parts are broken, {_REMEDY}")
    records = [_PartRecord.parse(part, source=f"{path}.parts[{i}]") for i, part in enumerate(parts)]
    if any((record.names is None) != (names is None) for record in records):
        raise FormatError(f"{path}: some parts have names and some not, {_REMEDY}")
    return names, records


def _number(name: str | int, n_texts: int) -> list[int]:
    """The number that a name is, where texts have no other."""
    text = str(name)
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII) or int(text) >= n_texts:
        return []
    return [int(text)]


def _next_stem(records: Iterable[_PartRecord]) -> str:
    last = max((int(record.stem.removeprefix("part-")) for record in records), default=-1)
    return f"part-{last + 1:06d}"


def _of_names(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}-names")


def _link_part(source: Path, stem: str, target: Path, new_stem: str) -> None:
    """Gives the files of a part a second name in another folder, or copies them there."""
    for path in (*source.glob(f"{stem}.*"), *source.glob(f"{stem}-names.*")):
        new = target / f"{new_stem}{path.name.removeprefix(stem)}"
        try:
            os.link(path, new)
        except OSError:  # another disk, or a file system without links
            with path.open("rb") as file, new.open("wb") as copy:
                shutil.copyfileobj(file, copy)
                copy.flush()
                os.fsync(copy.fileno())


def _remove(folder: Path, stem: str) -> None:
    """Removes the files of a part; one that stays is removed by the next writer."""
    for path in (*folder.glob(f"{stem}.*"), *folder.glob(f"{stem}-names.*")):
        with suppress(OSError):
            path.unlink()


def _remove_unnamed(folder: Path, stems: Collection[str]) -> None:
    """Removes what a writer left that did not get to its end."""
    found = {path.name.partition(".")[0].removesuffix("-names") for path in folder.iterdir()}
    for stem in found - set(stems):
        if _STEM.fullmatch(stem):
            _remove(folder, stem)
