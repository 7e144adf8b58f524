"""Scales of factors for budgets, sizes and losses, and the look of each tuning method.

The one rule: a method looks alike in every picture, and ticks stand at numbers that one says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, Final, NamedTuple

from vecsmith._extras import require
from vecsmith.reporting.pictures.drawing import (
    FAINT,
    INK,
    KeyEntry,
    Look,
    draw_line_sample,
    drawable,
)

_METHOD_LOOKS: Final = {
    "full": Look("#0a3d62", "o", "solid", ""),
    "lora": Look("#e07a1f", "s", (0, (6, 2)), ""),
    "freeze": Look("#0b7a5c", "^", (0, (4, 1.5, 1, 1.5)), ""),
    "bias": Look("#7a2e5d", "v", (0, (8, 2, 2, 2)), ""),
}
_OTHER_LOOKS: Final = (
    Look("#5fb0d8", "P", (0, (1, 1)), ""),
    Look("#e8b93f", "D", (0, (2, 1.2)), ""),
    Look("#5f6c79", "X", (0, (1, 1.6)), ""),
)
METHOD_WORDS: Final = {
    "full": "full fine-tuning",
    "lora": "LoRA",
    "freeze": "block freezing",
    "bias": "biases alone",
}
# From the small to the large: hue and lightness (CIE L* 77 to 24) both go one way
_RAMP: Final = ("#e8b93f", "#e07a1f", "#b3400a", "#7a2e5d", "#0a3d62")
_RAMP_MARKERS: Final = ("o", "s", "^", "v", "D", "p", "h")
# Coarse to fine: how many decades from tick to tick, or which digits have one
_STEPS: Final = (6, 5, 4, 3, 2)
_DIGITS: Final = (
    (1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0),
)  # fmt: skip


class Banded(NamedTuple):
    """A point of a fitted line; its interval where one is known."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


def method_looks(methods: Iterable[str]) -> dict[str, Look]:
    """How each method is drawn; those of no fixed look get one in the order they come."""
    names = list(dict.fromkeys(methods))
    others = [name for name in names if name not in _METHOD_LOOKS]
    return {
        name: _METHOD_LOOKS.get(name) or _OTHER_LOOKS[others.index(name) % len(_OTHER_LOOKS)]
        for name in names
    }


def method_words(method: str) -> str:
    """A method as it is called in a key: "full fine-tuning", "LoRA"."""
    return METHOD_WORDS.get(method, method)


def method_key(looks: dict[str, Look], *, with_line: bool = True) -> list[KeyEntry]:
    """A line of the key for each method."""
    return [
        KeyEntry(
            label=drawable(method_words(name)),
            draw=partial(draw_line_sample, look=look if with_line else replace(look, line="none")),
        )
        for name, look in looks.items()
    ]


def ramp_looks(n_looks: int) -> list[Look]:
    """Looks of an ordered row of curves, from pale and warm to dark."""
    return [
        Look(_ramp_color(place / max(1, n_looks - 1)), _RAMP_MARKERS[place % 7], "solid", "")
        for place in range(n_looks)
    ]


