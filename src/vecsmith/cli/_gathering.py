"""Rows of a corpus -> their texts and vectors in a partial folder, gone on with after a kill.

    .index.part/
    ├── lock, journal.json    see _resume.py
    ├── texts/                all texts with their ids, see vecsmith.retrieval.texts
    └── vectors.npy           a row for each text that is not blank

The one rule: the journal never says more than what has reached the disk before it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith._npy_file import NpyFile
from vecsmith._progress import progress_bar
from vecsmith._resume import PartialFolder, differences
from vecsmith.cli._console import count, counted, note, one_line
from vecsmith.corpora.corpus import Corpus, open_corpus
from vecsmith.corpora.rows import Limits, Rows, absent_column, kind_of, mended
from vecsmith.corpora.texts import texts_of
from vecsmith.errors import FormatError, RunFailed
from vecsmith.evaluation.encoding import encode_role
from vecsmith.retrieval.text_index import TEXTS_FOLDER, TextIndex, is_text_index
from vecsmith.retrieval.texts import TextStore, TextStoreWriter
from vecsmith.retrieval.texts.parts import MANIFEST, NameKind

if TYPE_CHECKING:
    from vecsmith._typing import Encoder

# A kill costs at most so long: a transformer reads a few hundred texts a second, an fsync takes
# a fraction of one.
_SECONDS_AT_RISK = 5.0
_ROWS_OF_STATIC, _ROWS_OF_OTHERS = 2**15, 2**10
_MOST_HALF = 65504.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Texts to index, and what they are called.

    Attributes:
        corpus: The rows.
        text_column: Which column holds the texts.
        id_column: Which holds their ids, None if they are numbered.
        name_kind: What the ids are.
    """

    corpus: Corpus | IndexRows
    text_column: str
    id_column: str | None
    name_kind: NameKind | None

    @property
    def columns(self) -> list[str]:
        """Columns to read."""
        return [self.text_column, *([self.id_column] if self.id_column else [])]

    def names(self, rows: Rows) -> list[str | int] | None:
        """Ids of some rows, None if they have none.

        Raises:
            FormatError: If one is missing, or not of the kind of the first.
        """
        if self.id_column is None:
            return None
        values = rows.columns[self.id_column]
        wanted = int if self.name_kind == "int" else str
        for i, value in enumerate(values):
            if type(value) is not wanted or value == "":
                what = "empty" if value == "" else kind_of(value)
                raise FormatError(
                    f"{rows.where(i)}: the id {self.id_column!r} is {what}, expected "
                    f"{'a whole number' if wanted is int else 'a string'} as in the rows before"
                )
        return values

    def texts(self, rows: Rows) -> list[str]:
        """Texts of some rows; one that is missing is blank.

        Raises:
            FormatError: If one is none.
        """
        texts = []
        for i, value in enumerate(rows.columns[self.text_column]):
            if value is not None and type(value) is not str:
                raise FormatError(
                    f"{rows.where(i)}: {self.text_column!r} is {kind_of(value)}, expected a "
                    "string; name another with --text-column"
                )
            texts.append(mended(value or "")[0])
        return texts


def open_source(name: str, text_column: str | None, id_column: str | None) -> Source:
    """The texts of a file, a glob, a folder or a data set on the Hub.

    Raises:
        FormatError: If a file is broken, or ids are neither strings nor whole numbers.
        ValueError: If a column is not there, or several could hold the texts.
        OSError: If a file is missing or cannot be read.
    """
    if name == "-":
        raise ValueError("texts on standard input, expected a file: an index that is killed reads "
                         "them again where it stopped")  # fmt: skip
    if is_text_index(name):
        return _source_of_index(name, text_column, id_column)
    corpus = open_corpus(name)
    for option, column in (("--text-column", text_column), ("--id-column", id_column)):
        if column is not None and column not in corpus.columns:
            remedy = f"name another with {option}"
            raise ValueError(absent_column(name, column, corpus.columns, remedy=remedy))
    try:
        text_column = texts_of(name, column=text_column).column
    except ValueError as error:  # it speaks to who calls it from Python
        told = str(error).replace("yours with column", "yours with --text-column")
        raise ValueError(told) from error
    kind: NameKind | None = None
    if id_column is not None:
        head = corpus.head()
        first = None if head is None else head.columns[id_column][0]
        if head is not None and type(first) not in (int, str):
            raise FormatError(
                f"{head.where(0)}: the id {id_column!r} is {kind_of(first)}, expected a string or "
                "a whole number"
            )
        kind = "int" if type(first) is int else "str"
    return Source(corpus=corpus, text_column=text_column, id_column=id_column, name_kind=kind)


