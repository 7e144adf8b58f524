"""A user's words with their counts, as given in Python or in a file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vecsmith._typing import PathLike
from vecsmith.errors import FormatError

WordSource = Sequence[str] | Mapping[str, float] | PathLike

_MAX_LINE_BYTES = 2**16


def read_words(source: WordSource) -> list[tuple[str, float | None]]:
    """Words with their counts, from a sequence, a mapping to counts, or a file.

    A file has one word a line, in UTF-8, optionally followed by a tab and its count; the word may
    hold spaces and commas. Empty lines do not count.

    Raises:
        ValueError: If a count is negative or not finite, or an item is not a text.
        FormatError: If the file is not UTF-8, or a count in it is not a number.
    """
    if isinstance(source, Mapping):
        return [(_text(word), _count(n, word)) for word, n in source.items()]
    if isinstance(source, str | os.PathLike):
        return list(_read_word_file(Path(source)))
    return [(_text(word), None) for word in source]


def _text(word: object) -> str:
    if not isinstance(word, str):
        raise TypeError(f"vocabulary item {word!r} is {type(word).__name__}, expected str")
    return word.encode("utf-8", "replace").decode("utf-8")  # lone surrogates have no UTF-8


def _count(count: float, word: str) -> float:
    value = float(count)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"count of {word!r} is {count}, expected a number of 0 or more")
    return value


def _read_word_file(path: Path) -> Iterable[tuple[str, float | None]]:
    if not path.is_file():
        raise FormatError(f"{path}: no such file, expected one word a line")
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES + 1), b""), 1):
            place = f"{path}: line {number}"
            if len(raw) > _MAX_LINE_BYTES:
                raise FormatError(f"{place}: over {_MAX_LINE_BYTES} bytes, expected one word")
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise FormatError(f"{place}: not UTF-8, expected one word") from error
            if not line.strip():
                continue
            word, tab, count = line.rpartition("\t")
            if not tab:
                yield line, None
                continue
            try:
                yield word, _count(float(count), word)
            except ValueError as error:
                raise FormatError(
                    f"{place}: count {count!r}, expected word, tab and a number of 0 or more"
                ) from error
