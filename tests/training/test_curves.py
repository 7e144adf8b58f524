from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")

from vecsmith.errors import FormatError
from vecsmith.training import Curve, read_curve


def curve_of(n_steps: int) -> Curve:
    curve = Curve()
    for step in range(1, n_steps + 1):
        curve.add_step(
            step,
            source="ab"[step % 2],
            loss=float(step),
            lr=0.1,
            gradient=2.0 * step,
            n_examples=10 * step,
            seconds=step / 8,
        )
    curve.add_evaluation(n_steps, 0.5, 1.0)
    return curve


def test_a_long_run_keeps_few_points_and_the_means_stay_exact() -> None:
    n_steps = 10_000
    curve = curve_of(n_steps)
    assert 500 < len(curve.points) <= 2000
    covered = sum(point.n_steps for point in curve.points)
    assert n_steps - curve.every < covered <= n_steps
    steps = np.arange(1, covered + 1)
    for name, parity in (("a", 0), ("b", 1)):
        own = steps[steps % 2 == parity]
        mean = np.mean([point.loss[name] for point in curve.points])
        assert mean == pytest.approx(own.mean(), rel=1e-3)
    gradient = sum(point.gradient * point.n_steps for point in curve.points) / covered
    assert gradient == pytest.approx(2 * steps.mean())
    assert [point.step for point in curve.points] == sorted(point.step for point in curve.points)


def test_a_curve_comes_back_from_json_and_goes_on_alike(tmp_path: Path) -> None:
    curve = curve_of(4003)
    (tmp_path / "curve.json").write_text(json.dumps(curve.plain()))
    again = read_curve(tmp_path / "curve.json")
    assert again == curve
    for each in (curve, again):
        each.add_step(4004, source="a", loss=1.0, lr=0.1, gradient=1.0, n_examples=1, seconds=9.0)
    assert again == curve


@pytest.mark.parametrize(
    "text", ["{}", "[]", "null", '{"format": "vecsmith learning curve", "version": 9}', "{"]
)
def test_a_file_that_is_no_curve_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "curve.json").write_text(text)
    with pytest.raises(FormatError, match=r"curve\.json"):
        read_curve(tmp_path / "curve.json")
