"""What a sweep says of its cells to people, and processes that share a cell to each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from vecsmith.errors import RunFailed
from vecsmith.execution.running import Task, Tell, model_folder
from vecsmith.results.tuning_runs import TuningRun, record_path
from vecsmith.training.distributed import Processes

if TYPE_CHECKING:
    from vecsmith.execution.sweeping import SweepPlan


def named(cell: Task | TuningRun) -> str:
    """A cell for people."""
    own = cell.cell if isinstance(cell, Task) else cell
    return f"{own.model}, {own.tuning}, {own.flops:.3g} FLOP, seed {own.seed}"


def summary(run: TuningRun) -> str:
    """One line for people."""
    what = named(run)
    if run.status != "done":
        return f"{what}: {run.status}, {run.reason}"
    seconds = run.timing.get("seconds", 0.0)
    return (
        f"{what}: loss {run.loss:.4f}, {run.tokens:,} tokens, {run.steps:,} steps, {seconds:.1f} s"
    )


def counts_of(runs: Iterable[TuningRun]) -> dict[str, int]:
    """How many of each status."""
    found = {"done": 0, "failed": 0, "skipped": 0}
    for run in runs:
        found[run.status] += 1
    return found


def tell_of_models(plan: SweepPlan, tell: Tell) -> None:
    """Says of which finished cells the models will not be there, where they are to be kept."""
    if not plan.manner.keep_models:
        return
    found = [(task, plan.look_at(task)[0]) for task in plan.tasks]
    missing = [
        task
        for task, run in found
        if run is not None and run.status == "done" and not model_folder(task, plan.out).is_dir()
    ]
    if missing:
        path = record_path(plan.out, missing[0].key)
        tell(
            f"{len(missing)} of {len(plan.tasks)} cells were done without their models being kept, "
            f"and are not run again for them; delete their records to have them, as {path}"
        )


def agree(run: TuningRun | None, group: Processes) -> None:
    """Checks that a cell failed in all processes that share its steps or in none.

    Raises:
        RunFailed: If it did in some: they no longer stand at the same place.
    """
    if group.n == 1:
        return
    has_failed = torch.tensor([run is not None and run.status == "failed"], dtype=torch.int32)
    n_failed = int(group.sum(has_failed.to(group.device or "cpu")))
    if n_failed not in (0, group.n):
        raise RunFailed(
            f"it failed in {n_failed} of {group.n} processes that share its steps, expected all or "
            "none; start them anew"
        )
