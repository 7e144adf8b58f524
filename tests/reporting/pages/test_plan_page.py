"""The page of a plan."""

from __future__ import annotations

import base64
import html
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.reporting.html_checks import Page, take_apart
from tests.reporting.plans import predicted_plan, served_plan
from vecsmith.errors import MissingExtraError
from vecsmith.planning.choosing.budget import Budget
from vecsmith.planning.choosing.feasibility import Refusal
from vecsmith.planning.choosing.plan import Plan
from vecsmith.planning.choosing.planner import make_plan
from vecsmith.planning.choosing.presets import Constant
from vecsmith.planning.choosing.statics import static_alternative
from vecsmith.reporting import plan_page
from vecsmith.results.tuning import Tuning

MARKUP = "<script>alert('x')</script><b onclick=\"x\">&amp;\x00\u202e"


def open_page(plan: Plan) -> Page:
    page = take_apart(plan_page(plan, pictures={}))
    assert page.problems == []
    return page


def plain(words: str) -> str:
    """The words, thousands apart by nothing."""
    return words.replace("\N{NARROW NO-BREAK SPACE}", "")


def cell(page: Page, name: str, table: int = 0) -> str:
    return plain(page.row(name, table)[1])


def test_the_settings_are_those_that_the_plans_file_gives_to_a_run() -> None:
    plan = served_plan()
    page, values = open_page(plan), plan.plain()
    assert cell(page, "base model") == values["model"]
    assert cell(page, "rank") == f"{values['rank']}"
    assert cell(page, "alpha") == f"{values['alpha']:g}"
    for words, name in (
        ("tokens, padding", "tokens"), ("steps", "steps"), ("pairs in a step", "batch_size"),
        ("pairs, with", "pairs"), ("tokens of a text", "max_length"),
    ):  # fmt: skip
        assert cell(page, words) == f"{values[name]}"
    assert float(cell(page, "highest learning rate")) == values["learning_rate"]
    assert float(cell(page, "temperature")) == values["temperature"]
    assert cell(page, "pooling") == values["pooling"]


def test_a_setting_bears_the_mark_and_the_source_of_its_constant() -> None:
    plan = served_plan()
    constants = {constant.name: constant for constant in plan.constants}
    page = open_page(plan)
    for words, name in (("temperature", "temperature"), ("rank", "ranks")):
        constant = constants[name]
        assert page.row(words)[2:] == [constant.mark, constant.source]


def test_a_setting_of_another_value_than_its_constant_bears_no_mark() -> None:
    plan = served_plan()
    assert open_page(plan).row("highest learning rate")[2] == "printed"
    page = open_page(replace(plan, chosen=replace(plan.chosen, learning_rate=0.01)))
    assert page.row("highest learning rate")[2:] == ["", ""]
    small = make_plan(Budget(flops=1e16))
    assert small.chosen.tuning.method == "full"
    assert "a tenth" in open_page(small).row("highest learning rate")[3]


def test_the_first_thing_said_is_what_to_do_and_then_how() -> None:
    plan = served_plan()
    words = open_page(plan).words
    said = words[words.index("Tune ") :]
    assert said.startswith(f"Tune {plan.chosen.model}: LoRA of rank {plan.chosen.tuning.rank}")
    assert "vecsmith run plan.json --pairs pairs.parquet --out runs/" in said
    assert said.index("vecsmith run") < said.index("Why")


def test_every_line_of_the_explanation_and_every_caution_is_there() -> None:
    plan = served_plan()
    words = open_page(plan).words
    for line in (*plan.explanation, *plan.cautions):
        assert line[1:] in words


def test_every_constant_has_a_line_with_mark_and_source() -> None:
    plan = served_plan()
    page = open_page(plan)
    lines = page.tables[-1][1:]
    assert len(lines) == len(plan.constants)
    for line, constant in zip(lines, plan.constants, strict=True):
        assert line[2] == constant.mark
        assert line[3].rstrip("…") in " ".join(constant.source.split())


def test_time_energy_and_money_have_a_row_for_each_share_of_the_peak() -> None:
    plan = make_plan(Budget(flops=1e17), price_per_hour=2.0, carbon_intensity=300.0)
    page = open_page(plan)
    head, *rows = page.tables[1]
    assert len(rows) == len(plan.spending) == 3
    for cells, row in zip(rows, plan.spending, strict=True):
        named = dict(zip(head, map(plain, cells), strict=True))
        assert named["share of peak"] == f"{100 * row.mfu:g} %"
        assert named["mark"] == "assumed"
        assert float(named["GPU-hours"]) == pytest.approx(row.gpu_hours, rel=0.006)
        assert float(named["money"]) == pytest.approx(2 * row.gpu_hours, rel=0.006)
        assert row.energy_kwh is not None
        assert float(named["CO2, kg"]) == pytest.approx(0.3 * row.energy_kwh, rel=0.006)


