"""What could be done with a budget: one mark a candidate, by model size and tuning method.

The one rule: the chosen one stands out, and so does the one that it was preferred to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vecsmith.reporting.pictures.drawing import (
    FAINT,
    INK,
    Look,
    PanelSizes,
    clean_axes,
    drawable,
    own_style,
    panels,
)
from vecsmith.reporting.pictures.scales import (
    drawn,
    factor_axis,
    factor_limits,
    method_key,
    method_looks,
)
from vecsmith.reporting.quantities import figure_words, size_words

_SIZES: Final = PanelSizes(n_columns=1, height=3.2, left=0.7, right=0.3, above=0.12, below=0.52)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateMark:
    """A candidate.

    Attributes:
        method: How it is tuned.
        size: Non-embedding parameters.
        value: What is on the other axis, e.g. the predicted loss.
        low: Lower end of its interval; None where it is not known.
        high: Upper end.
        words: What stands beside it; empty for nothing. A mark with words is ringed.
    """

    method: str
    size: float
    value: float
    low: float | None = None
    high: float | None = None
    words: str = ""


def candidates_figure(
    candidates: Sequence[CandidateMark],
    *,
    measure: str,
    title: str,
    subtitle: str,
    levels: Mapping[str, float] | None = None,
) -> Any | None:
    """A measure of each candidate by its size; None where there is no candidate.

    Args:
        candidates: In any order; of those of one method and size the lowest are joined.
        measure: What the values are, e.g. "predicted loss".
        title: Of the picture.
        subtitle: What is drawn.
        levels: Level dashed lines by what they mean.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    shown = [each for each in candidates if len(drawn((each.size, each.value))) == 2]
    if not shown:
        return None
    looks = method_looks(each.method for each in shown)
    levels = {words: value for words, value in (levels or {}).items() if drawn([value])}
    with own_style():
        figure, (axes,) = panels(
            1, _SIZES, title=drawable(title, 90), subtitle=drawable(subtitle, 170),
            key=method_key(looks),
        )  # fmt: skip
        clean_axes(axes, "", grid="both")
        ends = drawn(end for each in shown for end in (each.value, each.low, each.high))
        factor_axis(
            axes, "x", factor_limits([each.size for each in shown], least=4), size_words,
            "parameters without embeddings", most=8,
        )  # fmt: skip
        limits = factor_limits([*ends, *levels.values()], pad=0.1)
        factor_axis(axes, "y", limits, figure_words, measure)
        for words, value in levels.items():
            _draw_level(axes, words, value, is_lowest=value == min(levels.values()))
        for method, look in looks.items():
            _draw_method(axes, [each for each in shown if each.method == method], look)
        for place, each in enumerate(each for each in shown if each.words):
            _name(axes, each, place)
    return figure


def _draw_level(axes: Any, words: str, value: float, *, is_lowest: bool) -> None:
    """A dashed line and what it means, on the side away from the candidates."""
    axes.axhline(value, color=INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
    axes.annotate(
        drawable(words, 60), xy=(0.995, value), xycoords=("axes fraction", "data"),
        xytext=(0, -3 if is_lowest else 3), textcoords="offset points", fontsize=8, color=FAINT,
        ha="right", va="top" if is_lowest else "bottom",
    )  # fmt: skip


def _draw_method(axes: Any, own: Sequence[CandidateMark], look: Look) -> None:
    lowest: dict[float, float] = {}
    for each in sorted(own, key=lambda each: each.size):
        lowest[each.size] = min(each.value, lowest.get(each.size, each.value))
        if each.low is not None and each.high is not None:
            axes.plot(
                [each.size] * 2, [each.low, each.high], color=look.color, linewidth=1.0, alpha=0.4,
                zorder=2,
            )  # fmt: skip
        axes.plot(
            [each.size], [each.value], linestyle="none", marker=look.marker, color=look.color,
            markersize=8 if each.words else 5, markeredgecolor=INK if each.words else "white",
            markeredgewidth=1.3 if each.words else 0.5, zorder=5 if each.words else 3,
        )  # fmt: skip
    axes.plot(
        list(lowest), list(lowest.values()), color=look.color, linestyle=look.line, linewidth=1.3,
        zorder=2,
    )  # fmt: skip


def _name(axes: Any, each: CandidateMark, place: int) -> None:
    """Says which candidate it is, towards the middle; the first one above its mark."""
    at = axes.transAxes.inverted().transform(axes.transData.transform((each.size, each.value)))
    is_left = at[0] < 0.6
    axes.annotate(
        drawable(each.words, 60), xy=(each.size, each.value),
        xytext=(9 if is_left else -9, -11 if place else 11), textcoords="offset points",
        fontsize=8.5, color=INK, fontweight="normal" if place else "bold",
        ha="left" if is_left else "right", va="center", zorder=6,
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1},
    )  # fmt: skip
