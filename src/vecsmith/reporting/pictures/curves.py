"""Quality against what a vector costs: its dims, and its bytes.

The one rule: a panel's right margin carries the letters of its lines, spread so that none covers
another; the key above says whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import log
from typing import Any

from vecsmith.reporting.pictures.drawing import (
    FAINT,
    INK,
    KeyEntry,
    Look,
    PanelSizes,
    clean_axes,
    draw_line_sample,
    drawable,
    label_of,
    line_key,
    looks,
    own_style,
    panels,
    readable,
    widened,
)
from vecsmith.reporting.pictures.placement import spread
from vecsmith.reporting.report import Contender, Estimate, Key, Point, Report, Row
from vecsmith.reporting.wording import metric_words, points, row_words

_SIZES = PanelSizes(n_columns=3, height=2.15, left=0.58, right=0.4, below=0.5)
_WIDE = PanelSizes(n_columns=2, height=2.7, left=0.5, right=0.62)
_MAX_PANELS = 9
_PRECISION_LOOKS = {
    "float32": Look("#0a3d62", "o", "solid", ""),
    "float16": Look("#e07a1f", "s", (0, (6, 2)), ""),
    "int8": Look("#0b7a5c", "^", (0, (2, 1.2)), ""),
    "binary": Look("#d9a521", "D", (0, (4, 1.5, 1, 1.5)), ""),
}


def dimension_figure(report: Report) -> Any | None:
    """Quality against dims, a panel an average, a line a model; None where no model has two."""
    lines = {
        place: _prefixes(contender)
        for place, contender in enumerate(report.contenders)
        if len(_prefixes(contender)) > 1
    }
    rows = _panel_rows(report.summary)
    if not lines or not rows:
        return None
    with own_style():
        figure, boxes = panels(
            len(rows),
            _SIZES,
            title="Quality by dimension",
            subtitle="score × 100 of the first dims of each vector, float32; bars: 95 % intervals; "
            "level lines: models with one size only",
            key=line_key(report.contenders, with_markers=set(lines)),
        )
        for axes, row in zip(boxes, rows, strict=True):
            _draw_dimensions(axes, row, report.contenders, lines, looks(report.contenders))
    return figure


def _panel_rows(summary: Sequence[Row]) -> list[Row]:
    """All sets, then named groups, then families."""
    return [row for row in summary if row.key != ("mean", "families")][:_MAX_PANELS]


def _prefixes(contender: Contender) -> list[Point]:
    """Views in float32, shortest first."""
    points = [p for p in contender.views if p.view.precision == "float32" and p.view.dim > 0]
    return sorted(points, key=lambda point: point.view.dim)


def _draw_dimensions(
    axes: Any,
    row: Row,
    contenders: Sequence[Contender],
    lines: Mapping[int, Sequence[Point]],
    look: Sequence[Look],
) -> None:
    clean_axes(axes, drawable(row_words(row.key), 30))
    axes.set_ylabel(drawable(metric_words(row.metric), 30), fontsize=8, color=FAINT, labelpad=3)
    ends: dict[int, tuple[float | None, float]] = {}
    seen: list[Estimate] = []
    for number, (place, prefixes) in enumerate(lines.items()):
        known = [(p.view.dim, p.scores[row.key]) for p in prefixes if row.key in p.scores]
        if not known:
            continue
        # lines a little apart, so that bars of equal dims stand side by side
        shift = 1.022 ** (number - (len(lines) - 1) / 2)
        _draw_line(axes, [dim * shift for dim, _ in known], [e for _, e in known], look[place])
        seen += [estimate for _, estimate in known]
        ends[place] = (known[-1][0] * shift, 100 * known[-1][1].value)
    levels = {
        place: estimate
        for place, estimate in enumerate(row.scores)
        if estimate is not None and place not in lines
    }
    _set_dims(axes, [point.view.dim for prefixes in lines.values() for point in prefixes])
    low, high = _limits(seen, [100 * level.value for level in levels.values()])
    axes.set_ylim(low, high)
    for place, level in levels.items():
        if low <= 100 * level.value <= high:
            axes.axhline(
                100 * level.value, color=look[place].color, linestyle=look[place].line,
                linewidth=1.4, zorder=1.5,
            )  # fmt: skip
            ends[place] = (None, 100 * level.value)
    _letter_ends(axes, ends, contenders, look)
    _note_outside(axes, levels, contenders, low, high)


def _draw_line(axes: Any, xs: Sequence[float], estimates: Sequence[Estimate], look: Look) -> None:
    axes.plot(
        xs, [100 * e.value for e in estimates], color=look.color, linestyle=look.line,
        linewidth=1.7, marker=look.marker, markersize=6, markeredgecolor="white",
        markeredgewidth=0.6, zorder=3,
    )  # fmt: skip
    for x, estimate in zip(xs, estimates, strict=True):
        if estimate.low is not None and estimate.high is not None:
            axes.plot(
                [x, x], [100 * estimate.low, 100 * estimate.high], color=look.color,
                linewidth=1.1, alpha=0.75, solid_capstyle="butt", zorder=2,
            )  # fmt: skip


def _set_dims(axes: Any, dims: Sequence[int]) -> None:
    log2_ticks(axes, sorted(set(dims)))
    axes.set_xlabel("dims", fontsize=8.5, color=FAINT, labelpad=2)


def log2_ticks(axes: Any, ticks: Sequence[int]) -> None:
    """Ticks at the real values, fewer where their labels would touch."""
    axes.set_xscale("log", base=2)
    low, high = ticks[0] / 1.18, ticks[-1] * 1.18
    if low == high:
        low, high = low / 2, high * 2
    axes.set_xlim(low, high)
    box = axes.get_position()
    inches = box.width * axes.figure.get_figwidth()
    shown: list[int] = []
    right = float("inf")
    for tick in reversed(ticks):
        middle = log(tick / low) / log(high / low) * inches
        half = 0.038 * len(f"{tick}") + 0.03
        if middle + half <= right:
            shown.append(tick)
            right = middle - half
    axes.set_xticks(shown[::-1], [f"{tick}" for tick in shown[::-1]])
    axes.set_xticks([], minor=True)


def _limits(seen: Sequence[Estimate], levels: Sequence[float]) -> tuple[float, float]:
    """Limits (x 100) around the lines; level lines widen them only while the lines stay legible."""
    bounds = [100 * bound for e in seen for bound in (e.value, e.low, e.high) if bound is not None]
    low, high = min(bounds), max(bounds)
    span = max(high - low, 2.0)
    near = [level for level in levels if low - 0.75 * span <= level <= high + 0.75 * span]
    low, high = min([low, *near]), max([high, *near])
    low, high = widened(low, high, 2.0)
    pad = 0.07 * (high - low)
    return low - pad, high + pad


def _letter_ends(
    axes: Any,
    ends: Mapping[int, tuple[float | None, float]],
    contenders: Sequence[Contender],
    look: Sequence[Look],
) -> None:
    """Letters in the right margin, each joined to the end of its line; None is the frame's edge."""
    low, high = axes.get_ylim()
    edge = axes.get_xlim()[1]
    inches = axes.get_position().height * axes.figure.get_figheight()
    wanted = [(value - low) / (high - low) for _, value in ends.values()]
    places = spread(wanted, 0.155 / inches, 0.0, 1.0)
    for (place, (x, y)), moved in zip(ends.items(), places, strict=True):
        axes.annotate(
            contenders[place].letter,
            xy=(edge if x is None else x, y),
            xytext=(1.06, moved),
            textcoords="axes fraction",
            fontsize=9,
            fontweight="bold",
            color=readable(look[place].color),
            va="center_baseline",
            ha="left",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": look[place].color,
                "linewidth": 0.7,
                "shrinkA": 1,
                "shrinkB": 0 if x is None else 4,
                "relpos": (0, 0.5),
            },
        )


