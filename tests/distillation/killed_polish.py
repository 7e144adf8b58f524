"""A polished distillation that kills itself at a point: python killed_polish.py TEACHER WORK POINT.

The texts, pairs and options are those of `polished_run`, which the tests call as well.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from vecsmith import StaticModel, distill
from vecsmith.distillation import PolishSettings
from vecsmith.training import token_store
from vecsmith.training.optimizer import RowAdam

POINTS = ("store", "polish")
WORDS = "the quick brown fox dog is it to go alone small take zebras dangerous".split()


def made_pairs(n_pairs: int = 60) -> tuple[list[str], list[tuple[str, str]]]:
    """Texts, and pairs of which both share a word that few others have."""
    random = np.random.default_rng(8)
    texts = [" ".join(random.choice(WORDS, size=6)) + f" {i % 10}{i % 7}" for i in range(n_pairs)]
    others = [" ".join([*random.choice(WORDS, size=3), text.split()[-1]]) for text in texts]
    return list(dict.fromkeys(texts)), list(zip(texts, others, strict=True))


def polished_run(teacher: Path, work: Path | None, *, n_steps: int = 8) -> StaticModel:
    """The distillation, begun or gone on with."""
    texts, pairs = made_pairs()
    return distill(
        teacher,
        texts=texts,
        dim=6,
        pairs=pairs,
        polish=PolishSettings(n_steps=n_steps, batch_size=16, target_texts=32),
        work=work,
    )


def kill_at(point: str) -> None:
    """Has this process killed, without a word, when it gets to `point`."""
    owner: Any = token_store if point == "store" else RowAdam
    name = "write_json" if point == "store" else "step"
    plain, n_left = getattr(owner, name), [1 if point == "store" else 4]

    def counted(*arguments: Any, **options: Any) -> Any:
        n_left[0] -= 1
        if not n_left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*arguments, **options)

    setattr(owner, name, counted)


if __name__ == "__main__":
    kill_at(sys.argv[3])
    polished_run(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.exit("was not killed")
