"""A comparison as text for a terminal.

The one rule: a difference stands beside its interval, its p-value and what may be said of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vecsmith.results.averages import FAMILIES, SETS
from vecsmith.results.rendering import align, counted_sets, percent, shorten, visible

if TYPE_CHECKING:
    from vecsmith.results.comparison import Comparison, ComparisonRow, Side

_MOST_NAMES = 20
_MEANS = {SETS: "mean over sets", FAMILIES: "mean over families"}


def render_comparison(comparison: Comparison, *, width: int = 120) -> str:
    """The comparison as text: means first, then named groups, families and tasks.

    Args:
        comparison: Which one.
        width: Columns of the terminal; labels are shortened to what it leaves.
    """
    most = max(16, width - 74)
    headings = ["", "items", "A", "B", "A - B, 95 % interval", "p, Holm", "A is"]
    blocks = [
        f"A: {_described(comparison.a)}\nB: {_described(comparison.b)}\nscores x 100",
        align([headings, *_lines(comparison, most)]),
        "\n".join(_closing(comparison)),
    ]
    return "\n\n".join(blocks) + "\n"


def _described(side: Side) -> str:
    parts = [f"{visible(side.model)}, {_view(side)}"]
    if side.speed.texts_per_second is not None:
        parts.append(f"{side.speed.texts_per_second:,.0f} texts/s")
    if side.speed.model_bytes is not None:
        parts.append(f"{side.speed.model_bytes / 1e6:,.1f} MB")
    return ", ".join(parts)


def _view(side: Side) -> str:
    if side.vector_bytes is None:
        return "on words"
    return f"{side.view.dim} dims in {side.view.precision} ({side.vector_bytes:,} bytes per vector)"


def _lines(comparison: Comparison, most: int) -> Iterator[list[str]]:
    for heading, rows in (
        ("all", comparison.means),
        ("named groups", comparison.groups),
        ("families", comparison.families),
        ("tasks", comparison.tasks),
    ):
        if rows:
            yield [""]
            yield [heading]
        for row in rows:
            yield _line(row, most)
            if row.wide is not None:
                wide = f"{_interval(*row.wide)}"
                yield ["    on other sets like these", "", "", "", wide, "", ""]


def _line(row: ComparisonRow, most: int) -> list[str]:
    n_sets = "" if row.role == "task" else f" ({counted_sets(row.n_sets)})"
    label = _MEANS.get(row.name, row.name) if row.role == "mean" else row.name
    return [
        f"  {shorten(label, max(8, most - len(n_sets)))}{n_sets}",
        f"{row.n_items:,} {row.unit}",
        percent(row.a.score),
        percent(row.b.score),
        f"{100 * row.test.difference:+.1f} {_interval(row.test.low, row.test.high)}",
        f"{row.p_adjusted:.4f}",
        row.verdict,
    ]


def _interval(low: float, high: float) -> str:
    return f"[{100 * low:+.1f}, {100 * high:+.1f}]"


def _closing(comparison: Comparison) -> Iterator[str]:
    yield (
        f"Of {len(comparison.tasks)} tasks A is better on {comparison.count('better')}, worse on "
        f"{comparison.count('worse')}; on {comparison.count('no difference shown')} no difference "
        "is shown."
    )
    if any(row.kind == "clustering" for row in comparison.tasks):
        yield (
            "Clustering alone is given no verdict: the luck of k-means' starts is larger than what "
            "a test over texts sees."
        )
    if comparison.speed_ratio is not None:
        times = _times(comparison.speed_ratio)
        yield f"A encodes {times} as many texts per second{_where(comparison)}."
    if comparison.model_bytes_ratio is not None:
        yield f"A weighs {_times(comparison.model_bytes_ratio)} as much in memory."
    for name, reason in comparison.refused.items():
        yield f"Left out: {shorten(name, 60)}, {visible(reason)}."
    for letter, names in (("A", comparison.only_a), ("B", comparison.only_b)):
        if names:
            yield f"Only {letter} has: {_listed(names)}."


def _where(comparison: Comparison) -> str:
    if comparison.same_run:
        return ""
    machines = "one kind of machine" if comparison.same_machine else "machines that differ"
    return f", measured in two runs on {machines}"


def _times(ratio: float) -> str:
    return f"{ratio:,.1f} times" if ratio >= 1 else f"{ratio:.3g} times"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(shorten(name, 60) for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
