"""One cell, from the base model to its record.

The one rule: a cell that cannot succeed is a record too; what another try might mend is an error.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from vecsmith._machine import machine, versions
from vecsmith.errors import RunFailed
from vecsmith.execution.causes import is_of_all_processes, is_of_the_cell, reason_of
from vecsmith.execution.heldout import HeldOutScores, measure
from vecsmith.execution.keys import recorded_settings, run_key
from vecsmith.execution.preparing import BaseModel, SweepPairs, TokenFacts, shape_facts
from vecsmith.execution.trained import (
    MODEL_FOLDER,
    RUN_FOLDER,
    Training,
    finished_training,
    share_tokens,
    training_of,
)
from vecsmith.planning.accounting.flops import n_trained, trained_share
from vecsmith.planning.cells import Cell, RecipeSettings
from vecsmith.planning.inputs import Limits
from vecsmith.planning.outline import Workload, assess
from vecsmith.results.tuning_runs import RunStatus, TuningRun, key_of
from vecsmith.training.checkpointing import STORE_FOLDER
from vecsmith.training.distributed import Processes
from vecsmith.training.losses import info_nce
from vecsmith.training.losses.contrastive import BOTH_WAYS
from vecsmith.training.settings import TransformerSettings
from vecsmith.training.transformer import run_transformer_training
from vecsmith.training.transformer_base import chosen_device, chosen_precision, open_base
from vecsmith.training.unfit import UnfitRun
from vecsmith.transformer.text_encoder import TextEncoder

WORK_FOLDER: Final = "work"
MODELS_FOLDER: Final = "models"
_LIBRARIES: Final = ("vecsmith", "torch", "transformers", "tokenizers", "peft", "numpy")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How cells are run: nothing here changes what comes of them but for last bits.

    Attributes:
        device: Torch device, None for CUDA if there is one, else the CPU.
        keep_models: Whether finished models are kept.
        checkpoint_minutes: Minutes between checkpoints of a cell.
        show_progress_bar: Whether to show the steps of a cell, if this is a terminal.
    """

    device: str | None = None
    keep_models: bool = False
    checkpoint_minutes: float = 10.0
    show_progress_bar: bool = False


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
    recorded = recorded_settings(
        cell,
        settings,
        pairs=pairs.fingerprint,
        held_out=pairs.held_out.fingerprint,
        n_held_out=len(pairs.held_out),
    )
    facts: dict[str, Any] = {
        "key": run_key(cell, model.identity, recorded),
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
    outlined = assess(
        cell,
        model.shape,
        settings,
        limits,
        n_pairs=tokens.n_pairs,
        tokens_per_pair=tokens.tokens_per_pair,
    )
    if outlined.load is not None:
        facts |= {
            "cost_per_token": outlined.load.cost_per_token,
            "n_trained": n_trained(model.shape, cell.tuning),
            "share": trained_share(model.shape, cell.tuning),
        }
    return Task(
        cell=cell,
        model=model,
        settings=settings,
        tokens=tokens,
        load=outlined.load,
        refusal=outlined.refusal,
        facts=facts,
    )


def refused(task: Task) -> TuningRun:
    """The record of a task that is not run."""
    status: RunStatus = "failed" if task.load is None else "skipped"
    return task.record(status, reason=task.refusal, timing=_timing(0.0, "none"))


def run_task(
    task: Task,
    pairs: SweepPairs,
    out: Path,
    *,
    manner: Manner | None = None,
    group: Processes | None = None,
    tell: Tell | None = None,
) -> TuningRun | None:
    """The record of a task that is run, or gone on with where it was stopped.

    Of several processes that share each step, the first has the record and the others None, but
    for that of a run that failed in all of them. One that fails alone cannot tell the others, which
    wait for it in the middle of a step: it raises, to be started anew with them.

    Raises:
        RunFailed: If it was stopped by the world; its checkpoint stays.
        VecsmithError: If a file is broken, or could not be fetched.
        OSError: If a file could not be read or written.
    """
    manner, group, started = manner or Manner(), group or Processes(), time.perf_counter()
    device = chosen_device(manner.device)
    place = work_folder(task, out, device=device, n_processes=group.n)
    try:
        trained = _finished(task, out, place) if group.is_first else None
        if not group.from_first(trained is not None):
            own = replace(manner, device=device)
            trained = _trained(task, pairs, place, own, group, tell or _hush)
        scores = None
        if group.is_first and trained is not None:
            scores = _measured(task, pairs, trained.model, device)
    except (RunFailed, UnfitRun, MemoryError, RuntimeError) as error:
        if not is_of_the_cell(error, is_shared=group.n > 1):
            raise
        timing = _timing(time.perf_counter() - started, device, group.n)
        failed = task.record("failed", reason=reason_of(error), timing=timing)
        if group.n > 1 and not is_of_all_processes(error):
            failed.save(out)  # the others wait for this one: they start anew and find the record
            raise
        return failed
    if scores is None or trained is None:
        return None
    if manner.keep_models:
        _keep_model(task, out, trained.model)
    seconds = time.perf_counter() - started
    timing = _timing(seconds, device, group.n, trained.seconds)
    return task.record("done", **_found(task, trained, scores), timing=timing)


def clear_work(task: Task, out: Path) -> None:
    """Removes what a task that has its record no longer needs."""
    for place in (out / WORK_FOLDER).glob(f"{task.key[:16]}-*"):
        shutil.rmtree(place, ignore_errors=True)


def work_folder(task: Task, out: Path, *, device: str, n_processes: int) -> Path:
    """Where a task is worked on; another one for each way to come to its record.

    A checkpoint is gone on with where nothing is rounded otherwise than before.
    """
    way = key_of(
        {
            "device": device,
            "processes": n_processes,
            # which speak of the file that they were made of, where a record does not
            "tokens": task.tokens.folder.name,
            "mini_batch": task.settings.mini_batch,
            "gradient_checkpointing": task.settings.gradient_checkpointing,
            **versions(["vecsmith"]),
        }
    )
    return out / WORK_FOLDER / f"{task.key[:16]}-{way[:8]}"


def model_folder(task: Task, out: Path) -> Path:
    """Where the model of a task is kept: readable, and different for every task."""
    words = f"{task.model.name}-{task.cell.tuning}-{task.cell.flops:.3g}-seed-{task.cell.seed}"
    slug = "".join(letter if letter.isalnum() or letter in "-._+" else "-" for letter in words)
    return out / MODELS_FOLDER / f"{slug}-{task.key[:8]}"


def _finished(task: Task, out: Path, place: Path) -> Training | None:
    """A training that needs only its record; a model that belongs to none is removed."""
    found = finished_training(place, model_folder(task, out))
    if found is None:
        shutil.rmtree(place / MODEL_FOLDER, ignore_errors=True)
    return found


def _trained(
    task: Task, pairs: SweepPairs, place: Path, manner: Manner, group: Processes, tell: Tell
) -> Training:
    assert task.load is not None
    assert manner.device is not None
    settings, cell, device = task.settings, task.cell, manner.device
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
        checkpoint_minutes=manner.checkpoint_minutes,
    )
    base = open_base(task.model.reference, chosen, pooling=settings.pooling)
    # a loss over the whole vector: the model must not say that its prefixes were trained too
    chosen = replace(chosen, dims=(base.encoder.dim,))
    work, model = place / RUN_FOLDER, place / MODEL_FOLDER
    if group.is_first:
        share_tokens(task.tokens.folder, work / STORE_FOLDER)
    trained = run_transformer_training(
        pairs.corpus,
        base,
        chosen,
        out=model,
        work=work,
        loss=partial(info_nce, temperature=settings.temperature, directions=BOTH_WAYS),
        decontaminator=pairs.matcher,
        tell=tell,
        show_progress_bar=manner.show_progress_bar,
    )
    return training_of(trained, model)


