"""The model size that serves a budget best, by tuning method.

The one rule: a mark is the size of the best run that there was, a line what a fit says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Final

from vecsmith.planning.wording import flops_text
from vecsmith.reporting.pictures.drawing import (
    FAINT,
    RULE,
    PanelSizes,
    clean_axes,
    drawable,
    new_figure,
    own_style,
    panels,
    text_width,
)
from vecsmith.reporting.pictures.placement import spread
from vecsmith.reporting.pictures.scales import (
    Banded,
    dodges,
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
from vecsmith.reporting.quantities import size_words

_HEIGHT: Final = 3.6
_NAME_GAP: Final = 0.042  # of the height: names of models do not touch


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSizes:
    """Best sizes of a method.

    Attributes:
        best: FLOP, and the non-embedding parameters of its best run there.
        line: FLOP, the best size by the fit and the ends of its interval, by rising FLOP.
    """

    best: Sequence[tuple[float, float]] = ()
    line: Sequence[Banded] = ()


def optimal_size_figure(
    methods: Mapping[str, MethodSizes],
    *,
    models: Mapping[str, float] | None = None,
    asked: float | None = None,
    title: str = "Optimal size against budget",
    subtitle: str = "",
) -> Any | None:
    """Best size by FLOP, a line a method; None where nothing is known.

    Args:
        methods: By name.
        models: Sizes there are to choose from, by name: level lines.
        asked: A budget to be marked.
        title: Of the picture.
        subtitle: What is drawn, if it is not what is said by default.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    shown = {name: _drawable(sizes) for name, sizes in methods.items()}
    shown = {name: sizes for name, sizes in shown.items() if sizes.best or sizes.line}
    if not shown:
        return None
    looks = method_looks(shown)
    points = [point for sizes in shown.values() for point in _points(sizes)]
    x_limits = factor_limits([*(flops for flops, _ in points), *drawn([asked])], least=4)
    y_limits = factor_limits([size for _, size in points], least=4)
    named = {n: s for n, s in (models or {}).items() if y_limits[0] <= s <= y_limits[1]}
    with own_style():
        figure, (axes,) = panels(
            1,
            PanelSizes(
                n_columns=1, height=_HEIGHT, left=0.7, right=_room(named), above=0.12, below=0.52
            ),
            title=drawable(title, 90),
            subtitle=drawable(subtitle or _subtitle(shown, bool(named)), 170),
            key=method_key(looks),
        )  # fmt: skip
        clean_axes(axes, "", grid="x" if named else "both")
        factor_axis(axes, "x", x_limits, flops_text, "training FLOP", most=8)
        factor_axis(axes, "y", y_limits, size_words, "parameters without embeddings")
        _draw_models(axes, named, y_limits)
        aside = dodges(len(shown), x_limits)
        for factor, (name, own) in zip(aside, shown.items(), strict=True):
            budgets = [flops for flops, _ in own.best]
            measured = (min(budgets), max(budgets)) if budgets else None
            draw_band(axes, own.line, looks[name], strength=0.09)
            draw_fitted_line(axes, own.line, looks[name], measured)
            places = [flops * factor for flops in budgets]
            draw_points(axes, places, [size for _, size in own.best], looks[name], markersize=7)
        if asked is not None:
            draw_upright(axes, asked, f"{flops_text(asked)}: asked")
    return figure


def _drawable(sizes: MethodSizes) -> MethodSizes:
    return MethodSizes(
        best=sorted(point for point in sizes.best if len(drawn(point)) == 2),
        line=[point for point in sizes.line if len(drawn(point[:2])) == 2],
    )


def _points(sizes: MethodSizes) -> list[tuple[float, float]]:
    return [*sizes.best, *((point.x, point.y) for point in sizes.line)]


def _subtitle(shown: Mapping[str, MethodSizes], has_models: bool) -> str:
    said = []
    if any(m.best for m in shown.values()):
        said.append("marks: size of the best run")
    if any(m.line for m in shown.values()):
        is_banded = any(p.low is not None for m in shown.values() for p in m.line)
        interval = " with its interval" if is_banded else ""
        said.append(f"lines: the fit{interval}, thin where nothing was measured")
    if has_models:
        said.append("level lines: models there are")
    return "; ".join(said)


def _room(named: Mapping[str, float]) -> float:
    """Inches right of the panel, for the names of models."""
    figure = new_figure(1.0)
    return max([0.3, *(0.45 + text_width(figure, _short(name), 7.5) for name in named)])


def _short(name: str) -> str:
    return drawable(name.rsplit("/", 1)[-1], 22)


def _draw_models(axes: Any, named: Mapping[str, float], limits: tuple[float, float]) -> None:
    """A level line a model, with its name beside the panel."""
    low, high = map(log, limits)
    heights = [(log(size) - low) / (high - low) for size in named.values()]
    places = spread(heights, _NAME_GAP, 0.0, 1.0)
    for (name, size), place in zip(named.items(), places, strict=True):
        axes.axhline(size, color=RULE, linewidth=0.8, zorder=0)
        axes.annotate(
            _short(name), xy=(1, size), xycoords=("axes fraction", "data"),
            xytext=(1.03, place), textcoords="axes fraction", fontsize=7.5, color=FAINT, ha="left",
            va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": RULE, "linewidth": 0.7, "shrinkA": 1,
                        "shrinkB": 0, "relpos": (0, 0.5)},
        )  # fmt: skip
