"""A plan carried out: one run, with its model and its record.

The one rule: what is run is what the plan says; where the base model or the pairs are not as the
plan took them to be, that is refused or told before the first step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from vecsmith._files import lock_file
from vecsmith._typing import PathLike
from vecsmith.corpora import PairCorpus, open_pairs
from vecsmith.errors import RunFailed
from vecsmith.execution.preparing import SweepPairs, open_model
from vecsmith.execution.running import (
    Manner,
    Task,
    Tell,
    clear_work,
    make_task,
    model_folder,
    run_task,
)
from vecsmith.execution.sweeping import LOCKS_FOLDER, with_precision
from vecsmith.planning.cells import Cell, RecipeSettings
from vecsmith.planning.choosing.plan import Plan
from vecsmith.planning.grid import find_model
from vecsmith.planning.inputs import Limits
from vecsmith.results.tuning_runs import TuningRun, record_path
from vecsmith.training.distributed import Processes, processes
from vecsmith.training.shared_run import first_goes_ahead
from vecsmith.training.transformer_base import chosen_device

# Pairs to measure on where nobody says: so many, or a twentieth of what there is (assumed)
_MOST_HELD_OUT: Final = 4096
_HELD_OUT_SHARE: Final = 0.05
_FEWEST_HELD_OUT: Final = 16
_MOST_SHARE: Final = 0.5
_ANY_LENGTH: Final = Limits(min_steps=1, min_warmup_steps=0, max_epochs=1e9)
# Counts of one shape by two ways agree to the last; a plan may have been rounded by a person
_COST_TOLERANCE: Final = 1e-6
_STEPS_TOLERANCE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run that is done.

    Attributes:
        record: What came of it.
        model: Its folder, which sentence-transformers opens.
    """

    record: TuningRun
    model: Path


def run_plan(
    plan: Plan | PathLike,
    pairs: Any,
    out: PathLike,
    *,
    base: PathLike | None = None,
    roles: Any = None,
    seed: int = 0,
    held_out_pairs: int | None = None,
    held_out_batch: int | None = None,
    device: str | None = None,
    checkpoint_minutes: float = 10.0,
    tell: Tell | None = None,
    show_progress_bar: bool = False,
) -> FinishedRun:
    """The run that `plan` says, done or gone on with; its record and its model are in `out`.

    The same call goes on where one was stopped. Under torchrun the processes share each step.

    Args:
        plan: A plan, or the file of one.
        pairs: A source of pairs as `vecsmith.corpora.open_pairs` takes it.
        out: Folder for the record and the model; one of a sweep may be taken.
        base: The base model, where it is not found where the plan says.
        roles: Columns of the pairs by role, or in order; None to tell them by their names.
        seed: Of everything random.
        held_out_pairs: Pairs to measure on, never trained on; None for those of the runs that the
            plan's laws were fitted to; else for 4096, or a twentieth of the pairs where that is
            less.
        held_out_batch: Pairs compared at a time; None likewise, else for the plan's batch, or all
            that are held out where that is less.
        device: Torch device, None for CUDA if there is one, else the CPU.
        checkpoint_minutes: Minutes between checkpoints; 0 for none.
        tell: Called with what is to be known before the first step.
        show_progress_bar: Whether to show bars, if this is a terminal.

    Raises:
        FormatError: If a file is broken.
        ValueError: If the plan is for another model than `base`, or the pairs are too few.
        RunFailed: If the run came to nothing, as with a loss that is no number.
    """
    out, say = Path(out), tell or _hush
    beside = Path.cwd() if isinstance(plan, Plan) else Path(plan).absolute().parent
    opened = plan if isinstance(plan, Plan) else Plan.open(plan)
    chosen = opened.chosen
    reference = str(base or chosen.folder or chosen.model)
    named = find_model(reference, beside)
    manner = Manner(
        device=device,
        keep_models=True,
        checkpoint_minutes=checkpoint_minutes,
    )
    with processes(chosen_device(device)) as group:
        manner = replace(manner, show_progress_bar=show_progress_bar and group.is_first)
        with first_goes_ahead(group):
            out.mkdir(parents=True, exist_ok=True)
            corpus = pairs if isinstance(pairs, PairCorpus) else open_pairs(pairs, roles=roles)
            settings = _settings_of(opened, _count(corpus), held_out_pairs, held_out_batch)
            settings = with_precision(settings, chosen_device(device))
            # under the plan's name for it, which records keep
            model = replace(open_model(named), name=chosen.model)
            prepared = SweepPairs(corpus, out, settings)
            tokens = prepared.tokens(model, show_progress_bar=manner.show_progress_bar)
        cell = Cell(
            model=model.name,
            tuning=chosen.tuning,
            flops=chosen.flops,
            seed=seed,
            lr=chosen.learning_rate,
        )
        task = make_task(cell, model, prepared, tokens, settings, _ANY_LENGTH)
        if task.refusal:
            raise ValueError(task.refusal)
        if group.is_first:
            _check(task, opened, say)
        return _run(task, prepared, out, manner, group, say)


