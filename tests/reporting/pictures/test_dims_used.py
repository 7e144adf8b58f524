from __future__ import annotations

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")

from vecsmith.reporting.pictures.dims_used import dims_used_figure
from vecsmith.reporting.pictures.drawing import png_bytes, svg_bytes


def test_a_bar_is_all_texts_of_a_class_and_the_fewest_dims_come_first() -> None:
    shares = {"hard": [0.25, 0.75], "easy": [1.0, 0.0]}
    figure = dims_used_figure(shares, [8, 64], title="Dims used")
    assert figure is not None
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["easy", "hard"]
    short, long = axes.containers
    assert [bar.get_width() for bar in short] == [100, 25]
    assert [(bar.get_x(), bar.get_width()) for bar in long] == [(100, 0), (25, 75)]
    means = [text.get_text() for text in axes.texts]
    assert means == ["8.0", "50.0", "mean dims"]
    assert png_bytes(figure).startswith(b"\x89PNG")
    again = dims_used_figure(shares, [8, 64], title="Dims used")
    assert svg_bytes(figure) == svg_bytes(again)


def test_of_many_classes_the_two_ends_are_drawn() -> None:
    shares = {f"class {i:02}": [1 - i / 40, i / 40] for i in range(40)}
    figure = dims_used_figure(shares, [8, 64], title="Dims used", subtitle="test rows", most=4)
    assert figure is not None
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["class 00", "class 01", "class 38", "class 39"]
    assert any("of 40 classes" in text.get_text() for text in figure.texts)


def test_strange_names_are_drawn_and_no_classes_are_not() -> None:
    assert dims_used_figure({}, [8], title="none") is None
    figure = dims_used_figure({"$x_1$ 猫" * 20: [1.0]}, [8], title="$\\frac{1}{0}$ 猫")
    assert png_bytes(figure)
    with pytest.raises(ValueError, match="class 'a' has 1 shares, expected 2, one a prefix"):
        dims_used_figure({"a": [1.0]}, [8, 16], title="t")
