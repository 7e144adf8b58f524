"""The parts of a store of texts: what its manifest says of them, and their files.

The one rule: the manifest is untrusted: a name in it becomes a path only if it is one of ours.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._files import read_json, sync_folder, write_json
from vecsmith.errors import FormatError
from vecsmith.retrieval.texts.mapped import MappedTexts, TextsRecord, TextWriter
from vecsmith.retrieval.texts.names import NameIndex, NamesRecord, write_names

NameKind = Literal["str", "int"]

MANIFEST = "texts.json"
_FORMAT, _VERSION = "vecsmith texts", 1
_STEM = re.compile(r"part-\d{6,12}", re.ASCII)
_MAX_MANIFEST_BYTES = 2**24
_REMEDY = "build the index again"
_NONE: NDArray[np.int64] = np.zeros(0, np.int64)
# Another disk, a file system without links, or a file that has all the links it may
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """What the manifest says of a part."""

    stem: str
    texts: TextsRecord
    names: TextsRecord | None
    sorted_names: NamesRecord | None

    @classmethod
    def parse(cls, value: Any, *, source: str) -> PartRecord:
        """The record in a JSON value; `source` names it in errors.

        Raises:
            FormatError: If it is no such record.
        """
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
        """The record as `parse` takes it."""
        return {
            "stem": self.stem,
            "texts": self.texts.to_json(),
            "names": self.names and self.names.to_json(),
            "sorted_names": self.sorted_names and self.sorted_names.to_json(),
        }


class Part:
    """One part, mapped."""

    def __init__(self, folder: Path, record: PartRecord) -> None:
        self.record = record
        stem = folder / record.stem
        self.texts = MappedTexts(stem, record.texts)
        self.names: MappedTexts | None = None
        self.index: NameIndex | None = None
        if record.names is not None and record.sorted_names is not None:
            of_names = names_stem(stem)
            self.names = MappedTexts(of_names, record.names)
            self.index = NameIndex(of_names, record.sorted_names, self.names)

    def verify(self) -> None:
        """Reads every byte.

        Raises:
            FormatError: If a file is not what was written.
        """
        self.texts.verify()
        if self.names is not None and self.index is not None:
            self.names.verify()
            self.index.verify()


def finish_part(stem: Path, texts: TextWriter, names: TextWriter | None) -> PartRecord:
    """Closes a part, sorts its names, and says what a manifest keeps of it."""
    of_texts = texts.finish()
    if names is None:
        return PartRecord(stem=stem.name, texts=of_texts, names=None, sorted_names=None)
    of_names = names.finish()
    in_order = write_names(names_stem(stem), MappedTexts(names_stem(stem), of_names))
    return PartRecord(stem=stem.name, texts=of_texts, names=of_names, sorted_names=in_order)


def to_join(sizes: Sequence[int]) -> int:
    """How many of the last parts to make one of; 1 for none.

    So that each is at least as large as all that follow it together: then there are at most as
    many as the logarithm of the texts, and each text is written as often.
    """
    behind = sum(sizes)
    for place, size in enumerate(sizes):
        behind -= size
        if size < behind:
            return len(sizes) - place
    return 1


def join_parts(folder: Path, parts: Sequence[Part], stem: str) -> PartRecord:
    """Writes several parts, one after the other, as one."""
    path = folder / stem
    try:
        texts = _texts_without(path, [part.texts for part in parts], _NONE)
        names = [part.names for part in parts if part.names is not None]
        indexes = [part.index for part in parts if part.index is not None]
        if not names:
            return PartRecord(stem=stem, texts=texts, names=None, sorted_names=None)
        of_names = _texts_without(names_stem(path), names, _NONE)
        in_order = NameIndex.write_joined(names_stem(path), indexes)
        return PartRecord(stem=stem, texts=texts, names=of_names, sorted_names=in_order)
    except BaseException:
        remove_part(folder, stem)
        raise


def copy_without(folder: Path, part: Part, stem: str, gone: set[int]) -> PartRecord:
    """Writes a part anew, with nothing at the places that are gone."""
    path, places = folder / stem, np.array(sorted(gone), np.int64)
    try:
        texts = _texts_without(path, [part.texts], places)
        if part.names is None or part.index is None:
            return PartRecord(stem=stem, texts=texts, names=None, sorted_names=None)
        names = _texts_without(names_stem(path), [part.names], places)
        in_order = part.index.write_without(names_stem(path), places)
        return PartRecord(stem=stem, texts=texts, names=names, sorted_names=in_order)
    except BaseException:
        remove_part(folder, stem)
        raise


def _texts_without(
    stem: Path, parts: Sequence[MappedTexts], gone: NDArray[np.int64]
) -> TextsRecord:
    """Writes texts one after the other, each part without those at `gone`."""
    writer = TextWriter(stem)
    try:
        for texts in parts:
            writer.append_without(texts, gone)
        return writer.finish()
    finally:
        writer.close()


def write_manifest(folder: Path, records: Sequence[PartRecord], name_kind: NameKind | None) -> None:
    """Makes these parts the store."""
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


def read_manifest(path: Path) -> tuple[NameKind | None, list[PartRecord]]:
    """What the names of a store are, and its parts.

    Raises:
        FormatError: If the file is missing or broken, or of another version.
    """
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
    records = [PartRecord.parse(part, source=f"{path}.parts[{i}]") for i, part in enumerate(parts)]
    if any((record.names is None) != (names is None) for record in records):
        raise FormatError(f"{path}: some parts have names and some not, {_REMEDY}")
    return names, records


def next_stem(records: Iterable[PartRecord]) -> str:
    """What the files of a part after these are called."""
    last = max((int(record.stem.removeprefix("part-")) for record in records), default=-1)
    return f"part-{last + 1:06d}"


def names_stem(stem: Path) -> Path:
    """What the files of the names of a part are called."""
    return stem.with_name(f"{stem.name}-names")


def link_part(source: Path, stem: str, target: Path, new_stem: str) -> None:
    """Gives the files of a part a second name in another folder, or copies them there.

    Raises:
        FileExistsError: If a file is there: another store may have it under another name.
        OSError: If one can be neither linked nor copied.
    """
    for path in (*source.glob(f"{stem}.*"), *source.glob(f"{stem}-names.*")):
        new = target / f"{new_stem}{path.name.removeprefix(stem)}"
        try:
            os.link(path, new)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with path.open("rb") as file, new.open("xb") as copy:
                shutil.copyfileobj(file, copy)
                copy.flush()
                os.fsync(copy.fileno())


def remove_part(folder: Path, stem: str) -> None:
    """Removes the files of a part; one that stays is removed by the next writer."""
    for path in (*folder.glob(f"{stem}.*"), *folder.glob(f"{stem}-names.*")):
        with suppress(OSError):
            path.unlink()


def remove_unnamed(folder: Path, stems: Collection[str]) -> None:
    """Removes what a writer left that did not get to its end."""
    found = {path.name.partition(".")[0].removesuffix("-names") for path in folder.iterdir()}
    for stem in found - set(stems):
        if _STEM.fullmatch(stem):
            remove_part(folder, stem)