def test_columns_that_nothing_is_known_of_are_left_out() -> None:
    page = open_page(make_plan(Budget(flops=1e17)))
    assert "money" not in page.tables[1][0]
    assert not any("predicted loss" in table[0] for table in page.tables)
    assert "Expected loss" not in page.words
    assert "What serving takes" not in page.words


def test_serving_is_added_to_training_by_model() -> None:
    plan = served_plan()
    page = open_page(plan)
    table = next(table for table in page.tables if "training and serving" in table[0])
    row = next(row for row in table if row[0] == f"{plan.chosen.model}chosen")
    named = dict(zip(table[0], row, strict=True))
    cost = plan.chosen.serving
    assert cost is not None
    total = plan.chosen.device_flops + cost.queries_flops + cost.documents_flops + cost.search_flops
    assert float(named["training and serving"]) == pytest.approx(total, rel=0.006)
    assert named["index"] == f"{1e7 * plan.chosen.dim * 4 / 1e9:.3g} GB"


def test_candidates_come_with_their_predicted_loss_and_its_interval() -> None:
    plan = predicted_plan()
    page = open_page(plan)
    table = next(table for table in page.tables if "predicted loss" in table[0])
    place = table[0].index("predicted loss")
    assert table[1][place] == "1.00000.9500 to 1.0500"
    assert "(beyond the runs)" in table[2][place]
    assert (
        "Expected loss 1.0000, with an interval of 0.9500 to 1.0500; one run will be" in page.words
    )
    assert "between 0.9000 and 1.1000 (90 %)." in page.words
    assert plan.runner_up is not None
    assert plan.runner_up.predicted is not None
    behind = 100 * (plan.runner_up.predicted.loss - 1)
    assert f"({behind:+.2g}%)" in page.words.replace(" ", "").replace("\u202f", "")


def test_what_was_put_aside_is_counted_and_says_why() -> None:
    plan = served_plan()
    page = open_page(plan)
    assert plan.refused
    n_all = len(plan.refused) + len(plan.ranked)
    assert f"{len(plan.refused)} of {n_all} candidates" in page.words
    assert " ".join(plan.refused[0].reason.split()) in page.words


def test_a_static_model_stands_beside_the_plan_with_its_score_or_why_there_is_none() -> None:
    unscored = static_alternative("minilm-256", dim=256, n_bytes=31e6)
    scored = replace(
        unscored, model="scored", verdict="worse", reason="", tuned_model="pythia-70m-tuned",
        score=0.612, tuned_score=0.655, low=-0.051, high=-0.035, n_items=1234,
    )  # fmt: skip
    page = open_page(replace(served_plan(), statics=(unscored, scored)))
    table = next(table for table in page.tables if "against a tuned model" in table[0])
    first, second = (dict(zip(table[0], map(plain, row), strict=True)) for row in table[1:])
    assert first["against a tuned model"] == f"not comparable: {unscored.reason}"
    assert first["its score"] == first["the tuned one's"] == "–"
    # tokens of a query times dims
    assert float(first["FLOP"]) == pytest.approx(14 * 256, rel=0.006)
    assert first["size"] == "31 MB"
    assert second["against a tuned model"] == "worse−5.1 to −3.5 over 1234 items"
    assert second["its score"] == "61.2"
    assert second["the tuned one's"] == "65.5pythia-70m-tuned"
    assert "A static model instead" not in open_page(served_plan()).words


def test_names_and_reasons_from_files_never_become_markup() -> None:
    plan = served_plan()
    evil = replace(plan.chosen, model=MARKUP)
    page = plan_page(
        replace(
            plan,
            chosen=evil,
            ranked=(evil, *plan.ranked[1:]),
            explanation=(MARKUP,),
            cautions=(MARKUP,),
            evidence=MARKUP,
            accelerator=MARKUP,
            refused=(Refusal(model=MARKUP, tuning=Tuning(), reason=MARKUP * 200),),
            constants=(Constant(name=MARKUP, value=(MARKUP,), mark="given", source=MARKUP),),
        ),
        pictures={MARKUP: b"<svg/>"},
    )
    parsed = take_apart(page)
    assert parsed.problems == []
    assert "<script" not in page
    assert html.escape("<script>") in page


def test_the_page_has_the_picture_inside_and_it_is_well_formed() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")
    page = take_apart(plan_page(predicted_plan()))
    assert page.problems == []
    sources = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 1
    picture = base64.b64decode(sources[0].split(",", 1)[1])
    assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_without_matplotlib_the_page_says_what_brings_the_pictures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object) -> None:
        raise MissingExtraError('install "vecsmith[plot]" to draw figures')

    monkeypatch.setattr("vecsmith.reporting.pages.plan.draw_plan_pictures", missing)
    page = take_apart(plan_page(served_plan()))
    assert page.problems == []
    assert 'No pictures: install "vecsmith[plot]"' in page.words


def test_a_plan_that_was_read_from_its_file_has_the_same_page(tmp_path: Path) -> None:
    plan = served_plan()
    path = tmp_path / "plan.json"
    plan.to_json(path)
    assert plan_page(Plan.open(path), pictures={}) == plan_page(plan, pictures={})
