"""`vecsmith plan`: the best way to spend a budget on turning a language model into an embedder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vecsmith.cli._console import AsJson, Quiet, note, print_json


def plan(
    flops: Annotated[
        float | None, typer.Option(metavar="C", help="FLOP to spend, as in 1e17.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write, for vecsmith run (.json).")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Plan how to spend a budget on turning a language model into an embedder.

    Examples:
      vecsmith plan --flops 1e17
    """
    if flops is None:
        raise typer.BadParameter("no budget, expected --flops")
    from vecsmith.planning.budget import Budget
    from vecsmith.planning.planner import make_plan

    made = make_plan(Budget(flops=flops))
    if out is not None:
        made.to_json(out)
    if as_json:
        print_json(made.plain())
    elif not quiet:
        print("\n".join([*made.explanation, *made.cautions]))
    if out is not None:
        note(f"written to {out}", quiet=quiet)
