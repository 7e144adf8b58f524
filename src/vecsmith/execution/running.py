"""One cell, from the base model to its record.

The one rule: a cell that cannot succeed is a record too; what another try might mend is an error.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from vecsmith._machine import machine, versions
from vecsmith.errors import RunFailed
from vecsmith.execution.heldout import HeldOutScores, measure
from vecsmith.execution.preparing import BaseModel, SweepPairs, TokenFacts, shape_facts
from vecsmith.planning.cells import Cell, RecipeSettings, Workload, workload
from vecsmith.planning.flops import cost_per_token, n_trained, trained_share
from vecsmith.planning.inputs import Limits
from vecsmith.results.tuning_runs import RunStatus, TuningRun, key_of
from vecsmith.training.checkpointing import STORE_FOLDER
from vecsmith.training.curves import Curve
from vecsmith.training.losses import info_nce
from vecsmith.training.losses.contrastive import BOTH_WAYS
from vecsmith.training.settings import TransformerSettings
from vecsmith.training.transformer import run_transformer_training
from vecsmith.training.transformer_base import chosen_device, chosen_precision, open_base
from vecsmith.training.transformer_result import TrainedTransformer
from vecsmith.transformer.text_encoder import TextEncoder

WORK_FOLDER: Final = "work"
MODELS_FOLDER: Final = "models"
# To be raised when the same cell comes to another record
_RUN_VERSION: Final = 1
_LAST_SHARE: Final = 0.1
_LIBRARIES: Final = ("vecsmith", "torch", "transformers", "tokenizers", "peft", "numpy")
_CHECKPOINT_MINUTES: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A cell with all that is known of it before it runs.

    Attributes:
        cell: What to run.
        model: Its base.
        settings: Of the recipe, with the precision chosen.
        tokens: The pairs as the model's tokens.
        load: What it comes to; None where the method does not fit the model.
        refusal: Why it is not run, "" where it is.
        facts: Fields of its record that are known.
    """

    cell: Cell
    model: BaseModel
    settings: RecipeSettings
    tokens: TokenFacts
    load: Workload | None
    refusal: str
    facts: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Of its record."""
        return str(self.facts["key"])

    def record(self, status: RunStatus, **found: Any) -> TuningRun:
        """Its record."""
        return TuningRun(**{**self.facts, **found}, status=status)


def make_task(
    cell: Cell,
    model: BaseModel,
    pairs: SweepPairs,
    tokens: TokenFacts,
    settings: RecipeSettings,
    limits: Limits,
) -> Task:
    """What `cell` comes to on `pairs`, and why it is not worth running if it is not."""
    recorded = _recorded_settings(cell, pairs, settings)
    facts: dict[str, Any] = {
        "key": _key(cell, model, recorded),
        "model": model.name,
        "fingerprint": model.fingerprint,
        "shape": shape_facts(model.shape),
        "tuning": cell.tuning,
        "flops": cell.flops,
        "counted_flops": 0.0,
        "n_params": model.shape.n_non_embedding,
        "n_trained": 0,
        "share": 0.0,
        "cost_per_token": 0.0,
        "tokens": 0,
        "pairs": 0,
        "steps": 0,
        "epochs": 0.0,
        "batch_size": settings.batch_size,
        "max_length": settings.max_length,
        "seed": cell.seed,
        "settings": recorded,
    }
    make = partial(Task, cell=cell, model=model, settings=settings, tokens=tokens)
    try:
        cost = cost_per_token(model.shape, cell.tuning)
    except ValueError as error:
        return make(load=None, refusal=str(error), facts=facts)
    facts |= {
        "cost_per_token": cost,
        "n_trained": n_trained(model.shape, cell.tuning),
        "share": trained_share(model.shape, cell.tuning),
    }
    load = workload(
        cell,
        cost_per_token=cost,
        batch_size=settings.batch_size,
        n_pairs=tokens.n_pairs,
        tokens_per_pair=tokens.tokens_per_pair,
    )
    return make(load=load, refusal=load.refusal(limits, warmup=settings.warmup), facts=facts)


def refused(task: Task) -> TuningRun:
    """The record of a task that is not run."""
    status: RunStatus = "failed" if task.load is None else "skipped"
    return task.record(status, reason=task.refusal, timing=_timing(0.0, "none"))


def run_task(
    task: Task, pairs: SweepPairs, out: Path, *, device: str | None = None, keep_model: bool = False
) -> TuningRun:
    """The record of a task that is run, or gone on with where it was stopped.

    Raises:
        RunFailed: If it was stopped by the world; its checkpoint stays.
    """
    started = time.perf_counter()
    device = chosen_device(device)
    place = out / WORK_FOLDER / task.key[:16]
    try:
        trained = _trained(task, pairs, place, device)
        encoder = TextEncoder.from_pretrained(
            place / "model", device=device, max_length=task.settings.max_length
        )
        scores = measure(
            encoder,
            pairs.held_out,
            batch_size=task.settings.n_compared,
            temperature=task.settings.temperature,
        )
    except (RunFailed, ValueError, MemoryError, torch.OutOfMemoryError) as error:
        if not _is_of_the_cell(error):
            raise
        shutil.rmtree(place, ignore_errors=True)
        timing = _timing(time.perf_counter() - started, device)
        return task.record("failed", reason=_reason(error), timing=timing)
    found = _found(task, trained, scores)
    timing = _timing(time.perf_counter() - started, device, trained.fitted.state.seconds)
    record = task.record("done", **found, timing=timing)
    if keep_model:
        _keep(place / "model", out / MODELS_FOLDER / model_folder_name(task))
    return record


def clear_work(task: Task, out: Path) -> None:
    """Removes what a task that has its record no longer needs."""
    shutil.rmtree(out / WORK_FOLDER / task.key[:16], ignore_errors=True)


def model_folder_name(task: Task) -> str:
    """Of the model that is kept: readable, and different for every task."""
    words = f"{task.model.name}-{task.cell.tuning}-{task.cell.flops:.3g}-seed-{task.cell.seed}"
    slug = "".join(letter if letter.isalnum() or letter in "-._+" else "-" for letter in words)
    return f"{slug}-{task.key[:8]}"


def _trained(task: Task, pairs: SweepPairs, place: Path, device: str) -> TrainedTransformer:
    assert task.load is not None
    settings, cell = task.settings, task.cell
    chosen = TransformerSettings(
        tuning=cell.tuning,
        tokens=max(1, task.load.tokens),
        lr=cell.lr,
        seed=cell.seed,
        batch_size=settings.batch_size,
        mini_batch=settings.mini_batch,
        max_length=settings.max_length,
        temperature=settings.temperature,
        directions="both_ways",
        warmup=settings.warmup,
        schedule=settings.schedule,
        final_lr=settings.final_lr,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
        dropout=settings.dropout,
        precision=chosen_precision(settings.precision, device),
        gradient_checkpointing=settings.gradient_checkpointing,
        device=device,
        checkpoint_minutes=_CHECKPOINT_MINUTES,
    )
    base = open_base(task.model.reference, chosen, pooling=settings.pooling)
    work = place / "run"
    _share_tokens(task.tokens.folder, work / STORE_FOLDER)
    return run_transformer_training(
        pairs.corpus,
        base,
        chosen,
        out=place / "model",
        work=work,
        loss=partial(info_nce, temperature=settings.temperature, directions=BOTH_WAYS),
        decontaminator=pairs.matcher,
        tell=_hush,
    )


def _share_tokens(store: Path, place: Path) -> None:
    """Lets a run read the tokens that are there already; where links cannot be, it makes its own.

    A run removes its own tokens when it ends, but not through a link.
    """
    if place.exists() or place.is_symlink():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        os.symlink(store.resolve(), place, target_is_directory=True)


def _found(task: Task, trained: TrainedTransformer, scores: HeldOutScores) -> dict[str, Any]:
    return {
        "counted_flops": task.facts["cost_per_token"] * trained.n_tokens,
        "tokens": trained.n_tokens,
        "pairs": trained.n_pairs,
        "steps": trained.n_steps,
        "epochs": trained.n_pairs / task.tokens.n_pairs,
        "loss": scores.loss,
        "train_loss": last_loss(trained.fitted.state.curve),
        "metrics": {"recall@1": scores.recall_at_1, "mrr": scores.mrr},
    }


def last_loss(curve: Curve) -> float:
    """Mean loss over the last tenth of the steps of a curve with one set of pairs."""
    end = curve.points[-1].step
    last = [point for point in curve.points if point.step > (1 - _LAST_SHARE) * end]
    n_steps = sum(point.n_steps for point in last)
    return sum(sum(point.loss.values()) * point.n_steps for point in last) / n_steps


def _recorded_settings(cell: Cell, pairs: SweepPairs, settings: RecipeSettings) -> dict[str, Any]:
    """What two losses must share to be comparable, and the rate."""
    return {
        "objective": "InfoNCE in both directions",
        "pairs": pairs.fingerprint,
        "held_out": pairs.held_out.fingerprint,
        "held_out_pairs": len(pairs.held_out),
        "held_out_batch": settings.n_compared,
        "batch_size": settings.batch_size,
        "max_length": settings.max_length,
        "temperature": settings.temperature,
        "pooling": settings.pooling,
        "warmup": settings.warmup,
        "schedule": settings.schedule,
        "final_lr": settings.final_lr,
        "weight_decay": settings.weight_decay,
        "clip_norm": settings.clip_norm,
        "dropout": settings.dropout,
        "precision": settings.precision,
        "lr": cell.lr,
    }


def _key(cell: Cell, model: BaseModel, settings: Mapping[str, Any]) -> str:
    return key_of(
        {
            "version": _RUN_VERSION,
            "model": model.fingerprint,
            "tokenizer": model.tokenizer,
            "tuning": cell.tuning.plain(),
            "flops": cell.flops,
            "seed": cell.seed,
            "settings": settings,
        }
    )


def _is_of_the_cell(error: BaseException) -> bool:
    """Whether the same would come of another try: a loss that is no number, a run that cannot be.

    A step that failed is told with its number, by an error made from that of the step.
    """
    return not isinstance(error, RunFailed) or isinstance(error.__cause__, RunFailed)


def _reason(error: BaseException) -> str:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return f"out of memory: {str(error).splitlines()[0][:200] if str(error) else 'no more'}"
    return str(error)[:1000] or type(error).__name__


def _timing(seconds: float, device: str, training: float = 0.0) -> dict[str, Any]:
    return {
        "seconds": round(seconds, 3),
        "training_seconds": round(training, 3),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "versions": versions(_LIBRARIES),
    }


def _keep(model: Path, place: Path) -> None:
    """Moves a model to its place, instead of one that a run before left there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    os.replace(model, place)


def _hush(line: str) -> None:
    """What a run says of itself is in its record."""
