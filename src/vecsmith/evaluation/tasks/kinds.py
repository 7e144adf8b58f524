"""What a table asks, told by the names of its columns and its file.

The one rule: what fits two kinds is left to `task.toml`, not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vecsmith.errors import FormatError
from vecsmith.evaluation.tasks.languages import language_pair
from vecsmith.evaluation.tasks.settings import TaskSettings
from vecsmith.evaluation.tasks.tables import find_column
from vecsmith.results import Kind

Columns = tuple[str, ...]

# Columns that a table of a kind must have; the first that fits counts.
SHAPES: tuple[tuple[Columns, tuple[Kind, ...]], ...] = (
    (("premise", "hypothesis", "label"), ("pair-classification",)),
    (("sentence1", "sentence2", "score"), ("similarity",)),
    (("sentence1", "sentence2", "label"), ("pair-classification",)),
    (("anchor", "positive", "negative"), ("triplets",)),
    (("anchor", "positive"), ("retrieval", "bitext")),
    (("text", "label"), ("classification", "clustering")),
    (("text", "group"), ("clustering",)),
)
CORPUS, QUERIES, JUDGEMENTS = ("id", "text"), ("id", "text"), ("query_id", "doc_id")
OPTIONAL = ("split", "lang", "subset", "title", "relevance")

_OURS = frozenset(name for columns, _ in SHAPES for name in columns)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a table asks.

    Attributes:
        kind: What is asked, or None.
        columns: Those it is asked by.
        language: Of a file whose name holds two codes: the pair.
        skipped: Why nothing is asked.
    """

    kind: Kind | None
    columns: Columns = ()
    language: str | None = None
    skipped: str | None = None


def meaning_of(path: Path, set_name: str, names: Sequence[str], settings: TaskSettings) -> Meaning:
    """What the table at `path` asks.

    Args:
        path: For errors and for its name.
        set_name: Name of the set, which may hold two codes as well.
        names: The file's columns, and "split" where its name says the split.
        settings: Of its `task.toml`.

    Raises:
        FormatError: If a column is missing.
    """
    there = {name for name in _OURS | {*OPTIONAL} if find_column(names, name, settings.columns)}
    check_renamed(path, names, settings.columns)
    if settings.kind is not None:
        return _stated(path, names, there, settings.kind)
    for columns, kinds in SHAPES:
        if there.issuperset(columns):
            if columns == ("anchor", "positive"):
                return _pairs_of(path, set_name, there)
            return Meaning(kinds[0], columns)
    if "text" in there and not there & (_OURS - {"text"}):
        return Meaning(None, skipped="plain text: nothing is asked of it")
    if there & _OURS:
        raise FormatError(_misfit(path, names, SHAPES))
    return Meaning(
        None,
        skipped=f"columns {_listed(names)} fit no kind of task; name yours in task.toml, as in "
        'columns = {text = "body", label = "topic"}',
    )


def check_columns(
    path: Path, names: Sequence[str], required: Columns, renamed: Mapping[str, str]
) -> None:
    """Raises if a file has not all `required` columns.

    Raises:
        FormatError: If one is missing.
    """
    missing = [name for name in required if find_column(names, name, renamed) is None]
    if missing:
        raise FormatError(
            f"{path}: columns {_listed(names)}, expected {_listed(required)}; add "
            f"{_listed(missing)}, or name yours in task.toml, as in columns = "
            f'{{{missing[0]} = "my_column"}}'
        )


def check_renamed(path: Path, names: Sequence[str], renamed: Mapping[str, str]) -> None:
    """Raises if a column that task.toml names is not there.

    Raises:
        FormatError: If one is not.
    """
    missing = [theirs for theirs in renamed.values() if theirs not in names]
    if missing:
        raise FormatError(
            f"{path}: columns {_listed(names)}, expected {_listed(missing)}, which task.toml names"
        )


def _pairs_of(path: Path, set_name: str, there: Iterable[str]) -> Meaning:
    """Bitext where languages are named, retrieval where there are splits, else for training."""
    columns = ("anchor", "positive")
    language = language_pair(path.name.split(".")[0]) or language_pair(set_name)
    if language is not None or "lang" in there:
        return Meaning("bitext", columns, language)
    if "split" in there:
        return Meaning("retrieval", columns)
    return Meaning(
        None,
        skipped="pairs without a split are material to train on; to score them, write a task.toml "
        'with kind = "retrieval" or kind = "bitext"',
    )


def _stated(path: Path, names: Sequence[str], there: set[str], kind: Kind) -> Meaning:
    """The kind that task.toml names, by the columns that are there."""
    shapes = [(columns, kinds) for columns, kinds in SHAPES if kind in kinds]
    for columns, _ in shapes:
        if there.issuperset(columns):
            language = language_pair(path.name.split(".")[0]) if kind == "bitext" else None
            return Meaning(kind, columns, language)
    raise FormatError(_misfit(path, names, shapes))


def _misfit(path: Path, names: Sequence[str], shapes: Iterable[tuple[Columns, object]]) -> str:
    wanted = "; or ".join(dict.fromkeys(", ".join(columns) for columns, _ in shapes))
    return (
        f"{path}: columns {_listed(names)}, expected {wanted}; name yours in task.toml, as in "
        'columns = {text = "my_column"}'
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
