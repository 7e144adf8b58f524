"""`vecsmith eval --mteb`: MTEB's own tasks, whose data come from the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vecsmith.cli._console import note, print_json

if TYPE_CHECKING:
    from vecsmith._typing import Encoder
    from vecsmith.evaluation.contender import LexicalBaseline
    from vecsmith.evaluation.mteb import MtebScores

# What has no meaning for MTEB's own sets, metrics and record
NOT_WITH_MTEB = (
    "tasks",
    "baseline",
    "suite",
    "split",
    "languages",
    "precisions",
    "restart",
    "cache",
    "cache_size",
)


def refuse_options(given: Sequence[str]) -> None:
    """Raises BadParameter if an option is among those `given` that --mteb would not heed."""
    refused = [f"--{name.replace('_', '-')}" for name in NOT_WITH_MTEB if name in given]
    if refused:
        raise typer.BadParameter(
            f"--mteb has its own sets, metrics and cache and takes no {', '.join(refused)}, "
            "expected it without"
        )


def evaluate_on_mteb(
    encoder: Encoder | LexicalBaseline,
    benchmark: str,
    *,
    name: str,
    dims: Sequence[int] | None,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Runs a benchmark or task of MTEB, writes its record, prints it.

    Raises:
        typer.BadParameter: If the model ranks words, or there is more than one prefix length.
        typer.Exit: With code 1, at the end, if a task gave no score.
    """
    from vecsmith._files import write_json
    from vecsmith._typing import Encoder
    from vecsmith.evaluation.mteb import run_mteb

    if dims is not None and len(dims) > 1:
        raise typer.BadParameter("--mteb takes one prefix length at a time, as in --dims 128")
    if not isinstance(encoder, Encoder):
        raise typer.BadParameter(f"--mteb needs a model that encodes texts, {name} ranks words")
    scores = run_mteb(
        encoder,
        benchmark,
        name=name,
        truncate_dim=dims[0] if dims else None,
        show_progress_bar=not quiet,
    )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "mteb.json", scores)
    if as_json:
        print_json(scores)
    elif not quiet:
        _print(scores)
    for task, reason in scores["failed"].items():
        note(f"vecsmith: {task} gave no score: {reason}", quiet=False)
    if scores["failed"]:
        raise typer.Exit(1)


def _print(scores: MtebScores) -> None:
    rows = list(scores["tasks"].items())
    if len(rows) > 1:
        rows += [
            (f"mean over {name}", mean)
            for name, mean in scores["averages"].items()
            if mean is not None
        ]
    for label, score in rows:
        print(f"{label:<48} {100 * score:6.1f}")
