"""Predictions of a stream of texts: printed, or written as a file that appears when it is whole.

The one rule: memory holds one chunk, however many texts there are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecsmith._extras import require
from vecsmith._files import atomic_file
from vecsmith.cli._classifying import FittedModel
from vecsmith.cli._console import one_line


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
    """What was decided so far."""

    n_texts: int = 0
    dims: float = 0.0
    total_dims: float = 0.0


Write = Callable[[list[str], list[dict[str, Any]]], None]


def predictions(
    fitted: FittedModel, texts: list[str], shown: Shown, tally: Tally
) -> list[dict[str, Any]]:
    """What is told of each text, as JSON; counts it in `tally`."""
    decisions = fitted.decide(texts)
    tally.n_texts += len(texts)
    tally.dims += float(decisions.dims.sum())
    tally.total_dims += float(decisions.total_dims.sum())
    told: list[dict[str, Any]] = [{"label": label} for label in fitted.names_of(decisions)]
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
    return told


@contextmanager
def opened_output(out: Path | None, shown: Shown) -> Iterator[Write]:
    """Where predictions go: a .jsonl or .parquet file, or lines on stdout."""
    if out is None:
        yield _print_lines(shown)
    elif out.suffix.lower() == ".jsonl":
        with atomic_file(out, "w", encoding="utf-8") as file:
            yield lambda texts, told: file.writelines(_json_lines(texts, told))
    else:
        with _parquet(out) as write:
            yield write


def check_output(out: Path | None) -> None:
    """Refuses a name that says no format.

    Raises:
        ValueError: If it ends in something else than .jsonl or .parquet, or its folder is absent.
    """
    if out is None:
        return
    if out.suffix.lower() not in (".jsonl", ".parquet"):
        raise ValueError(f"--out {out} ends in {out.suffix or 'nothing'!r}, expected .jsonl or "
                         ".parquet")  # fmt: skip
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: no folder {out.parent}, expected one that exists")


def _print_lines(shown: Shown) -> Write:
    """One label a line; a JSON object a line where more is told, or rows have several labels."""

    def write(texts: list[str], told: list[dict[str, Any]]) -> None:
        if shown.probabilities or shown.explain or (told and isinstance(told[0]["label"], list)):
            sys.stdout.writelines(_json_lines(texts, told))
        else:
            sys.stdout.writelines(f"{_line(row['label'])}\n" for row in told)

    return write


def _line(label: Any) -> str:
    return one_line(label) if isinstance(label, str) else json.dumps(label)


def _json_lines(texts: list[str], told: list[dict[str, Any]]) -> Iterator[str]:
    for text, row in zip(texts, told, strict=True):
        yield json.dumps({"text": text, **row}, ensure_ascii=False) + "\n"


@contextmanager
def _parquet(out: Path) -> Iterator[Write]:
    arrow = require("pyarrow", extra="data", purpose="write parquet")
    parquet = require("pyarrow.parquet", extra="data", purpose="write parquet")
    with atomic_file(out, "wb") as file:
        writer: Any = None

        def write(texts: list[str], told: list[dict[str, Any]]) -> None:
            nonlocal writer
            rows = [_flat(text, row) for text, row in zip(texts, told, strict=True)]
            table = arrow.Table.from_pylist(rows, schema=None if writer is None else writer.schema)
            if writer is None:
                writer = parquet.ParquetWriter(file, table.schema, compression="ZSTD")
            writer.write_table(table)

        yield write
        if writer is None:  # no text at all
            schema = arrow.schema([("text", arrow.string()), ("label", arrow.string())])
            writer = parquet.ParquetWriter(file, schema)
        writer.close()


def _flat(text: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table: probabilities as a column each class."""
    flat = {"text": text, **row}
    for name, value in flat.pop("probabilities", {}).items():
        flat[f"probability of {name}"] = value
    return flat