class IndexRows:
    """The texts of an index as rows, for another model to index them.

    Attributes:
        name: Of the index.
        n_bytes: Of its texts.
        fingerprint: A hash of which texts there are.
    """

    def __init__(self, name: str) -> None:
        """Opens the index called `name`."""
        self.name = name
        self._index = TextIndex.open(name)
        self._numbers = np.sort(self._index.vectors.ids)
        self.n_bytes: int | None = self._index.texts.n_bytes
        manifest = (Path(name) / TEXTS_FOLDER / MANIFEST).read_bytes()
        self.fingerprint = sha256(manifest + self._numbers.tobytes()).hexdigest()[:32]

    @property
    def name_kind(self) -> NameKind | None:
        """What the ids are: the numbers, once some have gone."""
        is_whole = len(self._numbers) == len(self._index.texts)
        return self._index.texts.name_kind or (None if is_whole else "int")

    def read(
        self, columns: Sequence[str], *, start: Any = None, limits: Limits | None = None
    ) -> Iterator[Rows]:
        """The rows, some at a time: a column of texts and perhaps one of ids."""
        texts, max_rows = self._index.texts, (limits or Limits()).max_rows
        first, n_bytes_read = 0 if start is None else int(start["row"]), 0
        for begin in range(first, len(self._numbers), max_rows):
            numbers = self._numbers[begin : begin + max_rows].tolist()
            found: list[list[Any]] = [texts.texts(numbers), texts.names(numbers)]
            n_bytes_read += sum(map(len, found[0]))
            yield Rows(
                columns=dict(zip(columns, found, strict=False)),
                n_rows=len(numbers),
                first_row=begin,
                position={"row": begin + len(numbers)},
                origin=self.name,
                unit="row",
                numbers=numbers,
                n_bytes_read=n_bytes_read,
            )


