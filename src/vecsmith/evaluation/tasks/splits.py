"""Which rows are scored, which fit or tune something, and which are drawn of too many.

The one rule: a draw depends on the rows alone. It is the same on every machine and for ever, which
numpy's generators do not promise; so it is by a hash of the row's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
# Where to look for the rows to score.
_ORDER: Mapping[str, tuple[str, ...]] = {"test": ("test", "dev", "train"), "dev": ("dev", "train")}
_SEED = 0x7665_6373_6D69_7468


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
        written = name.strip()
        found.setdefault(SPLIT_NAMES.get(written.lower(), written), []).append(chosen)
    if found and found.keys().isdisjoint(_KNOWN):
        raise FormatError(
            f"{table.where(int(rows[0]))}: split is {next(iter(found))!r:.60}, and no row's is "
            "train, dev or test; rename them, or take the column away to score all rows"
        )
    return {split: np.sort(np.concatenate(parts)) for split, parts in found.items()}


def rows_by_value(values: Sequence[Any], rows: Rows) -> dict[Any, Rows]:
    """Rows by their value, in order of first appearance."""
    places: dict[Any, list[int]] = {}
    for row in rows.tolist():
        places.setdefault(values[row], []).append(row)
    return {value: np.array(chosen, dtype=np.int64) for value, chosen in places.items()}


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


def draw(n_rows: int, n_drawn: int) -> Rows:
    """Places of `n_drawn` of `n_rows`, drawn evenly, in order."""
    return np.sort(np.argsort(_keys(n_rows), kind="stable")[:n_drawn]).astype(np.int64)


def stratified_draw(labels: Sequence[str], n_drawn: int) -> Rows:
    """Places of `n_drawn` rows, each label with its share of them, in order."""
    names = sorted(set(labels))
    number = {name: i for i, name in enumerate(names)}
    codes = np.array([number[label] for label in labels], dtype=np.int64)
    shares = _shares(np.bincount(codes, minlength=len(names)), n_drawn)
    order = np.lexsort((_keys(len(codes)), codes))
    ranked = codes[order]
    begins = np.searchsorted(ranked, np.arange(len(names)))
    drawn: Rows = np.sort(order[np.arange(len(codes)) - begins[ranked] < shares[ranked]])
    return drawn


def _shares(counts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """`total` divided in proportion to `counts`, by largest remainder."""
    exact = counts * (min(total, int(counts.sum())) / max(1, int(counts.sum())))
    shares: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    left = min(total, int(counts.sum())) - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:left]] += 1
    return shares


def _keys(n_rows: int) -> NDArray[np.uint64]:
    """A random-looking number for each place: splitmix64 (Steele et al., 2014)."""
    with np.errstate(over="ignore"):
        z = np.arange(1, n_rows + 1, dtype=np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15)
        z += np.uint64(_SEED)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
        keys: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
        return keys
