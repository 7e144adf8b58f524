from __future__ import annotations

import base64
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.reporting.conftest import make_baselines, make_run, make_task
from tests.reporting.html_checks import Page, take_apart
from vecsmith.reporting.pages.page import html_page
from vecsmith.reporting.pictures import draw_pictures
from vecsmith.reporting.report import Neighbor, NeighborList
from vecsmith.reporting.summary import build_report, with_neighbors
from vecsmith.results import EvalResult, View
from vecsmith.results.comparison import compare

Pair = tuple[EvalResult, EvalResult]


def shown(value: float) -> str:
    return f"{100 * value:.1f}".replace("-", "−")


def open_page(*runs: EvalResult) -> Page:
    page = take_apart(html_page(build_report(runs), {}))
    assert page.problems == []
    return page


def test_averages_and_intervals_are_those_of_the_records(pair: Pair) -> None:
    first, second = pair
    page = open_page(*pair)
    for name in ("STS", "RET", "CLS"):
        cells = page.row(name)
        assert cells[2] == f"{sum(first.tasks[t].n_items for t in first.groups[name]):,}".replace(
            ",", "\N{NARROW NO-BREAK SPACE}"
        )
        for cell, run in zip(cells[3:5], pair, strict=True):
            low, high = run.interval(name)
            assert cell == f"{shown(run.average(name))}{shown(low)} to {shown(high)}"
        row = next(row for row in compare(first, second).groups if row.name == name)
        assert shown(row.test.difference) in cells[-1]
        assert row.verdict in cells[-1]
    assert page.row("all sets")[3].startswith(shown(first.average()))
    assert page.row("all families")[3].startswith(shown(first.average("families")))


def test_every_task_is_there_with_its_items_scores_and_verdict(pair: Pair) -> None:
    page = open_page(*pair)
    tasks = len(page.tables) - 1
    verdicts = {row.name: row.verdict for row in compare(*pair).tasks}
    for name, task in pair[0].tasks.items():
        cells = page.row(name, tasks)
        assert cells[1].split()[-1] == task.unit
        assert cells[2].startswith(shown(task.score()))
        assert cells[3].startswith(shown(pair[1].tasks[name].score()))
        assert verdicts[name] in cells[-1]


def test_retention_and_cost_are_those_of_the_records(pair: Pair) -> None:
    page = open_page(*pair)
    kept = pair[0].retention("all-MiniLM-L6-v2")
    assert page.row("STS", 2)[1].startswith(shown(kept.of("STS").value or 0))
    assert page.row("mean over named groups", 2)[1].startswith(shown(kept.mean.value or 0))
    words = page.row("A minilm-256", 1)
    assert [" ".join(word.split()) for word in words[1:]] == [
        *("256 float32", "1 024", "1.0 GB", "31.0 MB", "150 000", "250 MB")
    ]


def test_a_baseline_has_no_average_over_sets_that_it_did_not_run(pair: Pair) -> None:
    page = open_page(*pair)
    bm25 = page.tables[0][0].index("Dbm25")
    assert page.row("all sets")[bm25] == page.row("STS")[bm25] == "–"
    assert page.row("RET")[bm25] != "–"


def test_every_view_has_a_line_with_its_bytes(pair: Pair) -> None:
    page = open_page(*pair)
    table = page.tables[3]
    found = {row[0]: row for row in table}
    for dim in (256, 128, 64, 32):
        cells = found[f"{dim} float32"]
        assert int("".join(filter(str.isdigit, cells[1]))) == 4 * dim
        assert cells[3].startswith(shown(pair[0].average(view=View(dim))))


def test_the_verdict_stands_before_the_tables(pair: Pair) -> None:
    page = open_page(*pair)
    assert page.words.index("A (minilm-256) is better than B (other)") < page.words.index(
        "Averages"
    )
    assert "No difference shown on" in page.words


def test_hostile_names_and_texts_show_as_they_are_and_do_nothing() -> None:
    evil = "\"><script>alert(1)</script><img src=x onerror='x'>&amp;\x00\x1b[2J\u202e\ud800"
    first, second = (
        replace(
            make_run(f"{evil}{letter}", sets=(), seed=place),
            tasks={
                evil: make_task(
                    evil, "retrieval", evil, 20, quality=0.5, seed=place, notes=(evil, evil)
                )
            },
            groups={evil: (evil,)},
            settings={"tasks": [evil], "dims": {"x": evil}, "split": evil},
            machine={"cpu": evil, "cores": evil},
            versions={evil: evil},
            date=evil,
            fingerprint=evil,
        )
        for place, letter in enumerate("ab")
    )
    neighbor = Neighbor(text=evil * 300, is_relevant=True)
    listed = NeighborList(
        task=evil,
        query=evil,
        n_relevant=1,
        scores={"A": 0.5, "B": 1.0},
        found={"A": (neighbor,), "B": (Neighbor(text="", is_relevant=False),)},
    )
    report = with_neighbors(build_report([first, second]), [listed], evil)
    pictures = {picture.title: picture.svg() for picture in draw_pictures(report)}
    written = html_page(report, pictures)
    page = take_apart(written)
    assert page.problems == []
    assert {tag for tag, _ in page.tags} >= {"img", "table"}
    assert "<script>alert(1)</script>" in page.text
    assert not re.search(r"[\x00\x1b\u202e\ud800]", written)
    written.encode()


