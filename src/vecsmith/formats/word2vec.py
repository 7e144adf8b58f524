"""word2vec and GloVe text tables: one word and its numbers a line.

One rule: the file is read once, line by line; in memory are the table, its words and one block
of lines.

The words become a WordPiece vocabulary without pieces of words, so that the native tokenizer
serves: a text is split at white space and punctuation, a word that is not in the table is
unknown and left out. Words that hold punctuation themselves can therefore not be found.
"""

from __future__ import annotations

import gzip
import json
import unicodedata
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.formats.checkpoint import Checkpoint

UNKNOWN_TOKEN = "[UNK]"

# Limits against files that are no tables, and archives that unpack to no end.
MAX_LINE_BYTES = 2**22
MAX_DIM = 2**16
MAX_WORDS = 2**25

_BLOCK_LINES = 1024


def read_word2vec(path: PathLike, *, max_words: int = MAX_WORDS) -> Checkpoint:
    """The table in a text file, which may be packed with gzip and may have an "N D" header.

    A word that comes again is left out and counted. Vectors of texts are of unit length.

    Args:
        path: The file.
        max_words: Reading stops after so many different words.

    Raises:
        FormatError: If a line is not a word and its numbers; the message names the line.
    """
    path = Path(path)
    table = _Table(path)
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw
            table.read(file, max_words)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FormatError(
                f"{path}: gzip: {error!s:.100}, expected a whole archive; fetch it again"
            ) from error
    facts = {"format": "word2vec text", "n_words": len(table.words)}
    if table.n_duplicates:
        facts["n_duplicates"] = table.n_duplicates
    table.words.setdefault(UNKNOWN_TOKEN, len(table.words))
    return Checkpoint(
        table=table.rows(),
        tokenizer_json=word_tokenizer(table.words),
        normalize=True,
        unknown="drop",
        max_length=None,
        config={"vecsmith": {"word_table": {"file": path.name, **facts}}},
        layout="word2vec",
        source=str(path),
    )


def word_tokenizer(words: dict[str, int]) -> str:
    """Text of a `tokenizer.json` that finds whole `words`, by id, and nothing smaller.

    Case and accents are kept where the words have them, Chinese characters stay together where
    the words have several.
    """
    text = "\n".join(word for word in words if word != UNKNOWN_TOKEN)
    lowercase = text == text.lower()
    accents = any(unicodedata.category(c) == "Mn" for c in set(unicodedata.normalize("NFD", text)))
    chinese = any(len(word) > 1 and any(_is_chinese(c) for c in word) for word in words)
    prefix = "##"
    while any(word.startswith(prefix) for word in words):
        prefix += "#"
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": not chinese,
                "strip_accents": not accents,
                "lowercase": lowercase,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": None,
            "decoder": None,
            "model": {
                "type": "WordPiece",
                "unk_token": UNKNOWN_TOKEN,
                "continuing_subword_prefix": prefix,
                "max_input_chars_per_word": max(100, *map(len, words)),
                "vocab": words,
            },
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


@dataclass(slots=True)
class _Table:
    """Words and rows as they come in."""

    path: Path
    words: dict[str, int] = field(default_factory=dict)
    n_duplicates: int = 0
    _dim: int = 0
    _rows: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def rows(self) -> NDArray[np.float32]:
        """A row for each word; zeros for words that were added since."""
        self._rows.resize((len(self.words), self._dim), refcheck=False)
        return self._rows

    def read(self, file: IO[bytes], max_words: int) -> None:
        lines = _lines(file, self.path)
        first = next(lines, None)
        if first is None:
            raise FormatError(f"{self.path}: empty, expected a word and its numbers on each line")
        header = _header(first[1])
        if header is None:
            self._dim = len(first[1].split()) - 1
            block = [first]
        else:
            self._dim = header[1]
            block = []
        if not 1 <= self._dim <= MAX_DIM:
            raise FormatError(
                f"{self.path}: line 1: {self._dim} numbers, expected 1 to {MAX_DIM} after a word"
            )
        n_lines = len(block)
        for line in lines:
            block.append(line)
            n_lines += 1
            if len(block) == _BLOCK_LINES:
                self._add(block, max_words)
                block = []
                if len(self.words) >= max_words:
                    return
        self._add(block, max_words)
        if header is not None and n_lines != header[0] and len(self.words) < max_words:
            raise FormatError(
                f"{self.path}: {n_lines} words, expected {header[0]} as line 1 says; "
                "the file may be cut short, fetch it again"
            )

    def _add(self, block: list[tuple[int, bytes]], max_words: int) -> None:
        numbers: list[bytes] = []
        starts: list[int] = []
        for number, line in block:
            word, tail = self._split(number, line)
            if len(self.words) >= max_words:
                break
            if word in self.words:
                self.n_duplicates += 1
                continue
            self.words[word] = len(self.words)
            numbers.append(tail)
            starts.append(number)
        if not numbers:
            return
        end = len(self.words)
        begin = end - len(numbers)
        if end > len(self._rows):
            # grows in place where the system can, so that the table is not in memory twice
            n_rows = max(end, len(self._rows) * 3 // 2)
            self._rows.resize((n_rows, self._dim), refcheck=False)
        self._rows[begin:end] = self._numbers(numbers, starts)

    def _split(self, number: int, line: bytes) -> tuple[str, bytes]:
        parts = line.rsplit(None, self._dim)
        if len(parts) != self._dim + 1:
            raise FormatError(
                f"{self.path}: line {number}: {len(line.split())} fields, expected a word and "
                f"{self._dim} numbers"
            )
        try:
            word = parts[0].decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(
                f"{self.path}: line {number}: byte {error.start} of the word is not UTF-8, "
                "expected a text table; convert a binary one first"
            ) from error
        return word, b" ".join(parts[1:])

    def _numbers(self, tails: list[bytes], starts: list[int]) -> NDArray[np.float32]:
        """Numbers of the lines of a block, shape [len(tails), dim]."""
        values = _parse(b" ".join(tails))
        if (
            values is not None
            and len(values) == len(tails) * self._dim
            and np.isfinite(values).all()
        ):
            return values.reshape(len(tails), self._dim)
        rows = np.empty((len(tails), self._dim), dtype=np.float32)
        for i, (tail, number) in enumerate(zip(tails, starts, strict=True)):
            row = _parse(tail)
            if row is None or len(row) != self._dim or not np.isfinite(row).all():
                raise FormatError(
                    f"{self.path}: line {number}: {tail[:60]!r}, "
                    f"expected {self._dim} finite numbers"
                )
            rows[i] = row
        return rows


def _parse(text: bytes) -> NDArray[np.float32] | None:
    """The numbers in `text`, or None where it holds something else."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return np.fromstring(text.decode("ascii"), dtype=np.float32, sep=" ")
        except (ValueError, Warning):
            return None


def _header(line: bytes) -> tuple[int, int] | None:
    """Number of words and dimensions, if the line is a header."""
    fields = line.split()
    if len(fields) != 2 or not all(part.isdigit() and len(part) < 19 for part in fields):
        return None
    return int(fields[0]), int(fields[1])


def _lines(file: IO[bytes], path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that hold something."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise FormatError(
                f"{path}: line {number} is longer than {MAX_LINE_BYTES} bytes, "
                "expected a text table"
            )
        line = line.rstrip(b" \t\r\n")
        if line:
            yield number, line


def _is_chinese(character: str) -> bool:
    """Whether BertNormalizer would set the character apart."""
    code = ord(character)
    return 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x2CEAF
