"""Which rows of a table are meant.

The one rule: where a table tells train rows from others, train rows are meant unless another
split is named: nobody trains on test rows by leaving an option out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from vecsmith.corpora.rows import Rows

# What the splits are called in the wild.
SPLIT_NAMES: Final[Mapping[str, str]] = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "development": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
    "testing": "test",
}
ALL_ROWS: Final = "all"
SPLIT_COLUMN: Final = "split"
_MOST_SHOWN = 6

Wanted = str | int | float | bool | Sequence[str | int | float | bool]


def known_split(written: str) -> str:
    """One of "train", "dev" and "test" where that is meant, else what is written."""
    name = written.strip()
    return SPLIT_NAMES.get(name.lower(), name)


def split_of_file(path: PurePath) -> str | None:
    """The split that the name of a file, or else of a folder it is in, tells; or None."""
    for name in reversed(path.parts):
        words = re.split(r"[^0-9A-Za-z]+", name)
        found = [SPLIT_NAMES[word.lower()] for word in words if word.lower() in SPLIT_NAMES]
        if len(set(found)) == 1:
            return found[0]
    return None


@dataclass(slots=True)
class Selection:
    """Rows whose columns hold certain values.

    Attributes:
        wanted: Spelled values by column; a row must have one of each.
        seen: For each column, the values met and how often.
    """

    wanted: Mapping[str, frozenset[str]]
    seen: dict[str, dict[str, int]] = field(default_factory=dict)

    def places(self, rows: Rows) -> list[int] | None:
        """Places of the rows that are meant, None for all."""
        if not self.wanted:
            return None
        places = list(range(rows.n_rows))
        for column, wanted in self.wanted.items():
            values = [spelled(value, column) for value in rows.columns[column]]
            seen = self.seen.setdefault(column, {})
            for value, count in Counter(values).items():
                if value in seen or len(seen) < _MOST_SHOWN:
                    seen[value] = seen.get(value, 0) + count
            places = [i for i in places if values[i] in wanted]
        return places

    def told(self) -> str:
        """What was wanted and what was found, for a message."""
        parts = []
        for column, wanted in self.wanted.items():
            found = ", ".join(f"{v!r:.60} ({n} rows)" for v, n in self.seen.get(column, {}).items())
            options = " or ".join(f"{value!r:.60}" for value in sorted(wanted))
            parts.append(f"column {column!r} holds {found or 'nothing'}, expected {options}")
        return " and ".join(parts)

    def remedy(self) -> str:
        """What to do where no row is meant."""
        splits = self.seen.get(SPLIT_COLUMN)
        if splits and not self.wanted[SPLIT_COLUMN] & splits.keys():
            return f'name a split that is there, as in split="{next(iter(splits))}", or split="all"'
        return "name values that are there, of several columns such as stand in one row"


def selection_of(
    columns: Sequence[str], split: str | None, where: Mapping[str, Wanted] | None
) -> Selection:
    """The rows of a split, where a column tells it, that also have the values of `where`.

    Raises:
        ValueError: If a column of `where` is not there.
    """
    wanted: dict[str, frozenset[str]] = {}
    for column, values in (where or {}).items():
        if column not in columns:
            shown = ", ".join(map(repr, columns))
            raise ValueError(f"where names column {column!r}, expected one of {shown}")
        many = [values] if isinstance(values, str | int | float | bool) else list(values)
        wanted[column] = frozenset(spelled(value, column) for value in many)
    if SPLIT_COLUMN in columns and SPLIT_COLUMN not in wanted and split != ALL_ROWS:
        wanted[SPLIT_COLUMN] = frozenset([known_split(split or "train")])
    elif split not in (None, ALL_ROWS) and SPLIT_COLUMN not in columns:
        raise ValueError(
            f"split is {split!r}, and neither a column 'split' nor a file's name tells splits; "
            "leave it out"
        )
    return Selection(wanted)


def spelled(value: Any, column: str) -> str:
    """A value as text, the same from any file format: 1, 1.0 and "1" are one value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return known_split(text) if column == SPLIT_COLUMN else text
