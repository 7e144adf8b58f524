"""`vecsmith run`: what a plan says, carried out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vecsmith.cli._console import AsJson, Quiet, count, note, print_json
from vecsmith.cli._train_arguments import parse_roles


def run(
    plan: Annotated[Path, typer.Argument(help="Plan, as `vecsmith plan --out` writes it.")],
    pairs: Annotated[
        str,
        typer.Option(
            metavar="SOURCE", help="Pairs: a file, a glob in quotes, a folder, or a Hub data set."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the record and the model.")],
    base: Annotated[
        str | None, typer.Option(help="Base model: a folder or Hub id (default: the plan's).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    held_out: Annotated[
        int | None,
        typer.Option(metavar="N", help="Pairs to measure on (default: 4096, at most a twentieth)."),
    ] = None,
    held_out_batch: Annotated[
        int | None,
        typer.Option(metavar="N", help="Pairs compared at a time (default: the plan's batch)."),
    ] = None,
    roles: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Columns: anchor=QUESTION,positive=ANSWER, or in order."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Torch device, as in cuda.")] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(metavar="N", help="Minutes between checkpoints.")
    ] = 10.0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Carry out a plan: one run, its record and its model; resumable.

    The model is a folder that sentence-transformers opens; the record is what `vecsmith fit`
    reads. Under torchrun the processes share each step.

    Examples:
      vecsmith plan --flops 1e17 --out plan.json
      vecsmith run plan.json --pairs pairs.parquet --out runs/
      torchrun --nproc-per-node 8 -m vecsmith run plan.json --pairs pairs.parquet --out runs/
    """
    from vecsmith.execution.planned import run_plan

    is_first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    quiet = quiet or not is_first
    finished = run_plan(
        plan,
        pairs,
        out,
        base=base,
        roles=parse_roles(roles),
        seed=seed,
        held_out_pairs=held_out,
        held_out_batch=held_out_batch,
        device=device,
        checkpoint_minutes=checkpoint_minutes,
        tell=lambda line: note(line, quiet=quiet),
        show_progress_bar=not quiet,
    )
    record = finished.record
    if as_json and is_first:
        print_json({"model": str(finished.model), "record": record.to_json()})
    elif not quiet:
        print(
            f"{finished.model}: loss {record.loss:.4f} on held-out pairs, "
            f"recall@1 {record.metrics['recall@1']:.3f}; {count(record.tokens)} tokens, "
            f"{count(record.steps)} steps, {record.counted_flops:.3g} FLOP of {record.flops:.3g}"
        )
