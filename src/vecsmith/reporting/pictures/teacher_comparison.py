"""Figures of measured results, drawn with matplotlib (extra `plot`).

The one rule: a figure shows the numbers it is given and computes no new ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vecsmith._extras import require
from vecsmith._files import atomic_file
from vecsmith._typing import PathLike

# Two hues that differ in lightness too, so that the figure survives grey paper.
_TEACHER, _STATIC = "#9aa5b1", "#0b6e4f"
_INK, _FAINT = "#1f2933", "#616e7c"


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherComparison:
    """A static model beside the teacher it comes from.

    Attributes:
        teacher: Name of the teacher.
        teacher_rate: Texts a second through the teacher.
        static_rate: Texts a second through the static model.
        ratio: The second over the first.
        teacher_bytes: Size of the teacher's weights.
        static_bytes: Size of the static model's tensors.
        agreement: Shares and correlations between 0 and 1, by a description of each.
        conditions: Texts, machine and number types, one line.
    """

    teacher: str
    teacher_rate: float
    static_rate: float
    ratio: float
    teacher_bytes: int
    static_bytes: int
    agreement: Mapping[str, float]
    conditions: str


def save_teacher_comparison(path: PathLike, comparison: TeacherComparison) -> None:
    """Draws speed, size and agreement of `comparison` to a PNG file.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require("matplotlib", extra="plot", purpose="draw figures")
    figures = require("matplotlib.figure", extra="plot", purpose="draw figures")
    # Figure without pyplot: no window system is asked for and no state is left behind
    figure = figures.Figure(figsize=(9.6, 4.2), dpi=150, layout="constrained")
    speed, size, agreement = figure.subplots(1, 3, width_ratios=[1, 1, 1.25])
    _draw_pair(
        speed,
        "texts per second, log scale",
        (comparison.teacher_rate, comparison.static_rate),
        tuple(_thousands(rate) for rate in (comparison.teacher_rate, comparison.static_rate)),
    )
    megabytes = (comparison.teacher_bytes / 1e6, comparison.static_bytes / 1e6)
    _draw_pair(size, "megabytes, log scale", megabytes, tuple(f"{mb:.1f}" for mb in megabytes))
    _draw_shares(agreement, comparison.agreement)
    figure.suptitle(
        f"{comparison.teacher} and its static model: {_thousands(comparison.ratio)} times as fast",
        x=0.01,
        ha="left",
        fontsize=12,
        fontweight="bold",
        color=_INK,
    )
    figure.supxlabel(comparison.conditions, x=0.01, ha="left", fontsize=7.5, color=_FAINT)
    with atomic_file(path) as file:
        figure.savefig(file, format="png")


def _draw_pair(axes: Any, title: str, values: tuple[float, float], labels: tuple[str, ...]) -> None:
    bars = axes.bar(["teacher", "static"], values, color=[_TEACHER, _STATIC], width=0.6)
    axes.set_yscale("log")
    axes.set_ylim(min(values) / 4, max(values) * 4)
    axes.bar_label(bars, labels=labels, padding=2, fontsize=9, color=_INK)
    axes.set_title(title, loc="left", fontsize=9, color=_FAINT)
    axes.yaxis.set_visible(False)
    _clean(axes, keep=("bottom",))


def _draw_shares(axes: Any, shares: Mapping[str, float]) -> None:
    names = list(shares)
    bars = axes.barh(names, list(shares.values()), color=_STATIC, height=0.5)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=9, color=_INK)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.5, 1])
    axes.invert_yaxis()
    axes.set_title("agreement with the teacher", loc="left", fontsize=9, color=_FAINT)
    _clean(axes, keep=("bottom", "left"))


def _clean(axes: Any, keep: tuple[str, ...]) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(side in keep)
        axes.spines[side].set_color(_FAINT)
    axes.tick_params(length=0, labelsize=9, colors=_INK)


def _thousands(number: float) -> str:
    return f"{number:,.0f}".replace(",", "\N{THIN SPACE}")