def test_the_pictures_in_the_page_are_images_that_fetch_and_run_nothing(pair: Pair) -> None:
    report = build_report(pair)
    pictures = {picture.title: picture.svg() for picture in draw_pictures(report)}
    page = take_apart(html_page(report, pictures))
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == len(pictures) >= 3
    for source in sources:
        root = ElementTree.fromstring(base64.b64decode(source.split(",")[1]))
        for node in root.iter():
            assert not str(node.tag).endswith(("script", "foreignObject", "image"))
            for name, value in node.attrib.items():
                assert not name.endswith("href") or value.startswith("#")


def test_the_page_forbids_itself_to_fetch_anything(pair: Pair) -> None:
    written = html_page(build_report(pair), {})
    assert "default-src &#x27;none&#x27;" in written
    assert not re.search(r"https?://", written)


def test_equal_runs_give_equal_pages() -> None:
    def write() -> str:
        runs = [make_run("a", seed=1, baselines=make_baselines()), make_run("b", seed=2)]
        report = build_report(runs)
        return html_page(report, {each.title: each.svg() for each in draw_pictures(report)})

    assert write() == write()


def test_neighbors_stand_side_by_side_with_the_relevant_ones_marked(pair: Pair) -> None:
    listed = NeighborList(
        task="scifact",
        query="does it rain",
        n_relevant=2,
        scores={"A": 1.0, "B": 0.0},
        found={
            "A": (Neighbor(text="it rains", is_relevant=True),),
            "B": (Neighbor(text="a cat", is_relevant=False), Neighbor(text="", is_relevant=False)),
        },
    )
    page = take_apart(html_page(with_neighbors(build_report(pair), [listed]), {}))
    assert page.problems == []
    assert "does it rain" in page.words
    assert "scifact, 2 documents judged relevant" in page.words
    marked = [a for tag, a in page.tags if tag == "li" and a.get("class") == "relevant"]
    assert len(marked) == 1
    assert "✓ relevant it rains" in page.words


def test_sets_left_out_are_listed_with_the_reason(pair: Pair) -> None:
    skipped = {"papers": "material <to> train on"}
    first = replace(pair[0], settings={**pair[0].settings, "skipped": skipped})
    page = open_page(first, pair[1])
    assert page.row("papers", len(page.tables) - 1) == ["papers", "A", "material <to> train on"]


def test_a_task_on_other_texts_has_no_figure_beside_the_others(pair: Pair) -> None:
    first, second = pair
    other = replace(second.tasks["scifact"], data_hash="changed")
    page = open_page(first, replace(second, tasks={**second.tasks, "scifact": other}))
    cells = page.row("scifact", len(page.tables) - 1)
    assert cells[2].startswith(shown(first.tasks["scifact"].score()))
    assert cells[3] == "other texts: not compared"


def test_a_speed_comes_with_its_slowest_and_fastest_turn(pair: Pair) -> None:
    speed = replace(pair[0].speed, turns=(140_000.0, 150_000.0, 163_000.0))
    words = open_page(replace(pair[0], speed=speed), pair[1]).row("A minilm-256", 1)[5]
    assert " ".join(words.split()) == "150 000140 000 to 163 000"


def test_why_there_are_no_neighbors_is_said(pair: Pair) -> None:
    report = with_neighbors(build_report(pair), [], "The sets have gone.")
    assert "The sets have gone." in take_apart(html_page(report, {})).words


@pytest.mark.parametrize("views", [(View(256),), (View(64), View(32))])
def test_a_page_of_one_family_and_no_speed_is_whole(views: tuple[View, ...]) -> None:
    runs = [
        make_run(
            name, quality, seed=seed, sets=(("stsb", "similarity", None, 50),), views=views,
            groups={}, rate=None, model_bytes=None,
        )
        for name, quality, seed in (("a", 0.6, 1), ("b", 0.6, 2))
    ]  # fmt: skip
    page = open_page(*runs)
    assert page.row("all sets")[1] == "1"
    assert "on the one set both ran" in page.words
