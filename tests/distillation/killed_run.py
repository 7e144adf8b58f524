"""A distillation from texts that kills itself at a point: python killed_run.py TEACHER WORK POINT.

The texts and options are those of `whole_run`, which the tests call to go on and to compare.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from vecsmith import StaticModel, distill
from vecsmith.distillation import TokenlearnSettings, checkpoints, teacher_pass, tokenlearn
from vecsmith.distillation.regression import CountRows

POINTS = ("tokens", "shard", "record", "fitting", "learning")
WORDS = "the quick brown fox dog is it to go alone small take zebras dangerous".split()


def whole_run(teacher: Path, work: Path, point: str) -> StaticModel:
    """The distillation, begun or gone on with."""
    random = np.random.default_rng(6)
    texts = [" ".join(random.choice(WORDS, size=5)) + f" {i}" for i in range(150)]
    teacher_pass.SHARD_TEXTS = 16
    teacher_pass.SAVE_SECONDS = tokenlearn.SAVE_SECONDS = 0.0
    return distill(
        teacher,
        texts=texts,
        dim=6,
        work=work,
        objective="cosine" if point == "learning" else "regression",
        tokenlearn=TokenlearnSettings(epochs=3, batch_size=32),
    )


def kill_at(point: str) -> None:
    """Has this process killed, without a word, when it gets to `point`."""
    calls = {"n": 0}

    def at_call(number: int, owner: Any, name: str, *, after: bool) -> None:
        plain = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            calls["n"] += 1
            if calls["n"] == number and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            found = plain(*arguments, **options)
            if calls["n"] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        setattr(owner, name, counted)

    if point == "tokens":
        at_call(1, checkpoints, "read_tokens", after=True)
    elif point == "shard":  # its bytes are in a file that has no name yet; every second is totals
        at_call(7, teacher_pass, "write_tensors", after=True)
    elif point == "record":  # after the totals of four shards, before the list of shards says so
        at_call(4, teacher_pass, "write_json", after=False)
    elif point == "fitting":
        at_call(5, CountRows, "gram", after=False)
    else:
        at_call(4, tokenlearn._Run, "_save", after=True)


if __name__ == "__main__":
    kill_at(sys.argv[3])
    whole_run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    sys.exit("was not killed")
