"""Texts that benchmarks of encoding run on, by kind, and their halves.

A kind is split at random: the first half is for training vocabularies and for warming caches, what
is timed comes from the second.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LANGUAGES = ("de", "ru", "ko", "ja", "zh", "ar")
LONG_DOCUMENT = 20_000  # bytes
STRING = 64  # characters
MOST_BYTES = 32_000_000  # of a kind: the rest of the largest set would only take time


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Distinct texts of one kind in a random order.

    Attributes:
        warm: The first half.
        timed: The second half.
    """

    name: str
    source: str
    warm: list[str]
    timed: list[str]


@dataclass(frozen=True, slots=True)
class Material:
    """Texts as bytes: every side gets strings that nobody has looked at.

    Attributes:
        warm: What warms caches.
        timed: What our side is timed on.
        share: The part of it that the peers, a hundred times slower, are timed on.
    """

    warm: list[bytes]
    timed: list[bytes]
    share: list[bytes]


def all_kinds(data: Path = DATA, *, seed: int = 0) -> dict[str, Kind]:
    """Every kind whose texts are there, by name."""
    kinds = _shared_kinds(data, seed) if data.is_dir() else _documentation_kinds(seed)
    return {kind.name: kind for kind in kinds}


def share_of(texts: list[bytes], n_bytes: float) -> list[bytes]:
    """So many bytes of texts; they are in a random order already."""
    chosen, n = [], 0
    for text in texts:
        chosen.append(text)
        n += len(text)
        if n >= n_bytes:
            break
    return chosen


def new_strings(texts: Sequence[bytes]) -> list[str]:
    """New str objects: Python keeps the UTF-8 form of a str once somebody asked for it."""
    return [text.decode() for text in texts]


def _shared_kinds(data: Path, seed: int) -> Iterator[Kind]:
    papers = _column(data / "papers" / "pairs.parquet", "positive")
    paragraphs = _kind("English paragraphs", "papers (abstracts)", papers, seed)
    yield paragraphs
    yield from _cut_kinds(paragraphs, seed)
    short: list[str] = []
    for name in ("hwu64", "snips", "mpqa", "banking77", "sst5", "tweet_emoji"):
        short += _column(data / name / "data.parquet", "text")
    short = [text for text in short if len(text) <= 120]
    yield _kind("short English texts", "hwu64, snips, mpqa, banking77, sst5, tweets", short, seed)
    for language in LANGUAGES:
        texts = list(_in_language(data, language))
        yield _kind(language, "xnli, xquad, tydiqa, stsb_multi, jsts, nsmc, tatoeba", texts, seed)


def _documentation_kinds(seed: int) -> Iterator[Kind]:
    from pydoc_data.topics import topics

    joined = (" ".join(part.split()) for text in topics.values() for part in text.split("\n\n"))
    paragraphs = [text for text in joined if len(text) >= 60]
    kind = _kind("English paragraphs", "pydoc_data.topics", paragraphs, seed)
    yield kind
    yield from _cut_kinds(kind, seed)


def _cut_kinds(paragraphs: Kind, seed: int) -> Iterator[Kind]:
    """Strings of 64 characters, and long documents, of the paragraphs."""
    texts = [*paragraphs.warm, *paragraphs.timed]
    strings = (
        text[at : at + STRING] for text in texts for at in range(0, len(text) - STRING, 4 * STRING)
    )
    yield _kind("64-character strings", paragraphs.source, strings, seed)
    yield _kind("long documents", paragraphs.source, _joined(texts), seed)


def _joined(texts: Iterable[str]) -> Iterator[str]:
    parts: list[str] = []
    size = 0
    for text in texts:
        parts.append(text)
        size += len(text)
        if size >= LONG_DOCUMENT:
            yield "\n".join(parts)
            parts, size = [], 0


def _kind(name: str, source: str, texts: Iterable[str], seed: int) -> Kind:
    distinct = sorted({text for text in texts if text.strip()})
    random.Random(seed).shuffle(distinct)
    kept: list[str] = []
    n_bytes = 0
    for text in distinct:
        n_bytes += len(text.encode())
        if n_bytes > MOST_BYTES:
            break
        kept.append(text)
    half = len(kept) // 2
    return Kind(name=name, source=source, warm=kept[:half], timed=kept[half:])


def _in_language(data: Path, language: str) -> Iterator[str]:
    for path, columns in (
        ("xquad/corpus.parquet", ("text",)),
        ("xquad/queries.parquet", ("text",)),
        ("tydiqa_train/corpus.parquet", ("text",)),
        ("tydiqa_train/queries.parquet", ("text",)),
        ("xnli/nli.parquet", ("premise", "hypothesis")),
        ("stsb_multi/data.parquet", ("sentence1", "sentence2")),
    ):
        for column in columns:
            yield from _column(data / path, column, language=language)
    own: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
        "ja": (("jsts/data.parquet", ("sentence1", "sentence2")),),
        "ko": (("nsmc/data.parquet", ("text",)), ("klue_nli/nli.parquet", ("premise",))),
    }
    for path, own_columns in own.get(language, ()):
        for column in own_columns:
            yield from _column(data / path, column)


def _column(path: Path, column: str, *, language: str | None = None) -> list[str]:
    if not path.is_file():
        return []
    import pyarrow.parquet as parquet

    filters = None if language is None else [("lang", "==", language)]
    table = parquet.read_table(path, columns=[column], filters=filters)
    return [text for text in table.column(column).to_pylist() if text]
