"""A corpus: rows of one or more tables, read some at a time, from any place where reading stopped.

corpus = open_corpus("data/*.parquet")
for rows in corpus.read(["question", "answer"]):
    ...rows.columns["question"]...
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import Any

from vecsmith.corpora.files import FileFormat
from vecsmith.corpora.parts import Part
from vecsmith.corpora.rows import Limits, Position, Rows, listed
from vecsmith.corpora.selection import Selection, Wanted, selection_of
from vecsmith.corpora.sources import parts_of
from vecsmith.errors import FormatError


class Corpus:
    """Rows of one or more tables with the same columns.

    Attributes:
        name: What to call it in messages and records.
        columns: Names of its columns.
        n_bytes: Bytes on disk, None where they are not known.
    """

    def __init__(
        self,
        name: str,
        parts: Sequence[Part],
        *,
        columns: Sequence[str] | None = None,
        split: str | None = None,
        where: Mapping[str, Wanted] | None = None,
    ) -> None:
        """Puts `parts` under one another.

        Args:
            name: What to call it.
            parts: Files or tables.
            columns: Columns to keep; None for those that all parts have.
            split: Rows to keep where a column `split` tells: "train" unless given, "all" for all.
            where: Values that rows to keep have, by column.

        Raises:
            FormatError: If a part is broken.
            ValueError: If a column is not there.
        """
        self.name = name
        self._parts = tuple(parts)
        self._available = tuple(part.columns() for part in self._parts)
        there = _common_columns(self._available)
        self._select = selection_of(there, split, where)
        self.columns = there
        if columns is not None:
            self.columns = self._checked(columns)
        sizes = [part.n_bytes for part in self._parts]
        self.n_bytes = None if None in sizes else sum(size or 0 for size in sizes)

    @cached_property
    def n_rows(self) -> int | None:
        """How many rows there are, None if that takes reading them."""
        if self._select.wanted:
            return None
        counts = [part.n_rows() for part in self._parts]
        return None if None in counts else sum(count or 0 for count in counts)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what is read: of files their paths, sizes, times and ends, else of the rows."""
        wanted = {column: sorted(values) for column, values in self._select.wanted.items()}
        facts = [[part.identity() for part in self._parts], wanted, list(self.columns)]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def read(
        self,
        columns: Sequence[str] | None = None,
        *,
        start: Position | None = None,
        limits: Limits | None = None,
    ) -> Iterator[Rows]:
        """The rows, some at a time.

        Args:
            columns: Columns to read; None for all.
            start: `position` of the rows to go on after; None for the beginning.
            limits: How much to read at a time; the same for reading that goes on.

        Raises:
            FormatError: If a part is broken, or no row is of the split that is meant.
            ValueError: If a column is not there, or `start` is no position of this corpus.
        """
        names = self.columns if columns is None else self._checked(columns)
        return self._rows(names, start, limits or Limits())

    def head(self) -> Rows | None:
        """The first rows, some thousands at most; None if there are none.

        Raises:
            FormatError: If a part is broken, or no row is of the split that is meant.
        """
        with closing(self._rows(self.columns, None, Limits())) as rows:
            return next(rows, None)

    def _rows(
        self, names: tuple[str, ...], start: Position | None, limits: Limits
    ) -> Generator[Rows]:
        first, row, at = _start(start, len(self._parts))
        select = Selection(self._select.wanted)  # counts what this reading meets
        needed = tuple(dict.fromkeys((*names, *select.wanted)))
        n_before = sum(part.n_bytes or 0 for part in self._parts[:first])
        for index in range(first, len(self._parts)):
            part, available = self._parts[index], self._available[index]
            there = [name for name in needed if name in available]
            for rows in part.read(there, at, limits):
                rows = _with_absent(rows, needed)
                places = select.places(rows)
                at = rows.position
                rows = rows.chosen(range(rows.n_rows) if places is None else places, names)
                if not rows.n_rows:
                    continue
                row += rows.n_rows
                yield replace(
                    rows,
                    first_row=row - rows.n_rows,
                    position={"part": index, "row": row, "at": dict(at)},
                    n_bytes_read=n_before + rows.n_bytes_read,
                )
            at = None
            n_before += part.n_bytes or 0
        if not row and select.wanted and select.seen:
            raise FormatError(f"{self.name}: {select.told()}; {select.remedy()}")

    def _checked(self, columns: Sequence[str]) -> tuple[str, ...]:
        if isinstance(columns, str):
            raise TypeError(f"columns is {columns!r}, expected a list of names: [{columns!r}]")
        for name in columns:
            if name in self.columns:
                continue
            lacking = [
                part.name
                for part, names in zip(self._parts, self._available, strict=True)
                if name not in names
            ]
            of = f" (it is not in {lacking[0]})" if 0 < len(lacking) < len(self._parts) else ""
            raise ValueError(
                f"{self.name}: column {name!r} is absent{of}, expected one of "
                f"{listed(self.columns)}"
            )
        return tuple(columns)


def open_corpus(
    source: Any,
    *,
    columns: Sequence[str] | None = None,
    split: str | None = None,
    where: Mapping[str, Wanted] | None = None,
    format: FileFormat | None = None,
) -> Corpus:
    """The corpus at or in `source`.

    Args:
        source: A file (parquet, jsonl, csv, tsv, txt, arrow, feather; the text formats also with
            .gz), a glob, a folder of such files, the id of a data set on the Hugging Face Hub
            ("org/name" or "org/name/config"), a data set of `datasets`, anything that shows itself
            as an Arrow table, a mapping of columns, or a sequence of texts, tuples, objects or
            paths.
        columns: Columns to keep; None for all.
        split: Where the source tells splits, the one to read: "train" unless given; "all" for all.
        where: Rows to keep: the value or values that a column must have, as in
            {"lang": "ko", "label": ["entailment"]}.
        format: Of files whose names do not tell.

    Raises:
        FormatError: If a file is broken, or its columns are not those of the others.
        ValueError: If a column or a split is not there.
        OSError: If a file is missing or cannot be read.
    """
    name, parts, split_told = parts_of(source, split=split, file_format=format)
    by_column = "all" if split_told else split
    return Corpus(name, parts, columns=columns, split=by_column, where=where)


def _common_columns(available: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Columns that all parts have, in the order of the first."""
    names = tuple(dict.fromkeys(chain.from_iterable(available)))
    common = tuple(name for name in names if all(name in there for there in available if there))
    return common


def _with_absent(rows: Rows, names: Sequence[str]) -> Rows:
    absent = [name for name in names if name not in rows.columns]
    if not absent:
        return rows
    empty = {name: [None] * rows.n_rows for name in absent}
    return replace(rows, columns={**rows.columns, **empty})


def _start(start: Position | None, n_parts: int) -> tuple[int, int, Position | None]:
    """Part, row and place in the part where reading starts."""
    if start is None:
        return 0, 0, None
    try:
        part, row, at = start["part"], start["row"], start["at"]
    except (KeyError, TypeError):
        part = row = at = None
    if type(part) is not int or type(row) is not int or not 0 <= part < n_parts:
        raise ValueError(f"start is {start!r:.100}, expected a position that this corpus gave")
    return part, row, at