def _run(
    task: Task, pairs: SweepPairs, out: Path, manner: Manner, group: Processes, say: Tell
) -> FinishedRun:
    """Runs a task whose record or whose model is missing."""
    if not group.is_first:
        if group.from_first(None):
            run_task(task, pairs, out, manner=manner, group=group)
            group.wait()
        return _finished(task, out)
    locks = out / LOCKS_FOLDER
    locks.mkdir(parents=True, exist_ok=True)
    try:
        with lock_file(locks / f"{task.key}.lock"):
            is_open = group.from_first(not _is_finished(task, out))
            if is_open:
                _run_first(task, pairs, out, manner, group, say)
                group.wait()
    except BlockingIOError:
        raise RunFailed(
            f"{out}: another process does this run, expected one at a time; wait for it to end"
        ) from None
    return _finished(task, out)


def _run_first(
    task: Task, pairs: SweepPairs, out: Path, manner: Manner, group: Processes, say: Tell
) -> None:
    record = run_task(task, pairs, out, manner=manner, group=group, tell=say)
    assert record is not None
    record.save(out)
    clear_work(task, out)


def _is_finished(task: Task, out: Path) -> bool:
    path = record_path(out, task.key)
    if not path.is_file() or not model_folder(task, out).is_dir():
        return False
    return TuningRun.open(path).status == "done"


def _finished(task: Task, out: Path) -> FinishedRun:
    record = TuningRun.open(record_path(out, task.key))
    if record.status != "done":
        raise RunFailed(f"the run came to nothing: {record.reason}")
    return FinishedRun(record=record, model=model_folder(task, out))


def _settings_of(
    plan: Plan, n_rows: int, held_out_pairs: int | None, held_out_batch: int | None
) -> RecipeSettings:
    """The settings of a run, with as many pairs held out as `n_rows` allow."""
    said = plan.settings
    known = plan.held_out_pairs
    if held_out_pairs is None and known is not None and known <= _MOST_SHARE * n_rows:
        held_out_pairs, held_out_batch = known, held_out_batch or plan.held_out_batch
    if held_out_pairs is None:
        held_out_pairs = min(_MOST_HELD_OUT, math.floor(_HELD_OUT_SHARE * n_rows))
        if held_out_pairs < _FEWEST_HELD_OUT:
            raise ValueError(
                f"{n_rows:,} pairs, of which {held_out_pairs:,} would be held out, expected "
                f"{_FEWEST_HELD_OUT / _HELD_OUT_SHARE:,.0f} or more, or held_out_pairs"
            )
    batch = min(said.batch_size, held_out_pairs) if held_out_batch is None else held_out_batch
    return RecipeSettings(
        batch_size=said.batch_size,
        max_length=said.max_length,
        temperature=said.temperature,
        pooling=said.pooling,
        warmup=said.warmup,
        schedule=said.schedule,
        final_lr=said.final_lr,
        weight_decay=said.weight_decay,
        clip_norm=said.clip_norm,
        dropout=said.dropout,
        precision=said.precision,
        mini_batch=plan.chosen.mini_batch or 0,
        gradient_checkpointing=plan.chosen.gradient_checkpointing,
        held_out_pairs=held_out_pairs - held_out_pairs % batch,
        held_out_batch=batch,
    )


def _check(task: Task, plan: Plan, say: Tell) -> None:
    """Refuses a model that is not the one the plan counted; tells where the pairs are not."""
    assert task.load is not None
    cost, planned = task.load.cost_per_token, plan.chosen.cost_per_token
    if abs(cost - planned) > _COST_TOLERANCE * planned:
        raise ValueError(
            f"{task.model.reference}: {cost:,.0f} FLOP a token with {task.cell.tuning}, expected "
            f"{planned:,.0f} as the plan has it: give the base model that the plan is for"
        )
    steps = task.load.steps
    if abs(steps - plan.chosen.steps) > _STEPS_TOLERANCE * plan.chosen.steps:
        say(
            f"about {steps:,} steps, the plan says {plan.chosen.steps:,}: these pairs have "
            f"{task.tokens.tokens_per_pair:.1f} tokens in the mean, the plan took "
            f"{plan.data.tokens_per_pair:g}"
        )
    if task.load.epochs > plan.limits.max_epochs:
        say(
            f"about {task.load.epochs:.3g} passes over the pairs, the plan allows "
            f"{plan.limits.max_epochs:g}: the last ones teach less"
        )


def _count(corpus: PairCorpus) -> int:
    n_rows = corpus.n_rows
    return sum(len(rows) for rows in corpus.read()) if n_rows is None else n_rows


def _hush(line: str) -> None:
    """Nobody asked for it."""