def _source_of_index(name: str, text_column: str | None, id_column: str | None) -> Source:
    for option, column in (("--text-column", text_column), ("--id-column", id_column)):
        if column is not None:
            raise ValueError(f"{option} {column} with the index {name}, expected it alone: its "
                             "texts keep their ids")  # fmt: skip
    rows = IndexRows(name)
    kind = rows.name_kind
    return Source(corpus=rows, text_column="text", id_column=kind and "id", name_kind=kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Texts and vectors in a partial folder, whole.

    Attributes:
        texts: All of them.
        vectors: Mapped, [N, D].
        places: Of the texts that have one, ascending, [N].
        resumed_from: Rows that an earlier run had read.
        seconds: What this run took.
    """

    texts: TextStore
    vectors: NDArray[Any]
    places: NDArray[np.int64]
    resumed_from: int
    seconds: float


class Gathering:
    """One reading of one source, new or gone on with."""

    def __init__(
        self,
        encoder: Encoder,
        source: Source,
        partial: PartialFolder,
        work: dict[str, Any],
        *,
        dim: int,
        half: bool,
        threads: int | None,
        quiet: bool,
    ) -> None:
        """Takes what is to be done.

        Args:
            encoder: Makes the vectors, as those of documents.
            source: The texts.
            partial: Where all goes; held by this process.
            work: "input", "model" and "settings" that must not change between two runs.
            dim: Length of a vector.
            half: Whether vectors are kept in float16 until they are indexed.
            threads: Of a static model; None for all.
            quiet: Whether nothing is told.
        """
        from vecsmith.model import StaticModel

        self._encoder = encoder
        self._source = source
        self._partial = partial
        self._work = work
        self._dim = dim
        self._dtype = np.dtype(np.float16 if half else np.float32)
        self._threads = threads
        self._quiet = quiet
        is_static = isinstance(encoder, StaticModel)
        self._limits = Limits(max_rows=_ROWS_OF_STATIC if is_static else _ROWS_OF_OTHERS)
        self._n_read = self._n_vectors = 0
        self._position: Any = None

    def finish(self) -> Gathered:
        """All texts and vectors, once they are on the disk.

        Raises:
            FormatError: If the source is broken.
            RunFailed: If it changed while it was read, or an unfinished run was of something else.
            KeyboardInterrupt: If interrupted, with a word on what is kept.
        """
        started = time.perf_counter()
        resumed_from = self._go_on()
        texts = TextStoreWriter(
            self._partial.path / "texts", name_kind=self._source.name_kind, n_texts=self._n_read
        )
        vectors = NpyFile(
            self._partial.path, dim=self._dim, dtype=self._dtype, rows=self._n_vectors
        )
        with texts, closing(vectors):
            try:
                self._read(texts, vectors)
                self._check_unchanged()
                path = vectors.finish()
                store = texts.commit()
            except BaseException as error:
                self._stop(error, texts, vectors)
                raise
        return Gathered(
            texts=store,
            vectors=np.load(path, mmap_mode="r", allow_pickle=False),
            places=_places_with_text(store),
            resumed_from=resumed_from,
            seconds=time.perf_counter() - started,
        )

    def _go_on(self) -> int:
        """Takes up what the journal says; rows that were read before."""
        journal = self._partial.journal()
        if journal is None:
            self._partial.clear()
            return 0
        if changes := differences(journal, self._work):
            raise RunFailed(
                f"{self._partial.target}: an unfinished run of {counted(journal['rows'], 'text')} "
                f"does not fit this command: {'; '.join(changes)}; give the same command to go on "
                "with it, or --restart to discard it"
            )
        note(f"going on after {counted(journal['rows'], 'text')} of an unfinished run",
             quiet=self._quiet)  # fmt: skip
        self._n_read, self._n_vectors = journal["rows"], journal["parts"]
        self._position = journal.get("at")
        return self._n_read

    def _read(self, texts: TextStoreWriter, vectors: NpyFile) -> None:
        corpus = self._source.corpus
        chunks = corpus.read(self._source.columns, start=self._position, limits=self._limits)
        title, n_bytes_read = one_line(f"encoding {corpus.name}"), 0
        began = written = time.monotonic()
        n_before = self._n_read
        with progress_bar(title, total=corpus.n_bytes, show=not self._quiet) as advance:
            for rows in chunks:
                self._add(rows, texts, vectors)
                now = time.monotonic()
                rate = (self._n_read - n_before) / max(now - began, 1e-9)
                advance(
                    rows.n_bytes_read - n_bytes_read,
                    f"{count(self._n_read)} texts, {count(round(rate))}/s",
                )
                n_bytes_read = rows.n_bytes_read
                if now - written > _SECONDS_AT_RISK:
                    self._checkpoint(texts, vectors)
                    written = now
        self._checkpoint(texts, vectors)

    def _add(self, rows: Rows, texts: TextStoreWriter, vectors: NpyFile) -> None:
        column, names = self._source.texts(rows), self._source.names(rows)
        filled = [text for text in column if _has_text(text)]
        encoded = self._encode(filled) if filled else None
        # all that may fail comes first: these three are one step
        texts.append(column, names)
        if encoded is not None:
            vectors.append(filled, encoded)
        self._n_read += rows.n_rows
        self._n_vectors += len(filled)
        self._position = rows.position

    def _encode(self, texts: Sequence[str]) -> NDArray[Any]:
        from vecsmith.model import StaticModel

        if isinstance(self._encoder, StaticModel):
            found = self._encoder.encode_document(list(texts), n_threads=self._threads)
        else:
            found = encode_role(self._encoder, texts, "document")
        if self._dtype == np.float16 and len(found) and np.abs(found).max() > _MOST_HALF:
            raise ValueError(
                f"a vector has the value {np.abs(found).max():g}, expected at most "
                f"{_MOST_HALF:g} to keep it in 16 bits or fewer; give --dtype float32"
            )
        return np.ascontiguousarray(found, dtype=self._dtype)

    def _checkpoint(self, texts: TextStoreWriter, vectors: NpyFile) -> None:
        if not self._n_read:
            return
        texts.sync()
        vectors.sync()
        self._partial.write_journal(
            {**self._work, "parts": self._n_vectors, "at": self._position},
            rows=self._n_read,
            position={},
        )

    def _check_unchanged(self) -> None:
        name, is_index = self._source.corpus.name, isinstance(self._source.corpus, IndexRows)
        now = (IndexRows(name) if is_index else open_corpus(name)).fingerprint
        if now != self._work["input"]["fingerprint"]:
            raise RunFailed(
                f"{self._source.corpus.name} changed while it was read, expected a file at rest; "
                "give the command again to index it anew"
            )

    def _stop(self, error: BaseException, texts: TextStoreWriter, vectors: NpyFile) -> None:
        """Leaves behind what the same command can go on with, and nothing else."""
        # a broken input or a wrong setting will not be right the next time
        if not isinstance(error, (KeyboardInterrupt, OSError, MemoryError)):
            self._partial.discard_journal()
            return
        # a full disk may have no room for the journal either: the one before stands
        with suppress(Exception):
            if texts.n_texts == self._n_read and vectors.rows == self._n_vectors:
                self._checkpoint(texts, vectors)
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt("the same command goes on from here") from None


def _has_text(text: str) -> bool:
    return bool(text) and not text.isspace()


def _places_with_text(store: TextStore) -> NDArray[np.int64]:
    """Which texts have a vector."""

    def places() -> Iterator[int]:
        for place, text in enumerate(store):
            if _has_text(text):
                yield place

    return np.fromiter(places(), np.int64)
