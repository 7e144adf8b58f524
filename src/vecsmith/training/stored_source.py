"""The rows of one set of pairs as they lie in a token store.

One rule: nothing is read but what is asked for; arrays are views of mapped files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.errors import FormatError
from vecsmith.formats.safetensors import TensorFile
from vecsmith.training.bag import Bag, Keys, offsets_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """What the record of a store says of one shard.

    Attributes:
        n_rows: Rows kept; of none there is no file.
        n_read: Rows read for it.
        n_tokens: Tokens in the rows kept, by role.
        skipped: Rows left out, by reason.
        score_range: Smallest and largest score, None if there are none.
        position: What the set's `read` takes to go on after it.
    """

    n_rows: int
    n_read: int
    n_tokens: Mapping[str, int]
    skipped: Mapping[str, int]
    score_range: tuple[float, float] | None
    position: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What became of the rows of a set.

    Attributes:
        name: Of the set.
        n_read: Rows that were read.
        n_kept: Rows that are in the store.
        n_tokens: Tokens in them, by role.
        skipped: Rows left out, by reason.
        score_range: Smallest and largest score kept; None if there are none.
    """

    name: str
    n_read: int
    n_kept: int
    n_tokens: Mapping[str, int]
    skipped: Mapping[str, int]
    score_range: tuple[float, float] | None

    def __str__(self) -> str:
        left_out = ", ".join(f"{n:,} {reason}" for reason, n in self.skipped.items())
        rows = f"{self.name}: {self.n_kept:,} of {self.n_read:,} rows"
        return f"{rows} (left out: {left_out})" if left_out else rows


