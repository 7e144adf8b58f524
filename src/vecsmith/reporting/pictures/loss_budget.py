"""The best loss that each tuning method reaches with a budget, and where one overtakes another.

The one rule: a line is bold over budgets that were measured and thin beyond them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vecsmith._extras import require
from vecsmith.planning.wording import flops_text
from vecsmith.reporting.pictures.drawing import (
    FAINT,
    INK,
    Look,
    PanelSizes,
    clean_axes,
    drawable,
    own_style,
    panels,
    widened,
)
from vecsmith.reporting.pictures.scales import (
    Banded,
    draw_band,
    draw_fitted_line,
    draw_points,
    draw_upright,
    drawn,
    factor_axis,
    factor_limits,
    method_key,
    method_looks,
)

_SIZES: Final = PanelSizes(n_columns=2, height=3.1, left=0.66, right=0.25, below=0.52)


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodLosses:
    """What a method reached.

    Attributes:
        best: FLOP, and the lowest loss of its runs there.
        others: FLOP and loss of the other runs.
        line: The fitted frontier: FLOP, loss and the ends of its interval, by rising FLOP.
    """

    best: Sequence[tuple[float, float]]
    others: Sequence[tuple[float, float]] = ()
    line: Sequence[Banded] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A budget at which two frontiers meet.

    Attributes:
        words: What happens there: "LoRA better above".
        flops: The budget.
        low: Lower end of its interval; None where it is not known.
        high: Upper end.
    """

    words: str
    flops: float
    low: float | None = None
    high: float | None = None


def loss_budget_figure(
    methods: Mapping[str, MethodLosses],
    *,
    crossings: Sequence[Crossing] = (),
    asked: float | None = None,
    title: str = "Loss against budget",
    subtitle: str = "",
) -> Any | None:
    """Loss by FLOP, and how far each method is above the best one; None where nothing is known.

    Args:
        methods: By name.
        crossings: Where one method overtakes another; those off the scale are left out.
        asked: A budget to be marked.
        title: Of the picture.
        subtitle: What is drawn, if it is not what is said by default.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    shown = {name: _drawable(losses) for name, losses in methods.items()}
    shown = {name: losses for name, losses in shown.items() if losses.best or losses.line}
    if not shown:
        return None
    looks = method_looks(shown)
    flops = [flops for losses in shown.values() for flops, _ in _points(losses)]
    limits = factor_limits([*flops, *drawn([asked])], least=4)
    with own_style():
        figure, boxes = panels(
            2 if len(shown) > 1 else 1,
            _SIZES,
            title=drawable(title, 90),
            subtitle=drawable(subtitle or _subtitle(shown), 170),
            key=method_key(looks),
        )
        _draw_losses(boxes[0], shown, looks, limits)
        if len(shown) > 1:
            _draw_excess(boxes[1], shown, looks, limits)
        for place, axes in enumerate(boxes):
            _mark(axes, crossings, asked, limits, with_words=place == 0)
    return figure


def _drawable(losses: MethodLosses) -> MethodLosses:
    return MethodLosses(
        best=sorted(point for point in losses.best if len(drawn(point)) == 2),
        others=[point for point in losses.others if len(drawn(point)) == 2],
        line=[point for point in losses.line if len(drawn(point[:2])) == 2],
    )


def _points(losses: MethodLosses) -> list[tuple[float, float]]:
    return [*losses.best, *losses.others, *((point.x, point.y) for point in losses.line)]


def _subtitle(shown: Mapping[str, MethodLosses]) -> str:
    said = "marks: the best model of a method at a budget"
    if any(m.others for m in shown.values()):
        said += ", all runs faint"
    if any(m.line for m in shown.values()):
        said += "; lines: the fit, thin where nothing was measured"
    if any(p.low is not None for m in shown.values() for p in m.line):
        said += ", with its interval"
    return said


def _measured(losses: MethodLosses) -> tuple[float, float] | None:
    budgets = [flops for flops, _ in losses.best]
    return (min(budgets), max(budgets)) if budgets else None


def _draw_losses(
    axes: Any,
    shown: Mapping[str, MethodLosses],
    looks: Mapping[str, Look],
    limits: tuple[float, float],
) -> None:
    clean_axes(axes, "Loss")
    # the interval of a line far from its runs would leave the runs no room
    losses = [loss for own in shown.values() for _, loss in _points(own)]
    factor_axis(axes, "x", limits, flops_text, "training FLOP", most=6)
    factor_axis(axes, "y", factor_limits(losses), lambda loss: f"{loss:g}", "loss")
    for name, own in shown.items():
        draw_points(
            axes, [x for x, _ in own.others], [y for _, y in own.others], looks[name],
            markersize=3.5, alpha=0.3, zorder=2,
        )  # fmt: skip
        draw_band(axes, own.line, looks[name])
        draw_fitted_line(axes, own.line, looks[name], _measured(own))
        draw_points(axes, [x for x, _ in own.best], [y for _, y in own.best], looks[name])


def _draw_excess(
    axes: Any,
    shown: Mapping[str, MethodLosses],
    looks: Mapping[str, Look],
    limits: tuple[float, float],
) -> None:
    """Percent above the best method at the same budget: what a scale of factors cannot show."""
    clean_axes(axes, "Above the best method")
    ticker = require("matplotlib.ticker", extra="plot", purpose="draw figures")
    lowest_run = _lowest(point for m in shown.values() for point in m.best)
    lowest_line = _lowest((p.x, p.y) for m in shown.values() for p in m.line)
    heights = [0.0]
    for name, own in shown.items():
        line = [Banded(p.x, 100 * (p.y / lowest_line[p.x] - 1)) for p in own.line]
        points = [(x, 100 * (y / lowest_run[x] - 1)) for x, y in own.best]
        draw_fitted_line(axes, line, looks[name], _measured(own))
        draw_points(axes, [x for x, _ in points], [y for _, y in points], looks[name])
        heights += [y for _, y in points] + [p.y for p in line]
    low, high = widened(0.0, max(heights), 1.0)
    axes.set_ylim(-0.05 * (high - low), high + 0.08 * (high - low))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
    factor_axis(axes, "x", limits, flops_text, "training FLOP", most=6)


def _lowest(points: Any) -> dict[float, float]:
    lowest: dict[float, float] = {}
    for x, y in points:
        lowest[x] = min(y, lowest.get(x, y))
    return lowest


def _mark(
    axes: Any,
    crossings: Sequence[Crossing],
    asked: float | None,
    limits: tuple[float, float],
    *,
    with_words: bool,
) -> None:
    low, high = limits
    inside = [crossing for crossing in crossings if low <= crossing.flops <= high]
    for place, crossing in enumerate(inside):
        if crossing.low is not None and crossing.high is not None:
            axes.axvspan(
                max(low, crossing.low), min(high, crossing.high), color=INK, alpha=0.06,
                linewidth=0, zorder=0,
            )  # fmt: skip
        words = f"{flops_text(crossing.flops)}: {crossing.words}"
        draw_upright(axes, crossing.flops, words * with_words, row=place)
    if asked is not None and low <= asked <= high:
        words = f"{flops_text(asked)}: asked"
        draw_upright(axes, asked, words * with_words, row=len(inside))
