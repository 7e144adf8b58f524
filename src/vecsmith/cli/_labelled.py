"""Texts with their labels, from a file.

The one rule: what a label is follows from the file: text, whole numbers or booleans as they stand,
a list of labels where a row has several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.cli._texts import text_file
from vecsmith.corpora.parts import FilePart, read_file
from vecsmith.corpora.rows import Limits, Rows, absent_column, kind_of, mended
from vecsmith.errors import FormatError

_LABEL_TYPES = (str, int, bool)
# Of the numbers that 64 bits hold: beyond them numpy makes floats, or nothing, of whole numbers.
_LEAST, _MOST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFile:
    """Where labelled texts are.

    Attributes:
        name: The file.
        text_column: Which column holds the texts.
        label_column: Which holds the labels.
        split: Only rows whose column `split` says this; None for all.
    """

    name: str
    text_column: str = "text"
    label_column: str = "label"
    split: str | None = None

    def chunks(self, max_rows: int) -> Iterator[tuple[list[str], list[Any], int]]:
        """Texts and labels, and bytes read so far, chunk by chunk.

        Raises:
            FormatError: If the file is broken, or a label is missing or of a type that is none.
            ValueError: If a column is not there.
        """
        source = text_file(self.name)
        if source.format == "txt":
            raise ValueError(f"{self.name} holds lines and no labels, expected a table: .parquet, "
                             ".jsonl, .csv or .tsv")  # fmt: skip
        wanted = [self.text_column, self.label_column, *(["split"] if self.split else [])]
        if source.path is not None:
            there = FilePart(source).columns()
            remedies = (
                "name another with --text-column",
                "name another with --label-column",
                "leave --split out to read all rows",
            )
            for column, remedy in zip(wanted, remedies, strict=False):
                if column not in there:
                    raise ValueError(absent_column(self.name, column, there, remedy=remedy))
        for rows in read_file(source, wanted, limits=Limits(max_rows=max_rows)):
            texts, labels = self._chosen(rows)
            yield texts, labels, rows.n_bytes_read

    def _chosen(self, rows: Rows) -> tuple[list[str], list[Any]]:
        texts, labels = [], []
        for i in range(rows.n_rows):
            if self.split is not None and rows.columns["split"][i] != self.split:
                continue
            text, label = rows.columns[self.text_column][i], rows.columns[self.label_column][i]
            if type(text) is not str:
                raise FormatError(
                    f"{rows.where(i)}: {self.text_column!r} is {kind_of(text)}, expected a string; "
                    "name another with --text-column"
                )
            texts.append(mended(text)[0])
            labels.append(_checked_label(label, rows, i, self.label_column))
        return texts, labels


def label_array(
    labels: Sequence[Any], known: Sequence[Any] | None = None
) -> tuple[NDArray[Any], list[Any] | None]:
    """Labels as scikit-learn takes them, and the names of their columns where rows have several.

    Args:
        labels: One a row, or a list of them a row.
        known: Names of the columns, in their order; None: those there are, sorted.

    Raises:
        ValueError: If some rows have one label and some a list, or labels are of several types.
    """
    several = {isinstance(label, list) for label in labels}
    if len(several) > 1:
        raise ValueError("some rows have one label and some a list, expected one kind")
    if several != {True}:
        _check_one_type(labels)
        return np.array(labels), None
    names = sorted({name for label in labels for name in label}) if known is None else list(known)
    _check_one_type(names)
    place = {name: i for i, name in enumerate(names)}
    present = np.zeros((len(labels), len(names)), np.uint8)
    for row, label in zip(present, labels, strict=True):
        row[[place[name] for name in label if name in place]] = 1
    return present, names


def _checked_label(label: Any, rows: Rows, i: int, column: str) -> Any:
    if isinstance(label, (list, tuple)):
        return [_checked_single(one, rows, i, column) for one in label]
    return _checked_single(label, rows, i, column)


def _checked_single(label: Any, rows: Rows, i: int, column: str) -> Any:
    if type(label) is float and label.is_integer():
        label = int(label)  # a table with a missing value makes numbers of whole numbers
    if type(label) not in _LABEL_TYPES:
        raise FormatError(
            f"{rows.where(i)}: the label, column {column!r}, is {kind_of(label)}, expected a "
            "string, a whole number, true or false, or a list of these; mend the row or leave it "
            "out, or name another column with --label-column"
        )
    if type(label) is int and not _LEAST <= label <= _MOST:
        raise FormatError(
            f"{rows.where(i)}: the label, column {column!r}, is {label!r:.60}, expected a whole "
            "number that 64 bits hold; write it as a string"
        )
    return mended(label)[0] if isinstance(label, str) else label


def _check_one_type(labels: Sequence[Any]) -> None:
    if len(kinds := {type(label).__name__ for label in labels}) > 1:
        raise ValueError(f"labels are of types {sorted(kinds)}, expected one type")
