from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")

from vecsmith.reporting.pictures.drawing import png_bytes, svg_bytes
from vecsmith.reporting.pictures.learning import learning_figure


def test_a_curve_shows_each_loss_its_mean_and_every_score() -> None:
    steps = np.arange(1, 101)
    losses = [(int(step), float(1 / step)) for step in steps]
    scores = [(0, 0.5), (50, 0.7), (100, 0.65)]
    figure = learning_figure({"pairs": losses, "empty": []}, scores, title="Training", best_step=50)
    assert figure is not None
    left, right = figure.axes
    raw, mean = left.lines
    np.testing.assert_allclose(raw.get_ydata(), [loss for _, loss in losses])
    expected = np.convolve(1 / steps, np.ones(5) / 5, mode="valid")
    np.testing.assert_allclose(mean.get_ydata()[2:-2], expected)
    np.testing.assert_allclose(right.lines[0].get_ydata(), [50, 70, 65])
    assert list(right.lines[1].get_xdata()) == [50, 50]
    assert png_bytes(figure).startswith(b"\x89PNG")
    assert svg_bytes(figure) == svg_bytes(
        learning_figure({"pairs": losses}, scores, title="Training", best_step=50)
    )


def test_a_run_without_scores_or_with_strange_names_is_drawn_too() -> None:
    figure = learning_figure({"$x_1$ 猫" * 30: [(1, 2.0)]}, [], title="$\\frac{1}{0}$ 猫")
    assert figure is not None
    assert len(figure.axes) == 1
    assert png_bytes(figure)


def test_there_is_no_picture_of_no_steps() -> None:
    assert learning_figure({}, [], title="nothing") is None
    assert learning_figure({"pairs": []}, [(0, 0.5)], title="nothing") is None
