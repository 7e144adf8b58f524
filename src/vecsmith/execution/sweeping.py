"""A sweep: every cell of a grid run once, by however many processes share its folder.

    runs/
    ├── records/<key>.json   what came of each cell
    ├── locks/<key>.lock     held by the process that runs the cell
    ├── work/<key>/          checkpoints of cells that are not done
    ├── pairs/               the pairs held out
    ├── tokens/              the others, tokenised once for each tokenizer
    └── models/              finished models, where they are kept

The one rule: a cell is done when its record is there, and a record is written whole or not at all.
A process that ends loses its locks with it, so another goes on with its cells.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from vecsmith._files import lock_file
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError, RunFailed
from vecsmith.execution.causes import stops_all, told
from vecsmith.execution.keys import check_distinct
from vecsmith.execution.preparing import SweepPairs, TokenFacts, open_models
from vecsmith.execution.running import (
    Manner,
    Task,
    Tell,
    clear_work,
    make_task,
    refused,
    run_task,
)
from vecsmith.execution.telling import agree, named, summary, tell_of_models
from vecsmith.planning.cells import Precision, RecipeSettings
from vecsmith.planning.grid import Grid, filtered
from vecsmith.results.tuning_runs import TuningRun, record_path
from vecsmith.training.distributed import Processes, processes
from vecsmith.training.shared_run import first_goes_ahead
from vecsmith.training.transformer_base import chosen_device, chosen_precision

LOCKS_FOLDER: Final = "locks"
# Between two looks at cells that other processes run
_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """What a sweep is going to do.

    Attributes:
        pairs: What cells are run on.
        tasks: All cells, in the order in which they are run.
        out: Folder of the sweep.
        manner: How they are run.
        outdated: Records of failed cells that are to be run again, by key: each once, whoever of
            several processes comes to it.
    """

    pairs: SweepPairs
    tasks: tuple[Task, ...]
    out: Path
    manner: Manner = field(default_factory=Manner)
    outdated: Mapping[str, TuningRun] = field(default_factory=dict)

    def record_of(self, task: Task) -> TuningRun | None:
        """The record that a task has already, None where it is to be run.

        Raises:
            FormatError: If its file is broken, or holds the record of another cell.
        """
        path = record_path(self.out, task.key)
        if not path.is_file():
            return None
        found = TuningRun.open(path)
        if found.key != task.key:
            raise FormatError(
                f"{path}: the record of cell {found.key[:16]}, expected that of {task.key[:16]}; "
                "delete it and run the same again"
            )
        if found.status == "skipped" and not task.refusal:
            return None  # another limit
        before = self.outdated.get(task.key)
        # timing is no part of what two equal runs share, and tells one try from the next
        return None if before == found and before.timing == found.timing else found

    def look_at(self, task: Task) -> tuple[TuningRun | None, str]:
        """The record that a task has already, and what is wrong with its file, "" if nothing."""
        try:
            return self.record_of(task), ""
        except (FormatError, OSError) as error:
            return None, told(error)

    @property
    def open_tasks(self) -> list[Task]:
        """Tasks that have no record yet, or one that cannot be read."""
        return [task for task in self.tasks if self.look_at(task)[0] is None]

    def retrying(self) -> SweepPlan:
        """The plan in which cells that have failed until now are run once more.

        Those refused by their counts alone are not: they would be again.
        """
        found = [self.look_at(task)[0] for task in self.tasks if not task.refusal]
        failed = {run.key: run for run in found if run is not None and run.status == "failed"}
        return replace(self, outdated=failed)

    def records(self) -> list[TuningRun]:
        """What came of all tasks, when each has its record."""
        return [TuningRun.open(record_path(self.out, task.key)) for task in self.tasks]


def plan_sweep(
    grid: Grid,
    pairs: Any,
    out: PathLike,
    *,
    roles: Any = None,
    only: Sequence[str] = (),
    manner: Manner | None = None,
    retry_failed: bool = False,
    precision: Precision | None = None,
    show_progress_bar: bool = False,
) -> SweepPlan:
    """All cells of `grid` on `pairs`, with what each comes to; writes held-out pairs and tokens.

    `precision` is that of the factors where another machine has chosen it, None to choose it here.

    Raises:
        ValueError: If the pairs are too few, or an argument makes no sense.
        FormatError: If a file of a model or of the pairs is broken.
        HubError: If a model could not be fetched.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    manner = manner or Manner()
    if precision is None:
        settings = with_precision(grid.settings, chosen_device(manner.device))
    else:
        settings = replace(grid.settings, precision=precision)
    models = open_models(grid.models)
    shapes = {name: model.shape.n_layers for name, model in models.items()}
    cells = filtered(grid.cells(shapes), only)
    if not cells:
        raise ValueError(f"none of the cells fits {' and '.join(only)}, expected one or more")
    prepared = SweepPairs(pairs, out, settings, roles=roles)
    tokens: dict[str, TokenFacts] = {}
    for cell in cells:
        model = models[cell.model]
        if model.name not in tokens:
            tokens[model.name] = prepared.tokens(model, show_progress_bar=show_progress_bar)
    tasks = [
        make_task(
            cell,
            models[cell.model],
            prepared,
            tokens[cell.model],
            settings,
            grid.limits,
        )
        for cell in cells
    ]
    check_distinct(cells, [task.key for task in tasks])
    plan = SweepPlan(pairs=prepared, tasks=tuple(tasks), out=out, manner=manner)
    return plan.retrying() if retry_failed else plan


