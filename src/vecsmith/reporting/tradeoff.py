"""Quality against speed: which models nothing else beats on both.

The one rule: every point is named beside itself, and no name covers a point or another name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10, sqrt
from typing import Any

from vecsmith.reporting.drawing import (
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
)
from vecsmith.reporting.report import Contender, Estimate, Report, Row
from vecsmith.reporting.wording import row_words

_SIZES = PanelSizes(n_columns=1, height=3.9, left=0.55, right=0.35, above=0.06, below=0.45)
_SMALLEST, _LARGEST = 45.0, 600.0  # points squared


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    contender: Contender
    look: Look
    rate: float
    estimate: Estimate
    area: float


def speed_figure(report: Report) -> Any | None:
    """Quality against texts per second with the Pareto front; None with fewer than two points."""
    row = next((row for row in report.summary if row.key == ("mean", "sets")), None)
    row = row or next(iter(report.summary), None)
    spots = _spots(report, row) if row else []
    if row is None or len(spots) < 2:
        return None
    with own_style():
        figure, (axes,) = panels(
            1,
            _SIZES,
            title="Quality and speed",
            subtitle=f"{drawable(row_words(row.key), 40)}, score × 100, 95 % intervals; area: "
            "bytes of the model; stepped line: no other is both faster and better",
            key=[],
        )
        _draw_spots(axes, spots)
        _name_spots(figure, axes, spots)
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
            estimate=estimate,
            area=max(_SMALLEST, _LARGEST * (contender.speed.model_bytes or 0) / max(largest, 1)),
        )
        for contender, look, rate, estimate in known
    ]


def _draw_spots(axes: Any, spots: Sequence[_Spot]) -> None:
    clean_axes(axes, "", grid="both")
    rates = [spot.rate for spot in spots]
    values = [100 * bound for spot in spots for bound in _bounds(spot.estimate)]
    pad = 0.14 * max(max(values) - min(values), 4.0)
    low, high = min(values) - pad, max(values) + pad
    axes.set_xscale("log")
    left, right = log10(min(rates)), log10(max(rates))
    margin = max(0.16 * (right - left), (1.0 - right + left) / 2)
    axes.set_xlim(10 ** (left - margin), 10 ** (right + margin))
    axes.set_ylim(low, high)
    _set_rates(axes)
    axes.set_xlabel("texts per second", fontsize=8.5, color=FAINT, labelpad=3)
    _draw_front(axes, spots)
    for spot in sorted(spots, key=lambda s: -s.area):
        axes.plot(
            [spot.rate, spot.rate], [100 * bound for bound in _bounds(spot.estimate)[1:]],
            color=spot.look.color, linewidth=1.2, zorder=3,
        )  # fmt: skip
        axes.scatter(
            [spot.rate], [100 * spot.estimate.value], s=spot.area, color=spot.look.color,
            marker="o", edgecolor="white", linewidth=0.8, zorder=3,
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


def _draw_front(axes: Any, spots: Sequence[_Spot]) -> None:
    """A stepped line through the points that no other beats on both."""
    front: list[_Spot] = []
    for spot in sorted(spots, key=lambda s: (-s.rate, -s.estimate.value)):
        if not front or spot.estimate.value > front[-1].estimate.value:
            front.append(spot)
    left = axes.get_xlim()[0]
    bottom = axes.get_ylim()[0]
    xs, ys = [front[0].rate], [bottom]
    for spot, following in zip(front, [*front[1:], None], strict=True):
        xs += [spot.rate, following.rate if following else left]
        ys += [100 * spot.estimate.value] * 2
    axes.plot(xs, ys, color=FAINT, linewidth=1.0, linestyle=(0, (3, 2)), zorder=1)


def _name_spots(figure: Any, axes: Any, spots: Sequence[_Spot]) -> None:
    """Writes each name at the first free place around its point, joined to it if far away."""
    transforms = axes.transData
    scale = figure.dpi / 72
    taken = []
    for spot in spots:
        x, y = transforms.transform((spot.rate, 100 * spot.estimate.value))
        reach = (sqrt(spot.area) / 2 + 1.5) * scale
        taken.append((x - reach, y - reach, x + reach, y + reach))
        _, low, high = _bounds(spot.estimate)
        ends = [transforms.transform((spot.rate, 100 * bound))[1] for bound in (low, high)]
        taken.append((x - 2 * scale, ends[0], x + 2 * scale, ends[1]))
    frame = axes.get_window_extent()
    renderer = figure.canvas.get_renderer()
    for spot in sorted(spots, key=lambda s: -s.rate):
        text = axes.annotate(
            label_of(spot.contender, 40), xy=(spot.rate, 100 * spot.estimate.value),
            xytext=(0, 0), textcoords="offset points", fontsize=8.5, color=INK, ha="left",
            va="bottom", annotation_clip=False, zorder=5,
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkA": 1,
                        "shrinkB": sqrt(spot.area) / 2},
        )  # fmt: skip
        box = text.get_window_extent(renderer)
        x, y = transforms.transform((spot.rate, 100 * spot.estimate.value))
        reach = sqrt(spot.area) / 2 * scale
        moved = _free_place(x, y, reach, box.width, box.height, taken, frame, scale)
        text.set_position(((moved[0] - x) / scale, (moved[1] - y) / scale))
        taken.append((moved[0], moved[1], moved[0] + box.width, moved[1] + box.height))
        near = abs(moved[1] + box.height / 2 - y) < reach + box.height
        text.arrow_patch.set_visible(not near)


def _free_place(
    x: float,
    y: float,
    reach: float,
    width: float,
    height: float,
    taken: Sequence[tuple[float, float, float, float]],
    frame: Any,
    scale: float,
) -> tuple[float, float]:
    """Lower left corner, in pixels, nearest to the point at x, y, that is free and in `frame`."""
    gap = 3 * scale
    best, least = (x + reach + gap, y), float("inf")
    for ring in range(40):
        far = reach + gap + ring * height * 0.6
        for corner in (
            (x + reach + gap, y - height / 2 + ring * height * 0.6),
            (x + reach + gap, y - height / 2 - ring * height * 0.6),
            (x - reach - gap - width, y - height / 2 + ring * height * 0.6),
            (x - reach - gap - width, y - height / 2 - ring * height * 0.6),
            (x - width / 2, y + far),
            (x - width / 2, y - far - height),
        ):
            left, bottom = corner
            box = (left, bottom, left + width, bottom + height)
            outside = left < frame.x0 or box[2] > frame.x1 or bottom < frame.y0 or box[3] > frame.y1
            cost = sum(_overlap(box, other) for other in taken) + (1e9 if outside else 0)
            if cost == 0:
                return corner
            if cost < least:
                best, least = corner, cost
    return best


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
