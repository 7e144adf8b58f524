"""Queries, corpus and judgements: from three tables, or from pairs of texts that belong together.

The one rule: a judgement points at rows that are there, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import FormatError
from vecsmith.evaluation.tasks.builders import Asking, Portion
from vecsmith.evaluation.tasks.drawing import draw
from vecsmith.evaluation.tasks.tables import Table
from vecsmith.evaluation.tasks.task import RetrievalData
from vecsmith.evaluation.tasks.values import (
    Rows,
    all_rows,
    ids_of,
    labels_of,
    n_empty,
    numbers_of,
    subsets_of,
    texts_of,
)

MAX_QUERIES = 5_000  # of pairs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Collection:
    """A corpus, queries and judgements, of all languages and splits.

    Attributes:
        judgements: Their table.
        queries: Place of the query of each judgement, int64 [J].
        documents: Place of its document, int64 [J].
        query_ids: [Q].
        query_texts: [Q].
        document_ids: [N].
        document_texts: [N], the title before the text.
        query_langs: [Q], or None.
        query_subsets: [Q], or None.
        document_langs: [N], or None.
    """

    judgements: Table
    queries: Rows
    documents: Rows
    query_ids: list[str]
    query_texts: list[str]
    document_ids: list[str]
    document_texts: list[str]
    query_langs: list[str] | None
    query_subsets: list[str] | None
    document_langs: list[str] | None


def collection_of(corpus: Table, queries: Table, judgements: Table) -> Collection:
    """The collection that three tables hold.

    Raises:
        FormatError: If ids come twice, or a judgement names what is not there.
    """
    query_ids = ids_of(queries, "id", all_rows(queries))
    document_ids = ids_of(corpus, "id", all_rows(corpus))
    return Collection(
        judgements=judgements,
        queries=_places(judgements, "query_id", queries, query_ids),
        documents=_places(judgements, "doc_id", corpus, document_ids),
        query_ids=query_ids,
        query_texts=texts_of(queries, "text", all_rows(queries)),
        document_ids=document_ids,
        document_texts=_document_texts(corpus),
        query_langs=langs_of(queries),
        query_subsets=subsets_of(queries, all_rows(queries)),
        document_langs=langs_of(corpus),
    )


def langs_of(table: Table) -> list[str] | None:
    """Language of each row, or None without such a column."""
    return labels_of(table, "lang", all_rows(table)) if "lang" in table.columns else None


def judged_retrieval(portion: Portion, collection: Collection, lang: str | None) -> Asking:
    """Queries that are judged in the scored split, and the documents of their language."""
    documents, notes = _documents_for(collection, lang)
    queries, found = collection.queries[portion.rows], collection.documents[portion.rows]
    within = np.isin(found, documents)
    rows, found, queries = portion.rows[within], found[within], queries[within]
    grades = _grades(portion.table, rows)
    once = _without_repeats(portion.table, rows, queries, found, grades)
    rows, queries, found, grades = rows[once], queries[once], found[once], grades[once]
    if not len(rows):
        raise FormatError(
            f"{portion.table.parts[0].path}: {len(within)} judgements, none of a query and a "
            f"document both in {lang}, expected some"
        )
    asked, subsets = np.unique(queries), collection.query_subsets
    data = RetrievalData(
        query_ids=_chosen(collection.query_ids, asked),
        queries=_chosen(collection.query_texts, asked),
        document_ids=_chosen(collection.document_ids, documents),
        documents=_chosen(collection.document_texts, documents),
        judged_queries=np.searchsorted(asked, queries).astype(np.int64),
        judged_documents=np.searchsorted(documents, found).astype(np.int64),
        relevance=grades,
        subsets=subsets and _chosen(subsets, asked),
    )
    if portion.settings.ignore_identical_ids:
        data = replace(data, own_documents=_own_documents(data))
        notes = (*notes, "a document that has the query's id is not ranked for it")
    more = {"judgements across languages": int((~within).sum()), "repeated": int((~once).sum())}
    return Asking(data=data, counts=_counts(data, more), notes=(*portion.notes, *notes))


def _own_documents(data: RetrievalData) -> Rows:
    """Place of the document that has the id of each query; -1 where there is none."""
    place_of = {id_: place for place, id_ in enumerate(data.document_ids)}
    found = (place_of.get(id_, -1) for id_ in data.query_ids)
    return np.fromiter(found, np.int64, len(data.query_ids))


def paired_retrieval(portion: Portion) -> Asking:
    """Anchors as queries, all distinct positives as corpus, what stands beside them relevant."""
    anchors, positives = portion.texts(0), portion.texts(1)
    query_of = {text: place for place, text in enumerate(dict.fromkeys(anchors))}
    document_of = {text: place for place, text in enumerate(dict.fromkeys(positives))}
    drawn = draw(len(query_of), MAX_QUERIES)
    place_of = {int(place): i for i, place in enumerate(drawn.tolist())}
    pairs = dict.fromkeys(
        (place_of[query_of[anchor]], document_of[positive])
        for anchor, positive in zip(anchors, positives, strict=True)
        if query_of[anchor] in place_of
    )
    judged = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    queries = list(query_of)
    subsets = _subsets_of_queries(anchors, portion.subsets())
    data = RetrievalData(
        query_ids=[str(place + 1) for place in drawn.tolist()],
        queries=_chosen(queries, drawn),
        document_ids=[str(place + 1) for place in range(len(document_of))],
        documents=list(document_of),
        judged_queries=judged[:, 0].copy(),
        judged_documents=judged[:, 1].copy(),
        relevance=np.ones(len(judged)),
        subsets=subsets and _chosen(subsets, drawn),
    )
    notes = ["positives are looked for among all distinct positives, by their anchors"]
    if len(drawn) < len(queries):
        notes.append(f"{len(drawn)} of {len(queries)} anchors are asked")
    return Asking(
        data=data,
        counts=_counts(data, {"pairs": len(anchors)}),
        notes=(*portion.notes, *notes),
    )


def _subsets_of_queries(anchors: list[str], subsets: list[str] | None) -> list[str] | None:
    """Part of each distinct anchor: that of its first row."""
    if subsets is None:
        return None
    part_of: dict[str, str] = {}
    for anchor, subset in zip(anchors, subsets, strict=True):
        part_of.setdefault(anchor, subset)
    return list(part_of.values())


def _counts(data: RetrievalData, more: Mapping[str, int]) -> dict[str, int]:
    relevant = np.unique(data.judged_queries[data.relevance > 0])
    return {
        "queries": len(data.queries),
        "documents": len(data.documents),
        "judgements": len(data.relevance),
        "queries without relevant document": len(data.queries) - len(relevant),
        "empty texts": n_empty(data.queries, data.documents),
    } | {name: count for name, count in more.items() if count}


def _places(judgements: Table, name: str, table: Table, ids: Sequence[str]) -> Rows:
    """Place of the row that each judgement names in the column `name`."""
    place_of = {id_: place for place, id_ in enumerate(ids)}
    if len(place_of) < len(ids):
        raise _repeated_id(table, ids)
    named = ids_of(judgements, name, all_rows(judgements))
    places = np.fromiter((place_of.get(id_, -1) for id_ in named), np.int64, len(named))
    missing = np.flatnonzero(places < 0)
    if len(missing):
        row = int(missing[0])
        others = f"; so do {len(missing) - 1} other rows" if len(missing) > 1 else ""
        raise FormatError(
            f"{judgements.where(row)}: {name} is {named[row]!r:.60}, which is not in "
            f"{table.parts[0].path.name}, expected one of its {len(ids)} ids{others}"
        )
    return places


def _repeated_id(table: Table, ids: Sequence[str]) -> FormatError:
    first: dict[str, int] = {}
    for row, id_ in enumerate(ids):
        if first.setdefault(id_, row) != row:
            break
    return FormatError(
        f"{table.where(row)}: id {id_!r:.60} is that of row {first[id_] + 1} too, expected each id "
        "once"
    )


def _document_texts(corpus: Table) -> list[str]:
    """Title and text of each document."""
    texts = texts_of(corpus, "text", all_rows(corpus))
    corpus.columns["text"].clear()  # so that each text goes when its title is put before it
    if "title" not in corpus.columns:
        return texts
    for place, title in enumerate(corpus.columns["title"]):
        if title is not None and type(title) is not str:
            raise FormatError(
                f"{corpus.where(place)}: title is {title!r:.60} ({type(title).__name__}), expected "
                "a text"
            )
        if title:
            texts[place] = f"{title} {texts[place]}" if texts[place] else title
    corpus.columns["title"].clear()
    return texts


def _documents_for(collection: Collection, lang: str | None) -> tuple[Rows, tuple[str, ...]]:
    """Documents to search for queries in `lang`: those in it, or all if there are none."""
    langs, n_rows = collection.document_langs, len(collection.document_ids)
    everything = np.arange(n_rows, dtype=np.int64)
    if langs is None or lang is None:
        return everything, ()
    mask = np.fromiter((each == lang for each in langs), np.bool_, n_rows)
    if mask.any():
        return everything[mask], ()
    others = sorted(set(langs))
    named = ", ".join(others) if len(others) <= 5 else f"{len(others)} other languages"
    return everything, (f"queries in {lang}, documents in {named}",)


def _grades(table: Table, rows: Rows) -> NDArray[np.float64]:
    """Relevance of each judgement; 1 where the table lists relevant documents only."""
    if "relevance" not in table.columns:
        return np.ones(len(rows))
    return numbers_of(table, "relevance", rows)


def _without_repeats(
    table: Table, rows: Rows, queries: Rows, documents: Rows, grades: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which judgements are the first of their query and document.

    Raises:
        FormatError: If a document is judged twice for a query, and not alike.
    """
    order = np.lexsort((rows, documents, queries))
    again = np.zeros(len(order), dtype=np.bool_)
    again[1:] = (np.diff(queries[order]) == 0) & (np.diff(documents[order]) == 0)
    unlike = again.copy()
    unlike[1:] &= np.diff(grades[order]) != 0
    if unlike.any():
        place = int(np.flatnonzero(unlike)[0])
        row, before = int(order[place]), int(order[place - 1])
        raise FormatError(
            f"{table.where(int(rows[row]))}: relevance {grades[row]:g}, expected "
            f"{grades[before]:g} as in {table.where(int(rows[before]))}, which judges the same "
            "query and document"
        )
    once = np.ones(len(order), dtype=np.bool_)
    once[order[again]] = False
    return once


def _chosen(values: list[str], places: Rows) -> list[str]:
    """Values at `places`; the list itself where those are all, for it may be long."""
    if len(places) == len(values):
        return values
    return [values[place] for place in places.tolist()]
