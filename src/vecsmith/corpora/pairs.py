"""Pairs of texts, perhaps with negatives and a score, from the rows of a corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.corpora.corpus import Corpus, open_corpus
from vecsmith.corpora.files import FileFormat
from vecsmith.corpora.roles import facts_of, find_roles, roles_in_order, stated_roles
from vecsmith.corpora.rows import Limits, Position, Rows, kind_of
from vecsmith.corpora.selection import Wanted
from vecsmith.corpora.texts import TextMatcher
from vecsmith.errors import FormatError


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRows:
    """Some pairs.

    Attributes:
        texts: Texts by role, N each: "anchor", "positive", "negative_1", ...; None where absent.
        scores: Grade of each pair, NaN where absent, float64, shape [N]; None without a score.
        first_row: Place of the first among all pairs, from 0.
        position: What `start` takes to go on after them; JSON.
        n_mended: Texts that had broken characters, each now U+FFFD.
        n_bytes_read: Bytes of the files read so far.
        rows: The rows they were made of.
    """

    texts: Mapping[str, list[str | None]]
    scores: NDArray[np.float64] | None
    first_row: int
    position: Position
    n_mended: int = 0
    n_bytes_read: int = 0
    rows: Rows = field(repr=False)

    def __len__(self) -> int:
        return self.rows.n_rows

    def where(self, i: int) -> str:
        """File and line or row of pair `i`, for an error about it."""
        return self.rows.where(i)


class PairCorpus:
    """Pairs of texts from a corpus.

    `first_row` of what it gives counts the corpus's rows, also those left out.

    Attributes:
        corpus: The rows.
        roles: Of its columns: "anchor", "positive", "negative_1", ..., "score".
        columns: The columns by role.
    """

    def __init__(
        self, corpus: Corpus, columns: Mapping[str, str], *, unwanted: TextMatcher | None = None
    ) -> None:
        self.corpus = corpus
        self.columns = dict(columns)
        self.roles = tuple(columns)
        self._unwanted = unwanted

    def leaving_out(self, unwanted: TextMatcher) -> PairCorpus:
        """These pairs without those of which `unwanted` knows a text."""
        return PairCorpus(self.corpus, self.columns, unwanted=unwanted)

    @property
    def name(self) -> str:
        """What to call it in messages and records."""
        return self.corpus.name

    @property
    def n_rows(self) -> int | None:
        """How many pairs there are, None if that takes reading them."""
        return self.corpus.n_rows

    @property
    def n_bytes(self) -> int | None:
        """Bytes on disk, None where they are not known."""
        return self.corpus.n_bytes

    @property
    def fingerprint(self) -> str:
        """A hash of what is read and in which roles."""
        unwanted = "" if self._unwanted is None else self._unwanted.fingerprint
        content = f"{self.corpus.fingerprint}{self.columns}{unwanted}"
        return sha256(content.encode()).hexdigest()[:32]

    def read(
        self, start: Position | None = None, *, limits: Limits | None = None
    ) -> Iterator[PairRows]:
        """The pairs, some at a time.

        Args:
            start: `position` of the pairs to go on after; None for the beginning.
            limits: How much to read at a time; the same for reading that goes on.

        Raises:
            FormatError: If a file is broken, or a value is no text or no number.
        """
        wanted = tuple(dict.fromkeys(self.columns.values()))
        for rows in self.corpus.read(wanted, start=start, limits=limits):
            if self._unwanted is not None:
                clean = _clean(rows, self._text_columns(), self._unwanted)
                rows = rows.chosen(clean, wanted)
            if rows.n_rows:
                yield self._pairs(rows)

    def _text_columns(self) -> dict[str, str]:
        return {role: column for role, column in self.columns.items() if role != "score"}

    def _pairs(self, rows: Rows) -> PairRows:
        score = self.columns.get("score")
        return PairRows(
            texts={role: _texts(rows, column) for role, column in self._text_columns().items()},
            scores=None if score is None else _numbers(rows, score),
            first_row=rows.first_row,
            position=rows.position,
            n_mended=rows.n_mended,
            n_bytes_read=rows.n_bytes_read,
            rows=rows,
        )


def open_pairs(
    source: Any,
    *,
    roles: Mapping[str, str] | Sequence[str] | None = None,
    split: str | None = None,
    where: Mapping[str, Wanted] | None = None,
    format: FileFormat | None = None,
) -> PairCorpus:
    """The pairs at or in `source`.

    Args:
        source: What `open_corpus` takes.
        roles: Columns by role ("anchor", "positive", "negative_1", ..., "score"), or columns in
            this order; None to tell them by their names or, of tuples and of two columns, their
            order.
        split: Where the source tells splits, the one to read: "train" unless given; "all" for all.
        where: Rows to keep: the value or values that a column must have, as in
            {"label": "entailment"}.
        format: Of files whose names do not tell.

    Raises:
        FormatError: If a file is broken.
        ValueError: If it cannot be told which columns make a pair, or a column is not there.
        OSError: If a file is missing or cannot be read.
    """
    corpus = open_corpus(source, split=split, where=where, format=format)
    facts = facts_of(corpus.name, corpus.columns, corpus.head(), frozenset(where or {}))
    if not corpus.columns:
        raise FormatError(f"{corpus.name}: no rows, expected some")
    if roles is None:
        return PairCorpus(corpus, find_roles(facts))
    if isinstance(roles, Mapping):
        return PairCorpus(corpus, stated_roles(roles, facts))
    return PairCorpus(corpus, roles_in_order(roles, facts))


def _clean(rows: Rows, columns: Mapping[str, str], unwanted: TextMatcher) -> list[int]:
    """Places of the rows none of whose texts is unwanted."""
    is_clean = np.ones(rows.n_rows, dtype=np.bool_)
    for column in columns.values():
        is_clean &= unwanted.matches([text or "" for text in _texts(rows, column)]) == 0
    return np.flatnonzero(is_clean).tolist()


def _texts(rows: Rows, column: str) -> list[str | None]:
    values = rows.columns[column]
    for i, value in enumerate(values):
        if not (type(value) is str or value is None):
            raise FormatError(
                f"{rows.where(i)}: {column!r} is {kind_of(value)}, expected a string; name "
                f"another column in roles{', or write one pair a row' * isinstance(value, list)}"
            )
    return values


def _numbers(rows: Rows, column: str) -> NDArray[np.float64]:
    numbers = np.empty(rows.n_rows)
    for i, value in enumerate(rows.columns[column]):
        if value is None or (isinstance(value, str) and not value.strip()):
            numbers[i] = np.nan
            continue
        try:
            numbers[i] = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            shown = f"{value!r:.60}" if isinstance(value, str) else kind_of(value)
            raise FormatError(
                f"{rows.where(i)}: {column!r} is {shown}, expected a number"
            ) from error
    return numbers
