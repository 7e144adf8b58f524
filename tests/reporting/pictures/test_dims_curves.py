"""Quality against dims for named curves."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")

from vecsmith.reporting.pictures.dims_curves import DimPoint, dims_figure
from vecsmith.reporting.pictures.drawing import png_bytes, svg_bytes


def line(*values: float) -> list[DimPoint]:
    return [
        DimPoint(dim=8 * 2**place, value=value, low=value - 0.02, high=value + 0.01)
        for place, value in enumerate(values)
    ]


def test_each_curve_is_its_values_in_hundredths_with_its_interval_as_a_band() -> None:
    nested = line(0.5, 0.7, 0.8)
    figure = dims_figure({"a": {"nested": nested[::-1], "cut": line(0.2, 0.4)}}, title="Shape")
    assert figure is not None
    (axes,) = figure.axes
    first, second = axes.lines
    np.testing.assert_allclose(first.get_xdata(), [8, 16, 32])
    np.testing.assert_allclose(first.get_ydata(), [50, 70, 80])
    np.testing.assert_allclose(second.get_ydata(), [20, 40])
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(48)
    assert band[:, 1].max() == pytest.approx(81)
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_a_curve_looks_alike_in_all_panels_and_those_without_points_are_left_out() -> None:
    sets: dict[str, dict[str, list[DimPoint]]] = {
        "one": {"nested": line(0.5, 0.6), "cut": line(0.3, 0.4)},
        "two": {"cut": line(0.1, 0.2), "nested": []},
        "three": {"nested": []},
    }
    figure = dims_figure(sets, title="Shape")
    assert figure is not None
    one, two = figure.axes
    assert two.lines[0].get_color() == one.lines[1].get_color() != one.lines[0].get_color()


def test_a_point_alone_without_interval_and_a_strange_name_is_drawn() -> None:
    figure = dims_figure(
        {"$x^2$ 猫": {"$\\frac{1}{0}$ 猫" * 20: [DimPoint(dim=96, value=0.9)]}},
        title="$$ 猫",
        marks={"$x^2$ 猫": (96, "keeps 95 %")},
    )
    assert figure is not None
    assert svg_bytes(figure)


def test_there_is_no_picture_of_no_points() -> None:
    assert dims_figure({}, title="nothing") is None
    assert dims_figure({"a": {"nested": []}}, title="nothing") is None
