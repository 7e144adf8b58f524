"""Texts of one column, each once, with a count of what was left out and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith.corpora.corpus import Corpus, open_corpus
from vecsmith.corpora.files import FileFormat
from vecsmith.corpora.hashing import SeenHashes, text_hashes
from vecsmith.corpora.lines import TEXT_COLUMN
from vecsmith.corpora.roles import facts_of
from vecsmith.corpora.rows import Limits, absent_column, kind_of, listed
from vecsmith.corpora.selection import Wanted
from vecsmith.errors import FormatError

# What the column of texts may be called, the first that is there.
_TEXT_NAMES = (TEXT_COLUMN, "texts", "content", "sentence", "document", "passage", "body")


class TextMatcher(Protocol):
    """Texts that are not wanted; `decontamination.Decontaminator` is one."""

    @property
    def fingerprint(self) -> str:
        """A hash of the texts."""
        ...

    def matches(self, texts: Sequence[str]) -> NDArray[np.uint8]:
        """Of each text 0 if it is not among them, shape [N]."""
        ...


@dataclass(slots=True, kw_only=True)
class CorpusReport:
    """What became of the texts of a corpus.

    Attributes:
        n_read: Texts read.
        n_given: Those of them given on.
        n_null: Left out because there was no text.
        n_empty: Left out because there was nothing but white space.
        n_repeated: Left out because the same text came before.
        n_contaminated: Left out because an evaluation set has them, or nearly.
        n_mended: Given on with U+FFFD in the place of broken characters.
    """

    n_read: int = 0
    n_given: int = 0
    n_null: int = 0
    n_empty: int = 0
    n_repeated: int = 0
    n_contaminated: int = 0
    n_mended: int = 0

    def line(self) -> str:
        """The counts in one line, what is 0 left out."""
        reasons = {
            "empty": self.n_empty,
            "without text": self.n_null,
            "repeated": self.n_repeated,
            "in an evaluation set": self.n_contaminated,
        }
        left_out = [f"{count:,} {reason}" for reason, count in reasons.items() if count]
        text = f"{self.n_given:,} of {self.n_read:,} texts"
        if left_out:
            text += f"; left out: {', '.join(left_out)}"
        return text + (f"; {self.n_mended:,} with broken characters" if self.n_mended else "")


class TextCorpus:
    """Texts of a column of a corpus; each iteration reads them anew and gives each once.

    Attributes:
        corpus: The rows.
        column: Which column holds the texts.
        report: Counts of the latest iteration, so far.
    """

    def __init__(self, corpus: Corpus, column: str, *, unwanted: TextMatcher | None = None) -> None:
        self.corpus = corpus
        self.column = column
        self.report = CorpusReport()
        self._unwanted = unwanted

    def leaving_out(self, unwanted: TextMatcher) -> TextCorpus:
        """These texts without those that `unwanted` knows, nor what was left out before."""
        before = () if self._unwanted is None else (self._unwanted,)
        return TextCorpus(self.corpus, self.column, unwanted=_any_of((*before, unwanted)))

    @property
    def name(self) -> str:
        """What to call it in messages and records."""
        return self.corpus.name

    @property
    def n_texts(self) -> int | None:
        """How many texts there are before any is left out, None if that takes reading them."""
        return self.corpus.n_rows

    @property
    def fingerprint(self) -> str:
        """A hash of what is read."""
        unwanted = "" if self._unwanted is None else self._unwanted.fingerprint
        content = f"{self.corpus.fingerprint}{self.column}{unwanted}"
        return sha256(content.encode()).hexdigest()[:32]

    def __iter__(self) -> Iterator[str]:
        for texts in self.batches():
            yield from texts

    def batches(self, limits: Limits | None = None) -> Iterator[list[str]]:
        """The texts, some at a time.

        Raises:
            FormatError: If a file is broken, or a value is no text.
        """
        report = self.report = CorpusReport()
        seen = SeenHashes()
        for rows in self.corpus.read([self.column], limits=limits):
            texts: list[str] = []
            for i, value in enumerate(rows.columns[self.column]):
                if type(value) is not str:
                    if value is not None:
                        raise FormatError(
                            f"{rows.where(i)}: {self.column!r} is {kind_of(value)}, expected a "
                            "string; name another column"
                        )
                    report.n_null += 1
                elif not value or value.isspace():
                    report.n_empty += 1
                else:
                    texts.append(value)
            is_new = seen.add(text_hashes(texts)).tolist()
            kept = [text for text, new in zip(texts, is_new, strict=True) if new]
            report.n_read += rows.n_rows
            report.n_mended += rows.n_mended
            report.n_repeated += len(texts) - len(kept)
            if self._unwanted is not None and kept:
                is_clean = (self._unwanted.matches(kept) == 0).tolist()
                report.n_contaminated += is_clean.count(False)
                kept = [text for text, clean in zip(kept, is_clean, strict=True) if clean]
            report.n_given += len(kept)
            if kept:
                yield kept


@dataclass(frozen=True, slots=True)
class _AnyOf:
    """Texts that one of several matchers knows."""

    matchers: Sequence[TextMatcher]

    @property
    def fingerprint(self) -> str:
        """A hash of all their texts."""
        return sha256("".join(each.fingerprint for each in self.matchers).encode()).hexdigest()

    def matches(self, texts: Sequence[str]) -> NDArray[np.uint8]:
        """Of each text 0 if none knows it, shape [N]."""
        found = np.zeros(len(texts), dtype=np.uint8)
        for each in self.matchers:
            found = np.maximum(found, each.matches(texts))
        return found


def _any_of(matchers: Sequence[TextMatcher]) -> TextMatcher:
    return matchers[0] if len(matchers) == 1 else _AnyOf(matchers)


def texts_of(
    source: Any,
    *,
    column: str | None = None,
    split: str | None = None,
    where: Mapping[str, Wanted] | None = None,
    format: FileFormat | None = None,
) -> TextCorpus:
    """The distinct texts of `source`, to be iterated as often as needed.

    Args:
        source: What `open_corpus` takes.
        column: Which column holds the texts; None for "text" or the only one that holds texts.
        split: Where the source tells splits, the one to read: "train" unless given; "all" for all.
        where: Rows to keep: the value or values that a column must have.
        format: Of files whose names do not tell.

    Raises:
        FormatError: If a file is broken.
        ValueError: If there is no such column, or several could be meant.
        OSError: If a file is missing or cannot be read.
    """
    corpus = open_corpus(source, split=split, where=where, format=format)
    if column is None:
        column = _text_column(corpus)
    elif column not in corpus.columns:
        raise ValueError(absent_column(corpus.name, column, corpus.columns))
    return TextCorpus(corpus, column)


def _text_column(corpus: Corpus) -> str:
    named = next((name for name in _TEXT_NAMES if name in corpus.columns), None)
    if named is not None:
        return named
    if not corpus.columns:
        raise ValueError(absent_column(corpus.name, _TEXT_NAMES[0], ()))
    facts = facts_of(corpus.name, corpus.columns, corpus.head(), frozenset())
    if len(facts.text_columns) != 1:
        raise ValueError(
            f"{corpus.name}: columns {listed(corpus.columns)}, expected one named 'text'; name "
            "yours with column"
        )
    return facts.text_columns[0]
