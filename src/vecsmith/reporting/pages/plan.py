"""One self-contained HTML page of a plan, which a person can act on.

The one rule: what to do comes first, then what it costs and what else there was, then what all of
it rests on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from vecsmith.errors import MissingExtraError
from vecsmith.planning.wording import amount, flops_text, hours_text
from vecsmith.reporting.pages.document import document, picture_element, scrolling, section
from vecsmith.reporting.pages.markup import Html, element, foreign
from vecsmith.reporting.pages.plan_tables import (
    candidates_table,
    constants_table,
    memory_table,
    refused_table,
    serving_table,
    settings_table,
    spending_table,
    statics_table,
    tuning_words,
)
from vecsmith.reporting.pages.tables import Cell, Table
from vecsmith.reporting.plan_pictures import draw_plan_pictures

if TYPE_CHECKING:
    from vecsmith.planning.choosing.candidates import PredictedLoss
    from vecsmith.planning.choosing.plan import Plan
    from vecsmith.planning.laws.fitted import FittedLaws

_RUN: Final = "vecsmith run plan.json --pairs pairs.parquet --out runs/"
_HOW_TO_READ: Final = (
    "A budget is counted in FLOP as the laws count them: 2 for each parameter that a token meets "
    "in the forward pass, 2 for each that gradients pass through and 2 for each that is updated, "
    "embeddings left out (Ziarko et al. 2024, arXiv 2406.04165, section 3.5). What a device does "
    "is more: attention, and whatever is computed twice to save memory. Times follow from that.",
    "A mark says how sure a number is. Printed ones are in the paper or its code, derived ones "
    "follow from these by arithmetic, assumed ones are our choice where nothing is published; "
    "given ones are yours, measured ones are from a machine and fitted ones from your runs.",
    "The share of an accelerator's peak that a run reaches is between a twentieth and two fifths "
    "for most; nobody knows yours before it is measured (vecsmith plan --calibrate).",
)
_OF_LOSSES: Final = (
    "A predicted loss is that of held-out pairs, as in the runs that the law was fitted to: it "
    "cannot be compared with losses over other pairs, other batch sizes or another temperature. "
    "Its interval says where the mean of such runs is expected, if the law has the right form; "
    "beyond the sizes, tokens and budgets that were run nothing vouches for that."
)


def plan_page(
    plan: Plan, laws: FittedLaws | None = None, *, pictures: Mapping[str, bytes] | None = None
) -> str:
    """The page as text.

    Args:
        plan: What to show.
        laws: Those that the plan was made with, for pictures of them.
        pictures: SVG files by what they show; None to draw them, where matplotlib is installed.
    """
    missing = ""
    if pictures is None:
        try:
            drawn = draw_plan_pictures(plan, laws)
            pictures = {picture.title: picture.svg() for picture in drawn}
        except MissingExtraError as error:
            pictures, missing = {}, f"No pictures: {error}"
    body = element(
        "body",
        element("header", *_header(plan)),
        element("main", *_sections(plan, pictures, missing)),
    )
    return document(f"Plan for {flops_text(plan.budget.flops)} FLOP", body)


def _header(plan: Plan) -> Iterator[Html]:
    """What there is to spend, and what decides."""
    yield element("h1", f"Plan for {flops_text(plan.budget.flops)} FLOP")
    n_all = len(plan.ranked) + len(plan.refused)
    yield element(
        "p",
        foreign(
            f"{_budget_words(plan)} The best of {len(plan.ranked)} candidates that make sense, of "
            f"{n_all} considered, by {plan.evidence}.",
            600,
        ),
        class_="faint",
    )


def _budget_words(plan: Plan) -> str:
    budget = plan.budget
    if budget.gpu_hours is None:
        return "The budget is counted FLOP."
    money = "" if budget.money is None else f", for {budget.money:,.2f}"
    reached = "" if budget.mfu is None else f" at {100 * budget.mfu:.3g} % of its peak"
    mark = "" if budget.mfu is None else f" ({budget.mfu_mark})"
    device = plan.accelerator or "an accelerator"
    return f"The budget is {hours_text(budget.gpu_hours)} of {device}{reached}{mark}{money}."


def _sections(plan: Plan, pictures: Mapping[str, bytes], missing: str) -> Iterator[Html]:
    """All of the page below its heading."""
    yield element("section", *_verdict(plan), class_="verdict", aria_label="Verdict")
    for caution in plan.cautions:
        yield element("p", foreign(_sentence(caution), 600), class_="caveat")
    yield section("Why", element("ul", *(_item(line) for line in plan.explanation)))
    yield section("What is run", _table(settings_table(plan)))
    yield from _tables("What it takes", [spending_table(plan), memory_table(plan)])
    yield section("What else there was", _table(candidates_table(plan)))
    if missing:
        yield element("p", foreign(missing, 400), class_="small")
    yield from (picture_element(name, picture) for name, picture in pictures.items())
    yield from _tables("What serving takes", [serving_table(plan)])
    yield from _tables("A static model instead", [statics_table(plan)])
    yield from _tables("What was put aside", [refused_table(plan)])
    yield section("What it rests on", _table(constants_table(plan.constants)))
    has_loss = plan.chosen.predicted is not None
    read = [*_HOW_TO_READ, *[_OF_LOSSES] * has_loss]
    yield section("How to read this", *(element("p", words) for words in read))


def _verdict(plan: Plan) -> Iterator[Html]:
    """What to do, in the fewest words, and the command that does it."""
    chosen = plan.chosen
    headline = f"Tune {chosen.model}: {tuning_words(chosen.tuning)}"
    yield element("p", foreign(headline, 300), class_="headline")
    work = (
        f"{amount(chosen.tokens)} tokens, that is {amount(chosen.pairs)} pairs in {chosen.steps:,} "
        f"steps of {plan.settings.batch_size:,}, at a learning rate of {chosen.learning_rate:g}"
    )
    yield element("p", f"{work}{_time_words(plan)}.")
    predicted = chosen.predicted
    if predicted is not None:
        yield element("p", foreign(_loss_words(predicted), 600))
    if plan.runner_up is not None:
        other = plan.runner_up
        words = f"The runner-up is {other.model}: {tuning_words(other.tuning)}{_behind(plan)}."
        yield element("p", foreign(words, 300))
    yield element("pre", element("code", _RUN), tabindex="0")


def _loss_words(predicted: PredictedLoss) -> str:
    """What loss to expect, and what of the question is outside of the runs behind that."""
    said = (
        f"Expected loss {predicted.loss:.4f}, with an interval of {predicted.low:.4f} to "
        f"{predicted.high:.4f}; one run will be between {predicted.run_low:.4f} and "
        f"{predicted.run_high:.4f} ({100 * predicted.level:.3g} %)."
    )
    beyond = predicted.extrapolates
    return f"{said} Outside of the runs fitted to: {beyond}." if beyond else said


def _time_words(plan: Plan) -> str:
    """How long by the clock, over the rows of spending."""
    hours = sorted(row.hours for row in plan.spending)
    if not hours:
        return ""
    ends = dict.fromkeys((hours_text(hours[0]), hours_text(hours[-1])))
    span = " to ".join(ends)
    n_devices = plan.limits.n_devices
    return f"; {span} on {'' if n_devices == 1 else f'{n_devices} '}{plan.accelerator}"


def _behind(plan: Plan) -> str:
    """By how much the runner-up's predicted loss is above that of the chosen one."""
    other = plan.runner_up
    if other is None or other.predicted is None or plan.chosen.predicted is None:
        return ""
    behind = other.predicted.loss / plan.chosen.predicted.loss - 1
    more = f"{100 * behind:+.2g}\N{NARROW NO-BREAK SPACE}%"
    return f", with a loss of {other.predicted.loss:.4f} ({more})"


