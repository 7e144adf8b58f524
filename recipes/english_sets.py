"""The English texts and pairs that the recipes train on, and the texts they must not hold.

    python recipes/english_sets.py --data ../shared/data --out english-sets

writes texts.parquet (columns text, source) and pairs.parquet (anchor, positive, source). Equal
sets give equal files. Nothing of the evaluation sets is taken, but some of it stands in other sets
too: `evaluation_texts` is what the recipes decontaminate by.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vecsmith._files import atomic_file

# Every set of the named groups and of the English suite that the recipes are judged by, whole.
# tydiqa_train is trained on (its English part), so no figure on it is quoted.
EVALUATION_SETS = (
    "ag_news", "banking77", "cr", "cranfield", "hwu64", "med", "movie_reviews", "mpqa", "mrpc",
    "papers_retrieval", "scifact", "snips", "sst2", "sst5", "sts12", "sts13", "sts14", "sts15",
    "stsb", "subj", "trecqa", "tweet_emoji", "tweet_irony", "tweet_offensive", "xquad",
)  # fmt: skip
_TEXT_COLUMNS = ("text", "title", "sentence1", "sentence2")
_SHORTEST, _LONGEST = 8, 700  # characters of a text; the teacher reads 126 tokens
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")

Rows = list[Mapping[str, Any]]


def evaluation_texts(data: Path) -> Iterator[str]:
    """All texts of the evaluation sets, every split, English where a set has several languages."""
    for name in EVALUATION_SETS:
        for path in sorted((data / name).glob("*.parquet")):
            for row in _rows(path):
                if row.get("lang", "en") == "en":
                    yield from (row[c] for c in _TEXT_COLUMNS if row.get(c))


def write_sets(data: Path, folder: Path) -> tuple[Path, Path]:
    """The files of texts and pairs in `folder`, made if they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    texts, pairs = folder / "texts.parquet", folder / "pairs.parquet"
    if not texts.is_file():
        _write(texts, ("text", "source"), _shuffled(_texts(data)))
    if not pairs.is_file():
        _write(pairs, ("anchor", "positive", "source"), _shuffled(_pairs(data)))
    return texts, pairs


def _texts(data: Path) -> Iterator[tuple[str, str]]:
    """Texts of every source, each source once and in its own measure."""
    dice = random.Random(0)
    papers = _rows(data / "papers/pairs.parquet")
    answers = [row for row in _rows(data / "medquad/pairs.parquet") if row["split"] == "train"]
    paragraphs = [str(row["text"]) for row in _rows(data / "plain_en/corpus.parquet")]
    sources: dict[str, tuple[Iterable[str], int | None]] = {
        "tatoeba": (_column(data / "tatoeba/pairs.parquet", "anchor"), None),
        "xnli": (_column(data / "xnli/nli.parquet", "premise", "hypothesis", lang="en"), None),
        "wiki_split": (_column(data / "wiki_split/pairs.parquet", "anchor", "positive"), None),
        "asset": (
            _column(data / "asset/pairs.parquet", "anchor", "positive", split="train"),
            None,
        ),
        "pawsx": (_column(data / "pawsx/data.parquet", "sentence1", "sentence2", lang="en"), None),
        "tldr": (_column(data / "tldr/commands.parquet", "anchor"), None),
        "tydiqa questions": (_column(data / "tydiqa_train/queries.parquet", "text", lang="en"),
                             None),
        "tydiqa paragraphs": (_column(data / "tydiqa_train/corpus.parquet", "text", lang="en"),
                              None),
        "rte": (_column(data / "rte/nli.parquet", "premise", "hypothesis", split="train"), None),
        "papers titles": ([row["anchor"] for row in papers], 45_000),
        "papers sentences": ([dice.choice(_sentences(row["positive"])) for row in papers], 70_000),
        "papers abstracts": ([_beginning(row["positive"]) for row in papers], 8_000),
        "medquad questions": ([row["anchor"] for row in answers], 9_000),
        "medquad sentences": ([s for row in answers for s in _sentences(row["positive"])], 32_000),
        "plain_en sentences": ([s for text in paragraphs for s in _sentences(text)], 110_000),
        "plain_en paragraphs": ([_beginning(text) for text in paragraphs], 5_000),
    }  # fmt: skip
    for name, (texts, most) in sources.items():
        distinct = [text for text in dict.fromkeys(map(str.strip, texts))
                    if _SHORTEST <= len(text) <= _LONGEST]  # fmt: skip
        if most is not None and len(distinct) > most:
            distinct = dice.sample(distinct, most)
        yield from ((text, name) for text in distinct)


def _pairs(data: Path) -> Iterator[tuple[str, str, str]]:
    """Pairs of every source; of the large and uniform ones a part."""
    dice = random.Random(1)
    entails = {"label": "entailment"}
    sources: dict[str, tuple[list[tuple[str, str]], int | None]] = {
        "papers": (_both(data / "papers/pairs.parquet"), 60_000),
        "tldr": (_both(data / "tldr/commands.parquet"), 12_000),
        "medquad": (_both(data / "medquad/pairs.parquet", split="train"), None),
        "asset": (_both(data / "asset/pairs.parquet", split="train"), 10_000),
        "wiki_split": (_both(data / "wiki_split/pairs.parquet"), None),
        "xnli": (
            _both(data / "xnli/nli.parquet", "premise", "hypothesis", lang="en", **entails),
            None,
        ),
        "rte": (
            _both(data / "rte/nli.parquet", "premise", "hypothesis", split="train", **entails),
            None,
        ),
        "pawsx": (
            _both(data / "pawsx/data.parquet", "sentence1", "sentence2", lang="en", label="1"),
            None,
        ),
        "tydiqa": (_questions(data / "tydiqa_train"), None),
    }
    for name, (pairs, most) in sources.items():
        distinct = [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]]
        if most is not None and len(distinct) > most:
            distinct = dice.sample(distinct, most)
        yield from ((*pair, name) for pair in distinct)


def _questions(folder: Path) -> list[tuple[str, str]]:
    queries = {row["id"]: row["text"] for row in _rows(folder / "queries.parquet")
               if row["lang"] == "en"}  # fmt: skip
    documents = {row["id"]: row["text"] for row in _rows(folder / "corpus.parquet")
                 if row["lang"] == "en"}  # fmt: skip
    return [
        (queries[row["query_id"]], documents[row["doc_id"]])
        for row in _rows(folder / "qrels.parquet")
        if row["query_id"] in queries and row["doc_id"] in documents
    ]


def _rows(path: Path) -> Rows:
    rows: Rows = pq.read_table(path).to_pylist()
    return rows


def _kept(path: Path, values: Mapping[str, str]) -> Rows:
    return [r for r in _rows(path) if all(str(r[name]) == value for name, value in values.items())]


def _column(path: Path, *names: str, **values: str) -> list[str]:
    return [row[name] for row in _kept(path, values) for name in names if row[name]]


def _both(
    path: Path, left: str = "anchor", right: str = "positive", **values: str
) -> list[tuple[str, str]]:
    return [
        (r[left].strip(), r[right].strip()) for r in _kept(path, values) if r[left] and r[right]
    ]


def _sentences(text: str) -> list[str]:
    return _SENTENCE_END.split(text.strip())


def _beginning(text: str) -> str:
    return text[:_LONGEST].strip()


def _shuffled(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    listed = list(rows)
    random.Random(2).shuffle(listed)
    return listed


def _write(path: Path, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)})
    with atomic_file(path) as file:
        pq.write_table(table, file, compression="zstd")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("english-sets"))
    asked = parser.parse_args()
    print(*write_sets(asked.data, asked.out))
