"""Small runs on made-up pairs, and a child process in which one may be killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vecsmith import StaticModel
from vecsmith.formats.checkpoint import Checkpoint

WORDS = ("hello world the a cat dog sat on mat play b c d e f g h j k m n").split()


def word_pairs(n_pairs: int, seed: int = 0) -> list[tuple[str, str]]:
    """Pairs of different texts, the second with some words of the first."""
    draw = random.Random(seed)
    pairs = []
    for number in range(n_pairs):
        # numbers are spelt digit by digit: no two texts are equal
        anchor = draw.choices(WORDS, k=draw.randrange(2, 6))
        positive = draw.sample(anchor, k=max(1, len(anchor) - 1)) + draw.choices(WORDS, k=2)
        pairs.append((" ".join([*anchor, str(number)]), " ".join([*positive, "x", str(number)])))
    return pairs


def graded_pairs(n_pairs: int, seed: int = 0) -> list[tuple[str, str, float]]:
    """Pairs with a score between 0 and 1."""
    draw = random.Random(seed)
    return [(first, second, draw.random()) for first, second in word_pairs(n_pairs, seed + 1)]


def toy_model(checkpoint: Checkpoint) -> StaticModel:
    """The tiny model."""
    return StaticModel(checkpoint)


SETTINGS: dict[str, Any] = {
    "batch_size": 32,
    "steps": 24,
    "lr": 0.05,
    "dims": (16, 8),
    "ema": 0.8,
    "token_dropout": 0.2,
    "token_weights": True,
    "sampling": "temperature",
    "evaluate_every": 5,
    "checkpoint_every": 3,
    "seed": 7,
}


class ProbeScore:
    """A score of what a model makes of two texts; may kill the process when asked too often."""

    fingerprint = "probe"

    def __init__(self, kill_at: int | None = None) -> None:
        self._kill_at = kill_at
        self._n_calls = 0

    def __call__(self, encoder: Any) -> float:
        self._n_calls += 1
        if self._n_calls == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        first, second = encoder.encode(["hello cat", "the dog sat"])
        return float(first @ second)


def toy_run(
    folder: Path, model_folder: Path, *, score: ProbeScore | None = None, **changes: Any
) -> StaticModel:
    """A run of two sets with all that has a state: average, dropout, weights, scores."""
    from vecsmith.training import train_static

    return train_static(
        init=model_folder,
        pairs={"pairs": word_pairs(700), "graded": graded_pairs(300)},
        score=score or ProbeScore(),
        out=folder,
        **{**SETTINGS, **changes},
    )


def in_child(work: Callable[..., None], *arguments: Any) -> int | None:
    """Exit code of a process that does `work`, -9 where it was killed."""
    context = multiprocessing.get_context("forkserver")
    # torch is imported once and not in each child
    context.set_forkserver_preload(["vecsmith.training", __name__])
    process = context.Process(target=work, args=arguments)
    process.start()
    process.join(600)
    if process.is_alive():
        process.kill()  # or it would go on beside the next test
        process.join()
        raise TimeoutError("a child went on for 600 seconds")
    return process.exitcode


def run_to_the_end(folder: Path, model_folder: Path) -> None:
    """A run that nobody interrupts."""
    toy_run(folder, model_folder)


def run_killed_while_scoring(folder: Path, model_folder: Path) -> None:
    """A run that is killed in its second evaluation."""
    toy_run(folder, model_folder, score=ProbeScore(kill_at=2))


def run_killed_in_a_step(folder: Path, model_folder: Path) -> None:
    """A run that is killed between the gradients of its eighth step and the rows."""
    from vecsmith.training.optimizer import RowAdam

    step, n_calls = RowAdam.step, 0

    def fatal_step(self: RowAdam, *arguments: Any) -> float:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *arguments)

    RowAdam.step = fatal_step  # type: ignore[assignment, method-assign]
    toy_run(folder, model_folder)


def run_killed_while_saving(folder: Path, model_folder: Path) -> None:
    """A run that is killed with half of its third checkpoint written."""
    from vecsmith.formats import safetensors
    from vecsmith.training import checkpointing

    write, n_calls = safetensors.write_tensors, 0

    def fatal_write(file: Any, tensors: Any, **options: Any) -> None:
        nonlocal n_calls
        n_calls += 1
        write(file, tensors, **options)
        if n_calls == 3:
            file.flush()
            file.truncate(file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    checkpointing.write_tensors = fatal_write  # type: ignore[attr-defined]
    toy_run(folder, model_folder)


def run_on_a_full_disk(folder: Path, model_folder: Path) -> None:
    """A run whose second checkpoint finds no room; exits with 3 if it says so."""
    from vecsmith.errors import RunFailed

    class Filling(ProbeScore):
        def __call__(self, encoder: Any) -> float:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            if self._n_calls == 1:  # what a full disk refuses, a limit refuses as well
                resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            return super().__call__(encoder)

    try:
        toy_run(folder, model_folder, score=Filling())
    except RunFailed as error:
        os._exit(3 if "make room" in str(error) else 4)


def same_bits(first: StaticModel, second: StaticModel) -> bool:
    """Whether two models have the same numbers."""
    return np.array_equal(
        first.checkpoint.rows.view(np.uint32), second.checkpoint.rows.view(np.uint32)
    )
