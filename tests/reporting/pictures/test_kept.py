"""The picture of what prefixes keep."""

from __future__ import annotations

import numpy as np
import pytest

from vecsmith.reporting.pictures.kept import kept_figure

pytest.importorskip("matplotlib")

LINES = {
    "retrieval": [(256, 1.0, 1.0, 1.0), (64, 0.8, 0.7, 0.85), (16, 0.3, 0.2, 0.4)],
    "families": [(256, 1.0, 1.0, 1.0), (64, 0.96, 0.951, 0.97), (16, 0.7, 0.6, 0.75)],
}


def test_the_lines_are_the_values_and_the_marks_what_was_asked_and_chosen() -> None:
    figure = kept_figure(LINES, over="families", keep=0.95, smallest=64, title="Made")
    (axes,) = figure.axes
    drawn = {tuple(np.round(line.get_ydata(), 6)): line for line in axes.get_lines()}
    for points in LINES.values():
        line = drawn[tuple(round(100 * value, 6) for _, value, _, _ in points)]
        assert list(line.get_xdata()) == [dim for dim, *_ in points]
    bars = [line for line in axes.get_lines() if list(line.get_xdata()) == [16, 16]]
    assert [list(bar.get_ydata()) for bar in bars] == [[60.0, 75.0]]
    assert any(list(line.get_ydata()) == [95.0, 95.0] for line in axes.get_lines())
    assert any(list(line.get_xdata()) == [64, 64] for line in axes.get_lines())
    assert [text.get_text() for text in axes.get_xticklabels()] == ["16", "64", "256"]


@pytest.mark.parametrize(
    ("smallest", "said"),
    [(64, "64 dims keep 95 % by the lower end"), (256, "no shorter prefix is known to keep 95 %")],
)
def test_the_picture_says_which_prefix_is_enough(smallest: int, said: str) -> None:
    figure = kept_figure(LINES, over="families", keep=0.95, smallest=smallest, title="Made")
    assert any(said in text.get_text() for text in figure.texts)