def _item(line: str) -> Html:
    return element("li", foreign(_sentence(line), 1000))


def _sentence(line: str) -> str:
    """A line of an explanation with a capital and a full stop; a name at its head stays."""
    first = line.split(" ", 1)[0].rstrip(",;:")
    begun = line[:1].upper() + line[1:] if first.isalpha() and first.islower() else line
    return begun if begun.endswith((".", "?", "!")) else f"{begun}."


def _tables(title: str, tables: Sequence[Table | None]) -> Iterator[Html]:
    """A part with those of the tables that there are; none without any."""
    shown = [_table(table) for table in tables if table is not None]
    if shown:
        yield section(title, *shown)


def _table(table: Table) -> Html:
    headings = (
        element("th", foreign(column.heading, 80), scope="col", class_=_kind(column.is_text))
        for column in table.columns
    )
    lines = (element("tr", *map(_cell, line.cells)) for line in table.lines)
    return scrolling(
        element(
            "table",
            element("caption", element("div", foreign(table.caption, 400))),
            element("thead", element("tr", *headings)),
            element("tbody", *lines),
        )
    )


def _cell(cell: Cell) -> Html:
    small = element("span", cell.range, class_="range") if cell.range else Html()
    if cell.is_note:
        return element("td", foreign(cell.text, 400), class_="note")
    return element("td", foreign(cell.text), small, class_=_kind(cell.is_text))


def _kind(is_text: bool) -> str | None:
    return "text" if is_text else None
