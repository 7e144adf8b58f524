"""All pictures of a report, in the order in which they are shown.

The one rule: what there is nothing to draw of is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vecsmith.reporting.pictures.bars import retention_figure
from vecsmith.reporting.pictures.curves import dimension_figure, storage_figure
from vecsmith.reporting.pictures.drawing import png_bytes, svg_bytes
from vecsmith.reporting.pictures.tradeoff import speed_figure
from vecsmith.reporting.report import Report

_DRAWN: tuple[tuple[str, str, Callable[[Report], Any | None]], ...] = (
    ("dims", "Quality by dimension", dimension_figure),
    ("speed", "Quality and speed", speed_figure),
    ("retention", "Retention", retention_figure),
    ("bytes", "Quality by bytes per vector", storage_figure),
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure.

    Attributes:
        stem: Short name, for a file.
        title: What it shows.
        figure: Of matplotlib.
    """

    stem: str
    title: str
    figure: Any

    def png(self) -> bytes:
        """As a PNG file."""
        return png_bytes(self.figure)

    def svg(self) -> bytes:
        """As an SVG file."""
        return svg_bytes(self.figure)


def draw_pictures(report: Report) -> Iterator[Picture]:
    """Yields the pictures that there is something to draw of.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    for stem, title, draw in _DRAWN:
        figure = draw(report)
        if figure is not None:
            yield Picture(stem, title, figure)
