"""What a `task.toml` beside a set says: kind, language, columns, rows to leave out.

The one rule: nothing in it is passed over; a key that is not known is an error.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from vecsmith._files import read_text
from vecsmith.errors import FormatError
from vecsmith.evaluation.tasks.values import text_of
from vecsmith.results import Kind

FILE_NAME = "task.toml"
KINDS: tuple[Kind, ...] = get_args(Kind)
# What the main metric of a kind may be; the first is, unless task.toml says otherwise.
METRICS: Mapping[Kind, tuple[str, ...]] = {
    "similarity": tuple(
        f"{correlation}_{similarity}"
        for correlation in ("spearman", "pearson")
        for similarity in ("cosine", "dot", "euclidean")
    ),
    "retrieval": (
        *(f"ndcg@{k}" for k in (10, 1, 3, 5, 20, 100)),
        *(f"map@{k}" for k in (10, 100, 1000)),
        *(f"mrr@{k}" for k in (10, 1000)),
        *(f"recall@{k}" for k in (1, 5, 10, 100)),
        *(f"precision@{k}" for k in (1, 3, 5, 10)),
    ),
    "classification": ("accuracy",),
    "pair-classification": ("average_precision",),
    "triplets": ("accuracy",),
    "clustering": ("v_measure",),
    "bitext": ("f1",),
}
# Columns that a file may have under names of its own.
COLUMNS = frozenset(
    "anchor doc_id group hypothesis id label lang negative positive premise query_id relevance "
    "score sentence1 sentence2 split subset text title".split()
)

_MAX_BYTES = 2**20
# Values by column name.
Values = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """What is known of a task besides its rows; None and empty where nothing is said.

    Attributes:
        kind: What is asked.
        language: Code, or two of a pair such as "en-ko".
        license: Of the set.
        source: Where the set is from.
        metric: The main metric.
        columns: The file's own column names, by ours.
        exclude: Rows to leave out: values by column.
        include: Rows to keep, all others left out: values by column.
        positive: Labels of pairs that belong together.
        negative: Labels of pairs that do not.
        ignore_identical_ids: Whether the document that has a query's id is not ranked for it.
    """

    kind: Kind | None = None
    language: str | None = None
    license: str | None = None
    source: str | None = None
    metric: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    exclude: Values = field(default_factory=dict)
    include: Values = field(default_factory=dict)
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    ignore_identical_ids: bool = False


def read_settings(folder: Path) -> Mapping[str | None, TaskSettings]:
    """Settings by file name; under None those of all files that have none of their own.

    Raises:
        FormatError: If `task.toml` is broken, or holds what is not known.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return {None: TaskSettings()}
    try:
        block = tomllib.loads(read_text(path, max_bytes=_MAX_BYTES))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FormatError(f"{path}: {str(error).lower()}, expected a TOML file") from error
    files = block.pop("files", {})
    if not isinstance(files, dict):
        raise FormatError(f'{path}: files is {files!r:.60}, expected tables as in [files."x.csv"]')
    general = _settings(block, TaskSettings(), source=str(path))
    settings: dict[str | None, TaskSettings] = {None: general}
    for name, own in files.items():
        source = f'{path}: [files."{name}"]'
        if not (folder / name).is_file():
            raise FormatError(f"{source}: no such file in the folder, expected the name of one")
        if not isinstance(own, dict):
            raise FormatError(f"{source}: {own!r:.60}, expected a table of settings")
        settings[name] = _settings(own, general, source=source)
    return settings


def _settings(block: dict[str, Any], base: TaskSettings, *, source: str) -> TaskSettings:
    """The settings of a table, over those of `base`."""
    readers = {
        "kind": _kind,
        "language": _language,
        "license": _string,
        "licence": _string,
        "source": _string,
        "metric": _string,
        "columns": _renamed,
        "exclude": _values,
        "include": _values,
        "positive": _strings,
        "negative": _strings,
        "ignore_identical_ids": _truth,
    }
    read: dict[str, Any] = {}
    for key, value in block.items():
        if key not in readers:
            raise FormatError(
                f"{source}: unknown key {key!r}, expected some of {', '.join([*readers, 'files'])}"
            )
        name = "license" if key == "licence" else key
        read[name] = readers[key](value, f"{source}: {key}")
    settings = replace(base, **read)
    _check_metric(settings, source)
    return settings


def _check_metric(settings: TaskSettings, source: str) -> None:
    """Raises if the metric is none of its kind's, or of any kind's where that is not said."""
    kinds = KINDS if settings.kind is None else (settings.kind,)
    known = tuple(dict.fromkeys(name for kind in kinds for name in METRICS[kind]))
    if settings.metric is not None and settings.metric not in known:
        raise FormatError(
            f"{source}: metric is {settings.metric!r}, expected one of {', '.join(known)}"
        )


def _kind(value: Any, source: str) -> Kind:
    for kind in KINDS:
        if value == kind:
            return kind
    raise FormatError(f"{source} is {value!r:.60}, expected one of {', '.join(KINDS)}")


def _string(value: Any, source: str) -> str:
    if isinstance(value, str) and value:
        return value
    raise FormatError(f"{source} is {value!r:.60}, expected a text")


def _truth(value: Any, source: str) -> bool:
    if isinstance(value, bool):
        return value
    raise FormatError(f"{source} is {value!r:.60}, expected true or false")


def _language(value: Any, source: str) -> str:
    code = _string(value, source)
    if not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*", code):
        raise FormatError(f"{source} is {code!r:.60}, expected a code such as 'ko' or 'en-ko'")
    return code


def _strings(value: Any, source: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if values and all(isinstance(one, (str, int, float, bool)) for one in values):
        return tuple(sorted({text_of(one) for one in values}))
    raise FormatError(f"{source} is {value!r:.60}, expected a value or a list of values")


def _renamed(value: Any, source: str) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise FormatError(f'{source} is {value!r:.60}, expected names as in {{text = "body"}}')
    for name in value:
        if name not in COLUMNS:
            known = ", ".join(sorted(COLUMNS))
            raise FormatError(f"{source}: unknown column {name!r}, expected some of {known}")
    return {name: _string(theirs, f"{source}.{name}") for name, theirs in value.items()}


def _values(value: Any, source: str) -> Values:
    if not isinstance(value, dict):
        raise FormatError(
            f'{source} is {value!r:.60}, expected values by column as in {{split = ["train"]}}'
        )
    return {column: _strings(each, f"{source}.{column}") for column, each in value.items()}
