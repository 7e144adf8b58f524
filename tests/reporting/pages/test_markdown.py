from __future__ import annotations

import re
from dataclasses import replace

from tests.reporting.conftest import make_run
from vecsmith.reporting.pages.markdown import markdown_page
from vecsmith.reporting.report import Neighbor, NeighborList
from vecsmith.reporting.summary import build_report, with_neighbors
from vecsmith.results import EvalResult

Pair = tuple[EvalResult, EvalResult]


def tables(page: str) -> list[list[list[str]]]:
    """Cells of each table; a cell ends at a bar that is not escaped."""
    found: list[list[list[str]]] = []
    inside = False
    for line in page.splitlines():
        if line.startswith("|"):
            if not inside:
                found.append([])
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        inside = line.startswith("|")
    return found


def test_scores_are_those_of_the_records_and_every_row_is_whole(pair: Pair) -> None:
    found = tables(markdown_page(build_report(pair), {}))
    assert len(found) == 6
    for table in found:
        assert {len(row) for row in table} == {len(table[0])}
    averages = {row[0]: row for row in found[0]}
    low, high = pair[0].interval("STS")
    assert averages["STS, Spearman"][3] == (
        f"{100 * pair[0].average('STS'):.1f} ({100 * low:.1f} to {100 * high:.1f})"
    )
    tasks = {row[0]: row for row in found[-1]}
    for name, task in pair[0].tasks.items():
        assert tasks[name][2].startswith(f"{100 * task.score():.1f} (")


def test_sets_left_out_are_listed_with_the_reason(pair: Pair) -> None:
    skipped = {"papers": "material | to train on"}
    first = replace(pair[0], settings={**pair[0].settings, "skipped": skipped})
    page = markdown_page(build_report([first, pair[1]]), {})
    assert "| papers | A | material \\| to train on |" in page.splitlines()


def test_pictures_are_named_by_relative_path_or_left_out(pair: Pair) -> None:
    report = build_report(pair)
    assert "![Retention](r-retention.png)" in markdown_page(
        report, {"Retention": "r-retention.png"}
    )
    assert "![" not in markdown_page(report, {})


def test_hostile_names_break_no_table_and_make_no_markup() -> None:
    evil = "a|b\n| c |\n<script>x</script> [l](javascript:x) ![i](http://x/y.png) *b*"
    runs = [replace(make_run(evil, seed=seed), date=evil) for seed in (1, 2)]
    task = replace(runs[0].tasks["stsb"], name=evil, notes=(evil,))
    runs = [replace(run, tasks={**run.tasks, evil: task}) for run in runs]
    neighbor = NeighborList(
        task=evil,
        query=evil,
        n_relevant=1,
        scores={},
        found={"A": (Neighbor(text=evil, is_relevant=True),), "B": ()},
    )
    page = markdown_page(with_neighbors(build_report(runs), [neighbor]), {})
    assert "<" not in page
    assert not re.search(r"(?<!\\)\[", page)
    assert "http://" not in page
    for table in tables(page):
        assert {len(row) for row in table} == {len(table[0])}


def test_verdict_and_caveats_come_before_the_tables(pair: Pair) -> None:
    first, second = pair
    later = replace(second, run="2" * 32)
    lines = markdown_page(build_report([first, later]), {}).splitlines()
    assert lines[0] == "# **A** minilm-256 against **B** other"
    verdict = next(place for place, line in enumerate(lines) if "is better than" in line)
    caveat = next(place for place, line in enumerate(lines) if line.startswith("> Speeds"))
    assert verdict < caveat < lines.index("## Averages")
