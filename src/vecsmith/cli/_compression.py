"""What making a model smaller costs: scores after each step, and their changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vecsmith.cli._console import console, note

if TYPE_CHECKING:
    from vecsmith._typing import Encoder
    from vecsmith.results import EvalResult

Split = Literal["test", "dev"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """What steps are scored on.

    Attributes:
        folders: Of sets; none for no scores.
        suite: A choice of sets, None for all.
        split: Rows scored.
        show_progress_bar: Whether to show one.
        quiet: Whether nothing is told.
    """

    folders: tuple[Path, ...]
    suite: str | None
    split: Split
    show_progress_bar: bool
    quiet: bool


def score(name: str, encoder: Encoder, asked: Scoring) -> EvalResult | None:
    """The scores of the model after the step called `name`, None if none are asked for."""
    if not asked.folders:
        return None
    from vecsmith.evaluation import evaluate

    note(f"scoring: {name}", quiet=asked.quiet)
    return evaluate(
        encoder,
        asked.folders,
        suite=asked.suite,
        split=asked.split,
        measure_speed=False,
        show_progress_bar=asked.show_progress_bar,
    )


def score_facts(result: EvalResult | None, first: EvalResult | None) -> dict[str, Any]:
    """Scores of a step, and what changed since `first`, for the record."""
    if result is None or first is None:
        return {}
    names = [*result.families, "families"]
    facts: dict[str, Any] = {"scores": {name: result.average(name) for name in names}}
    if result is not first:
        facts["changes"] = _changes(result, first)
    return facts


def print_scores(result: Mapping[str, Any]) -> None:
    """Prints a table of scores after each step of `result`, and the change with its interval."""
    from rich.table import Table
    from rich.text import Text

    steps = result["steps"]
    scores = Table(box=None, padding=(0, 2, 0, 0))
    scores.add_column(f"score x100, {result['split']}")
    for step in steps:
        scores.add_column(Text(step["step"]), justify="right")
    scores.add_column("change, 95 % interval", justify="right", no_wrap=True)
    for name in steps[0]["scores"]:
        cells = [f"{100 * step['scores'][name]:.2f}" for step in steps]
        change = steps[-1].get("changes", {}).get(name)
        scores.add_row("mean of families" if name == "families" else name, *cells, _told(change))
    console().print(scores)


def _told(change: Mapping[str, float] | None) -> str:
    if change is None:
        return ""
    low, high = 100 * change["low"], 100 * change["high"]
    return f"{100 * change['difference']:+.2f} ({low:+.2f} to {high:+.2f})"


def _changes(result: EvalResult, first: EvalResult) -> dict[str, Any]:
    """Score less the first one's, with its 95 % interval on the same items, by family."""
    from vecsmith.results.comparison import compare

    comparison = compare(result, first)
    return {
        row.name: {
            "difference": row.test.difference,
            "low": row.test.low,
            "high": row.test.high,
            "p_value": row.test.p_value,
        }
        for row in (*comparison.families, *comparison.means)
        if row.name != "sets"
    }