def _ramp_color(share: float) -> str:
    place = share * (len(_RAMP) - 1)
    first = min(int(place), len(_RAMP) - 2)
    ends = [[int(_RAMP[i][k : k + 2], 16) for k in (1, 3, 5)] for i in (first, first + 1)]
    mixed = (round(a + (b - a) * (place - first)) for a, b in zip(*ends, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def drawn(values: Iterable[float | None]) -> list[float]:
    """The values that a scale of factors can show: finite and above zero."""
    return [value for value in values if value is not None and math.isfinite(value) and value > 0]


def factor_limits(
    values: Sequence[float], pad: float = 0.06, least: float = 1.1
) -> tuple[float, float]:
    """Ends of a scale of factors around `values`, at least a factor `least` apart."""
    low, high = math.log(min(values)), math.log(max(values))
    missing = max(0.0, math.log(least) - (high - low)) / 2
    low, high = low - missing, high + missing
    room = pad * (high - low)
    return math.exp(low - room), math.exp(high + room)


def factor_axis(
    axes: Any,
    side: str,
    limits: tuple[float, float],
    words: Callable[[float], str],
    label: str,
    *,
    most: int = 7,
) -> None:
    """Makes a side ("x" or "y") of a panel a scale of factors with at most `most` ticks."""
    ticker = require("matplotlib.ticker", extra="plot", purpose="draw figures")
    axis = axes.xaxis if side == "x" else axes.yaxis
    (axes.set_xscale if side == "x" else axes.set_yscale)("log")
    (axes.set_xlim if side == "x" else axes.set_ylim)(*limits)
    axis.set_major_locator(ticker.FixedLocator(factor_ticks(*limits, most)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: words(value)))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_label_text(drawable(label, 60), fontsize=8.5, color=FAINT)
    axis.labelpad = 2 if side == "x" else 4


def factor_ticks(low: float, high: float, most: int) -> list[float]:
    """The most numbers of few digits in [low, high], but at most `most`, and two if it can be."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    choices = [[10.0**k for k in decades if k % step == 0] for step in _STEPS]
    choices += [[digit * 10.0**k for k in decades for digit in digits] for digits in _DIGITS]
    best: list[float] = []
    for choice in choices:
        ticks = [float(f"{tick:.6g}") for tick in choice if low <= tick <= high]
        if len(ticks) <= most:
            best = ticks
    if len(best) >= 2:
        return best
    ticker = require("matplotlib.ticker", extra="plot", purpose="draw figures")
    even = ticker.MaxNLocator(nbins=max(2, most - 1), steps=[1, 2, 5, 10])
    return [float(tick) for tick in even.tick_values(low, high) if low <= tick <= high]


def draw_band(axes: Any, line: Sequence[Banded], look: Look, *, strength: float = 0.14) -> None:
    """Fills the interval of a line, where it has one."""
    known = [(p.x, p.low, p.high) for p in line if p.low is not None and p.high is not None]
    if len(known) > 1:
        axes.fill_between(
            [x for x, _, _ in known], [low for _, low, _ in known], [high for *_, high in known],
            color=look.color, alpha=strength, linewidth=0, zorder=1,
        )  # fmt: skip


def draw_fitted_line(
    axes: Any, line: Sequence[Banded], look: Look, measured: tuple[float, float] | None
) -> None:
    """Draws a line: bold over what was measured, thin beyond it."""
    low, high = measured or (math.inf, -math.inf)
    inside = [low <= point.x <= high for point in line]
    is_bold = [first and second for first, second in pairwise(inside)]  # of each piece
    starts = [i for i, bold in enumerate(is_bold) if i == 0 or bold != is_bold[i - 1]]
    for start, end in pairwise([*starts, len(is_bold)]):
        stretch = line[start : end + 1]
        axes.plot(
            [p.x for p in stretch], [p.y for p in stretch], color=look.color, linestyle=look.line,
            linewidth=2.0 if is_bold[start] else 0.9, zorder=3 if is_bold[start] else 2,
        )  # fmt: skip


def dodges(n_methods: int, limits: tuple[float, float]) -> list[float]:
    """Factors that put marks of several methods beside each other, all of one budget."""
    step = 0.011 * math.log(limits[1] / limits[0])
    return [math.exp(step * (place - (n_methods - 1) / 2)) for place in range(n_methods)]


def draw_points(
    axes: Any, xs: Sequence[float], ys: Sequence[float], look: Look, **more: Any
) -> None:
    """Draws the marks of a look, without a line."""
    style = {"markersize": 6.0, "markeredgecolor": "white", "markeredgewidth": 0.6, "zorder": 4}
    axes.plot(xs, ys, color=look.color, linestyle="none", marker=look.marker, **(style | more))


def draw_upright(axes: Any, x: float, words: str = "", *, row: int = 0) -> None:
    """An upright dashed line, and what it is, in a row from the top of the panel."""
    axes.axvline(x, color=INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
    low, high = axes.get_xlim()
    is_right = math.log(x / low) > 0.5 * math.log(high / low)
    axes.annotate(
        drawable(words, 70), xy=(x, 0.99), xycoords=("data", "axes fraction"),
        xytext=(-4 if is_right else 4, -12 * row), textcoords="offset points", fontsize=8,
        color=INK, ha="right" if is_right else "left", va="top", zorder=6,
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1},
    )  # fmt: skip
