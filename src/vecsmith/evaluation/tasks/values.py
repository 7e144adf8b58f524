"""Texts, ids, numbers and labels out of a table's rows.

The one rule: a value that is not what its column is for stops the reading, by file and row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import FormatError
from vecsmith.evaluation.tasks.tables import Table, column_names

Rows = NDArray[np.int64]
_Value = TypeVar("_Value")


def texts_of(table: Table, name: str, rows: Rows) -> list[str]:
    """Texts of the column `name`, which may be empty but not missing.

    Raises:
        FormatError: If one is null or no text.
    """
    column = _column(table, name)
    texts = [column[row] for row in rows.tolist()]
    for place, text in enumerate(texts):
        if type(text) is not str:
            raise _wrong(table, name, int(rows[place]), "a text, empty if there is none")
    return texts


def ids_of(table: Table, name: str, rows: Rows) -> list[str]:
    """Ids of the column `name`; whole numbers are written out.

    Raises:
        FormatError: If one is null, empty, or neither a text nor a whole number.
    """
    return _read(table, name, rows, _id, "an id: a text or a whole number")


def labels_of(table: Table, name: str, rows: Rows) -> list[str]:
    """Labels of the column `name`: texts, or numbers and truth values written out.

    Raises:
        FormatError: If one is null or empty.
    """
    expected = "a label; give it one, or leave such rows out by exclude in task.toml"
    return _read(table, name, rows, _label, expected)


def subsets_of(table: Table, rows: Rows) -> list[str] | None:
    """Part of the set that each row is from; None without such a column.

    Raises:
        FormatError: If one is null or empty.
    """
    return labels_of(table, "subset", rows) if "subset" in table.columns else None


def numbers_of(table: Table, name: str, rows: Rows) -> NDArray[np.float64]:
    """Numbers of the column `name`, float64.

    Raises:
        FormatError: If one is null, no number or not finite.
    """
    return np.array(_read(table, name, rows, _number, "a finite number"), dtype=np.float64)


def text_of(value: Any) -> str:
    """How a value of a table is written in a text file."""
    if value is None:
        return ""  # as a text file has it
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # whole numbers become floats where a column has gaps
    return str(value)


def n_empty(*columns: Sequence[str]) -> int:
    """How many texts are empty or white space."""
    return sum(not text or text.isspace() for texts in columns for text in texts)


def all_rows(table: Table) -> Rows:
    """Places of all rows."""
    return np.arange(table.n_rows, dtype=np.int64)


def _read(
    table: Table, name: str, rows: Rows, read: Callable[[Any], _Value | None], expected: str
) -> list[_Value]:
    column = _column(table, name)
    values = []
    for row in rows.tolist():
        value = read(column[row])
        if value is None:
            raise _wrong(table, name, row, expected)
        values.append(value)
    return values


def _column(table: Table, name: str) -> list[Any]:
    if name not in table.columns:
        path = table.parts[0].path
        there = ", ".join(column_names(path)) or "none"
        raise FormatError(
            f"{path}: columns {there}, expected {name!r}; name yours in task.toml, as in columns = "
            f'{{{name} = "my_column"}}'
        )
    return table.columns[name]


def _wrong(table: Table, name: str, row: int, expected: str) -> FormatError:
    value = table.columns[name][row]
    found = "null" if value is None else f"{value!r:.60} ({type(value).__name__})"
    return FormatError(f"{table.where(row)}: {name} is {found}, expected {expected}")


def _id(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole else None


def _label(value: Any) -> str | None:
    if type(value) is str:
        return value or None
    if isinstance(value, float) and not math.isfinite(value):
        return None  # how tables of numbers write that there is none
    return text_of(value) if isinstance(value, (bool, int, float)) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    underscored = isinstance(value, str) and "_" in value  # 1_000 is Python, not data
    return number if math.isfinite(number) and not underscored else None
