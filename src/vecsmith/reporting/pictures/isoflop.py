"""IsoFLOP profiles: loss against model size at equal training FLOP, a panel a method.

The one rule: panels share both scales, so that methods can be compared; a mark is a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from vecsmith.planning.wording import flops_text
from vecsmith.reporting.pictures.drawing import (
    INK,
    KeyEntry,
    Look,
    PanelSizes,
    clean_axes,
    draw_line_sample,
    drawable,
    own_style,
    panels,
)
from vecsmith.reporting.pictures.scales import (
    draw_points,
    drawn,
    factor_axis,
    factor_limits,
    method_words,
    ramp_looks,
)
from vecsmith.reporting.quantities import size_words

_SIZES: Final = PanelSizes(n_columns=2, height=2.7, left=0.66, right=0.25, below=0.52)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Runs of one method at one budget.

    Attributes:
        flops: Of each run.
        points: Size (non-embedding parameters) and loss of each run.
        curve: The fitted parabola, as sizes and losses; empty where there is none.
        best: Size and loss where the parabola is lowest.
    """

    flops: float
    points: Sequence[tuple[float, float]]
    curve: Sequence[tuple[float, float]] = ()
    best: tuple[float, float] | None = None


def isoflop_figure(
    profiles: Mapping[str, Sequence[Profile]],
    *,
    title: str = "IsoFLOP profiles",
    subtitle: str = "",
) -> Any | None:
    """Loss by size, a line a budget; None where there is no run.

    Args:
        profiles: By method, its profiles in any order.
        title: Of the picture.
        subtitle: What the marks and lines are, if it is not what is said by default.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    shown = {name: [p for p in own if _points(p)] for name, own in profiles.items()}
    shown = {name: sorted(own, key=lambda p: p.flops) for name, own in shown.items() if own}
    if not shown:
        return None
    budgets = sorted({profile.flops for own in shown.values() for profile in own})
    looks = dict(zip(budgets, ramp_looks(len(budgets)), strict=True))
    points = [point for own in shown.values() for profile in own for point in _points(profile)]
    sizes = factor_limits([size for size, _ in points])
    losses = factor_limits([loss for _, loss in points])
    with own_style():
        figure, boxes = panels(
            len(shown),
            replace(_SIZES, n_columns=min(2, len(shown))),
            title=drawable(title, 90),
            subtitle=drawable(subtitle or _subtitle(shown), 170),
            key=[
                KeyEntry(
                    label=f"{flops_text(budget)} FLOP", draw=partial(draw_line_sample, look=look)
                )
                for budget, look in looks.items()
            ],
        )
        for axes, (name, own) in zip(boxes, shown.items(), strict=True):
            clean_axes(axes, drawable(method_words(name), 30))
            factor_axis(axes, "x", sizes, size_words, "parameters without embeddings")
            factor_axis(axes, "y", losses, lambda loss: f"{loss:g}", "loss", most=6)
            for profile in own:
                _draw(axes, profile, looks[profile.flops])
    return figure


def _points(profile: Profile) -> list[tuple[float, float]]:
    """Runs that can be shown, smallest first."""
    return sorted(point for point in profile.points if len(drawn(point)) == 2)


def _subtitle(shown: Mapping[str, Sequence[Profile]]) -> str:
    """What is drawn: how a curve is made is said where there is one."""
    has_curve = any(profile.curve for own in shown.values() for profile in own)
    has_line = any(not profile.curve for own in shown.values() for profile in own)
    said = "a mark is a run"
    if has_curve:
        said += "; curves are parabolas in ln N, a ring their lowest point"
    return said + "; thin lines join the best run of each size" * has_line


def _draw(axes: Any, profile: Profile, look: Look) -> None:
    points = _points(profile)
    draw_points(axes, [size for size, _ in points], [loss for _, loss in points], look)
    curve = [point for point in profile.curve if len(drawn(point)) == 2]
    if curve:
        axes.plot(
            [size for size, _ in curve], [loss for _, loss in curve], color=look.color,
            linewidth=1.6, zorder=2,
        )  # fmt: skip
    else:
        best: dict[float, float] = {}
        for size, loss in points:
            best[size] = min(loss, best.get(size, loss))
        axes.plot(list(best), list(best.values()), color=look.color, linewidth=1.1, zorder=2)
    if profile.best and len(drawn(profile.best)) == 2:
        axes.plot(
            *([value] for value in profile.best), marker="o", markersize=11, linestyle="none",
            markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.2, zorder=5,
        )  # fmt: skip
