from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")

from vecsmith.reporting.pictures.drawing import png_bytes, svg_bytes
from vecsmith.reporting.pictures.recall_cost import recall_cost_figure

CURVES = {
    "funnels": [(4.0, 0.9), (9.0, 0.99), (30.0, 0.999)],
    "graph": [(2.0, 0.93), (8.0, 0.985)],
    "exact": [(300.0, 1.0)],
}


def test_points_are_joined_by_rising_effort_and_a_single_one_has_no_line() -> None:
    figure = recall_cost_figure(
        {"milliseconds": CURVES, "million multiply-adds": {"funnels": [(50.0, 0.9)]}},
        title="Search", subtitle="one thread", asked=0.99,
    )  # fmt: skip
    assert figure is not None
    left, right = figure.axes
    funnels, graph, exact, asked = left.lines
    np.testing.assert_allclose(funnels.get_xdata(), [4, 9, 30])
    np.testing.assert_allclose(funnels.get_ydata(), [90, 99, 99.9])
    np.testing.assert_allclose(graph.get_ydata(), [93, 98.5])
    assert exact.get_linestyle() == "None"
    np.testing.assert_allclose(asked.get_ydata(), [99, 99])
    assert right.lines[0].get_color() == funnels.get_color()
    assert left.get_xscale() == "log"
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_equal_figures_give_equal_bytes_and_strange_names_are_drawn() -> None:
    drawn = [
        recall_cost_figure({"$c$ 猫": {"$x_1$ 猫" * 30: [(1.0, 0.5)]}}, title="猫", subtitle="")
        for _ in range(2)
    ]
    assert svg_bytes(drawn[0]) == svg_bytes(drawn[1])


def test_there_is_no_picture_of_no_points() -> None:
    assert recall_cost_figure({}, title="nothing", subtitle="") is None
    assert recall_cost_figure({"ms": {"exact": []}}, title="nothing", subtitle="") is None
