"""What each prefix keeps of the quality of all dims, a line a family.

The one rule: what decides stands out: its line is the bold one, with the intervals whose lower
ends must stay above the share that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

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

# Dims, share kept, and both ends of its interval.
Point = tuple[int, float, float, float]

_SIZES = PanelSizes(n_columns=1, height=3.1, left=0.6, right=0.3, above=0.3, below=0.5)
_BOLD: Final = Look("#0a3d62", "o", "solid", "")
_LOOKS: Final = (
    Look("#e07a1f", "s", (0, (6, 2)), ""),
    Look("#0b7a5c", "^", (0, (2, 1.2)), ""),
    Look("#7a2e5d", "D", (0, (8, 2, 2, 2)), ""),
    Look("#5fb0d8", "v", (0, (4, 1.5, 1, 1.5)), ""),
    Look("#d9a521", "P", (0, (1, 1)), ""),
    Look("#777777", "X", (0, (5, 1, 1, 1, 1, 1)), ""),
)


def kept_figure(
    lines: Mapping[str, Sequence[Point]], *, over: str, keep: float, smallest: int, title: str
) -> Any:
    """Share kept against dims.

    Args:
        lines: By name of an average: each prefix and the share it keeps of the longest.
        over: Which of them decides.
        keep: Share asked for.
        smallest: Dims of the prefix chosen.
        title: Of the picture.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    others = [name for name in lines if name != over]
    looks = {over: _BOLD, **{name: _LOOKS[i % len(_LOOKS)] for i, name in enumerate(others)}}
    with own_style():
        figure, (axes,) = panels(
            1,
            _SIZES,
            title=drawable(title, 80),
            subtitle="% of the score of all dims; bars: 95 % intervals on the same items; "
            + _said(lines[over], keep, smallest),
            key=[
                KeyEntry(label=drawable(name, 40), draw=partial(draw_line_sample, look=look))
                for name, look in looks.items()
            ],
        )
        clean_axes(axes, "")
        for name in (*others, over):
            _draw_line(axes, lines[name], looks[name], is_bold=name == over)
        _mark(axes, keep, smallest)
        _set_limits(axes, lines, keep)
    return figure


def _said(points: Sequence[Point], keep: float, smallest: int) -> str:
    if smallest == max(dim for dim, *_ in points):
        return f"no shorter prefix is known to keep {100 * keep:g} %"
    return f"{smallest} dims keep {100 * keep:g} % by the lower end"


def _draw_line(axes: Any, points: Sequence[Point], look: Look, *, is_bold: bool) -> None:
    dims = [dim for dim, *_ in points]
    axes.plot(
        dims, [100 * kept for _, kept, _, _ in points], color=look.color, linestyle=look.line,
        linewidth=2.2 if is_bold else 1.2, marker=look.marker, markersize=6 if is_bold else 4.5,
        markeredgecolor="white", markeredgewidth=0.6, zorder=4 if is_bold else 3,
    )  # fmt: skip
    if is_bold:
        for dim, _, low, high in points:
            axes.plot(
                [dim, dim], [100 * low, 100 * high], color=look.color, linewidth=1.3,
                solid_capstyle="butt", zorder=2,
            )  # fmt: skip


def _mark(axes: Any, keep: float, smallest: int) -> None:
    """The share asked for, and the prefix chosen."""
    axes.axhline(100 * keep, color=INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
    axes.axvline(smallest, color=INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)


def _set_limits(axes: Any, lines: Mapping[str, Sequence[Point]], keep: float) -> None:
    dims = sorted({dim for points in lines.values() for dim, *_ in points})
    axes.set_xscale("log", base=2)
    axes.set_xlim(dims[0] / 1.15, dims[-1] * 1.15)
    axes.set_xticks(dims, [str(dim) for dim in dims])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("dims", fontsize=8.5, color=FAINT, labelpad=2)
    axes.set_ylabel("% kept", fontsize=8.5, color=FAINT, labelpad=3)
    values = [100 * value for points in lines.values() for _, value, _, _ in points]
    low, high = widened(min([*values, 100 * keep]), max([*values, 100.0]), 2.0)
    pad = 0.06 * (high - low)
    axes.set_ylim(low - pad, high + pad)
