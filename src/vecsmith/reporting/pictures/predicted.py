"""Predicted against measured loss, and the error by budget.

The one rule: what the law was fitted on is filled, what it had not seen is a ring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vecsmith._extras import require
from vecsmith.planning.wording import flops_text
from vecsmith.reporting.pictures.drawing import (
    FAINT,
    RULE,
    Look,
    PanelSizes,
    clean_axes,
    drawable,
    own_style,
    panels,
)
from vecsmith.reporting.pictures.scales import (
    dodges,
    drawn,
    factor_axis,
    factor_limits,
    method_key,
    method_looks,
)

_SIZES: Final = PanelSizes(n_columns=2, height=3.1, left=0.66, right=0.25, below=0.52)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedRun:
    """A run and what a law says of it.

    Attributes:
        flops: Of the run.
        measured: Its loss.
        predicted: The law's.
        low: Lower end of the prediction's interval; None where it is not known.
        high: Upper end.
        is_held_out: Whether the law was fitted without it.
    """

    flops: float
    measured: float
    predicted: float
    low: float | None = None
    high: float | None = None
    is_held_out: bool = False


def predicted_figure(
    methods: Mapping[str, Sequence[PredictedRun]],
    *,
    within: float | None = 0.03,
    title: str = "Predicted against measured",
    subtitle: str = "",
) -> Any | None:
    """Predicted by measured loss beside the error in percent; None where there is no run.

    Args:
        methods: Runs by tuning method.
        within: Half width of the strip about no error, as a fraction; None for no strip.
        title: Of the picture.
        subtitle: What is drawn, if it is not what is said by default.

    Raises:
        ValueError: If `within` is not between 0 and 1.
        MissingExtraError: If matplotlib is not installed.
    """
    if within is not None and not 0 < within < 1:
        raise ValueError(f"the strip is of half width {within!r}, expected between 0 and 1")
    shown = {
        name: [run for run in runs if len(drawn((run.flops, run.measured, run.predicted))) == 3]
        for name, runs in methods.items()
    }
    shown = {name: runs for name, runs in shown.items() if runs}
    if not shown:
        return None
    looks = method_looks(shown)
    with own_style():
        figure, boxes = panels(
            2,
            _SIZES,
            title=drawable(title, 90),
            subtitle=drawable(subtitle or _subtitle(shown, within), 170),
            key=method_key(looks, with_line=False),
        )
        _draw_losses(boxes[0], shown, looks, within)
        _draw_errors(boxes[1], shown, looks, within)
    return figure


def _subtitle(shown: Mapping[str, Sequence[PredictedRun]], within: float | None) -> str:
    said = "a mark is a run"
    if any(run.is_held_out for runs in shown.values() for run in runs):
        said += "; rings: runs that the law had not seen, with intervals"
    return said if within is None else f"{said}; strip: within {100 * within:g} %"


def _draw_losses(
    axes: Any,
    shown: Mapping[str, Sequence[PredictedRun]],
    looks: Mapping[str, Look],
    within: float | None,
) -> None:
    clean_axes(axes, "Loss")
    both = [loss for runs in shown.values() for run in runs for loss in _losses(run)]
    limits = factor_limits(both)
    factor_axis(axes, "x", limits, lambda loss: f"{loss:g}", "measured")
    factor_axis(axes, "y", limits, lambda loss: f"{loss:g}", "predicted")
    if within is not None:
        axes.fill_between(
            limits, [end * (1 - within) for end in limits], [end * (1 + within) for end in limits],
            color=RULE, alpha=0.5, linewidth=0, zorder=0,
        )  # fmt: skip
    axes.plot(limits, limits, color=FAINT, linewidth=0.9, zorder=1)
    for name, runs in shown.items():
        for run in runs:
            ends = run.low or run.predicted, run.high or run.predicted
            _draw_run(axes, run.measured, run.predicted, ends, looks[name], run)


def _draw_errors(
    axes: Any,
    shown: Mapping[str, Sequence[PredictedRun]],
    looks: Mapping[str, Look],
    within: float | None,
) -> None:
    clean_axes(axes, "Error of the prediction")
    ticker = require("matplotlib.ticker", extra="plot", purpose="draw figures")
    flops = [run.flops for runs in shown.values() for run in runs]
    limits = factor_limits(flops, least=4)
    factor_axis(axes, "x", limits, flops_text, "training FLOP", most=6)
    reach = 100 * (within or 0.01)
    for factor, (name, runs) in zip(dodges(len(shown), limits), shown.items(), strict=True):
        for run in runs:
            error, low, high = (
                100 * (loss / run.measured - 1)
                for loss in (run.predicted, run.low or run.predicted, run.high or run.predicted)
            )
            _draw_run(axes, run.flops * factor, error, (low, high), looks[name], run)
            reach = max(reach, abs(error), *([-low, high] if run.is_held_out else []))
    if within is not None:
        axes.axhspan(-100 * within, 100 * within, color=RULE, alpha=0.5, linewidth=0, zorder=0)
    axes.axhline(0, color=FAINT, linewidth=0.9, zorder=1)
    axes.set_ylim(-1.25 * reach, 1.25 * reach)
    axes.yaxis.set_major_formatter(
        ticker.FuncFormatter(lambda value, _: "0" if value == 0 else f"{value:+g} %")
    )


def _losses(run: PredictedRun) -> list[float]:
    return drawn((run.measured, run.predicted))


def _draw_run(
    axes: Any, x: float, y: float, ends: tuple[float, float], look: Look, run: PredictedRun
) -> None:
    """A mark; a bar shows what a prediction promised, where it could not know the run."""
    is_ring = run.is_held_out
    if is_ring:
        axes.plot([x, x], ends, color=look.color, linewidth=1.1, alpha=0.6, zorder=2)
    axes.plot(
        [x], [y], linestyle="none", marker=look.marker, markersize=7.5 if is_ring else 5.5,
        markerfacecolor="none" if is_ring else look.color,
        markeredgecolor=look.color if is_ring else "white",
        markeredgewidth=1.6 if is_ring else 0.5, zorder=4 if is_ring else 3,
    )  # fmt: skip
