"""How much of the reference model's quality each model keeps.

The one rule: bars start at 0 and the reference stands at 100 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from vecsmith.reporting.pictures.drawing import (
    FAINT,
    INK,
    KeyEntry,
    Look,
    PanelSizes,
    clean_axes,
    draw_bar_sample,
    drawable,
    label_of,
    looks,
    own_style,
    panels,
)
from vecsmith.reporting.report import Contender, Estimate, Key, Report
from vecsmith.reporting.wording import ratio_words

_BAR = 0.17  # inches
_BETWEEN = 0.16
_LEFT = 1.95


def retention_figure(report: Report) -> Any | None:
    """Bars of score over the reference's score, by average; None without a reference."""
    shown = [
        (contender, look)
        for contender, look in zip(report.contenders, looks(report.contenders), strict=True)
        if contender.retention
    ]
    rows = report.ratios
    if not rows or report.reference is None:
        return None
    height = len(rows) * (len(shown) * _BAR + _BETWEEN)
    with own_style():
        figure, (axes,) = panels(
            1,
            PanelSizes(n_columns=1, height=height, left=_LEFT, right=0.9, above=0.28, below=0.45),
            title="Retention",
            subtitle=f"score as a share of {drawable(report.reference, 60)} (100 %), "
            "bars with 95 % intervals",
            key=[
                KeyEntry(label=label_of(contender), draw=partial(draw_bar_sample, look=look))
                for contender, look in shown
            ],
        )
        _draw_groups(axes, rows, shown)
    return figure


def _draw_groups(axes: Any, rows: Sequence[Key], shown: Sequence[tuple[Contender, Look]]) -> None:
    clean_axes(axes, "", grid="x")
    estimates = [e for c, _ in shown for e in c.retention.values()]
    top = max(100.0, *(100 * max(e.value, e.high or 0) for e in estimates))
    low = min(0.0, *(100 * min(e.value, e.low or 0) for e in estimates))
    axes.set_xlim(max(low, -50.0), min(top, 200.0) * 1.02)
    step = len(shown) * _BAR + _BETWEEN
    axes.set_ylim(len(rows) * step, 0)
    axes.set_yticks([])
    for number, key in enumerate(rows):
        start = number * step + _BETWEEN / 2
        axes.annotate(
            drawable(ratio_words(key), 24), xy=(0, start + len(shown) * _BAR / 2),
            xycoords=("axes fraction", "data"), xytext=(-20, 0), textcoords="offset points",
            ha="right", va="center", fontsize=9.5, color=INK, annotation_clip=False,
        )  # fmt: skip
        for place, (contender, look) in enumerate(shown):
            if key in contender.retention:
                y = start + (place + 0.5) * _BAR
                _draw_bar(axes, y, contender.letter, contender.retention[key], look)
    axes.axvline(100, color=INK, linewidth=1.1, zorder=4)
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=4)
    ticks = [tick for tick in range(-50, 201, 25) if low <= tick <= top]
    axes.set_xticks(ticks, [f"{tick} %" for tick in ticks])


def _draw_bar(axes: Any, y: float, letter: str, estimate: Estimate, look: Look) -> None:
    value = 100 * estimate.value
    axes.barh(
        [y], [value], height=_BAR * 0.86, color=look.color, hatch=look.hatch, edgecolor="white",
        linewidth=0, zorder=2,
    )  # fmt: skip
    if estimate.low is not None and estimate.high is not None:
        # a white line under the dark one, to be seen on every bar
        ends = [100 * estimate.low, 100 * estimate.high]
        axes.plot(ends, [y, y], color="white", linewidth=3.2, solid_capstyle="butt", zorder=3)
        axes.plot(ends, [y, y], color=INK, linewidth=1.2, solid_capstyle="butt", zorder=3.5)
    axes.annotate(
        letter, xy=(0, y), xycoords=("axes fraction", "data"), xytext=(-5, 0),
        textcoords="offset points", ha="right", va="center_baseline", fontsize=7.5, color=FAINT,
        annotation_clip=False,
    )  # fmt: skip
    axes.annotate(
        f"{value:.1f} %", xy=(1, y), xycoords=("axes fraction", "data"), xytext=(6, 0),
        textcoords="offset points", ha="left", va="center_baseline", fontsize=8, color=INK,
        annotation_clip=False,
    )  # fmt: skip
