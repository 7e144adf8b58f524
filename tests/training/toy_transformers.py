"""Small runs of tiny transformers, and processes in which one is killed or several share steps."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.training.toy_runs import ProbeScore, graded_pairs, word_pairs
from vecsmith.results.tuning import Tuning
from vecsmith.training import info_nce, matryoshka
from vecsmith.training.batching import Batch
from vecsmith.training.losses import EmbeddingLoss
from vecsmith.training.pair_run import TokenizedPairs, run_folder, stream_of
from vecsmith.training.pair_sources import open_sources
from vecsmith.training.settings import TransformerSettings
from vecsmith.training.transformer import run_transformer_training, train_transformer
from vecsmith.training.transformer_base import Base, TextReading, open_base
from vecsmith.training.transformer_student import TransformerStudent

SETTINGS: dict[str, Any] = {
    "batch_size": 16,
    "steps": 8,
    "lr": 1e-3,
    "dims": (16, 8),
    "precision": "float32",
    "device": "cpu",
    "evaluate_every": 3,
    "checkpoint_every": 2,
    "seed": 7,
}


def toy_run(out: Path, base: Path, *, score: ProbeScore | None = None, **changes: Any) -> None:
    """A run of two sets with all that is drawn: dropout, batches, layers."""
    train_transformer(
        base,
        pairs={"pairs": word_pairs(100), "graded": graded_pairs(60)},
        layers="2dmse",
        score=score or ProbeScore(),
        out=out,
        **{**SETTINGS, **changes},
    )


def run_killed_in_a_step(out: Path, base: Path) -> None:
    """A run that is killed between the gradients of its fifth step and the weights."""
    move, n_calls = TransformerStudent._move, 0

    def fatal_move(self: TransformerStudent, lr: float) -> float:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return move(self, lr)

    TransformerStudent._move = fatal_move  # type: ignore[method-assign]
    toy_run(out, base)


def run_killed_while_scoring(out: Path, base: Path) -> None:
    """A run that is killed in its second evaluation."""
    toy_run(out, base, score=ProbeScore(kill_at=2))


def opened(base: Path, **changes: Any) -> tuple[Base, TransformerSettings]:
    """A base with settings, ready for a student."""
    chosen = {**SETTINGS, **changes}
    settings = TransformerSettings().with_given(chosen)
    return open_base(base, settings), settings


def first_batch(base: Base, settings: TransformerSettings, rows: Any, folder: Path) -> Batch:
    """The first batch that a run on `rows` would see."""
    text = TextReading.of(base.said, settings, base.encoder)
    sources = open_sources({"rows": rows})
    with run_folder(folder, restart=False) as (run, _):
        store = TokenizedPairs(
            text.tokenizer,
            run,
            max_length=text.max_length,
            unk_id_dropped=None,
            show_progress_bar=False,
        ).store(sources, None)
    return next(stream_of(store, {"rows": info_nce}, settings))


def gradients_of(
    base: Base, settings: TransformerSettings, batch: Batch, loss: EmbeddingLoss, **options: Any
) -> dict[str, Tensor]:
    """Gradients of the weights in a first step on `batch`, by name."""
    text = TextReading.of(base.said, settings, base.encoder)
    student = TransformerStudent(base.encoder, settings, frame=text.frame, **options)
    found: dict[str, Tensor] = {}

    def keep(lr: float) -> float:
        for name, parameter in base.encoder.named_parameters():
            if parameter.grad is not None:
                found[name] = parameter.grad.clone()
                parameter.grad = None
        return 0.0

    student._move = keep  # type: ignore[method-assign]
    student.step(batch, loss, 1e-3)
    return found


def in_group(work: Callable[..., None], rank: int, n: int, port: int, *arguments: Any) -> None:
    """Does `work` as torchrun starts it: one of `n` processes."""
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(n),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    work(*arguments)


def run_of_adapters(out: Path, base: Path, rank: int) -> None:
    """A run of three steps in which nothing is scored, so that the last weights stay."""
    tuning = Tuning(method="lora", rank=rank)
    opened_base, settings = opened(base, steps=3, tuning=tuning, warmup=0.0)
    run_transformer_training(word_pairs(80), opened_base, settings, out=out, tell=lambda line: None)


def run_in_parts(out: Path, base: Path, steps: int, **changes: Any) -> None:
    """A run that ends with its first gradients and its weights beside `out`."""
    opened_base, settings = opened(base, steps=steps, **changes)
    run_transformer_training(
        word_pairs(80),
        opened_base,
        settings,
        out=out,
        layers="all",
        score=ProbeScore(),
        tell=lambda line: None,
    )


def write_gradients(folder: Path, base: Path, mini_batch: int) -> None:
    """Writes the gradients of a first step, as every process of a group finds them."""
    from vecsmith.training.distributed import processes

    opened_base, settings = opened(base, mini_batch=mini_batch, batch_size=40)
    with processes("cpu") as group:
        batch = first_batch(opened_base, settings, word_pairs(40), folder / f"run-{group.rank}")
        loss = matryoshka(info_nce, {16: 1.0, 8: 0.5})
        found = gradients_of(opened_base, settings, batch, loss, group=group)
        save_file(found, folder / f"gradients-{mini_batch}-{group.n}-{group.rank}.safetensors")
