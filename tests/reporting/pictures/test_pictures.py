from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import combinations, pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text

from tests.reporting.conftest import make_baselines, make_multilingual, make_run
from vecsmith.reporting.pictures import Picture, draw_pictures
from vecsmith.reporting.pictures.drawing import looks
from vecsmith.reporting.report import Report
from vecsmith.reporting.summary import build_report
from vecsmith.results import EvalResult, Scores, View

VIEWS = tuple(View(dim, precision) for dim in (256, 64) for precision in ("float32", "binary"))
NAMES = (
    "minilm-256",
    "a/very-long-organisation-name/and-a-model-name-that-goes-on-and-on-v2.1-final-final",
    "한국어-모델",
    r"$\frac{1}{2}$ <b>_x_",
    "نموذج",
    "f",
)


@cache
def many_models() -> Report:
    baselines = make_baselines()
    runs = [
        make_run(name, 0.6 + place / 500, seed=place, views=VIEWS, rate=1e5 * (1 + place / 50),
                 model_bytes=10**7 * (1 + place), baselines=baselines)
        for place, name in enumerate(NAMES)
    ]  # fmt: skip
    return build_report(runs)


@cache
def two_models() -> Report:
    baselines = make_baselines()
    runs = [make_run("minilm-256", seed=1, baselines=baselines), make_run("other", seed=2)]
    return build_report(runs)


def many_languages() -> Report:
    runs = [make_multilingual(name, seed=seed) for seed, name in enumerate(NAMES[:3])]
    return build_report(runs)


@pytest.fixture(scope="module", params=[two_models, many_models, many_languages])
def pictures(request: pytest.FixtureRequest) -> list[Picture]:
    return list(draw_pictures(request.param()))


def drawn_texts(figure: Any) -> list[tuple[str, Any]]:
    """Every text that is drawn, with its box in pixels."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    beyond = {label for axes in figure.axes for label in _labels_beyond(axes)}
    return [
        (text.get_text(), Text.get_window_extent(text, renderer))
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in beyond
    ]


def _labels_beyond(axes: Any) -> Iterator[Text]:
    """Labels of ticks beyond the limits, which matplotlib keeps but does not draw."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not low <= tick.get_loc() <= high:
                yield tick.label1


def overlap(one: Any, other: Any) -> float:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return float(max(0, width - 1) * max(0, height - 3))  # lines of text may touch


def test_no_text_covers_another(pictures: Sequence[Picture]) -> None:
    for picture in pictures:
        for (one, box), (other, other_box) in combinations(drawn_texts(picture.figure), 2):
            assert overlap(box, other_box) == 0, f"{picture.stem}: {one!r} and {other!r}"


def test_all_text_is_inside_the_picture(pictures: Sequence[Picture]) -> None:
    for picture in pictures:
        width, height = picture.figure.bbox.width, picture.figure.bbox.height
        for text, box in drawn_texts(picture.figure):
            inside = box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height
            assert inside, f"{picture.stem}: {text!r}"


def test_names_of_points_do_not_cover_points() -> None:
    for report in (two_models(), many_models()):
        figure = next(p for p in draw_pictures(report) if p.stem == "speed").figure
        (axes,) = figure.axes
        names = {text: box for text, box in drawn_texts(figure) if text[:2].strip().isupper()}
        assert len(names) >= 3
        for points in axes.collections:
            (x, y), (area,) = axes.transData.transform(points.get_offsets())[0], points.get_sizes()
            reach = 0.9 * np.sqrt(area) / 2 * figure.dpi / 72
            for name, box in names.items():
                nearest = np.clip(x, box.x0, box.x1), np.clip(y, box.y0, box.y1)
                assert np.hypot(nearest[0] - x, nearest[1] - y) >= reach, name


def test_every_picture_says_what_it_shows_and_in_which_unit(pictures: Sequence[Picture]) -> None:
    units = {"dims": "dims", "bytes": "bytes per vector", "speed": "texts per second"}
    for picture in pictures:
        texts = [text for text, _ in drawn_texts(picture.figure)]
        assert picture.title in texts
        assert any("95 % intervals" in text for text in texts)
        assert units.get(picture.stem, "100 %") in texts


def test_names_are_never_read_as_mathematics() -> None:
    figure = next(draw_pictures(many_models())).figure
    assert any(r"$\frac{1}{2}$ <b>_x_" in text for text, _ in drawn_texts(figure))


def test_a_name_without_glyphs_is_shown_by_its_letter() -> None:
    figure = next(draw_pictures(many_models())).figure
    texts = [text for text, _ in drawn_texts(figure)]
    assert "C" in texts
    assert not any("한" in text for text in texts)


def test_points_and_intervals_are_the_figures_of_the_report() -> None:
    report = two_models()
    figure = next(draw_pictures(report)).figure
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == "STS")
    line = next(line for line in axes.lines if len(line.get_xdata()) == 4)
    expected = sorted((p.view.dim, p.scores["group", "STS"]) for p in report.contenders[0].views)
    assert line.get_ydata() == pytest.approx([100 * e.value for _, e in expected])
    bars = [line.get_ydata() for line in axes.lines if len(set(line.get_xdata())) == 1]
    for _, estimate in expected:
        assert any(
            np.allclose(bar, [100 * (estimate.low or 0), 100 * (estimate.high or 0)])
            for bar in bars
        )


