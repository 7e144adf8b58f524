"""Texts and an index of them, for the tests of `vecsmith index` and `vecsmith search`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vecsmith import StaticModel

WORDS = "the a cat dogs sat on mat play playing played hello 猫".split()


def documents(n: int, seed: int = 0) -> list[str]:
    """Texts of the tiny model's words, nearly all different."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(2, 9))) for _ in range(n)]


def write_rows(
    path: Path, texts: Sequence[str | None], ids: Sequence[object] | None = None
) -> Path:
    """A jsonl with a text and perhaps an id a line."""
    rows = [{"text": text} for text in texts]
    if ids is not None:
        rows = [{"id": each, **row} for each, row in zip(ids, rows, strict=True)]  # type: ignore[dict-item]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def cosines(model: StaticModel, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
    """The cosine of a query and every text, in float64; 0 for a vector that is zero."""
    rows = np.asarray(model.encode(list(texts)), np.float64)
    asked = np.asarray(model.encode(query), np.float64)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(asked)
    found: NDArray[np.float64] = rows @ asked / np.where(lengths > 0, lengths, 1)
    return found
