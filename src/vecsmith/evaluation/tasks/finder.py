"""Tasks from folders: which sets are there, and what each asks.

The one rule: only names of files and columns are read here; rows are `source`'s.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.evaluation.tasks.kinds import (
    CORPUS,
    JUDGEMENTS,
    QUERIES,
    check_columns,
    check_renamed,
    meaning_of,
)
from vecsmith.evaluation.tasks.known_sets import known_language
from vecsmith.evaluation.tasks.settings import (
    FILE_NAME,
    METRICS,
    TaskSettings,
    read_settings,
)
from vecsmith.evaluation.tasks.source import TaskSource
from vecsmith.evaluation.tasks.splits import SPLIT_NAMES
from vecsmith.evaluation.tasks.tables import (
    EXTENSIONS,
    Part,
    column_names,
    find_column,
    table_stem,
)
from vecsmith.results import Kind

__all__ = ["TaskSource", "find_tasks"]

MAX_DEPTH = 3
# "train.csv", "validation.parquet", "test-00000-of-00001.parquet"
_SPLIT_FILE = re.compile(rf"({'|'.join(SPLIT_NAMES)})(-\d+-of-\d+)?")


def find_tasks(folders: PathLike | Sequence[PathLike]) -> list[TaskSource]:
    """The sets of folders, by name: each folder is a set, or holds sets up to three levels down.

    ```python
    from vecsmith.evaluation.tasks.finder import find_tasks

    for source in find_tasks("my-tasks/"):
        print(source.set, source.kind or source.skipped)
    ```

    Raises:
        FileNotFoundError: If a folder does not exist.
        NotADirectoryError: If one is a file.
        FormatError: If a file or a `task.toml` is broken, or a column is missing.
        ValueError: If no set is found, or two have one name.
    """
    listed: list[PathLike] = [folders] if isinstance(folders, (str, os.PathLike)) else list(folders)
    found: dict[Path, list[TaskSource]] = {}
    for folder in map(Path, listed):
        if folder.is_file():
            raise NotADirectoryError(f"{folder}: a file, expected the folder it is in")
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder, expected a set or a folder of sets")
        sets = list(_set_folders(folder.resolve(), MAX_DEPTH))
        found |= {each: list(_sources(each)) for each in sets}
        if not sets:
            raise ValueError(
                f"{folder}: no set found, expected files such as data.parquet or corpus.jsonl "
                f"({', '.join(EXTENSIONS)}) in it or in folders below"
            )
    return sorted(_named_apart(found), key=lambda source: source.set)


def _set_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Folders that hold tables, `folder` itself or below."""
    tables = _tables(folder)
    if tables:
        yield folder
    elif (folder / FILE_NAME).is_file():
        raise FormatError(
            f"{folder / FILE_NAME}: no table beside it, expected it in the folder of a set "
            f"({', '.join(EXTENSIONS)})"
        )
    if depth:
        for below in sorted(folder.iterdir()):
            of_set = below.name == "qrels" and {"corpus", "queries"} <= tables.keys()
            if below.is_dir() and below.name[0] not in "._" and not of_set:
                yield from _set_folders(below, depth - 1)


def _tables(folder: Path) -> dict[str, Path]:
    """Table files of a folder, by name without extensions."""
    tables: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        stem = table_stem(path) if path.name[0] != "." and path.is_file() else None
        if stem is None:
            continue
        if stem in tables:
            raise FormatError(f"{path}: beside {tables[stem].name}, expected one of the two")
        tables[stem] = path
    return tables


def _named_apart(found: Mapping[Path, list[TaskSource]]) -> list[TaskSource]:
    """All sources; sets of one name get those of the folders above before theirs."""
    folders = {folder: folder.name for folder in found}
    for level in range(1, MAX_DEPTH + 1):
        taken = Counter(folders.values())
        for folder, name in folders.items():
            if taken[name] > 1 and level < len(folder.parts):
                folders[folder] = "/".join(folder.parts[-level - 1 :])
    sources = [
        replace(source, set=folders[folder] + source.set.removeprefix(folder.name))
        for folder, sources in found.items()
        for source in sources
    ]
    twice = [name for name, count in Counter(source.set for source in sources).items() if count > 1]
    if twice:
        raise ValueError(f"two sets are named {twice[0]}, expected different names; rename one")
    return sources


def _sources(folder: Path) -> Iterator[TaskSource]:
    """What the tables of one folder ask."""
    settings = read_settings(folder)
    tables = _tables(folder)
    n_named = len(tables)
    if {"corpus", "queries", "qrels"} & tables.keys() and _is_collection(folder, tables):
        judgements = _judgements(folder, tables)
        corpus, queries = tables.pop("corpus"), tables.pop("queries")
        tables.pop("qrels", None)
        yield _collection(folder.name, corpus, queries, judgements, settings[None])
        n_named = len(tables) + 1
    splits = {stem: match[1] for stem in tables if (match := _SPLIT_FILE.fullmatch(stem))}
    if splits:
        parts = tuple(Part(tables.pop(stem), SPLIT_NAMES[splits[stem]]) for stem in sorted(splits))
        yield _single(folder.name, folder.name, parts, settings[None])
    unused = settings.keys() - {None, *(path.name for path in tables.values())}
    if unused:
        raise FormatError(
            f"{folder / FILE_NAME}: settings for {min(map(str, unused))}, expected only for files "
            "that are a set of their own; put those of the folder above [files]"
        )
    for stem, path in tables.items():
        own = settings.get(path.name, settings[None])
        name = f"{folder.name}/{stem}" if n_named > 1 else folder.name
        yield _single(name, folder.name, (Part(path),), own)


