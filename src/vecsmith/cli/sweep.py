"""`vecsmith sweep`: every cell of a grid of models, methods and budgets, run and recorded."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecsmith.cli._console import AsJson, Quiet, count, note, print_json
from vecsmith.cli._train_arguments import parse_roles

if TYPE_CHECKING:
    from vecsmith.execution.running import Task
    from vecsmith.planning.outline import Outlined
    from vecsmith.results.tuning_runs import TuningRun


def sweep(
    grid: Annotated[Path, typer.Argument(help="TOML file of the grid.")],
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE", help="Pairs: a file, a glob in quotes, a folder, or a Hub data set."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the sweep, with its records.")
    ] = None,
    workers: Annotated[
        int, typer.Option(metavar="N", help="Processes; each takes a GPU where there are several.")
    ] = 1,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Workers as tasks of a Ray cluster: auto, local or HOST:PORT; all nodes see OUT.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Cells to run: model=, method=, tuning=, flops= or seed=; may be repeated.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and what they come to, run none.")
    ] = False,
    n_pairs: Annotated[
        float | None,
        typer.Option("--n-pairs", metavar="N", help="With --dry-run instead of --pairs: how many."),
    ] = None,
    tokens_per_pair: Annotated[
        float | None,
        typer.Option(help="With --n-pairs: real tokens of one (default: as many as count)."),
    ] = None,
    gflops: Annotated[
        float | None,
        typer.Option(help="Counted GFLOP a second of a process: --dry-run tells the hours."),
    ] = None,
    roles: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Columns: anchor=QUESTION,positive=ANSWER, or in order."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Torch device, as in cuda.")] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="CPU threads of a process (default: 1 with --workers or --ray)."
        ),
    ] = None,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep finished models in OUT/models.")
    ] = False,
    checkpoint_minutes: Annotated[
        float, typer.Option(metavar="N", help="Minutes between checkpoints of a cell.")
    ] = 10.0,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run cells again that failed before.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a grid of models, methods and budgets; one record a cell, resumable.

    The same command goes on where one was stopped. Several of them, on machines that share OUT,
    take cells in turn. With --ray the workers are tasks of a Ray cluster, whose nodes must all see
    OUT, the pairs and the models under the same paths. With --dry-run and without --pairs no file
    is read but the grid's.

    Examples:
      vecsmith sweep grid.toml --pairs pairs.parquet --out runs/ --workers 2
      vecsmith sweep grid.toml --pairs pairs.parquet --out runs/ --ray auto --workers 16
      vecsmith sweep grid.toml --dry-run --n-pairs 2e8 --tokens-per-pair 78
      vecsmith sweep grid.toml --pairs pairs.parquet --out runs/ --only method=lora --only seed=0
    """
    from vecsmith.execution.running import Manner
    from vecsmith.execution.sweeping import plan_sweep
    from vecsmith.execution.sweeping import sweep as run_sweep
    from vecsmith.execution.telling import counts_of
    from vecsmith.planning.checks import check_positive
    from vecsmith.planning.grid import Grid
    from vecsmith.planning.outline import outline

    check_positive(n_pairs=n_pairs, tokens_per_pair=tokens_per_pair, gflops=gflops)
    if workers < 1:
        raise ValueError(f"workers is {workers}, expected 1 or more")
    is_first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    quiet = quiet or not is_first
    opened = Grid.open(grid)
    if dry_run and pairs is None:
        cells = outline(
            opened,
            only=only or [],
            n_pairs=math.inf if n_pairs is None else n_pairs,
            tokens_per_pair=tokens_per_pair,
        )
        if not cells:
            raise ValueError(
                f"none of the cells fits {' and '.join(only or [])}, expected one or more"
            )
        _show(_facts_of(cells, [None] * len(cells), gflops, workers), quiet, as_json)
        return
    if pairs is None or out is None:
        raise typer.BadParameter("expected --pairs and --out, or --dry-run")
    shared: dict[str, Any] = {
        "roles": parse_roles(roles),
        "only": only or [],
        "retry_failed": retry_failed,
        "show_progress_bar": not quiet,
    }
    if dry_run:
        plan = plan_sweep(opened, pairs, out, manner=Manner(device=device), **shared)
        looked = [plan.look_at(task) for task in plan.tasks]
        for trouble in filter(None, (trouble for _, trouble in looked)):
            note(trouble, quiet=quiet)
        records = [record for record, _ in looked]
        _show(_facts_of(plan.tasks, records, gflops, workers), quiet, as_json)
        return
    runs = run_sweep(
        opened,
        pairs,
        out,
        workers=workers,
        ray=ray,
        threads=threads,
        device=device,
        keep_models=keep_models,
        checkpoint_minutes=checkpoint_minutes,
        tell=lambda line: note(line, quiet=quiet),
        **shared,
    )
    counts = counts_of(runs)
    if not is_first:
        return
    if as_json:
        print_json({"out": str(out), **counts, "runs": [_run_facts(run) for run in runs]})
    elif not quiet:
        parts = ", ".join(f"{count(n)} {status}" for status, n in counts.items())
        print(f"{out}: {count(len(runs))} cells, {parts}")
    if counts["failed"] and not counts["done"]:
        raise typer.Exit(1)


def _facts_of(
    cells: Sequence[Outlined | Task],
    records: Sequence[TuningRun | None],
    gflops: float | None,
    workers: int,
) -> dict[str, Any]:
    shown = [
        {
            "model": each.cell.model,
            "tuning": str(each.cell.tuning),
            "flops": each.cell.flops,
            "seed": each.cell.seed,
            "lr": each.cell.lr,
            "tokens": None if each.load is None else each.load.tokens,
            "steps": None if each.load is None else each.load.steps,
            "epochs": None if each.load is None else each.load.epochs,
            "refusal": each.refusal,
            "is_recorded": record is not None,
        }
        for each, record in zip(cells, records, strict=True)
    ]
    left = [
        each
        for each, record in zip(cells, records, strict=True)
        if not each.refusal and record is None
    ]
    flops = sum(each.cell.flops for each in left)
    return {
        "cells": shown,
        "open_cells": len(left),
        "open_flops": flops,
        "hours": None if gflops is None else flops / (gflops * 1e9) / workers / 3600,
    }


def _show(facts: dict[str, Any], quiet: bool, as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    if quiet:
        return
    for cell in facts["cells"]:
        what = f"{cell['model']}, {cell['tuning']}, {cell['flops']:.3g} FLOP, seed {cell['seed']}"
        if cell["refusal"]:
            state = f"not run: {cell['refusal']}"
        else:
            state = (
                f"{count(cell['tokens'])} tokens, {count(cell['steps'])} steps, "
                f"{cell['epochs']:.2g} epochs, rate {cell['lr']:g}"
            )
        print(f"{what}: {state}{', recorded' * cell['is_recorded']}")
    hours = "" if facts["hours"] is None else f", about {facts['hours']:.2g} hours"
    print(
        f"{count(len(facts['cells']))} cells, {count(facts['open_cells'])} to be run, "
        f"{facts['open_flops']:.3g} FLOP{hours}"
    )


def _run_facts(run: TuningRun) -> dict[str, Any]:
    return {
        "key": run.key,
        "status": run.status,
        "reason": run.reason,
        "model": run.model,
        "tuning": run.tuning.plain(),
        "flops": run.flops,
        "seed": run.seed,
        "tokens": run.tokens,
        "steps": run.steps,
        "loss": run.loss,
        "metrics": dict(run.metrics),
    }
