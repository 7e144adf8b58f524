from __future__ import annotations

from dataclasses import replace

import pytest

from tests.reporting.conftest import make_multilingual, make_run
from vecsmith.reporting.pages.terminal import terminal_text
from vecsmith.reporting.summary import build_report
from vecsmith.results import EvalResult
from vecsmith.results.rendering import text_width

Pair = tuple[EvalResult, EvalResult]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_lines_fit_the_terminal(pair: Pair, width: int) -> None:
    report = build_report(pair)
    assert max(map(text_width, terminal_text(report, width=width).splitlines())) <= width


def test_the_verdict_comes_first_and_figures_are_those_of_the_records(pair: Pair) -> None:
    text = terminal_text(build_report(pair), width=160)
    assert text.startswith("A (minilm-256) is better than B (other)")
    low, high = pair[0].interval("STS")
    line = next(line for line in text.splitlines() if line.startswith("STS, Spearman"))
    assert f"{100 * pair[0].average('STS'):.1f} ±{50 * (high - low):.1f}" in line
    assert line.endswith("better")


@pytest.mark.parametrize("width", [80, 120])
def test_names_of_averages_are_whole(pair: Pair, width: int) -> None:
    lines = terminal_text(build_report(pair), width=width).splitlines()
    assert any(line.startswith("pair classification, average precision ") for line in lines)


def test_retention_is_printed_and_says_over_what(pair: Pair) -> None:
    text = terminal_text(build_report(pair), width=160)
    kept = pair[0].retention("all-MiniLM-L6-v2").mean.value or 0
    line = next(x for x in text.splitlines() if x.startswith("mean over named groups"))
    assert line.split("groups")[1].split()[0] == f"{100 * kept:.1f}"


def test_columns_stand_under_each_other_in_any_script() -> None:
    runs = [make_multilingual(name, seed=seed) for seed, name in enumerate(("한국어", "b"))]
    lines = terminal_text(build_report(runs), width=160).splitlines()
    ends = [
        text_width(line[: line.index(unit) + len(unit)])
        for start, unit in (("긴-한국어", " sentences"), ("xquad[ar]", " queries"))
        for line in lines
        if line.startswith(start) and unit in line
    ]
    assert len(ends) > 2
    assert len(set(ends)) == 1


def test_control_characters_never_reach_the_terminal() -> None:
    evil = "\x1b[2J\x07\u202e[red]x"
    runs = [replace(make_run(evil, seed=seed), date="") for seed in (1, 2)]
    task = replace(runs[0].tasks["stsb"], name=evil, language=evil)
    runs = [replace(run, tasks={**run.tasks, evil: task}) for run in runs]
    text = terminal_text(build_report(runs))
    assert not set(text) & set("\x1b\x07\u202e")
    assert "[red]x" in text
