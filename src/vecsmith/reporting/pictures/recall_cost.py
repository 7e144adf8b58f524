"""Recall of searches against what they cost: how far each way of searching gets.

The one rule: what is joined by a line is one way of searching with more and more effort; a way
that has no such choice is a single mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from vecsmith._extras import require
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

# Cost and recall (a fraction) of each effort, by name of the way of searching
Curves = Mapping[str, Sequence[tuple[float, float]]]

_SIZES = PanelSizes(n_columns=2, height=2.9, left=0.58, right=0.3, below=0.5)
_LOOKS: Final = (
    Look("#0a3d62", "o", "solid", ""),
    Look("#e07a1f", "s", (0, (6, 2)), ""),
    Look("#0b7a5c", "^", (0, (4, 1.5, 1, 1.5)), ""),
    Look("#7a2e5d", "v", (0, (8, 2, 2, 2)), ""),
    Look("#5fb0d8", "P", (0, (1, 1)), ""),
    Look("#e8b93f", "D", (0, (2, 1.2)), ""),
    Look("#5f6c79", "X", (0, (1, 1.6)), ""),
)


def recall_cost_figure(
    costs: Mapping[str, Curves], *, title: str, subtitle: str, asked: float | None = None
) -> Any | None:
    """Recall by cost, a panel for each way to count the cost; None where there is no point.

    Args:
        costs: By what is counted ("milliseconds of a query"): the curves, by rising effort.
        title: Of the picture.
        subtitle: Under it.
        asked: Recall that was asked for, a dashed line.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    counted = {
        label: {name: curve for name, curve in curves.items() if curve}
        for label, curves in costs.items()
    }
    counted = {label: curves for label, curves in counted.items() if curves}
    names = list(dict.fromkeys(name for curves in counted.values() for name in curves))
    if not names:
        return None
    looks = {name: _LOOKS[place % len(_LOOKS)] for place, name in enumerate(names)}
    with own_style():
        figure, boxes = panels(
            len(counted), _SIZES, title=drawable(title, 90), subtitle=drawable(subtitle, 160),
            key=[
                KeyEntry(label=drawable(name), draw=partial(draw_line_sample, look=look))
                for name, look in _key_looks(counted, looks).items()
            ],
        )  # fmt: skip
        for axes, (label, curves) in zip(boxes, counted.items(), strict=False):
            _draw(axes, label, curves, looks, asked)
    return figure


def _key_looks(counted: Mapping[str, Curves], looks: Mapping[str, Look]) -> dict[str, Look]:
    """A mark without a line for what is a single point everywhere."""
    longest = {
        name: max(len(curves.get(name, ())) for curves in counted.values()) for name in looks
    }
    return {
        name: look if longest[name] > 1 else replace(look, line="none")
        for name, look in looks.items()
    }


def _draw(
    axes: Any, label: str, curves: Curves, looks: Mapping[str, Look], asked: float | None
) -> None:
    clean_axes(axes, "Recall")
    for name, curve in curves.items():
        look = looks[name]
        axes.plot(
            [cost for cost, _ in curve], [100 * recall for _, recall in curve], color=look.color,
            linestyle=look.line if len(curve) > 1 else "none", linewidth=1.7, marker=look.marker,
            markersize=6, markeredgecolor="white", markeredgewidth=0.6, zorder=3, clip_on=False,
        )  # fmt: skip
    recalls = [100 * recall for curve in curves.values() for _, recall in curve]
    low, high = widened(min(recalls), max(recalls), 2.0)
    axes.set_ylim(low - 0.06 * (high - low), min(high + 0.06 * (high - low), 100.5))
    if asked is not None:
        axes.axhline(100 * asked, color=INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
    _label_costs(axes, label)


def _label_costs(axes: Any, label: str) -> None:
    """A scale of factors, whose numbers are written as one says them."""
    ticker = require("matplotlib.ticker", extra="plot", purpose="draw figures")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.tick_params(axis="x", labelsize=8, labelrotation=0)
    axes.set_xlabel(drawable(label, 60), fontsize=8.5, color=FAINT, labelpad=2)
