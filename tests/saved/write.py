"""Writes the models of this version into tests/saved, once at each release.

    python -m tests.saved.write

A folder that is there is left alone: what an old version wrote never changes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.formats.builders import TEXTS, checkpoint_of, unigram, vectors_by_hand, word_piece
from vecsmith import __version__
from vecsmith.formats import Checkpoint, write_checkpoint

HERE = Path(__file__).parent
RECIPE = {"teacher": {"name": "none"}, "settings": {"dim": 8}, "dims": [4, 8]}


def models() -> dict[str, Checkpoint]:
    """Small models that hold something of every kind."""
    return {
        "float32": checkpoint_of(
            word_piece(), weights=True, card={"license": "mit"}, config={"vecsmith": RECIPE}
        ),
        "float16": checkpoint_of(
            word_piece(),
            dtype="float16",
            mapping=True,
            weights=True,
            unknown="keep",
            prompts={"query": "the ", "document": "a "},
        ),
        "int8": checkpoint_of(word_piece(), dtype="int8", weights=True, max_length=3),
        "unigram": checkpoint_of(unigram(), dtype="float16", normalize=False, similarity="dot"),
    }


def main() -> None:
    """Writes each model, and its vectors in float64 worked out with numpy."""
    folder = HERE / __version__
    if folder.exists():
        raise SystemExit(f"{folder}: is there already, and old models never change")
    expected = {}
    for name, checkpoint in models().items():
        write_checkpoint(folder / name, checkpoint)
        expected[name] = np.round(vectors_by_hand(checkpoint), 9).tolist()
    text = json.dumps({"texts": TEXTS, "vectors": expected}, ensure_ascii=False, indent=1)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