def _note_outside(
    axes: Any,
    levels: Mapping[int, Estimate],
    contenders: Sequence[Contender],
    low: float,
    high: float,
) -> None:
    """Names the level lines that lie outside the panel, with their values, under its corner."""
    words = [
        f"{contenders[place].letter} {points(level.value)}"
        for place, level in levels.items()
        if not low <= 100 * level.value <= high
    ]
    if words:
        axes.annotate(
            "outside: " + ", ".join(words), xy=(0, 0), xycoords="axes fraction",
            xytext=(0, -27), textcoords="offset points", fontsize=7, color=FAINT, va="center",
            ha="left", annotation_clip=False,
        )  # fmt: skip


def storage_figure(report: Report) -> Any | None:
    """Quality against bytes per vector, a panel a model, a line a precision; None with one."""
    chosen = [c for c in report.contenders if len({p.view.precision for p in _vectors(c)}) > 1]
    row = next((row for row in report.summary if row.key == ("mean", "sets")), None)
    row = row or next(iter(report.summary), None)
    if not chosen or row is None:
        return None
    precisions = {p.view.precision for c in chosen for p in _vectors(c)}
    with own_style():
        figure, boxes = panels(
            len(chosen),
            _WIDE,
            title="Quality by bytes per vector",
            subtitle=f"{drawable(row_words(row.key), 40)}, score × 100, log scale; grey lines join "
            "the same dims in other precisions; bars: 95 % intervals",
            key=[
                KeyEntry(label=name, draw=partial(draw_line_sample, look=look))
                for name, look in _PRECISION_LOOKS.items()
                if name in precisions
            ],
        )
        _draw_storage(boxes, chosen, row.key)
    return figure


def _vectors(contender: Contender) -> list[Point]:
    return [point for point in contender.views if point.view.dim > 0]


def _draw_storage(boxes: Sequence[Any], chosen: Sequence[Contender], key: Key) -> None:
    points = [p for c in chosen for p in _vectors(c) if key in p.scores]
    sizes = sorted({p.view.n_bytes for p in points})
    low, high = _limits([p.scores[key] for p in points], [])
    for axes, contender in zip(boxes, chosen, strict=True):
        clean_axes(axes, label_of(contender))
        log2_ticks(axes, sizes)
        axes.set_ylim(low, high)
        axes.set_xlabel("bytes per vector", fontsize=8.5, color=FAINT, labelpad=2)
        own = [p for p in _vectors(contender) if key in p.scores]
        for precision, look in _PRECISION_LOOKS.items():
            line = sorted(
                (p for p in own if p.view.precision == precision), key=lambda p: p.view.dim
            )
            _draw_line(axes, [p.view.n_bytes for p in line], [p.scores[key] for p in line], look)
        for dim in sorted({p.view.dim for p in own}):
            _draw_same_dim(axes, dim, [p for p in own if p.view.dim == dim], key)


def _draw_same_dim(axes: Any, dim: int, points: Sequence[Point], key: Key) -> None:
    """A faint line through the precisions of `dim`, named where vectors are largest."""
    points = sorted(points, key=lambda point: point.view.n_bytes)
    xs = [point.view.n_bytes for point in points]
    ys = [100 * point.scores[key].value for point in points]
    axes.plot(xs, ys, color=FAINT, linewidth=0.7, alpha=0.6, zorder=1)
    axes.annotate(
        f"{dim}", xy=(xs[-1], ys[-1]), xytext=(6, -6), textcoords="offset points", fontsize=8,
        color=INK, ha="left", va="top",
    )  # fmt: skip
