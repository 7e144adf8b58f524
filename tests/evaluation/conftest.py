"""A few small sets on disk, in every kind, and a small model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecsmith import StaticModel
from vecsmith.formats.checkpoint import Checkpoint

WORDS = "hello world the a cat dog sat on mat play".split()


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as jsonl."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def sentence(generator: np.random.Generator, n_words: int = 6) -> str:
    """A few words the tiny model knows, in any order."""
    return " ".join(generator.choice(WORDS, n_words))


@pytest.fixture(scope="session")
def small_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of sets: pairs/, search/, mood/ (classification), nli/, topics/ (clustering)."""
    folder = tmp_path_factory.mktemp("sets")
    generator = np.random.default_rng(1)

    def text(n_words: int = 6) -> str:
        return sentence(generator, n_words)

    write_rows(
        folder / "pairs" / "data.jsonl",
        [
            {"sentence1": text(), "sentence2": text(), "score": float(i % 6),
             "split": ("train", "dev", "test")[i % 3]}
            for i in range(120)
        ],
    )  # fmt: skip
    documents = [{"id": f"d{i}", "title": "", "text": text(9)} for i in range(60)]
    documents[7]["text"] = ""
    queries = [{"id": f"q{i}", "text": documents[i]["text"][:20] or "cat"} for i in range(20)]
    judgements = [
        {"query_id": f"q{i}", "doc_id": f"d{i}", "relevance": 1, "split": "test"} for i in range(20)
    ]
    for name, rows in (("corpus", documents), ("queries", queries), ("qrels", judgements)):
        write_rows(folder / "search" / f"{name}.jsonl", rows)
    write_rows(
        folder / "mood" / "data.jsonl",
        [
            {
                "text": f"{text(3)} {('dog', 'cat')[i % 2]}",
                "label": ("canine", "feline")[i % 2],
                "split": "test" if i % 3 == 0 else "train",
            }
            for i in range(90)
        ],
    )
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Checkpoint) -> StaticModel:
    """The tiny model, in memory."""
    return StaticModel(tiny_checkpoint)
