"""Pictures of fitted laws, against the law that the runs were drawn from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")
pytest.importorskip("scipy", reason="scipy is not installed (extra plan)")

from tests.reporting.plans import NOISE, law_runs, predicted_plan, true_loss
from vecsmith.planning.laws.best_size import best_sizes
from vecsmith.planning.laws.fitted import FittedLaws, fit_laws
from vecsmith.planning.laws.unseen import without_largest
from vecsmith.reporting import draw_law_pictures, write_law_pictures
from vecsmith.reporting.plan_pictures import draw_plan_pictures
from vecsmith.results.tuning_runs import TuningRun


@pytest.fixture(scope="module")
def runs() -> list[TuningRun]:
    return list(law_runs())


@pytest.fixture(scope="module")
def laws(runs: list[TuningRun]) -> FittedLaws:
    """Fitted without the largest model."""
    seen, _ = without_largest(runs)
    return fit_laws(seen, "nds", n_bootstrap=20, n_starts=2)


def losses_of(runs: Iterable[TuningRun]) -> list[float]:
    return sorted(run.loss for run in runs if run.loss is not None)


def axes_of(laws: FittedLaws, stem: str, runs: list[TuningRun] | None = None) -> list[Any]:
    drawn = draw_law_pictures(laws, runs=runs or [])
    return list(next(picture for picture in drawn if picture.stem == stem).figure.axes)


def test_the_frontier_drawn_is_the_least_loss_of_the_law_behind_the_runs(
    laws: FittedLaws, runs: list[TuningRun]
) -> None:
    left = axes_of(laws, "loss-budget")[0]
    bold = next(line for line in left.lines if line.get_linewidth() == 2.0)
    seen, _ = without_largest(runs)
    full = {run.n_params: run for run in seen if run.tuning.method == "full"}.values()
    expected = [
        min(true_loss("full", run.n_params, flops / run.cost_per_token, 1.0) for run in full)
        for flops in bold.get_xdata()
    ]
    np.testing.assert_allclose(bold.get_ydata(), expected, rtol=3 * NOISE)


def test_methods_are_compared_at_the_budget_that_both_were_asked_to_spend(
    laws: FittedLaws, runs: list[TuningRun]
) -> None:
    right = axes_of(laws, "loss-budget")[1]
    seen, _ = without_largest(runs)
    for method, marker in (("full", "o"), ("lora", "s")):
        (marks,) = (line for line in right.lines if line.get_marker() == marker)
        for flops, percent in zip(marks.get_xdata(), marks.get_ydata(), strict=True):
            best = {
                name: losses_of(r for r in seen if (r.tuning.method, r.flops) == (name, flops))[0]
                for name in ("full", "lora")
            }
            expected = 100 * (best[method] / min(best.values()) - 1)
            assert percent == pytest.approx(expected, abs=1e-6)


def test_every_run_is_a_mark_of_its_isoflop_profile(
    laws: FittedLaws, runs: list[TuningRun]
) -> None:
    seen, _ = without_largest(runs)
    full, lora = axes_of(laws, "isoflop")
    for axes, method in ((full, "full"), (lora, "lora")):
        marks = [line for line in axes.lines if line.get_markeredgecolor() == "white"]
        drawn = sorted(loss for line in marks for loss in line.get_ydata())
        assert drawn == losses_of(run for run in seen if run.tuning.method == method)


def test_the_size_line_follows_the_size_that_is_best_in_truth(laws: FittedLaws) -> None:
    budgets = np.geomspace(6e15, 1.5e17, 5)
    found = best_sizes(laws.laws["full"], budgets)
    assert len(found) == 5
    sizes = np.geomspace(2e5, 5e8, 4000)
    for optimum in found:
        losses = [true_loss("full", n, optimum.flops / (6 * n), 1.0) for n in sizes]
        # flat at its bottom: a third in size is less than a fiftieth of a percent of loss
        assert optimum.n == pytest.approx(sizes[int(np.argmin(losses))], rel=0.35)
        assert optimum.low <= optimum.n <= optimum.high


def test_budgets_whose_best_size_is_beyond_the_search_are_left_out(laws: FittedLaws) -> None:
    assert best_sizes(laws.laws["full"], [1e9, 1e25]) == []


def test_runs_that_a_law_had_not_seen_are_rings_at_their_measured_loss(
    laws: FittedLaws, runs: list[TuningRun]
) -> None:
    _, unseen = without_largest(runs)
    left = axes_of(laws, "predicted", runs)[0]
    rings = [line for line in left.lines if line.get_markerfacecolor() == "none"]
    assert sorted(ring.get_xdata()[0] for ring in rings) == losses_of(unseen)
    for ring in rings:
        assert ring.get_ydata()[0] == pytest.approx(ring.get_xdata()[0], rel=0.1)
    assert not [
        line
        for line in axes_of(laws, "predicted")[0].lines
        if line.get_marker() != "None" and line.get_markerfacecolor() == "none"
    ]


def test_rings_are_where_the_law_puts_the_named_model(runs: list[TuningRun]) -> None:
    off = {size: (-1) ** place * 0.2 for place, size in enumerate(sorted({r.model for r in runs}))}
    own = [replace(r, loss=(r.loss or 0) * float(np.exp(off[r.model]))) for r in runs]
    full = [run for run in own if run.tuning.method == "full"]
    held = sorted({run.flops for run in full})[2]
    laws = fit_laws([r for r in full if r.flops != held], "hoffmann", n_bootstrap=20, n_starts=2)
    # a search of rates in a cell fitted to is no run that the law has not seen
    tried = replace(full[0], key="tried", settings={**full[0].settings, "lr": 1.0}, loss=9.0)
    left = axes_of(laws, "predicted", [*full, tried])[0]
    rings = [line for line in left.lines if line.get_markerfacecolor() == "none"]
    drawn = {ring.get_xdata()[0]: ring.get_ydata()[0] for ring in rings}
    unseen = [run for run in full if run.flops == held]
    assert sorted(drawn) == losses_of(unseen)
    for run in unseen:
        # the law alone is about 20 % off
        assert drawn[run.loss] == pytest.approx(run.loss, rel=0.08)


def test_pictures_are_written_as_png_files_and_a_plan_marks_its_budget(
    laws: FittedLaws, tmp_path: Path
) -> None:
    paths = list(write_law_pictures(laws, tmp_path / "new", asked=1e17))
    assert [path.name for path in paths] == [
        "isoflop.png", "loss-budget.png", "optimal-size.png", "predicted.png",
    ]  # fmt: skip
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    plan = predicted_plan()
    titles = [picture.title for picture in draw_plan_pictures(plan, laws)]
    assert titles[0] == "Candidates"
    assert len(titles) == 5
