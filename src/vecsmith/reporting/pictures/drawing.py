"""How the pictures look: colours that survive grey paper, a key outside the panels, no overlaps.

The one rule: names are untrusted text: never read as mathematics, never longer than their place,
and shown by letter where the font has no glyph for them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from vecsmith._extras import require
from vecsmith.reporting.report import Contender
from vecsmith.reporting.wording import shortened

INK, FAINT, RULE = "#1f2933", "#52606d", "#d5dbe1"
WIDTH = 9.6  # inches; the pages are as wide
FONT = "DejaVu Sans"  # comes with matplotlib, so a picture is the same everywhere
_MARGIN = 0.14  # inches around everything
_KEY_ROW = 0.24
_SAMPLE = 0.38
_MAX_NAME = 44


@dataclass(frozen=True, slots=True)
class Look:
    """How a contender is drawn: each of these alone tells it from its neighbours."""

    color: str
    marker: str
    line: Any
    hatch: str


# Lightness (CIE L*) 24, 62, 45, 77, 33, 69: neighbours differ on grey paper as well as in hue.
_RUNS = (
    Look("#0a3d62", "o", "solid", ""),
    Look("#e07a1f", "s", (0, (6, 2)), "///"),
    Look("#0b7a5c", "^", (0, (4, 1.5, 1, 1.5)), "..."),
    Look("#e8b93f", "D", (0, (2, 1.2)), "xxx"),
    Look("#7a2e5d", "v", (0, (8, 2, 2, 2)), "\\\\\\"),
    Look("#5fb0d8", "P", (0, (1, 1)), "++"),
)
_BASELINES = (
    Look("#5f6c79", "X", (0, (1, 1.6)), "---"),
    Look("#8593a1", "*", (0, (5, 2.5)), ""),
    Look("#b3bec8", "p", (0, (3, 1.5, 1, 1.5)), ".."),
    Look("#73808c", "h", (0, (8, 3)), "||"),
)


def looks(contenders: Sequence[Contender]) -> tuple[Look, ...]:
    """How each contender is drawn, in every picture the same."""
    counts = {True: 0, False: 0}
    chosen = []
    for contender in contenders:
        choices = _BASELINES if contender.is_baseline else _RUNS
        chosen.append(choices[counts[contender.is_baseline] % len(choices)])
        counts[contender.is_baseline] += 1
    return tuple(chosen)


def readable(color: str) -> str:
    """`color`, darkened where letters in it would be too pale on white."""
    channels = _channels(color)
    while _luminance(channels) > 0.18:  # 4.5 to 1 on white, as WCAG asks
        channels = [0.85 * channel for channel in channels]
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def is_pale(color: str) -> bool:
    """Whether dark letters are easier to read on `color` than white ones."""
    return _luminance(_channels(color)) > 0.18


def _channels(color: str) -> list[float]:
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _luminance(channels: Sequence[float]) -> float:
    """Relative luminance of an sRGB colour (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@contextmanager
def own_style() -> Iterator[None]:
    """A context in which the user's own matplotlib settings do not change the pictures.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    matplotlib = require("matplotlib", extra="plot", purpose="draw figures")
    settings = {
        key: value
        for key, value in matplotlib.rcParamsDefault.items()
        if not key.startswith(("backend", "interactive", "toolbar", "timezone", "webagg"))
    }
    settings |= {
        "font.family": [FONT],
        "svg.hashsalt": "vecsmith",
        "svg.fonttype": "path",
        "text.parse_math": False,
        "axes.edgecolor": FAINT,
        "hatch.linewidth": 0.7,
    }
    with matplotlib.rc_context(settings):
        yield


def new_figure(height: float) -> Any:
    """A figure of the common width and `height` inches, without pyplot: nothing is left behind."""
    figures = require("matplotlib.figure", extra="plot", purpose="draw figures")
    agg = require("matplotlib.backends.backend_agg", extra="plot", purpose="draw figures")
    figure = figures.Figure(figsize=(WIDTH, height), dpi=150)
    agg.FigureCanvasAgg(figure)  # measures text
    return figure


def save_figure(figure: Any, file: Any, kind: str) -> None:
    """Writes `figure` to an open file as "png" or "svg"; equal figures give equal bytes."""
    silent: dict[str, str | None] = (
        {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    )
    with own_style():
        figure.savefig(file, format=kind, metadata=silent)


def svg_bytes(figure: Any) -> bytes:
    """`figure` as an SVG file, glyphs drawn as paths: it looks alike in every browser."""
    buffer = io.BytesIO()
    save_figure(figure, buffer, "svg")
    return buffer.getvalue()


def png_bytes(figure: Any) -> bytes:
    """`figure` as a PNG file."""
    buffer = io.BytesIO()
    save_figure(figure, buffer, "png")
    return buffer.getvalue()


@cache
def _glyphs() -> frozenset[int]:
    manager = require("matplotlib.font_manager", extra="plot", purpose="draw figures")
    return frozenset(manager.get_font(manager.findfont(FONT)).get_charmap())


def is_drawable(text: str) -> bool:
    """Whether the font has a glyph for every letter of `text`."""
    return all(ord(letter) in _glyphs() and letter.isprintable() for letter in text)


def drawable(text: str, n_letters: int = _MAX_NAME) -> str:
    """`text` as the font can draw it: other letters become a white box."""
    return "".join(letter if is_drawable(letter) else "□" for letter in shortened(text, n_letters))


def label_of(contender: Contender, n_letters: int = _MAX_NAME) -> str:
    """Letter and name; the letter alone where the font cannot draw the name."""
    name = shortened(contender.name, n_letters)
    return f"{contender.letter}  {name}" if is_drawable(name) else contender.letter


def text_width(figure: Any, text: str, size: float, weight: str = "normal") -> float:
    """Inches that `text` takes."""
    manager = require("matplotlib.font_manager", extra="plot", purpose="draw figures")
    font = manager.FontProperties(family=[FONT], size=size, weight=weight)
    renderer = figure.canvas.get_renderer()
    width: float = renderer.get_text_width_height_descent(text, font, False)[0]
    return width / float(figure.dpi)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """A line of the key: `draw` puts a sample at x, y, so wide, in figure coordinates."""

    label: str
    draw: Callable[[Any, float, float, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelSizes:
    """Inches of a grid of panels."""

    n_columns: int
    height: float
    left: float = 0.5
    right: float = 0.3
    above: float = 0.36
    below: float = 0.55


def panels(
    n_panels: int, sizes: PanelSizes, *, title: str, subtitle: str, key: Sequence[KeyEntry]
) -> tuple[Any, list[Any]]:
    """A figure with title and key above a grid of empty panels; and the panels' axes."""
    n_columns = max(1, min(sizes.n_columns, n_panels))
    n_rows = -(-n_panels // n_columns)
    rows = _key_rows(new_figure(1.0), key) if key else []
    head = _MARGIN + 0.56 + _KEY_ROW * len(rows) + 0.1
    cell = sizes.above + sizes.height + sizes.below
    total = head + n_rows * cell + _MARGIN / 2
    figure = new_figure(total)
    for text, y, size, weight, color in (
        (title, 0.01, 12.5, "bold", INK),
        (subtitle, 0.28, 8, "normal", FAINT),
    ):
        figure.text(
            _MARGIN / WIDTH, 1 - (_MARGIN + y) / total, text, va="top", ha="left", fontsize=size,
            fontweight=weight, color=color,
        )  # fmt: skip
    for number, row in enumerate(rows):
        y = 1 - (_MARGIN + 0.62 + _KEY_ROW * (number + 0.5)) / total
        for entry, x in row:
            entry.draw(figure, x / WIDTH, y, _SAMPLE / WIDTH)
            figure.text(
                (x + _SAMPLE + 0.1) / WIDTH, y, entry.label, fontsize=8.5, va="center_baseline",
                ha="left", color=INK,
            )  # fmt: skip
    width = (WIDTH - 2 * _MARGIN) / n_columns
    boxes = []
    for index in range(n_panels):
        at_row, column = divmod(index, n_columns)
        left = _MARGIN + column * width + sizes.left
        bottom = total - head - at_row * cell - sizes.above - sizes.height
        inner = width - sizes.left - sizes.right
        boxes.append(
            figure.add_axes((left / WIDTH, bottom / total, inner / WIDTH, sizes.height / total))
        )
    return figure, boxes


def _key_rows(figure: Any, key: Sequence[KeyEntry]) -> list[list[tuple[KeyEntry, float]]]:
    """Entries and their left edges (inches), row by row."""
    rows: list[list[tuple[KeyEntry, float]]] = [[]]
    x = _MARGIN
    for entry in key:
        width = _SAMPLE + 0.1 + text_width(figure, entry.label, 8.5)
        if rows[-1] and x + width > WIDTH - _MARGIN:
            rows.append([])
            x = _MARGIN
        rows[-1].append((entry, x))
        x += width + 0.3
    return rows


def line_key(contenders: Sequence[Contender], with_markers: Collection[int]) -> list[KeyEntry]:
    """A key of lines; those at the places `with_markers` have points on them."""
    return [
        KeyEntry(
            label=label_of(contender),
            draw=partial(
                draw_line_sample,
                look=look if place in with_markers else replace(look, marker=""),
            ),
        )
        for place, (contender, look) in enumerate(zip(contenders, looks(contenders), strict=True))
    ]


def draw_line_sample(figure: Any, x: float, y: float, width: float, *, look: Look) -> None:
    """Draws a line with its marker, `width` long, in figure coordinates."""
    lines = require("matplotlib.lines", extra="plot", purpose="draw figures")
    figure.add_artist(
        lines.Line2D(
            [x, x + width / 2, x + width], [y, y, y], color=look.color, linestyle=look.line,
            linewidth=1.7, marker=look.marker, markersize=6, markevery=[1],
            markeredgecolor="white", markeredgewidth=0.6,
        )
    )  # fmt: skip


def draw_bar_sample(figure: Any, x: float, y: float, width: float, *, look: Look) -> None:
    """Draws a short bar with its hatch, in figure coordinates."""
    patches = require("matplotlib.patches", extra="plot", purpose="draw figures")
    height = 0.13 / float(figure.get_figheight())
    figure.add_artist(
        patches.Rectangle(
            (x, y - height / 2), width, height, facecolor=look.color, hatch=look.hatch,
            edgecolor="white", linewidth=0,
        )
    )  # fmt: skip


def widened(low: float, high: float, least: float) -> tuple[float, float]:
    """Limits at least so far apart: equal scores stand in the middle, not on a line of noise."""
    missing = max(0.0, least - (high - low)) / 2
    return low - missing, high + missing


def clean_axes(axes: Any, title: str, *, grid: str = "y") -> None:
    """Takes away what carries nothing; `title` stands left above the panel."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.tick_params(length=0, labelsize=8.5, colors=INK)
    if grid != "x":
        ticker = require("matplotlib.ticker", extra="plot", purpose="draw figures")
        axes.yaxis.set_major_locator(ticker.MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        # else "62.05" may be written as 0.05 beside a "+6.2e1" in the corner
        formatter = ticker.ScalarFormatter(useOffset=False)
        formatter.set_scientific(False)
        axes.yaxis.set_major_formatter(formatter)
    axes.grid(axis=grid, color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=9.5, color=INK, fontweight="bold", pad=7)
