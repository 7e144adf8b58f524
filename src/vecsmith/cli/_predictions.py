"""Predictions of a stream of texts: printed, or written as a file that appears when it is whole.

    .labels.parquet.part/
    ├── lock, journal.json    see _resume.py
    └── rows.jsonl            what is told of each text so far

The one rule: memory holds one chunk, however many texts there are, and a killed run goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vecsmith._extras import require
from vecsmith._files import ending_of
from vecsmith._progress import progress_bar
from vecsmith._resume import PartialFolder, differences
from vecsmith.classification.saving import JSON_NAME, TENSORS_NAME
from vecsmith.cli._classifying import MAX_ROWS, FittedModel
from vecsmith.cli._console import count, note, one_line
from vecsmith.cli._texts import read_chunks
from vecsmith.errors import RunFailed
from vecsmith.evaluation.encoding import fingerprint_of

if TYPE_CHECKING:
    from vecsmith.cli._texts import TextFile

# A kill costs at most so long: a transformer reads a few hundred texts a second, an fsync takes a
# fraction of one.
_SECONDS_AT_RISK = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is told of each text, besides its label.

    Attributes:
        probabilities: The probability of every class.
        explain: How sure the head that decided was, its dimensions, and those of all asked.
    """

    probabilities: bool
    explain: bool


@dataclass(slots=True)
class Tally:
    """What was decided in this run."""

    n_texts: int = 0
    dims: float = 0.0
    total_dims: float = 0.0
    n_before: int = 0


def print_predictions(fitted: FittedModel, source: TextFile, shown: Shown, *, column: str) -> Tally:
    """Prints one label a line; a JSON object where more is told, or texts have several labels."""
    tally = Tally()
    as_json = shown.probabilities or shown.explain or fitted.labels is not None
    for chunk in read_chunks(source, column=column, max_rows=MAX_ROWS):
        told = _told(fitted, chunk.texts, shown, tally)
        if as_json:
            sys.stdout.writelines(_json_line(row) for row in told)
        else:
            sys.stdout.writelines(f"{_plain(row['label'])}\n" for row in told)
    return tally


def write_predictions(
    fitted: FittedModel,
    source: TextFile,
    out: Path,
    shown: Shown,
    *,
    column: str,
    restart: bool,
    quiet: bool,
) -> Tally:
    """Writes a .jsonl or .parquet of what is told of each text; goes on after a kill.

    Raises:
        RunFailed: If an unfinished run was of something else, or another process writes there.
        FormatError: If the input is broken.
        OSError: If the disk is full.
    """
    with PartialFolder(out) as partial:
        work = {
            "input": source.identity(),
            "model": _model_block(fitted),
            "settings": {"column": column, "max_dim": fitted.max_dim, **asdict(shown)},
        }
        if restart or not source.is_resumable:
            partial.clear()
        run = _Run(fitted, source, partial, work, shown, column=column)
        return run.finish(quiet=quiet)


def check_output(out: Path) -> None:
    """Refuses a name that says no format.

    Raises:
        ValueError: If it ends in something else than .jsonl or .parquet, or its folder is absent.
    """
    if out.suffix.lower() not in (".jsonl", ".parquet"):
        raise ValueError(f"--out {out} {ending_of(out.suffix)}, expected .jsonl or .parquet")
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder, expected a file")
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: no folder {out.parent}, expected one that exists")


@dataclass(frozen=True, slots=True)
class _Done:
    """How far a run is; one value, so that an interrupt never sees half of a step."""

    rows: int
    n_bytes: int
    position: dict[str, Any] | None