class StoredSource:
    """The rows of one set, numbered from 0 without the ones that were left out.

    Attributes:
        name: Of the set; no two of a store have the same.
        text_roles: Roles that hold texts, "anchor" first.
        has_scores: Whether each row has a score.
        report: What became of its rows.
    """

    def __init__(
        self, name: str, roles: Sequence[str], shards: Sequence[tuple[Path, ShardRecord]]
    ) -> None:
        """Maps the files of the shards.

        Raises:
            FormatError: If one is broken or is not what the record says.
        """
        self.name = name
        self.text_roles = text_roles_of(roles)
        self.has_scores = "score" in roles
        self.report = _report_of(name, self.text_roles, [record for _, record in shards])
        filled = [(path, record) for path, record in shards if record.n_rows]
        self._files = [self._opened(path, record) for path, record in filled]
        self._starts = offsets_of([record.n_rows for _, record in filled])
        self._columns: dict[str, list[NDArray[Any]]] = {}
        self._views: dict[str, list[memoryview]] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def bag(self, role: str, rows: NDArray[np.int64]) -> Bag:
        """Tokens of the texts of `role` in `rows`, N texts.

        Raises:
            FormatError: If a file is broken.
        """
        shards, places = self._places(rows)
        begins = self._picked(f"{role}.offsets", shards, places)
        ends = self._picked(f"{role}.offsets", shards, places + 1)
        # Joining views of bytes takes half as long as a gather by index, or as joining arrays.
        width = self._column(f"{role}.ids")[0].itemsize
        views = self._bytes(f"{role}.ids")
        runs = zip(shards.tolist(), (begins * width).tolist(), (ends * width).tolist(), strict=True)
        joined = b"".join([views[shard][begin:end] for shard, begin, end in runs])
        ids = np.frombuffer(joined, dtype=f"<u{width}").astype(np.uint32)
        offsets = offsets_of(ends - begins)
        if len(ids) != offsets[-1] or (len(rows) and (ends < begins).any()):
            raise FormatError(
                f"{self._files[0].path.parent}: offsets of {role!r} in {self.name!r} lie outside "
                "its ids, expected them inside; delete the folder and build the store again"
            )
        return Bag(ids, offsets)

    def lengths(self, role: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of each text of `role` in `rows`, N texts."""
        shards, places = self._places(rows)
        name = f"{role}.offsets"
        ends, begins = (self._picked(name, shards, at) for at in (places + 1, places))
        return np.asarray(ends - begins)

    def keys(self, role: str, rows: NDArray[np.int64] | None = None) -> Keys:
        """Keys of the texts of `role` in `rows`, or in all."""
        return self._values(f"{role}.keys", rows)

    def scores(self, rows: NDArray[np.int64] | None = None) -> FloatArray | None:
        """Scores of `rows`, or of all; None if the set has none."""
        return self._values("scores", rows) if self.has_scores else None

    def numbers(self, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Which rows of the set as it was read `rows` are, or all are."""
        return self._values("rows", rows)

    def _values(self, name: str, rows: NDArray[np.int64] | None) -> NDArray[Any]:
        if rows is None:
            return np.concatenate(self._column(name))
        return self._picked(name, *self._places(rows))

    def _places(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Shard of each row and its place there."""
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(
                f"rows {rows.min()} to {rows.max()} of {self.name!r}, expected rows 0 to "
                f"{len(self) - 1}"
            )
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        return shards, rows - self._starts[shards]

    def _picked(
        self, name: str, shards: NDArray[np.int64], places: NDArray[np.int64]
    ) -> NDArray[Any]:
        columns = self._column(name)
        values = np.empty(len(shards), dtype=columns[0].dtype)
        if len(columns) == 1:
            return np.asarray(columns[0][places])
        for shard in np.flatnonzero(np.bincount(shards)).tolist():
            own = shards == shard
            values[own] = columns[shard][places[own]]
        return values

    def _column(self, name: str) -> list[NDArray[Any]]:
        if name not in self._columns:
            self._columns[name] = [file.tensor(name) for file in self._files]
        return self._columns[name]

    def _bytes(self, name: str) -> list[memoryview]:
        if name not in self._views:
            self._views[name] = [column.data.cast("B") for column in self._column(name)]
        return self._views[name]

    def _opened(self, path: Path, record: ShardRecord) -> TensorFile:
        """The file of a shard, once its tensors are what the record says."""
        try:
            file = TensorFile(path)
        except FileNotFoundError as error:
            raise FormatError(
                f"{path}: not there, expected a shard of {record.n_rows} rows; delete the folder "
                "and build the store again"
            ) from error
        n = record.n_rows
        expected = {"rows": (n,)} | ({"scores": (n,)} if self.has_scores else {})
        for role in self.text_roles:
            expected |= {
                f"{role}.keys": (n,),
                f"{role}.offsets": (n + 1,),
                f"{role}.ids": (record.n_tokens.get(role, -1),),
            }
        found = {name: entry.shape for name, entry in file.entries.items()}
        if found != expected:
            raise FormatError(
                f"{path}: holds {found}, expected {expected}; delete the folder and build the "
                "store again"
            )
        return file


def text_roles_of(roles: Sequence[str]) -> tuple[str, ...]:
    """The roles that hold texts: the anchor, the positive, then negatives by their number."""
    texts = [role for role in roles if role != "score"]
    first = [role for role in ("anchor", "positive") if role in texts]
    return (*first, *sorted(set(texts) - set(first), key=lambda role: (len(role), role)))


def _report_of(name: str, text_roles: Sequence[str], shards: Sequence[ShardRecord]) -> SourceReport:
    ranges = [shard.score_range for shard in shards if shard.score_range]
    reasons = {reason for shard in shards for reason in shard.skipped}
    return SourceReport(
        name=name,
        n_read=sum(shard.n_read for shard in shards),
        n_kept=sum(shard.n_rows for shard in shards),
        n_tokens={role: sum(s.n_tokens.get(role, 0) for s in shards) for role in text_roles},
        skipped={
            reason: sum(shard.skipped.get(reason, 0) for shard in shards)
            for reason in sorted(reasons)
        },
        score_range=(min(r[0] for r in ranges), max(r[1] for r in ranges)) if ranges else None,
    )