def sweep(
    grid: Grid | PathLike,
    pairs: Any,
    out: PathLike,
    *,
    workers: int = 1,
    ray: str | None = None,
    roles: Any = None,
    only: Sequence[str] = (),
    device: str | None = None,
    threads: int | None = None,
    keep_models: bool = False,
    checkpoint_minutes: float = 10.0,
    retry_failed: bool = False,
    tell: Tell | None = None,
    show_progress_bar: bool = False,
) -> list[TuningRun]:
    """The records of all cells of `grid`, those that were there and those run now.

    The same call goes on where one was stopped, to the same records. Several of them, on one
    machine or on several that share the folder, take cells in turn.

    Example:
        >>> if __name__ == "__main__":  # a script's, where there are several workers
        ...     runs = sweep("grid.toml", "pairs.parquet", "runs", workers=2)
        ...     print([run.loss for run in runs if run.status == "done"])

    Args:
        grid: A grid, or the TOML file of one.
        pairs: A source of pairs as `vecsmith.corpora.open_pairs` takes it.
        out: Folder of the sweep.
        workers: Processes on this machine; of several CUDA devices each takes one in turn.
        ray: Where the workers are to be tasks of a Ray cluster, its address: "auto", "local" or
            HOST:PORT, see `execution.ray_workers`. Every node must see `out`, pairs and models.
        roles: Columns of the pairs by role, or in order; None to tell them by their names.
        only: Filters of cells, see `planning.grid.filtered`.
        device: Torch device, None for CUDA if there is one, else the CPU.
        threads: CPU threads of a process; None for one with several workers or on Ray, else for
            all cores.
            Sums of another number of threads may differ in their last bits.
        keep_models: Whether finished models are kept, in `out`/models.
        checkpoint_minutes: Minutes between checkpoints of a cell; 0 for none.
        retry_failed: Whether cells that failed are run again.
        tell: Called with a line for each cell that ends.
        show_progress_bar: Whether to show bars while pairs are read, if this is a terminal.

    Raises:
        ValueError: If the pairs are too few, or an argument makes no sense.
        FormatError: If a file is broken.
        RunFailed: If cells could not be run for a reason that lies outside of them; those that
            could are recorded.
    """
    from vecsmith.execution.ray_workers import ray_workers
    from vecsmith.execution.workers import check_guard, run_in_processes, using_threads

    n_joined = int(os.environ.get("WORLD_SIZE", "1"))
    if ray is not None and n_joined > 1:
        raise ValueError(f"Ray {ray!r} under torchrun, expected one of the two")
    if workers > 1 and ray is None:
        check_guard()
    if workers < 1 or (workers > 1 and n_joined > 1):
        raise ValueError(
            f"workers is {workers}, expected 1{' under torchrun' if n_joined > 1 else ' or more'}"
        )
    grid = grid if isinstance(grid, Grid) else Grid.open(grid)
    manner = Manner(device=device, keep_models=keep_models, checkpoint_minutes=checkpoint_minutes)
    say = tell or _hush
    options: dict[str, Any] = {"roles": roles, "only": only, "retry_failed": retry_failed}
    if ray is not None:
        options["show_progress_bar"] = show_progress_bar
        with ray_workers(ray, workers=workers, threads=threads or 1, device=device) as cluster:
            out = Path(out).resolve()
            out.mkdir(parents=True, exist_ok=True)
            chosen = cluster.precision(grid.settings.precision, out)
            plan = plan_sweep(grid, pairs, out, manner=manner, precision=chosen, **options)
            tell_of_models(plan, say)
            cluster.run(plan, say)
        return plan.records()
    with processes(chosen_device(device)) as group:
        with first_goes_ahead(group):
            plan = plan_sweep(
                grid,
                pairs,
                out,
                manner=manner,
                show_progress_bar=show_progress_bar and group.is_first,
                **options,
            )
        if group.is_first:
            tell_of_models(plan, say)
        if workers == 1:
            with using_threads(threads):
                run_tasks(plan, tell=say, group=group)
        else:
            run_in_processes(plan, workers=workers, threads=threads or 1, tell=say)
        return plan.records()