def test_a_level_far_off_does_not_flatten_the_lines() -> None:
    awful = make_run("random", 0.1, seed=9, views=(View(256),))
    runs = [make_run("a", seed=1, baselines=[awful]), make_run("b", seed=2)]
    figure = next(draw_pictures(build_report(runs))).figure
    axes = figure.axes[0]
    assert axes.get_ylim()[0] > 40
    assert any("outside: C" in text for text, _ in drawn_texts(figure))


def test_a_baseline_far_below_is_named_under_the_picture_of_speed() -> None:
    awful = make_run("random", 0.1, seed=9, views=(View(256),))
    runs = [make_run("a", seed=1, baselines=[awful]), make_run("b", seed=2)]
    figure = next(p for p in draw_pictures(build_report(runs)) if p.stem == "speed").figure
    assert len(figure.axes[0].collections) == 2
    assert any(text.startswith("below: C  random ") for text, _ in drawn_texts(figure))


def steps(*runs: EvalResult) -> list[Any]:
    """The dashed stepped lines in the picture of speed."""
    figure = next(p for p in draw_pictures(build_report(runs)) if p.stem == "speed").figure
    return [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]


def with_turns(run: EvalResult, *turns: float, run_id: str = "1" * 32) -> EvalResult:
    speed = replace(run.speed, texts_per_second=float(np.median(turns)), turns=turns)
    return replace(run, speed=speed, run=run_id)


def test_no_line_joins_speeds_that_cannot_be_ranked() -> None:
    slow, fast = make_run("slow and good", 0.8, seed=1), make_run("fast", 0.5, seed=2)
    apart = with_turns(slow, 90, 100, 110), with_turns(fast, 900, 1000, 1100)
    assert [len(line.get_xdata()) for line in steps(*apart)] == [5]
    overlapping = with_turns(slow, 90, 100, 950), with_turns(fast, 900, 1000, 1100)
    ends = [(min(x), max(x)) for x in (line.get_xdata() for line in steps(*overlapping))]
    assert all(not low <= 500 <= high for low, high in ends)
    other_run = with_turns(slow, 90, 100, 110, run_id="2" * 32), apart[1]
    assert steps(*other_run) == []


def test_equal_scores_are_written_whole() -> None:
    runs = [make_run(name, 0.6, seed=1, views=VIEWS) for name in "ab"]
    tasks = {
        name: replace(
            task,
            scores={
                view: Scores(figures={task.metric: 0.6205}, items=np.full(task.n_items, 0.6205))
                for view in VIEWS
            },
        )
        for name, task in runs[0].tasks.items()
        if task.statistic == "mean"
    }
    for picture in draw_pictures(build_report([replace(r, tasks=tasks, groups={}) for r in runs])):
        texts = [text for text, _ in drawn_texts(picture.figure)]
        assert not [text for text in texts if "e+" in text or text.startswith("+")]
        for axes in picture.figure.axes:
            low, high = axes.get_ylim()
            assert low < 62.05 < high
            assert high - low >= 2


def test_what_there_is_nothing_of_is_not_drawn() -> None:
    def stems(*runs: EvalResult) -> list[str]:
        return [picture.stem for picture in draw_pictures(build_report(runs))]

    one_size = partial(make_run, views=(View(256),), rate=None)
    assert stems(one_size("a"), one_size("b")) == []
    assert stems(make_run("a"), make_run("b")) == ["dims", "speed"]
    assert "bytes" in stems(make_run("a", views=VIEWS), make_run("b", views=VIEWS))


def test_neighbouring_models_differ_in_grey_and_in_more_than_colour() -> None:
    report = many_models()
    found = looks(report.contenders)
    runs = found[: len(NAMES)]
    lightness = [np.dot([0.299, 0.587, 0.114], _rgb(look.color)) for look in runs]
    assert all(abs(a - b) > 30 for a, b in pairwise(lightness))
    assert len({look.marker for look in runs}) == len({str(look.line) for look in runs}) == 6
    assert len({look.hatch for look in runs}) == 6


def _rgb(color: str) -> list[int]:
    return [int(color[place : place + 2], 16) for place in (1, 3, 5)]


def test_pictures_do_not_depend_on_the_users_settings() -> None:
    report = two_models()
    plain = [(picture.png(), picture.svg()) for picture in draw_pictures(report)]
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "none"}):
        assert [(each.png(), each.svg()) for each in draw_pictures(report)] == plain


def test_intervals_that_are_missing_are_left_out() -> None:
    report = two_models()
    bare = tuple(
        replace(
            contender,
            views=tuple(
                replace(
                    point,
                    scores={k: replace(e, low=None, high=None) for k, e in point.scores.items()},
                )
                for point in contender.views
            ),
        )
        for contender in report.contenders
    )
    axes = next(draw_pictures(replace(report, contenders=bare))).figure.axes[0]
    assert sum(len(line.get_xdata()) == 4 for line in axes.lines) == 2
    assert not [line for line in axes.lines if len(set(line.get_xdata())) == 1]