def _measured(task: Task, pairs: SweepPairs, model: Path, device: str) -> HeldOutScores:
    encoder = TextEncoder.from_pretrained(model, device=device, max_length=task.settings.max_length)
    return measure(
        encoder,
        pairs.held_out,
        batch_size=task.settings.n_compared,
        temperature=task.settings.temperature,
    )


def _keep_model(task: Task, out: Path, model: Path) -> None:
    """Moves the model of a task that is done to its place, over what a run before left there."""
    place = model_folder(task, out)
    if model == place:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    os.replace(model, place)


def _found(task: Task, trained: Training, scores: HeldOutScores) -> dict[str, Any]:
    return {
        "counted_flops": task.facts["cost_per_token"] * trained.tokens,
        "tokens": trained.tokens,
        "pairs": trained.pairs,
        "steps": trained.steps,
        "epochs": trained.pairs / task.tokens.n_pairs,
        "loss": scores.loss,
        "train_loss": trained.train_loss,
        "metrics": {"recall@1": scores.recall_at_1, "mrr": scores.mrr},
    }


def _timing(
    seconds: float, device: str, n_processes: int = 1, training: float = 0.0
) -> dict[str, Any]:
    return {
        "seconds": round(seconds, 3),
        "training_seconds": round(training, 3),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "processes": n_processes,
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "versions": versions(_LIBRARIES),
    }


def _hush(line: str) -> None:
    """What a run says of itself is in its record."""
