"""A million sentences as vectors: the material of `adaptive_retrieval.py`, made once and kept.

Distinct sentences of the English shared sets, encoded by a 1024-d nested static model that is
trained here from nothing. Equal sets give equal sentences in equal order.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DIM = 1024
DIMS = (1024, 512, 256, 128, 64, 32)
EPOCHS = 1.0  # as the preset has it
SHORTEST, LONGEST = 12, 600  # characters of a sentence
_BLOCK = 20_000  # texts encoded at once
# the second form is of tokenised lower-case text, which has a space before its full stops too
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(\[])|(?<=[.!?])\s+(?=[a-z])(?<= [.!?] )")

# Table -> its columns of English text; of tables in several languages the English rows.
_TABLES: Mapping[str, tuple[str, ...]] = {
    "papers/pairs": ("anchor", "positive"),
    "papers_retrieval/corpus": ("title", "text"),
    "medquad/pairs": ("anchor", "positive"),
    "plain_en/corpus": ("text",),
    "tweet_emoji/data": ("text",),
    "tatoeba/pairs": ("anchor",),
    "tldr/commands": ("anchor",),
    "tldr/en_ko": ("anchor",),
    "movie_reviews/data": ("text",),
    "scifact/corpus": ("title", "text"),
    "scifact/queries": ("text",),
    "wiki_split/pairs": ("anchor", "positive"),
    "asset/pairs": ("anchor", "positive"),
    "xnli/nli": ("premise", "hypothesis"),
    "ag_news/data": ("text",),
    "tydiqa_train/corpus": ("text",),
    "tydiqa_train/queries": ("text",),
    "xquad/corpus": ("text",),
    "xquad/queries": ("text",),
    "stsb/data": ("sentence1", "sentence2"),
    "sts12/data": ("sentence1", "sentence2"),
    "sts13/data": ("sentence1", "sentence2"),
    "sts14/data": ("sentence1", "sentence2"),
    "sts15/data": ("sentence1", "sentence2"),
    "pawsx/data": ("sentence1", "sentence2"),
    "mrpc/data": ("sentence1", "sentence2"),
    "rte/nli": ("premise", "hypothesis"),
    "trecqa/corpus": ("text",),
    "trecqa/queries": ("text",),
    "cranfield/corpus": ("title", "text"),
    "cranfield/queries": ("text",),
    "med/corpus": ("title", "text"),
    "med/queries": ("text",),
    "sst5/data": ("text",),
    "sst2/data": ("text",),
    "subj/data": ("text",),
    "cr/data": ("text",),
    "mpqa/data": ("text",),
    "snips/data": ("text",),
    "hwu64/data": ("text",),
    "banking77/data": ("text",),
    "tweet_irony/data": ("text",),
    "tweet_offensive/data": ("text",),
}


@dataclass(frozen=True, slots=True)
class Material:
    """Vectors of distinct sentences, [N, 1024] float32 on disk; none of `queries` is in `rows`.

    `queries` are those the figures are of, `learning` others to choose a plan by.
    """

    rows: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    learning: npt.NDArray[np.float32]


def material(
    data: Path, pairs: Path, folder: Path, *, n_rows: int, n_queries: int, n_learning: int
) -> Material:
    """The vectors in `folder`, made of the sets in `data` where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    n = n_rows + n_queries + n_learning
    path = folder / f"vectors_{n}.npy"
    if not path.is_file():
        _encode(_model(pairs, folder), _kept_sentences(data, folder, n), path)
    vectors = np.load(path, mmap_mode="r")
    ends = (n_rows, n_rows + n_queries)
    return Material(
        rows=vectors[: ends[0]], queries=vectors[ends[0] : ends[1]], learning=vectors[ends[1] :]
    )


def sentences(data: Path) -> Iterator[str]:
    """Every distinct sentence of the English sets, in the order of the tables."""
    seen = set()
    for name, columns in _TABLES.items():
        for text in _texts(data / f"{name}.parquet", columns):
            for sentence in map(str.strip, _SENTENCE_END.split(text)):
                # texts that differ in case or spaces alone have one vector
                key = " ".join(sentence.lower().split())
                if SHORTEST <= len(sentence) <= LONGEST and key not in seen:
                    seen.add(key)
                    yield sentence


def _texts(path: Path, columns: tuple[str, ...]) -> Iterator[str]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if "lang" in table.column_names and path.parent.name != "tatoeba":
        table = table.filter([value == "en" for value in table.column("lang").to_pylist()])
    for column in columns:
        yield from (text for text in table.column(column).to_pylist() if text)


def _kept_sentences(data: Path, folder: Path, n: int) -> list[str]:
    """`n` sentences in random order: places in the index say nothing of the set."""
    path = folder / f"sentences_{n}.txt"
    if not path.is_file():
        found = [" ".join(text.split()) for text in sentences(data)]
        if len(found) < n:
            raise SystemExit(f"{len(found):,} distinct sentences in {data}, expected {n:,}")
        part = path.with_suffix(".part")
        part.write_text("\n".join(random.Random(0).sample(found, n)) + "\n", encoding="utf-8")
        part.replace(path)
    return path.read_text(encoding="utf-8").splitlines()


def _model(pairs: Path, folder: Path) -> Any:
    """The nested static model, trained once."""
    from vecsmith import StaticModel
    from vecsmith.training import train_static

    out = folder / "model"
    if (out / "model").is_dir():
        return StaticModel.from_pretrained(out / "model")
    return train_static(
        pairs=pairs,
        tokenizer="wordpiece",
        dim=DIM,
        dims=DIMS,
        preset="from-nothing",
        epochs=EPOCHS,
        out=out,
        show_progress_bar=True,
    )


def _encode(model: Any, texts: list[str], path: Path) -> None:
    part = path.with_suffix(".part")
    vectors = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(len(texts), DIM))
    for start in range(0, len(texts), _BLOCK):
        vectors[start : start + _BLOCK] = model.encode(texts[start : start + _BLOCK])
    vectors.flush()
    del vectors
    os.replace(part, path)
