"""Pictures of tuning runs and of the laws fitted to them."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")

from vecsmith.reporting.pictures.drawing import png_bytes, svg_bytes
from vecsmith.reporting.pictures.isoflop import Profile, isoflop_figure
from vecsmith.reporting.pictures.loss_budget import Crossing, MethodLosses, loss_budget_figure
from vecsmith.reporting.pictures.optimal_size import MethodSizes, optimal_size_figure
from vecsmith.reporting.pictures.predicted import PredictedRun, predicted_figure
from vecsmith.reporting.pictures.scales import Banded, factor_limits, factor_ticks, method_looks

BUDGETS = (1.5e15, 6e15, 2.4e16)
SIZES = (1.2e6, 4.7e6, 1.9e7)
STRANGE = "$\\frac{1}{0}$ 猫" * 20


def profiles() -> list[Profile]:
    return [
        Profile(
            flops=flops,
            points=[
                (size, 2.0 - 0.1 * place + abs(k - place) / 10) for k, size in enumerate(SIZES)
            ],
            curve=[(2e6, 2.0), (5e6, 1.9)] if place else (),
            best=(4e6, 1.85) if place else None,
        )
        for place, flops in enumerate(BUDGETS)
    ]


def test_each_run_of_a_profile_is_a_mark_and_panels_share_their_scales() -> None:
    # given in no order: the key goes from the smallest budget to the largest
    figure = isoflop_figure({"full": profiles()[::-1], "lora": profiles()[:1]})
    assert figure is not None
    full, lora = figure.axes
    assert full.get_xlim() == lora.get_xlim()
    assert full.get_ylim() == lora.get_ylim()
    assert [t.get_text() for t in figure.texts[2:]] == ["1.5e15 FLOP", "6e15 FLOP", "2.4e16 FLOP"]
    marks, joined = full.lines[:2]
    np.testing.assert_allclose(marks.get_xdata(), SIZES)
    np.testing.assert_allclose(marks.get_ydata(), [loss for _, loss in profiles()[0].points])
    # without a parabola the best runs are joined
    np.testing.assert_allclose(joined.get_ydata(), marks.get_ydata())
    ring = full.lines[4]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (4e6, 1.85)
    assert lora.get_title(loc="left") == "LoRA"


def test_of_several_seeds_the_joined_line_takes_the_best() -> None:
    points = [(1e6, 2.2), (1e6, 2.0), (3e6, 1.5), (1e6, 2.1)]
    figure = isoflop_figure({"full": [Profile(flops=1e15, points=points)]})
    assert figure is not None
    marks, joined = figure.axes[0].lines
    assert len(marks.get_xdata()) == 4
    assert list(zip(joined.get_xdata(), joined.get_ydata(), strict=True)) == [
        (1e6, 2.0),
        (3e6, 1.5),
    ]


def losses(first: float, slope: float) -> MethodLosses:
    line = [first * (flops / BUDGETS[0]) ** slope for flops in (*BUDGETS, 1e17)]
    return MethodLosses(
        best=list(zip(BUDGETS, line[:3], strict=True)),
        others=[(BUDGETS[0], 3.0)],
        line=[
            Banded(flops, loss, 0.97 * loss, 1.02 * loss)
            for flops, loss in zip((*BUDGETS, 1e17), line, strict=True)
        ],
    )


def test_the_second_panel_is_the_percentage_above_the_best_method() -> None:
    methods = {"full": losses(2.0, -0.2), "lora": losses(2.5, -0.3)}
    figure = loss_budget_figure(methods, crossings=[Crossing(words="crosses", flops=1.4e16)])
    assert figure is not None
    left, right = figure.axes
    assert left.get_xscale() == left.get_yscale() == "log"
    marks = [line for line in right.lines if line.get_marker() == "s"]
    expected = [100 * (2.5 * 4.0 ** (-0.1 * k) / 2.0 - 1) for k in range(3)]
    full_is_best = [max(0.0, value) for value in expected]
    np.testing.assert_allclose(marks[0].get_ydata(), full_is_best, atol=1e-9)
    assert any("1.4e16: crosses" in text.get_text() for text in left.texts)


def test_a_line_is_bold_where_runs_were_and_thin_beyond_them() -> None:
    own = losses(2.0, -0.2)
    figure = loss_budget_figure({"full": MethodLosses(best=own.best[1:], line=own.line)})
    assert figure is not None
    drawn = [line for line in figure.axes[0].lines if line.get_marker() == "None"]
    stretches = [(line.get_linewidth(), list(line.get_xdata())) for line in drawn]
    assert stretches == [
        (0.9, [1.5e15, 6e15]),
        (2.0, [6e15, 2.4e16]),
        (0.9, [2.4e16, 1e17]),
    ]


def test_the_band_of_a_line_is_its_interval() -> None:
    own = losses(2.0, -0.2)
    figure = loss_budget_figure({"full": own})
    assert figure is not None
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(min(p.low or 0 for p in own.line))
    assert band.max() == pytest.approx(max(p.high or 0 for p in own.line))


def test_a_crossing_off_the_scale_is_left_out_and_a_wide_interval_cut() -> None:
    crossings = [
        Crossing(words="far away", flops=1e25),
        Crossing(words="here", flops=6e15, low=1e3, high=1e30),
    ]
    figure = loss_budget_figure({"full": losses(2.0, -0.2)}, crossings=crossings)
    assert figure is not None
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["6e15: here"]
    assert axes.get_xlim()[1] < 1e18


def test_sizes_of_the_best_runs_stand_at_their_height_beside_the_models_there_are() -> None:
    figure = optimal_size_figure(
        {
            "full": MethodSizes(best=list(zip(BUDGETS, SIZES, strict=True))),
            "lora": MethodSizes(line=[Banded(1e15, 2e6), Banded(1e17, 3e7)]),
        },
        models={"EleutherAI/pythia-31m": 4_739_072, "far-larger": 1e12},
        asked=1e16,
    )
    assert figure is not None
    (axes,) = figure.axes
    marks = next(line for line in axes.lines if line.get_marker() == "o")
    np.testing.assert_allclose(marks.get_ydata(), SIZES)
    # methods stand beside each other, by less than a tenth of a budget step
    np.testing.assert_allclose(marks.get_xdata(), BUDGETS, rtol=0.1)
    words = [text.get_text() for text in axes.texts]
    assert "pythia-31m" in words
    assert "1e16: asked" in words
    assert "far-larger" not in words


def test_predictions_stand_beside_what_was_measured_and_unseen_runs_are_rings() -> None:
    runs = [
        PredictedRun(flops=1e15, measured=2.0, predicted=2.1),
        PredictedRun(flops=1e16, measured=1.0, predicted=0.96, low=0.9, high=1.0, is_held_out=True),
    ]
    figure = predicted_figure({"lora": runs})
    assert figure is not None
    left, right = figure.axes
    assert left.get_xlim() == left.get_ylim()
    marks = [line for line in left.lines if line.get_marker() == "s"]
    assert [(m.get_xdata()[0], m.get_ydata()[0]) for m in marks] == [(2.0, 2.1), (1.0, 0.96)]
    assert [m.get_markerfacecolor() == "none" for m in marks] == [False, True]
    errors = [m.get_ydata()[0] for m in right.lines if m.get_marker() == "s"]
    np.testing.assert_allclose(errors, [5.0, -4.0])
    bar = next(line for line in right.lines if len(line.get_xdata()) == 2 and line.get_alpha())
    np.testing.assert_allclose(bar.get_ydata(), [-10.0, 0.0], atol=1e-9)


@pytest.mark.parametrize("within", [0.0, 1.0, math.nan])
def test_a_strip_of_no_width_is_refused(within: float) -> None:
    with pytest.raises(ValueError, match="expected between 0 and 1"):
        predicted_figure({}, within=within)


def test_there_is_no_picture_of_no_runs() -> None:
    gone = [(1e6, math.nan), (0.0, 1.0), (1e6, -1.0), (math.inf, 1.0)]
    assert isoflop_figure({}) is None
    assert isoflop_figure({"full": [Profile(flops=1e15, points=gone)]}) is None
    assert loss_budget_figure({"full": MethodLosses(best=gone)}) is None
    assert optimal_size_figure({"full": MethodSizes(best=gone)}) is None
    lost = PredictedRun(flops=1e15, measured=1.0, predicted=math.nan)
    assert predicted_figure({"full": [lost]}) is None


def test_one_run_alone_and_strange_names_are_drawn() -> None:
    figures = [
        isoflop_figure({STRANGE: [Profile(flops=1e15, points=[(1e6, 1.0)])]}, title=STRANGE),
        loss_budget_figure(
            {STRANGE: MethodLosses(best=[(1e15, 1.0)])},
            crossings=[Crossing(words=STRANGE, flops=1e15)],
            title=STRANGE,
        ),
        optimal_size_figure(
            {STRANGE: MethodSizes(best=[(1e15, 1e6)])}, models={STRANGE: 1e6}, title=STRANGE
        ),
        predicted_figure({STRANGE: [PredictedRun(flops=1.0, measured=1.0, predicted=1.0)]}),
    ]
    assert all(png_bytes(figure).startswith(b"\x89PNG") for figure in figures)


def test_equal_figures_give_equal_bytes() -> None:
    runs = {"full": [PredictedRun(flops=1.0, measured=1.0, predicted=1.0)]}
    assert svg_bytes(predicted_figure(runs)) == svg_bytes(predicted_figure(runs))


def test_a_method_looks_alike_whatever_is_drawn_beside_it() -> None:
    alone, beside = method_looks(["lora"]), method_looks(["full", "bias", "lora", "static"])
    assert alone["lora"] == beside["lora"]
    assert len({(look.color, look.marker) for look in beside.values()}) == 4


@pytest.mark.parametrize(
    ("low", "high"),
    [(1.4e15, 1.6e18), (0.5, 4.0), (0.99, 1.01), (3.1, 3.4), (1e-3, 1e30), (9.9e5, 1.1e6)],
)
def test_ticks_are_inside_and_at_least_two_and_few(low: float, high: float) -> None:
    ticks = factor_ticks(low, high, 7)
    assert 2 <= len(ticks) <= 7
    assert all(low <= tick <= high for tick in ticks)
    assert ticks == sorted(ticks)


def test_limits_of_equal_values_are_apart_and_hold_them() -> None:
    low, high = factor_limits([2.0, 2.0])
    assert low < 2.0 < high
    assert high / low >= 1.1