def _is_collection(folder: Path, tables: Mapping[str, Path]) -> bool:
    """Whether a folder is a corpus with queries and judgements.

    Raises:
        FormatError: If it is one of which a file is missing.
    """
    there = {"corpus", "queries", "qrels"} & tables.keys()
    there |= {"qrels"} if (folder / "qrels").is_dir() else set()
    missing = {"corpus", "queries", "qrels"} - there
    if not missing:
        return True
    if len(there) == 1:
        return False  # a corpus of plain text, say
    raise FormatError(
        f"{folder}: {', '.join(sorted(there))} without {', '.join(missing)}, expected corpus, "
        "queries and qrels"
    )


def _judgements(folder: Path, tables: Mapping[str, Path]) -> tuple[Part, ...]:
    """The file of judgements, or the files in `qrels/` that bear the names of splits."""
    if "qrels" in tables:
        return (Part(tables["qrels"]),)
    below = _tables(folder / "qrels")
    parts = [(path, _SPLIT_FILE.fullmatch(stem)) for stem, path in below.items()]
    named = tuple(Part(path, SPLIT_NAMES[match[1]]) for path, match in parts if match)
    if not named:
        raise FormatError(
            f"{folder / 'qrels'}: files {', '.join(below) or 'none'}, expected test.tsv, dev.tsv "
            "or train.tsv"
        )
    return named


def _collection(
    name: str,
    corpus: Path,
    queries: Path,
    judgements: tuple[Part, ...],
    settings: TaskSettings,
) -> TaskSource:
    """The source of a retrieval task."""
    renamed = settings.columns
    if settings.kind not in (None, "retrieval"):
        raise FormatError(
            f"{corpus.parent / FILE_NAME}: kind is {settings.kind!r}, expected 'retrieval' of "
            "corpus, queries and qrels"
        )
    names = {path: column_names(path) for path in (corpus, queries, *(j.path for j in judgements))}
    for path, columns in names.items():
        required = {corpus: CORPUS, queries: QUERIES}.get(path, JUDGEMENTS)
        check_columns(path, columns, required, renamed)
    own = names[judgements[0].path]
    check_renamed(corpus.parent, [name for columns in names.values() for name in columns], renamed)
    _check_filters(judgements[0].path, own, settings)
    return TaskSource(
        set=name,
        kind="retrieval",
        tables={"corpus": (Part(corpus),), "queries": (Part(queries),), "qrels": judgements},
        columns=JUDGEMENTS,
        names=own,
        by_language=find_column(names[queries], "lang", renamed) is not None,
        settings=_completed(settings, "retrieval", name, corpus),
    )


def _single(
    name: str, set_name: str, parts: tuple[Part, ...], settings: TaskSettings
) -> TaskSource:
    """The source of a task of one table."""
    path = parts[0].path
    names = column_names(path)
    if not names:
        raise FormatError(f"{path}: no columns, expected a table; the file is empty")
    shown = names if parts[0].split is None else (*names, "split")
    meaning = meaning_of(path, set_name, shown, settings)
    if meaning.kind is None:
        return TaskSource(set=name, kind=None, skipped=meaning.skipped)
    for part in parts[1:]:
        check_columns(part.path, column_names(part.path), meaning.columns, settings.columns)
    _check_filters(path, shown, settings)
    if settings.ignore_identical_ids:
        raise FormatError(
            f"{path.parent / FILE_NAME}: ignore_identical_ids is true, expected only of corpus, "
            f"queries and qrels; {path.name} has no ids"
        )
    if settings.language is None:
        settings = replace(settings, language=meaning.language)
    return TaskSource(
        set=name,
        kind=meaning.kind,
        tables={"rows": parts},
        columns=meaning.columns,
        names=shown,
        by_language=find_column(names, "lang", settings.columns) is not None,
        settings=_completed(settings, meaning.kind, set_name, path),
    )


def _check_filters(path: Path, names: Sequence[str], settings: TaskSettings) -> None:
    """Raises if rows are to be told by a column that is not there."""
    for key, filters in (("exclude", settings.exclude), ("include", settings.include)):
        for column in filters:
            if find_column(names, column, settings.columns) is None:
                raise FormatError(
                    f"{path}: columns {', '.join(names)}, expected {column!r}, by which {key} in "
                    f"{FILE_NAME} tells rows"
                )


def _completed(settings: TaskSettings, kind: Kind, set_name: str, path: Path) -> TaskSettings:
    """Settings with the language of a well-known set, and a metric that fits the kind."""
    if settings.metric is not None and settings.metric not in METRICS[kind]:
        raise FormatError(
            f"{path.parent / FILE_NAME}: metric is {settings.metric!r}, expected for {path.name}, "
            f"a {kind} task, one of {', '.join(METRICS[kind])}"
        )
    if settings.language is not None:
        return settings
    return replace(settings, language=known_language(set_name, kind))
