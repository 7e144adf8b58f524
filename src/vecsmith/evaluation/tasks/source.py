"""Where a set's tasks come from, read when their turn comes.

The one rule: one task is in memory at a time, and a table is read once for all its languages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np

from vecsmith.errors import FormatError
from vecsmith.evaluation.tasks import builders
from vecsmith.evaluation.tasks.builders import Asking, Portion
from vecsmith.evaluation.tasks.enough import check_enough
from vecsmith.evaluation.tasks.hashing import data_hash
from vecsmith.evaluation.tasks.kinds import CORPUS, JUDGEMENTS, QUERIES
from vecsmith.evaluation.tasks.languages import is_of
from vecsmith.evaluation.tasks.retrieval import (
    Collection,
    collection_of,
    judged_retrieval,
    langs_of,
    paired_retrieval,
)
from vecsmith.evaluation.tasks.settings import METRICS, TaskSettings, Values
from vecsmith.evaluation.tasks.splits import (
    OF_STSB,
    Asked,
    rows_by_split,
    rows_by_value,
    scored_split,
    without_test_rows_elsewhere,
)
from vecsmith.evaluation.tasks.tables import Part, Table, find_column, read_table
from vecsmith.evaluation.tasks.task import Task
from vecsmith.evaluation.tasks.values import Rows, all_rows, ids_of, text_of
from vecsmith.results import Kind

_ASKINGS = {
    "similarity": builders.similarity,
    "classification": builders.classification,
    "pair-classification": builders.pair_classification,
    "triplets": builders.triplets,
    "clustering": builders.clustering,
    "bitext": builders.bitext,
    "retrieval": paired_retrieval,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSource:
    """A set on disk, of one task for each of its languages.

    Attributes:
        set: Name of the set.
        kind: What is asked, or None.
        skipped: Why nothing is asked, or None.
        tables: Files by what they hold: "rows"; or "corpus", "queries" and "qrels".
        columns: Those that the task is asked by, as this package calls them.
        names: All columns of the rows or the judgements, as the files call them.
        by_language: Whether a column `lang` tells the rows' languages.
        settings: Of its `task.toml`; a suite may add to them.
        chosen: Languages that a suite is restricted to, or None.
    """

    set: str
    kind: Kind | None
    skipped: str | None = None
    tables: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    by_language: bool = False
    settings: TaskSettings = field(default_factory=TaskSettings)
    chosen: tuple[str, ...] | None = None

    def languages(self) -> list[str]:
        """Codes of the languages there are tasks in, as the set writes them; none if unknown.

        Raises:
            FormatError: If the file is broken.
        """
        if self.skipped is not None:
            return []
        if not self.by_language:
            return [] if self.settings.language is None else [self.settings.language]
        role = "queries" if "queries" in self.tables else "rows"
        table = read_table(self.tables[role], ["lang"], self.settings.columns)
        return sorted(set(langs_of(table) or []))

    def restricted(
        self, *, languages: Sequence[str] | None = None, exclude: Values | None = None
    ) -> TaskSource:
        """The same with fewer languages, or with rows left out of it.

        Args:
            languages: Codes to keep; None keeps all that are kept so far.
            exclude: Values by column, added to those that are excluded already.
        """
        both = {column: set(values) for column, values in self.settings.exclude.items()}
        for column, values in (exclude or {}).items():
            both.setdefault(column, set()).update(values)
        merged = {column: tuple(sorted(values)) for column, values in sorted(both.items())}
        chosen = self.chosen if languages is None else tuple(languages)
        return replace(self, settings=replace(self.settings, exclude=merged), chosen=chosen)

    def why_skipped(
        self, split: Asked = "test", languages: Sequence[str] | None = None
    ) -> str | None:
        """Why `load` with the same arguments would give no task; None if it gives some.

        Raises:
            FormatError: If a file is broken.
        """
        _check_asked(split, languages)
        if self.skipped is not None:
            return self.skipped
        if not self._may_have(languages):
            return self._why_no_language(languages)
        table, langs = self._read(light=True)
        by_language = list(self._rows_by_language(table, langs, languages))
        if not by_language:
            return self._why_no_language(languages)
        if any(self._is_scored(_splits(table, rows, split)[0], split) for _, rows in by_language):
            return None
        return f"there are no rows for split {split!r}: test rows are for the last look only"

    def load(self, split: Asked = "test", languages: Sequence[str] | None = None) -> Iterator[Task]:
        """Yields the tasks, one for each language; none where there is nothing to score.

        Args:
            split: "test" for the test rows, or where there are none the dev or train rows; "dev"
                for the dev rows or else the train rows, without a look at the test rows: the set's,
                and those of stsb where a column `stsb_split` tells them.
            languages: Codes of languages to keep, ISO 639-1 or 639-3; None keeps all.

        Raises:
            FormatError: If a file is broken, a value is not what its column is for, or there is
                too little to score.
            TypeError: If `languages` is one text.
            ValueError: If `split` is neither.
        """
        _check_asked(split, languages)
        return self._tasks(split, languages)

    def _tasks(self, asked: Asked, languages: Sequence[str] | None) -> Iterator[Task]:
        if self.skipped is not None or not self._may_have(languages):
            return
        table, langs = self._read()
        collection: Collection | None = None
        for lang, rows in self._rows_by_language(table, langs, languages):
            splits, n_elsewhere = _splits(table, rows, asked)
            if not self._is_scored(splits, asked):
                continue
            portion = Portion(
                table=table,
                columns=self.columns,
                splits=splits,
                asked=asked,
                n_elsewhere=n_elsewhere,
                settings=self.settings,
            )
            if "corpus" in self.tables:
                collection = collection or self._collection(table)
                yield self._task(portion, judged_retrieval(portion, collection, lang), lang)
            else:
                assert self.kind is not None
                yield self._task(portion, _ASKINGS[self.kind](portion), lang)

    def _task(self, portion: Portion, asking: Asking, lang: str | None) -> Task:
        assert self.kind is not None
        settings = self.settings
        metric = settings.metric or METRICS[self.kind][0]
        check_enough(asking.data, portion.where if lang is None else f"{portion.where} in {lang}")
        return Task(
            name=self.set if lang is None else f"{self.set}[{lang}]",
            set=self.set,
            kind=self.kind,
            language=settings.language if lang is None else lang,
            split=portion.scored,
            metric=metric,
            data=asking.data,
            counts=asking.counts,
            notes=(*asking.notes, *_filter_notes(settings)),
            license=settings.license,
            source=settings.source,
            exclude=settings.exclude,
            include=settings.include,
            data_hash=data_hash(self.kind, portion.scored, metric, asking.data),
        )

    # Rows

    def _read(self, *, light: bool = False) -> tuple[Table, list[str] | None]:
        """The table of rows or judgements, and the language of each row.

        Args:
            light: Whether only to read what tells splits and languages.
        """
        names = {"split", "lang", OF_STSB, *self.settings.exclude, *self.settings.include}
        if "corpus" not in self.tables:
            names |= set() if light else {*self.columns, "subset"}
            table = self._table("rows", sorted(names))
            return table, langs_of(table)
        names |= {"query_id"} if light else {*JUDGEMENTS, "relevance"}
        judgements = self._table("qrels", sorted(names))
        return judgements, self._langs_of_judgements(judgements) if self.by_language else None

    def _table(self, role: str, names: Sequence[str]) -> Table:
        table = read_table(self.tables[role], names, self.settings.columns)
        if not table.n_rows:
            raise FormatError(
                f"{table.parts[0].path}: no rows, expected at least one; add rows, or leave the "
                "set out"
            )
        return table

    def _langs_of_judgements(self, judgements: Table) -> list[str]:
        """Language of the query of each judgement; "" where there is no such query."""
        queries = self._table("queries", ["id", "lang"])
        ids = ids_of(queries, "id", all_rows(queries))
        lang_of = dict(zip(ids, langs_of(queries) or [], strict=True))
        named = ids_of(judgements, "query_id", all_rows(judgements))
        return [lang_of.get(id_, "") for id_ in named]

    def _collection(self, judgements: Table) -> Collection:
        return collection_of(
            self._table("corpus", [*CORPUS, "title", "lang"]),
            self._table("queries", [*QUERIES, "lang", "subset"]),
            judgements,
        )

    def _rows_by_language(
        self, table: Table, langs: list[str] | None, languages: Sequence[str] | None
    ) -> Iterator[tuple[str | None, Rows]]:
        """The rows to use, of each language that is asked for."""
        rows = _kept(table, self.settings)
        if langs is None:
            yield None, rows
            return
        for lang, chosen in sorted(rows_by_value(langs, rows).items()):
            if self._is_chosen(lang, languages):
                yield lang or None, chosen

    def _may_have(self, languages: Sequence[str] | None) -> bool:
        """Whether there can be tasks of the languages, as far as is known without reading."""
        if self.by_language or (languages is None and self.chosen is None):
            return True
        language = self.settings.language
        return language is not None and self._is_chosen(language, languages)

    def _is_chosen(self, lang: str, languages: Sequence[str] | None) -> bool:
        asked = languages is None or is_of(lang, languages)
        return asked and (self.chosen is None or is_of(lang, self.chosen))

    def _why_no_language(self, languages: Sequence[str] | None) -> str:
        wanted = ", ".join(self.chosen or () if languages is None else languages)
        if not self.by_language and self.settings.language is None:
            return (
                f'its language is not known, expected {wanted}; write language = "..." in task.toml'
            )
        found = ", ".join(self.languages())
        return f"its languages are {found}, not {wanted}"

    def _is_scored(self, splits: Mapping[str, Rows], asked: Asked) -> bool:
        """Whether there are rows to score; labelled texts without splits can be divided."""
        divisible = self.kind == "classification" and "all" in splits
        return divisible or scored_split(splits, asked) is not None


def _check_asked(split: str, languages: Sequence[str] | None) -> None:
    if split not in get_args(Asked):
        raise ValueError(f"split is {split!r}, expected 'test' or 'dev'")
    if isinstance(languages, str):
        raise TypeError(f"languages are {languages!r}, expected a list such as [{languages!r}]")


def _splits(table: Table, rows: Rows, asked: Asked) -> tuple[dict[str, Rows], int]:
    """Rows by split, and how many were left out because they are test rows elsewhere."""
    return without_test_rows_elsewhere(table, rows_by_split(table, rows), asked)


def _kept(table: Table, settings: TaskSettings) -> Rows:
    """Places of the rows that are neither excluded nor not included."""
    mask = np.ones(table.n_rows, dtype=np.bool_)
    for filters, keeps in ((settings.include, True), (settings.exclude, False)):
        for column, values in filters.items():
            found = (text_of(value) in values for value in table.columns[column])
            mask &= np.fromiter(found, np.bool_, table.n_rows) == keeps
    if not mask.any():
        raise FormatError(
            f"{table.parts[0].path}: exclude and include leave no row of {table.n_rows}, expected "
            "at least one"
        )
    return np.flatnonzero(mask)


def _filter_notes(settings: TaskSettings) -> Iterator[str]:
    """What is to be said of the rows that are left out."""
    for column, values in settings.include.items():
        yield f"only rows with {column} = {', '.join(map(repr, values))} are used"
    for column, values in settings.exclude.items():
        yield f"rows with {column} = {', '.join(map(repr, values))} are left out"


def has_column(source: TaskSource, name: str) -> bool:
    """Whether the rows or judgements of a source have a column."""
    return find_column(source.names, name, source.settings.columns) is not None
