"""Which rows are scored, and which fit or tune something.

The one rule: what is asked for to choose by never holds a test row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from vecsmith.errors import FormatError
from vecsmith.evaluation.tasks.tables import Table
from vecsmith.evaluation.tasks.values import Rows, text_of

Asked = Literal["test", "dev"]
# What the splits are called in the wild.
SPLIT_NAMES: Mapping[str, str] = {
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
_KNOWN = frozenset(SPLIT_NAMES.values())
# A column that says which split of stsb holds the same pair.
OF_STSB = "stsb_split"
# Where to look for the rows to score.
_ORDER: Mapping[str, tuple[str, ...]] = {"test": ("test", "dev", "train"), "dev": ("dev", "train")}


def rows_by_split(table: Table, rows: Rows) -> dict[str, Rows]:
    """Rows by split: "train", "dev", "test", and other names as they are.

    Without a column `split` all rows are of the split "all".

    Raises:
        FormatError: If a row has no split, or no row has one of the three.
    """
    if "split" not in table.columns:
        return {"all": rows}
    found: dict[str, list[Rows]] = {}
    names = [
        name if name is None or type(name) is str else text_of(name)
        for name in table.columns["split"]
    ]
    for name, chosen in rows_by_value(names, rows).items():
        if name is None:
            raise FormatError(
                f"{table.where(int(chosen[0]))}: split is null, expected train, dev or test"
            )
        found.setdefault(_known_name(name), []).append(chosen)
    if found and found.keys().isdisjoint(_KNOWN):
        raise FormatError(
            f"{table.where(int(rows[0]))}: split is {next(iter(found))!r:.60}, and no row's is "
            "train, dev or test; rename them, or take the column away to score all rows"
        )
    return {split: np.sort(np.concatenate(parts)) for split, parts in found.items()}


def _known_name(written: str) -> str:
    """One of the three names, or what is written."""
    name = written.strip()
    return SPLIT_NAMES.get(name.lower(), name)


def rows_by_value(values: Sequence[Any], rows: Rows) -> dict[Any, Rows]:
    """Rows by their value, in order of first appearance."""
    places: dict[Any, list[int]] = {}
    for row in rows.tolist():
        places.setdefault(values[row], []).append(row)
    return {value: np.array(chosen, dtype=np.int64) for value, chosen in places.items()}


def without_test_rows_elsewhere(
    table: Table, splits: Mapping[str, Rows], asked: Asked
) -> tuple[dict[str, Rows], int]:
    """The splits without what must not be chosen by, and how many rows that is.

    Asked for "dev", rows that are test rows of stsb are none of this set's dev or train rows.
    """
    if asked != "dev" or OF_STSB not in table.columns:
        return dict(splits), 0
    written = table.columns[OF_STSB]
    left: dict[str, Rows] = {}
    for split, rows in splits.items():
        own = [_known_name(text_of(written[row])) != "test" for row in rows.tolist()]
        if any(own):
            left[split] = rows[np.array(own, dtype=np.bool_)]
    used = splits.keys() & {"train", "dev"}
    n_left = sum(len(left[split]) for split in used & left.keys())
    return left, sum(len(splits[split]) for split in used) - n_left


def scored_split(splits: Mapping[str, Rows], asked: Asked) -> str | None:
    """The split to score, or None if it must not be looked at.

    Rows without splits are a test: nothing is tuned on them.
    """
    if "all" in splits:
        return "all" if asked == "test" else None
    return next((split for split in _ORDER[asked] if split in splits), None)


def split_note(splits: Mapping[str, Rows], asked: Asked, scored: str) -> tuple[str, ...]:
    """What a reader must know about the split that is scored."""
    notes = tuple(
        f"{len(rows)} rows of split {split!r:.60} are not used"
        for split, rows in splits.items()
        if split not in _KNOWN and split != "all"
    )
    if scored in (asked, "all"):
        return notes
    missing = "test or dev" if (asked, scored) == ("test", "train") else asked
    return (f"there are no {missing} rows, so {scored} rows are scored", *notes)
