"""Quality against speed: which models nothing else beats on both.

The one rule: every point is named beside itself, and no name covers a point or another name. No
line joins speeds that cannot be ranked: of different runs, or of turns that overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10, sqrt
from typing import Any

from vecsmith._extras import require
from vecsmith.reporting.pictures.drawing import (
    FAINT,
    INK,
    Look,
    PanelSizes,
    clean_axes,
    drawable,
    label_of,
    looks,
    own_style,
    panels,
    widened,
)
from vecsmith.reporting.pictures.placement import Box, free_box
from vecsmith.reporting.report import Contender, Estimate, Report, Row
from vecsmith.reporting.wording import points, row_words

_SIZES = PanelSizes(n_columns=1, height=3.9, left=0.55, right=0.35, above=0.22, below=0.45)
_JOINED = "stepped line: no other is both faster and better; it is broken where turns overlap"
_APART = "the speeds were measured in different runs and cannot be ranked: no line joins the points"
_SMALLEST, _LARGEST = 45.0, 360.0  # points squared


_Line = tuple[list[float], list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    contender: Contender
    look: Look
    rate: float
    slowest: float
    fastest: float
    estimate: Estimate
    area: float

    def overlaps(self, other: _Spot) -> bool:
        """Whether the turns of the two leave open which is faster."""
        return self.slowest <= other.fastest and other.slowest <= self.fastest


def speed_figure(report: Report) -> Any | None:
    """Quality against texts per second with the Pareto front; None with fewer than two points."""
    row = next((row for row in report.summary if row.key == ("mean", "sets")), None)
    row = row or next(iter(report.summary), None)
    spots, below = _told_apart(_spots(report, row) if row else [])
    if row is None or len(spots) < 2:
        return None
    with own_style():
        figure, (axes,) = panels(
            1,
            _SIZES,
            title="Quality and speed",
            subtitle=f"{drawable(row_words(row.key), 40)}, score × 100, 95 % intervals; level "
            "bars: slowest to fastest turn; area: bytes of the model\n"
            + (_JOINED if report.is_one_run else _APART),
            key=[],
        )
        _draw_spots(axes, spots)
        lines = _front(axes, spots) if report.is_one_run else []
        for xs, ys in lines:
            axes.plot(xs, ys, color=FAINT, linewidth=1.0, linestyle=(0, (3, 2)), zorder=1)
        _note_below(axes, below)
        _name_spots(figure, axes, spots, lines)
    return figure


def _spots(report: Report, row: Row) -> list[_Spot]:
    known = [
        (contender, look, contender.speed.texts_per_second, estimate)
        for contender, look, estimate in zip(
            report.contenders, looks(report.contenders), row.scores, strict=True
        )
        if estimate is not None and contender.speed.texts_per_second
    ]
    largest = max((c.speed.model_bytes or 0 for c, *_ in known), default=0)
    return [
        _Spot(
            contender=contender,
            look=look,
            rate=rate,
            slowest=min([rate, *contender.speed.turns]),
            fastest=max([rate, *contender.speed.turns]),
            estimate=estimate,
            area=max(_SMALLEST, _LARGEST * (contender.speed.model_bytes or 0) / max(largest, 1)),
        )
        for contender, look, rate, estimate in known
    ]


def _told_apart(spots: Sequence[_Spot]) -> tuple[list[_Spot], list[_Spot]]:
    """Spots to draw; and baselines so far below the runs that those would lie on one line."""
    values = [spot.estimate.value for spot in spots if not spot.contender.is_baseline]
    if not values:
        return list(spots), []
    least = min(values) - max(0.15, 1.5 * (max(values) - min(values)))
    near = [spot for spot in spots if spot.estimate.value >= least]
    return near, [spot for spot in spots if spot.estimate.value < least]


def _draw_spots(axes: Any, spots: Sequence[_Spot]) -> None:
    clean_axes(axes, "", grid="both")
    rates = [rate for spot in spots for rate in (spot.slowest, spot.fastest) if rate > 0]
    values = [100 * bound for spot in spots for bound in _bounds(spot.estimate)]
    low, high = widened(min(values), max(values), 2.0)
    pad = 0.14 * max(high - low, 4.0)
    low, high = low - pad, high + pad
    axes.set_xscale("log")
    left, right = log10(min(rates)), log10(max(rates))
    margin = max(0.16 * (right - left), (1.0 - right + left) / 2)
    axes.set_xlim(10 ** (left - margin), 10 ** (right + margin))
    axes.set_ylim(low, high)
    _set_rates(axes)
    axes.set_xlabel("texts per second", fontsize=8.5, color=FAINT, labelpad=3)
    for spot in sorted(spots, key=lambda s: -s.area):
        axes.plot(
            [spot.slowest, spot.fastest], [100 * spot.estimate.value] * 2,
            color=spot.look.color, linewidth=1.2, zorder=3,
        )  # fmt: skip
        axes.plot(
            [spot.rate, spot.rate], [100 * bound for bound in _bounds(spot.estimate)[1:]],
            color=spot.look.color, linewidth=1.2, zorder=3,
        )  # fmt: skip
        axes.scatter(
            [spot.rate], [100 * spot.estimate.value], s=spot.area, color=spot.look.color,
            marker="o", edgecolor="white", linewidth=0.8, zorder=3,
        )  # fmt: skip


def _note_below(axes: Any, below: Sequence[_Spot]) -> None:
    """Names what lies below the panel, with its score, in the corner under it."""
    words = [
        f"{label_of(spot.contender, 24)} {points(spot.estimate.value)}" for spot in below[:3]
    ] + (["…"] if len(below) > 3 else [])
    if words:
        axes.annotate(
            "below: " + ", ".join(words), xy=(0, 0), xycoords="axes fraction", xytext=(0, -25),
            textcoords="offset points", fontsize=7.5, color=FAINT, va="center",
            annotation_clip=False,
        )  # fmt: skip


def _bounds(estimate: Estimate) -> tuple[float, float, float]:
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    return estimate.value, low, high


def _set_rates(axes: Any) -> None:
    low, high = (log10(limit) for limit in axes.get_xlim())
    decades = range(ceil(low), floor(high) + 1)
    ticks = [10.0**d for d in decades]
    if len(ticks) < 3:
        ticks = [f * 10.0**d for d in range(floor(low), ceil(high) + 1) for f in (1, 2, 5)]
        ticks = [tick for tick in ticks if low <= log10(tick) <= high]
    axes.set_xticks(ticks, [_thousands(tick) for tick in ticks])
    axes.set_xticks([], minor=True)


def _thousands(number: float) -> str:
    if number < 1:
        return f"{number:g}"
    return f"{number:,.0f}".replace(",", "\N{THIN SPACE}")


def _front(axes: Any, spots: Sequence[_Spot]) -> list[_Line]:
    """Stepped lines through the points that no other beats on both, broken where turns overlap."""
    front: list[_Spot] = []
    for spot in sorted(spots, key=lambda s: (-s.rate, -s.estimate.value)):
        if not front or spot.estimate.value > front[-1].estimate.value:
            front.append(spot)
    left, bottom = axes.get_xlim()[0], axes.get_ylim()[0]
    lines: list[_Line] = []
    xs, ys = [front[0].rate], [bottom]  # from the foot of the fastest
    for spot, following in zip(front, [*front[1:], None], strict=True):
        xs, ys = [*xs, spot.rate], [*ys, 100 * spot.estimate.value]
        if following is not None and spot.overlaps(following):
            lines.append((xs, ys))
            xs, ys = [], []
        else:  # to above the next, or to the edge beside the best
            xs = [*xs, following.rate if following else left]
            ys = [*ys, 100 * spot.estimate.value]
    return [line for line in [*lines, (xs, ys)] if len(line[0]) > 1]


def _name_spots(figure: Any, axes: Any, spots: Sequence[_Spot], lines: Sequence[_Line]) -> None:
    """Writes each name at the first free place around its point, joined to it if far away."""
    texts = require("matplotlib.text", extra="plot", purpose="draw figures")
    renderer = figure.canvas.get_renderer()
    scale = figure.dpi / 72
    frame = Box(*axes.get_window_extent().extents)
    taken = list(_obstacles(axes, spots, lines, scale))
    for spot in sorted(spots, key=lambda s: -s.rate):
        text = axes.annotate(
            label_of(spot.contender, 40), xy=(spot.rate, 100 * spot.estimate.value),
            xytext=(0, 0), textcoords="offset points", fontsize=8.5, color=INK, ha="left",
            va="bottom", annotation_clip=False, zorder=5,
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkA": 1,
                        "shrinkB": sqrt(spot.area) / 2},
        )  # fmt: skip
        size = texts.Text.get_window_extent(text, renderer)  # without the line
        point = _point_box(axes, spot, scale)
        box = free_box(point, size.width, size.height, taken=taken, frame=frame)
        taken.append(box)
        x, y = (point.left + point.right) / 2, (point.bottom + point.top) / 2
        text.set_position(((box.left - x) / scale, (box.bottom - y) / scale))
        is_far = box.bottom > point.top + size.height or box.top < point.bottom - size.height
        text.arrow_patch.set_visible(is_far)


def _obstacles(
    axes: Any, spots: Sequence[_Spot], lines: Sequence[_Line], scale: float
) -> Iterator[Box]:
    """Points, intervals, turns and the stepped lines."""
    transform = axes.transData.transform
    for spot in spots:
        yield _point_box(axes, spot, scale)
        x, low = transform((spot.rate, 100 * _bounds(spot.estimate)[1]))
        _, high = transform((spot.rate, 100 * _bounds(spot.estimate)[2]))
        yield Box(x - 2 * scale, low, x + 2 * scale, high)
        left, y = transform((spot.slowest, 100 * spot.estimate.value))
        right, _ = transform((spot.fastest, 100 * spot.estimate.value))
        yield Box(left, y - 2 * scale, right, y + 2 * scale)
    for line in lines:
        for (x0, y0), (x1, y1) in pairwise(transform(list(zip(*line, strict=True)))):
            yield Box(min(x0, x1) - 1, min(y0, y1) - 1, max(x0, x1) + 1, max(y0, y1) + 1)


def _point_box(axes: Any, spot: _Spot, scale: float) -> Box:
    x, y = axes.transData.transform((spot.rate, 100 * spot.estimate.value))
    reach = (sqrt(spot.area) / 2 + 1) * scale
    return Box(x - reach, y - reach, x + reach, y + reach)
