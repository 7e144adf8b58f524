"""What users call a corpus -> the files and tables it is made of."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vecsmith.corpora.files import FileFormat, data_file, format_of
from vecsmith.corpora.hugging_face import dataset_parts, hub_parts, is_dataset_id
from vecsmith.corpora.memory import SequencePart
from vecsmith.corpora.parts import FilePart, Part
from vecsmith.corpora.rows import listed
from vecsmith.corpora.selection import ALL_ROWS, known_split, split_of_file
from vecsmith.corpora.tables import table_part


def parts_of(
    source: Any, *, split: str | None, file_format: FileFormat | None
) -> tuple[str, list[Part], bool]:
    """Name of a source, what it is made of, and whether the split was chosen on the way.

    Raises:
        TypeError: If it is nothing that holds rows.
        ValueError: If it has no such split, or files of several formats.
        OSError: If a file is missing.
    """
    if isinstance(source, str | os.PathLike):
        return _parts_on_disk(os.fspath(source), split, file_format)
    datasets = dataset_parts(source, split)
    if datasets is not None:
        return datasets[0], list(datasets[1]), datasets[2]
    table = table_part(source)
    if table is not None:
        return table.name, [table], False
    if isinstance(source, Sequence) and not isinstance(source, bytes | bytearray | memoryview):
        if len(source) and all(isinstance(path, os.PathLike) for path in source):
            files = [Path(path) for path in source]
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            return f"{files[0]}{more}", _file_parts(files, file_format), False
        return "the rows given", [SequencePart(source)], False
    raise TypeError(
        f"the source is {type(source).__name__}, expected a path, a glob, the id of a data set, a "
        "data set, a table or a list of rows; of an iterator, list(it) can be read twice"
    )


def _parts_on_disk(
    name: str, split: str | None, file_format: FileFormat | None
) -> tuple[str, list[Part], bool]:
    path = Path(name)
    if path.is_dir():
        files = _files_in(path, file_format)
        chosen, told = _files_of_split(files, path, split or "train")
        return name, _file_parts(chosen, file_format), told
    if glob.has_magic(name) and not path.exists():
        files = sorted(Path(found) for found in glob.glob(name, recursive=True))
        files = [file for file in files if file.is_file()]
        if not files:
            raise FileNotFoundError(f"no file matches {name}, expected one or more")
        folder, pattern = _fixed_and_pattern(path)
        if split is None and split_of_file(pattern):  # it asks for a split by its name
            return name, _file_parts(files, file_format), False
        chosen, told = _files_of_split(files, folder, split or "train")
        return name, _file_parts(chosen, file_format), told
    if is_dataset_id(name) and not path.exists() and format_of(path) is None:
        parts, told = hub_parts(name, split)
        return name, list(parts), told
    return name, _file_parts([path], file_format), False


def _fixed_and_pattern(path: Path) -> tuple[Path, Path]:
    """The folders of a glob before its first pattern, and the rest of it."""
    n_fixed = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
    return Path(*path.parts[:n_fixed]), Path(*path.parts[n_fixed:])


def _file_parts(files: Sequence[Path], file_format: FileFormat | None) -> list[Part]:
    found = [data_file(path, file_format=file_format) for path in files]
    for file in found:
        if not file.is_resumable:
            raise ValueError(
                f"{file.name} is no regular file, expected one: it is read more than once; write "
                "what it gives to a file"
            )
    return [FilePart(file) for file in found]


def _files_in(folder: Path, file_format: FileFormat | None) -> list[Path]:
    """Files of rows in a folder and the folders in it, by name; those that begin with . are not."""
    found: dict[FileFormat, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        hidden = any(part.startswith((".", "_")) for part in below.parts)
        # datasets keeps what it computed beside the rows it was computed from
        if hidden or path.name.startswith("cache-") or not path.is_file():
            continue
        kind = format_of(path)
        if kind is not None and file_format in (None, kind):
            found.setdefault(kind, []).append(path)
    if len(found) > 1:
        found.pop("txt", None)  # a licence beside the tables
    if len(found) > 1:
        raise ValueError(
            f"{folder} has files of the formats {listed(list(found))}, expected one; give a "
            f"glob such as {folder}/*.{next(iter(found))}"
        )
    if not found:
        raise FileNotFoundError(
            f"{folder} has no files of rows, expected .parquet, .jsonl, .csv, .tsv, .txt, .arrow"
        )
    return next(iter(found.values()))


def _files_of_split(files: Sequence[Path], folder: Path, split: str) -> tuple[list[Path], bool]:
    """The files whose names tell the split, and whether any file's does."""
    splits: Mapping[Path, str | None] = {
        path: split_of_file(path.relative_to(folder)) for path in files
    }
    told = {name for name in splits.values() if name}
    if split == ALL_ROWS or not told:
        return list(files), False
    wanted = known_split(split)
    chosen = [path for path in files if splits[path] == wanted]
    if not chosen:
        raise ValueError(
            f"{folder} has files of the splits {listed(sorted(told))}, expected {wanted!r}; name "
            f'one of them, as in split="{min(told)}", or split="all"'
        )
    return chosen, True