def run_tasks(plan: SweepPlan, *, tell: Tell, group: Processes | None = None) -> None:
    """Runs every task of `plan` that nobody else runs, until each has a record.

    Of several processes that share each step, the first decides what all of them do next.

    Raises:
        RunFailed: If some could not be run; the others are done.
    """
    group = group or Processes()
    (plan.out / LOCKS_FOLDER).mkdir(parents=True, exist_ok=True)
    troubles: list[Exception] = []
    left = list(plan.tasks)
    while left:
        waiting = []
        for task in left:
            try:
                if not _is_open(plan, task, group):
                    continue
                with _claimed(plan, task, group) as is_ours:
                    if is_ours:
                        run_once(plan, task, tell=tell, group=group)
                    else:
                        waiting.append(task)
            # whatever it is: one cell, or a file of its own, is no reason to leave the others
            except Exception as error:
                if stops_all(error):
                    raise
                troubles.append(RunFailed(f"{named(task)}: {told(error)}"))
                troubles[-1].__cause__ = error
                if group.n > 1:  # the others are inside the cell, waiting for this one
                    raise troubles[-1] from error
                tell(str(troubles[-1]))
        if waiting:
            time.sleep(_POLL_SECONDS)
        left = waiting
    if troubles:
        raise RunFailed(
            f"{len(troubles)} of {len(plan.tasks)} cells could not be run, the others have their "
            f"records: {troubles[0]}; mend that and run the same again"
        ) from troubles[0]


def run_once(plan: SweepPlan, task: Task, *, tell: Tell, group: Processes) -> None:
    """Runs a task whose lock is held, unless it was run in the meantime."""
    if not _is_open(plan, task, group):
        return
    run: TuningRun | None
    if task.refusal:
        run = refused(task)
    else:
        run = run_task(task, plan.pairs, plan.out, manner=plan.manner, group=group)
    agree(run, group)
    if group.is_first:
        assert run is not None
        path = run.save(plan.out)
        for part in path.parent.glob(f".{path.name}.*"):  # of a process killed while it wrote
            part.unlink(missing_ok=True)
        clear_work(task, plan.out)
        tell(summary(run))
    group.wait()


def with_precision(settings: RecipeSettings, device: str) -> RecipeSettings:
    """`settings` with the precision that "auto" means on `device`."""
    return replace(settings, precision=chosen_precision(settings.precision, device))


@contextmanager
def _claimed(plan: SweepPlan, task: Task, group: Processes) -> Iterator[bool]:
    """Whether this process, or the group it is of, has the task while the block lasts."""
    with ExitStack() as stack:
        is_ours = True
        if group.is_first:
            try:
                stack.enter_context(lock_file(plan.out / LOCKS_FOLDER / f"{task.key}.lock"))
            except BlockingIOError:
                is_ours = False
        yield bool(group.from_first(is_ours))


def _is_open(plan: SweepPlan, task: Task, group: Processes) -> bool:
    """Whether a task has no record, as the first process finds it.

    Raises:
        FormatError: If it has one that cannot be read; in every process.
    """
    found, trouble = plan.look_at(task) if group.is_first else (None, "")
    is_open, trouble = group.from_first([found is None, trouble])
    if trouble:
        raise FormatError(trouble)
    return bool(is_open)


def _hush(line: str) -> None:
    """Nobody asked for it."""
