"""The texts a teacher is to read: where they come from, which are left out, and their count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from vecsmith.corpora.decontamination import Decontaminator
from vecsmith.corpora.texts import TextCorpus, texts_of

# What `vecsmith.corpora.open_corpus` takes: files, folders, globs, ids of data sets, objects of
# `datasets` and pyarrow, and sequences of texts
TextSource = Any


class TextsToRead:
    """Distinct texts of a source without those of evaluation sets; read anew each time.

    Attributes:
        corpus: Where they are.
        n_texts: How many there are before any is left out, None if unknown.
    """

    def __init__(
        self,
        source: TextSource,
        *,
        column: str | None = None,
        evaluation_texts: Iterable[str] | Decontaminator | None = None,
    ) -> None:
        """Opens `source`.

        Args:
            source: What `vecsmith.corpora.texts_of` takes, or what that gives.
            column: Which column holds the texts; None for "text" or the only one that does.
            evaluation_texts: Texts that are left out, and with them what is nearly one of them.

        Raises:
            FormatError: If a file is broken.
            ValueError: If there is no such column.
        """
        corpus = source if isinstance(source, TextCorpus) else texts_of(source, column=column)
        if evaluation_texts is None or isinstance(evaluation_texts, Decontaminator):
            self._cleaner = evaluation_texts
        else:
            self._cleaner = Decontaminator(evaluation_texts)
        self.corpus = corpus if self._cleaner is None else corpus.leaving_out(self._cleaner)
        self.n_texts = self.corpus.n_texts

    def __iter__(self) -> Iterator[str]:
        return iter(self.corpus)

    def line(self) -> str:
        """What became of the texts, for people."""
        found = f"{self.corpus.name}: {self.corpus.report.line()}"
        if self._cleaner is None:
            return found
        return f"{found}; compared with {len(self._cleaner):,} evaluation texts"

    def facts(self) -> dict[str, Any]:
        """What became of the texts of the latest reading, for the recipe."""
        from vecsmith.training.provenance import short_name

        report = self.corpus.report
        found: dict[str, Any] = {
            "name": short_name(self.corpus.name),
            "column": self.corpus.column,
            "n_read": report.n_read,
            "n_used": report.n_given,
            "left_out": {
                "without_text": report.n_null,
                "empty": report.n_empty,
                "repeated": report.n_repeated,
                "in_evaluation_sets": report.n_contaminated,
            },
            "n_with_broken_characters": report.n_mended,
            "compared_with_evaluation_texts": None,
        }
        if self._cleaner is not None:
            found["compared_with_evaluation_texts"] = len(self._cleaner)
        return found

    @property
    def cleaner(self) -> Decontaminator | None:
        """What leaves evaluation texts out, with its report."""
        return self._cleaner
