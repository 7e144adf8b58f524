"""How a training run went: loss and score by step.

The one rule: the curve says what was measured: each step's loss as a faint line, their running
mean over it, and every score as a point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

Line = Sequence[tuple[int, float]]

_SIZES = PanelSizes(n_columns=2, height=2.5, left=0.58, right=0.3, below=0.5)
_LOOKS: Final = (
    Look("#0a3d62", "", "solid", ""),
    Look("#e07a1f", "", (0, (6, 2)), ""),
    Look("#0b7a5c", "", (0, (4, 1.5, 1, 1.5)), ""),
    Look("#7a2e5d", "", (0, (8, 2, 2, 2)), ""),
    Look("#5fb0d8", "", (0, (2, 1.2)), ""),
)
_SCORE_LOOK: Final = Look("#0b7a5c", "o", "solid", "")
# Of the points of a line: the running mean is over so large a share.
_SMOOTHED: Final = 0.03


def learning_figure(
    losses: Mapping[str, Line], scores: Line, *, title: str, best_step: int | None = None
) -> Any | None:
    """Loss by step, a line a set of pairs, beside scores by step; None where there is no step.

    Args:
        losses: By name of a set of pairs: steps, ascending, and the loss there.
        scores: Steps, ascending, and the score of the model then, as a fraction.
        title: Of the picture.
        best_step: Step whose weights were kept.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    losses = {name: line for name, line in losses.items() if line}
    if not losses:
        return None
    looks = {name: _LOOKS[place % len(_LOOKS)] for place, name in enumerate(losses)}
    with own_style():
        figure, boxes = panels(
            2 if scores else 1,
            _SIZES,
            title=drawable(title, 80),
            subtitle="loss of each step, faint, and its running mean"
            + ("; score × 100 on the dev splits, the dashed line at the step kept" * bool(scores)),
            key=[
                KeyEntry(label=drawable(name), draw=partial(draw_line_sample, look=look))
                for name, look in looks.items()
            ],
        )
        _draw_losses(boxes[0], losses, looks)
        if scores:
            _draw_scores(boxes[1], scores, best_step)
    return figure


def _draw_losses(axes: Any, losses: Mapping[str, Line], looks: Mapping[str, Look]) -> None:
    clean_axes(axes, "Loss")
    _label_steps(axes)
    for name, line in losses.items():
        steps, values = [step for step, _ in line], [loss for _, loss in line]
        look = looks[name]
        axes.plot(steps, values, color=look.color, linewidth=0.7, alpha=0.3, zorder=2)
        axes.plot(
            steps, _running_mean(values), color=look.color, linestyle=look.line, linewidth=1.7,
            zorder=3,
        )  # fmt: skip


def _draw_scores(axes: Any, scores: Line, best_step: int | None) -> None:
    clean_axes(axes, "Score")
    _label_steps(axes)
    steps, values = [step for step, _ in scores], [100 * score for _, score in scores]
    axes.plot(
        steps, values, color=_SCORE_LOOK.color, linewidth=1.5, marker=_SCORE_LOOK.marker,
        markersize=5.5, markeredgecolor="white", markeredgewidth=0.6, zorder=3,
    )  # fmt: skip
    low, high = widened(min(values), max(values), 1.0)
    pad = 0.12 * (high - low)
    axes.set_ylim(low - pad, high + pad)
    best = dict(zip(steps, values, strict=True)).get(-1 if best_step is None else best_step)
    if best_step is None or best is None:
        return
    axes.axvline(best_step, color=INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
    axes.annotate(
        f"{best:.1f}", xy=(best_step, best), xytext=(0, 7), textcoords="offset points", fontsize=8,
        color=INK, ha="center", va="bottom", annotation_clip=False,
    )  # fmt: skip


def _label_steps(axes: Any) -> None:
    ticker = require("matplotlib.ticker", extra="plot", purpose="draw figures")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=7, integer=True))
    axes.set_xlabel("step", fontsize=8.5, color=FAINT, labelpad=2)


def _running_mean(values: Sequence[float]) -> list[float]:
    """Mean over a window around each value, narrower at both ends."""
    half = max(1, round(_SMOOTHED * len(values) / 2))
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    means = []
    for place in range(len(values)):
        reach = min(half, place, len(values) - 1 - place)
        low, high = place - reach, place + reach + 1
        means.append((sums[high] - sums[low]) / (high - low))
    return means
