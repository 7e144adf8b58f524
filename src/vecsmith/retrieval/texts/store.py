"""Texts by number, and by name where they have one: a folder of mapped files that only grows.

    texts/
    ├── texts.json                     which parts there are: written last, so it is always whole
    ├── part-000000.offsets, .utf8     the texts of the first part, see mapped.py
    ├── part-000000-names.*            their names and where to find them, see names.py
    └── part-000001.*                  what was added later

Texts are numbered from 0 in the order in which they came. A number is never given to another text:
what is forgotten leaves an empty text behind.

The one rule: files that texts.json does not name do not exist. A writer adds files, then replaces
texts.json; whoever opened the store before goes on with what it has.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from vecsmith._typing import PathLike
from vecsmith.errors import FormatError, RunFailed
from vecsmith.retrieval.texts.mapped import TextWriter
from vecsmith.retrieval.texts.parts import (
    MANIFEST,
    NameKind,
    Part,
    PartRecord,
    copy_without,
    finish_part,
    join_parts,
    link_part,
    names_stem,
    next_stem,
    read_manifest,
    remove_part,
    remove_unnamed,
    to_join,
    write_manifest,
)

_TRIES = 5


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
        self, folder: Path, parts: Sequence[PartRecord], *, name_kind: NameKind | None
    ) -> None:
        """Maps the parts; `TextStore.open` and `TextStoreWriter.commit` make stores."""
        self.folder = folder
        self.name_kind = name_kind
        self._parts = [Part(folder, record) for record in parts]
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
        name_kind, parts = read_manifest(folder / MANIFEST)
        for _ in range(_TRIES):
            try:
                store = cls(folder, parts, name_kind=name_kind)
                if verify:
                    store._verify()
                return store
            except (FormatError, FileNotFoundError):
                newer = read_manifest(folder / MANIFEST)
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
        # what a killed writer left may be other stores' files under a second name: never written to
        remove_unnamed(self.folder, {record.stem for record in records})
        old = [records[which].stem for which in by_part]
        for which, gone in by_part.items():
            stem = next_stem(records)
            records[which] = copy_without(self.folder, self._parts[which], stem, gone)
        return _commit(self.folder, records, self.name_kind, unlink=old)

    def adopt(self, other: TextStore) -> TextStore:
        """The store with the parts of `other` at its end; `other` keeps its files.

        Parts that are small beside what follows them are joined, so that many small additions do
        not become as many files.

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
        remove_unnamed(self.folder, {record.stem for record in records})
        for part in other._parts:
            stem = next_stem(records)
            link_part(other.folder, part.record.stem, self.folder, stem)
            records.append(replace(part.record, stem=stem))
        return _commit(self.folder, records, self.name_kind)._joined()

    def _joined(self) -> TextStore:
        """The store with its last small parts made one."""
        n = to_join([len(part.texts) for part in self._parts])
        if n < 2:
            return self
        before, last = self._parts[:-n], self._parts[-n:]
        records = [part.record for part in self._parts]
        joined = join_parts(self.folder, last, next_stem(records))
        return _commit(
            self.folder,
            [*(part.record for part in before), joined],
            self.name_kind,
            unlink=[part.record.stem for part in last],
        )

    def _verify(self) -> None:
        for part in self._parts:
            part.verify()

    def _place(self, number: int) -> tuple[Part, int]:
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
            remove_unnamed(self._folder, {record.stem for record in self._before})
        self._stem = self._folder / next_stem(self._before)
        self._texts = TextWriter(self._stem, n_texts=n_texts)
        self._names = (
            None if name_kind is None else TextWriter(names_stem(self._stem), n_texts=n_texts)
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
            record = finish_part(self._stem, self._texts, self._names)
            if record.names is not None:
                _check_names(Part(self._folder, record))
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
        remove_part(self._folder, self._stem.name)


def _check_names(part: Part) -> None:
    twice = part.index.repeated() if part.index is not None else None
    if twice is not None:
        name, a, b = twice
        raise ValueError(
            f"texts {a} and {b} are both called {name!r:.80}, expected each name once: remove one, "
            "or name another column"
        )


def _commit(
    folder: Path,
    records: Sequence[PartRecord],
    name_kind: NameKind | None,
    *,
    unlink: Iterable[str] = (),
) -> TextStore:
    """Makes these parts the store, then removes the parts that were replaced."""
    write_manifest(folder, records, name_kind)
    for stem in unlink:
        remove_part(folder, stem)
    return TextStore(folder, records, name_kind=name_kind)


def _number(name: str | int, n_texts: int) -> list[int]:
    """The number that a name is, where texts have no other."""
    text = str(name)
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII) or int(text) >= n_texts:
        return []
    return [int(text)]