class _Run:
    """One file of predictions, new or gone on with."""

    def __init__(
        self,
        fitted: FittedModel,
        source: TextFile,
        partial: PartialFolder,
        work: dict[str, Any],
        shown: Shown,
        *,
        column: str,
    ) -> None:
        self.fitted = fitted
        self.source = source
        self.partial = partial
        self.work = work
        self.shown = shown
        self.column = column
        journal = self._matching_journal()
        self.tally = Tally(n_before=journal["rows"] if journal else 0)
        self._done = _Done(
            journal["rows"] if journal else 0,
            journal["parts"] if journal else 0,
            journal["position"] if journal else None,
        )
        self.path = partial.path / "rows.jsonl"
        self.file: IO[bytes] = self.path.open("r+b" if journal else "w+b")
        self.file.truncate(self._done.n_bytes)
        self.file.seek(0, os.SEEK_END)

    def finish(self, *, quiet: bool) -> Tally:
        """Classifies what is left and puts the file in place."""
        if self.tally.n_before:
            note(f"going on after {count(self.tally.n_before)} texts", quiet=quiet)
        try:
            self._classify_rest(quiet=quiet)
            if self.source.identity() != self.work["input"]:
                raise RunFailed(
                    f"{self.source.name} changed while it was read, expected a file at rest; give "
                    "the command again"
                )
            self._sync()
            whole = self.path
            if self.partial.target.suffix.lower() == ".parquet":
                whole = _as_parquet(self.path, self.fitted, self.shown)
        except BaseException as error:
            self._stop(error)
            raise
        self.file.close()
        self.partial.finish(whole)
        return self.tally

    def _matching_journal(self) -> dict[str, Any] | None:
        journal = self.partial.journal()
        if journal is None:
            self.partial.clear()
            return None
        if changes := differences(journal, self.work):
            raise RunFailed(
                f"{self.partial.target}: an unfinished run of {count(journal['rows'])} texts does "
                f"not fit this command: {'; '.join(changes)}; give the same command to go on with "
                "it, or --restart to discard it"
            )
        rows = self.partial.path / "rows.jsonl"
        if not rows.exists() or rows.stat().st_size < journal["parts"]:
            raise RunFailed(
                f"{rows}: shorter than its journal says; --restart discards the unfinished run"
            )
        return journal

    def _classify_rest(self, *, quiet: bool) -> None:
        saved = time.monotonic()
        title, n_bytes = one_line(f"classifying {self.source.name}"), self.source.n_bytes
        chunks = read_chunks(
            self.source, column=self.column, start=self._done.position, max_rows=MAX_ROWS
        )
        read = 0
        with closing(chunks), progress_bar(title, total=n_bytes, show=not quiet) as advance:
            for chunk in chunks:
                told = _told(self.fitted, chunk.texts, self.shown, self.tally)
                self.file.write("".join(map(_json_line, told)).encode())
                self._done = _Done(self._done.rows + len(told), self.file.tell(), chunk.position)
                advance(chunk.n_bytes_read - read, f"{count(self.tally.n_texts)} texts")
                read = chunk.n_bytes_read
                if time.monotonic() - saved > _SECONDS_AT_RISK:
                    self._checkpoint()
                    saved = time.monotonic()

    def _sync(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())

    def _checkpoint(self) -> None:
        done = self._done
        if not self.source.is_resumable or done.position is None:
            return
        self._sync()
        self.partial.write_journal(
            {**self.work, "parts": done.n_bytes}, rows=done.rows, position=done.position
        )

    def _stop(self, error: BaseException) -> None:
        """Leaves behind what the same command can go on with, and nothing else."""
        if isinstance(error, (KeyboardInterrupt, OSError, MemoryError)):
            with suppress(Exception):  # a full disk may have no room: the journal before stands
                self._checkpoint()
        else:
            self.partial.discard_journal()
        with suppress(OSError):
            self.file.close()
        if isinstance(error, KeyboardInterrupt) and self.source.is_resumable:
            raise KeyboardInterrupt("the same command goes on from here") from None


def _told(
    fitted: FittedModel, texts: list[str], shown: Shown, tally: Tally
) -> list[dict[str, Any]]:
    """What is told of each text, as JSON; counts it in `tally`."""
    if not texts:
        return []
    decisions = fitted.decide(texts)
    labels = fitted.names_of(decisions)
    told = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    several = fitted.labels is not None
    if shown.explain:
        for row, probabilities, dims, total in zip(
            told, decisions.probabilities, decisions.dims, decisions.total_dims, strict=True
        ):
            sure = abs(probabilities - 0.5).min() + 0.5 if several else probabilities.max()
            row |= {"confidence": float(sure), "dims": int(dims), "total_dims": int(total)}
    if shown.probabilities:
        names = [str(name) for name in fitted.classes]
        for row, probabilities in zip(told, decisions.probabilities.tolist(), strict=True):
            row["probabilities"] = dict(zip(names, probabilities, strict=True))
    tally.n_texts += len(texts)
    tally.dims += float(decisions.dims.sum())
    tally.total_dims += float(decisions.total_dims.sum())
    return told


def _plain(label: Any) -> str:
    return one_line(label) if isinstance(label, str) else json.dumps(label)


def _json_line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _model_block(fitted: FittedModel) -> dict[str, Any]:
    """What decides the predictions: the classifier's files and the model."""
    digest = hashlib.sha256()
    for name in (JSON_NAME, TENSORS_NAME):
        digest.update((fitted.folder / name).read_bytes())
    return {"classifier": digest.hexdigest(), "encoder": fingerprint_of(fitted.encoder)}


def _as_parquet(rows: Path, fitted: FittedModel, shown: Shown) -> Path:
    """The rows as a table, a column for the probability of each class; written beside them."""
    arrow = require("pyarrow", extra="data", purpose="write parquet")
    parquet = require("pyarrow.parquet", extra="data", purpose="write parquet")
    kinds = {str: arrow.string(), bool: arrow.bool_(), int: arrow.int64()}
    label = kinds.get(type(fitted.classes[0]), arrow.float64())
    fields = [("text", arrow.string())]
    fields.append(("label", label if fitted.labels is None else arrow.list_(label)))
    if shown.explain:
        fields += [("confidence", arrow.float64()), ("dims", arrow.int64())]
        fields.append(("total_dims", arrow.int64()))
    if shown.probabilities:
        fields += [(_column(str(name)), arrow.float64()) for name in fitted.classes]
    schema = arrow.schema(fields)
    path = rows.with_suffix(".parquet")
    with parquet.ParquetWriter(path, schema, compression="ZSTD") as writer:
        for chunk in _row_chunks(rows):
            writer.write_table(arrow.Table.from_pylist(chunk, schema=schema))
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path


def _row_chunks(rows: Path) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    with rows.open("rb") as file:
        for line in file:
            row = json.loads(line)
            for name, value in row.pop("probabilities", {}).items():
                row[_column(name)] = value
            chunk.append(row)
            if len(chunk) == MAX_ROWS:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def _column(name: str) -> str:
    return f"probability of {name}"
