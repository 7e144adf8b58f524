"""The process whose instructions benchmarks/instructions.py counts: little else than encoding.

It opens a folder, encodes the texts that warm it, takes its steps and writes what the last gave.
Every run makes the strings of all steps, so that two runs differ by their steps alone.

    python benchmarks/_counted.py vecsmith FOLDER TEXTS ANSWER encode encode
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOST_STEPS = 2
Step = Callable[[list[str]], Any]


def main() -> None:
    """Takes the steps that the command line names."""
    library, folder, texts, answer, *steps = sys.argv[1:]
    material = json.loads(Path(texts).read_text(encoding="utf-8"))
    warm = [_new(material["warm"]) for _ in range(material["warm_rounds"])]
    timed = [_new(material["timed"]) for _ in range(MOST_STEPS)]
    known = {"vecsmith": _vecsmith, "model2vec": _model2vec}[library](folder)
    for each in warm:
        found = known["encode"](each)
    for step, each in zip(steps, timed, strict=False):
        found = known[step](each)
    found.tofile(answer)


def _new(texts: list[str]) -> list[str]:
    # Python keeps the UTF-8 form of a str once somebody asked for it
    return [text.encode().decode() for text in texts]


def _vecsmith(folder: str) -> dict[str, Step]:
    from vecsmith import StaticModel

    model = StaticModel.from_pretrained(folder)
    tokenizer = model.tokenizer
    return {
        "encode": lambda texts: model.encode(texts, max_length=None, n_threads=1),
        "ids": lambda texts: tokenizer.encode_batch(texts, n_threads=1)[0],
    }


def _model2vec(folder: str) -> dict[str, Step]:
    from model2vec import StaticModel

    model = StaticModel.from_pretrained(folder)
    return {"encode": lambda texts: model.encode(texts, max_length=None, use_multiprocessing=False)}


if __name__ == "__main__":
    main()
