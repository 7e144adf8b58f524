"""Quality against dims for any named curves: a panel a set, a line and a band a curve.

The one rule: a curve has the same look in every panel, and its band is its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vecsmith.reporting.pictures.curves import log2_ticks
from vecsmith.reporting.pictures.drawing import (
    FAINT,
    INK,
    KeyEntry,
    Look,
    PanelSizes,
    clean_axes,
    draw_line_sample,
    drawable,
    own_style,
    panels,
    widened,
)

_LEFT = 0.58
_HEIGHT = 2.15
_MAX_COLUMNS = 3
# Lightness differs between neighbours, and the line tells them apart where hue does not
_LOOKS = (
    Look("#0a3d62", "o", "solid", ""),
    Look("#e07a1f", "s", (0, (6, 2)), ""),
    Look("#0b7a5c", "^", (0, (4, 1.5, 1, 1.5)), ""),
    Look("#7a2e5d", "v", (0, (8, 2, 2, 2)), ""),
    Look("#5fb0d8", "P", (0, (2, 1.2)), ""),
    Look("#e8b93f", "D", (0, (1, 1)), ""),
    Look("#5f6c79", "X", (0, (1, 1.6)), ""),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DimPoint:
    """A figure at one prefix length.

    Attributes:
        dim: Dimensions read.
        value: The figure, as a fraction.
        low: Lower end of its interval; None where it is not known.
        high: Upper end.
    """

    dim: int
    value: float
    low: float | None = None
    high: float | None = None


Curves = Mapping[str, Sequence[DimPoint]]


def dims_figure(
    sets: Mapping[str, Curves],
    *,
    title: str,
    subtitle: str = "score × 100 of the first dims; bands: 95 % intervals",
    metric: str = "",
    marks: Mapping[str, tuple[int, str]] | None = None,
) -> Any | None:
    """Quality by dims; None where no curve has a point.

    Args:
        sets: By title of a panel, the curves by name; points in any order.
        title: Of the picture.
        subtitle: What is drawn, in small letters.
        metric: Of the vertical axis.
        marks: By title of a panel, a number of dims to be marked by an upright line, and what it
            is, e.g. `(64, "keeps 95 %")`.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    shown = {name: drawn for name, curves in sets.items() if (drawn := _with_points(curves))}
    if not shown:
        return None
    names = list(dict.fromkeys(name for curves in shown.values() for name in curves))
    looks = {name: _LOOKS[place % len(_LOOKS)] for place, name in enumerate(names)}
    columns = _columns(len(shown))
    with own_style():
        figure, boxes = panels(
            len(shown),
            PanelSizes(n_columns=columns, height=_HEIGHT, left=_LEFT, right=0.2, below=0.5),
            title=drawable(title, 80),
            subtitle=subtitle,
            key=[
                KeyEntry(label=drawable(name), draw=partial(draw_line_sample, look=look))
                for name, look in looks.items()
            ],
        )
        for axes, (name, curves) in zip(boxes, shown.items(), strict=True):
            clean_axes(axes, drawable(name, 30))
            if metric:
                axes.set_ylabel(drawable(metric, 30), fontsize=8, color=FAINT, labelpad=3)
            for curve, points in curves.items():
                _draw_curve(axes, points, looks[curve])
            _set_limits(axes, [point for points in curves.values() for point in points])
            if marks and name in marks:
                _draw_mark(axes, *marks[name])
    return figure


def _with_points(curves: Curves) -> dict[str, list[DimPoint]]:
    """Curves that have points, shortest prefix first."""
    return {
        name: sorted(points, key=lambda point: point.dim)
        for name, points in curves.items()
        if points
    }


def _columns(n_panels: int) -> int:
    """As many as give rows of equal length, if they can: four panels are two and two."""
    if n_panels <= _MAX_COLUMNS:
        return n_panels
    return next((n for n in (_MAX_COLUMNS, 2) if n_panels % n == 0), _MAX_COLUMNS)


def _draw_curve(axes: Any, points: Sequence[DimPoint], look: Look) -> None:
    axes.plot(
        [point.dim for point in points], [100 * point.value for point in points],
        color=look.color, linestyle=look.line, linewidth=1.6, marker=look.marker, markersize=5.5,
        markeredgecolor="white", markeredgewidth=0.6, zorder=3,
    )  # fmt: skip
    known = [(p.dim, p.low, p.high) for p in points if p.low is not None and p.high is not None]
    if len(known) > 1:
        axes.fill_between(
            [dim for dim, _, _ in known],
            [100 * low for _, low, _ in known],
            [100 * high for _, _, high in known],
            color=look.color, alpha=0.16, linewidth=0, zorder=2,
        )  # fmt: skip
    elif known:
        ((dim, low, high),) = known
        axes.plot([dim, dim], [100 * low, 100 * high], color=look.color, linewidth=1.1, zorder=2)


def _set_limits(axes: Any, points: Sequence[DimPoint]) -> None:
    ends = [100 * end for p in points for end in (p.value, p.low, p.high) if end is not None]
    low, high = widened(min(ends), max(ends), 2.0)
    pad = 0.05 * (high - low)
    axes.set_ylim(low - pad, high + pad)
    log2_ticks(axes, sorted({point.dim for point in points}))
    axes.set_xlabel("dims", fontsize=8.5, color=FAINT, labelpad=2)


def _draw_mark(axes: Any, dim: int, words: str) -> None:
    axes.axvline(dim, color=INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
    axes.annotate(
        drawable(words, 30), xy=(dim, 0.02), xycoords=("data", "axes fraction"), xytext=(4, 0),
        textcoords="offset points", fontsize=8, color=INK, ha="left", va="bottom",
    )  # fmt: skip
