"""The same comparison as Markdown, for a README.

The one rule: text from records shows as it is: no markup, no table cell and no HTML comes of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from vecsmith.reporting.pages.markup import cut, printable
from vecsmith.reporting.pages.page import HOW_TO_READ
from vecsmith.reporting.pages.tables import (
    Cell,
    Column,
    Table,
    cost_table,
    left_out_table,
    retention_table,
    scope_words,
    size_tables,
    summary_table,
    task_table,
)
from vecsmith.reporting.report import Contender, NeighborList, Report
from vecsmith.reporting.wording import count_words, judgements, points

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ADDRESS = re.compile(r"(?<=\w)(?=://)|(?<=www)(?=\.)", re.IGNORECASE)


def markdown_page(report: Report, pictures: Mapping[str, str]) -> str:
    """The page as text.

    Args:
        report: What to show.
        pictures: Relative paths of image files by what they show, in the order they come.
    """
    return "\n".join(_lines(report, pictures)).rstrip() + "\n"


def plain(text: str, n_letters: int = 160) -> str:
    """Text of unknown origin on one line, with nothing that Markdown would read."""
    words = _SPECIAL.sub(r"\\\1", printable(cut(text, n_letters)).translate(_ENTITIES))
    return _ADDRESS.sub("\N{ZERO WIDTH NON-JOINER}", words)  # else GitHub makes links of them


def _lines(report: Report, pictures: Mapping[str, str]) -> Iterator[str]:
    shown = [report.contenders[0], *(report.contenders[place] for place in report.opponents)]
    first, *others = map(_name, shown)
    yield from (f"# {first} against {', '.join(others)}", "", plain(scope_words(report), 600), "")
    for judgement in judgements(report):
        yield f"- **{plain(judgement.headline, 600)}**"
        yield from (f"  - {plain(detail, 3000)}" for detail in judgement.details)
    yield ""
    for caveat in report.caveats:
        yield from (f"> {plain(caveat, 600)}", "")
    yield from _section("Averages", summary_table(report))
    for name, path in pictures.items():
        yield from (f"![{plain(name)}]({path})", "")
    yield from _section("Cost", cost_table(report))
    retention = retention_table(report)
    if retention:
        yield from _section("Retention", retention)
        for note in report.ratio_notes:
            yield from (plain(note, 300), "")
    sizes = size_tables(report)
    if sizes:
        yield from _section("Quality by dims and precision", *sizes)
    yield from _section("Every task", task_table(report))
    for note in report.notes:
        yield from (plain(note, 300), "")
    left_out = left_out_table(report)
    if left_out:
        yield from _section("Sets left out", left_out)
    yield from _neighbors(report)
    yield from ("## How to read this", "")
    for note in HOW_TO_READ:
        yield from (note, "")
    yield from _provenance(report)


def _name(contender: Contender) -> str:
    return f"**{contender.letter}** {plain(contender.name, 120)}"


def _section(title: str, *tables: Table) -> Iterator[str]:
    yield from (f"## {title}", "")
    for table in tables:
        yield from (f"{plain(table.caption, 300)}.", "")
        yield from _table(table)
        yield ""


def _table(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(map(_heading, table.columns))} |"
    yield f"|{'|'.join('---' if c.is_text else '--:' for c in table.columns)}|"
    for line in table.lines:
        if line.section:
            empty = " |" * (len(table.columns) - 1)
            yield f"| **{plain(line.section)}** |{empty}"
        else:
            yield f"| {' | '.join(map(_cell, line.cells))} |"


def _heading(column: Column) -> str:
    return _name(column.contender) if column.contender else plain(column.heading)


def _cell(cell: Cell) -> str:
    if cell.contender:
        return _name(cell.contender)
    if cell.difference:
        words = f"{cell.text} ({cell.range})"
        verdict = cell.difference.verdict
        verdict_words = verdict if verdict == "no difference shown" else f"**{verdict}**"
        return f"{plain(words)}: {verdict_words}"
    text = plain(cell.text, 400)
    return f"{text} ({cell.range})" if cell.range else text


def _neighbors(report: Report) -> Iterator[str]:
    yield from ("## What the models return", "")
    if not report.neighbors:
        yield from (plain(report.neighbors_missing or "No retrieval task.", 600), "")
    for query in report.neighbors:
        yield from _query(report, query)


def _query(report: Report, query: NeighborList) -> Iterator[str]:
    relevant = f"{count_words(query.n_relevant, 'documents')} judged relevant"
    yield from (f"**{plain(query.query, 400)}** ({plain(query.task)}, {relevant})", "")
    shown = [c for c in report.contenders if c.letter in query.found]
    heads = [
        f"{_name(c)}: {points(query.scores[c.letter])}" if c.letter in query.scores else _name(c)
        for c in shown
    ]
    yield f"| | {' | '.join(heads)} |"
    yield f"|--:|{'|'.join('---' for _ in shown)}|"
    longest = max(len(query.found[c.letter]) for c in shown)
    for rank in range(longest):
        cells = []
        for contender in shown:
            found = query.found[contender.letter]
            tick = "\N{CHECK MARK} " if rank < len(found) and found[rank].is_relevant else ""
            cells.append(tick + plain(found[rank].text, 160) if rank < len(found) else "")
        yield f"| {rank + 1} | {' | '.join(cells)} |"
    yield ""


def _provenance(report: Report) -> Iterator[str]:
    yield from ("## What was run", "")
    for contender in report.contenders:
        facts = {
            "scored as": "words" if not contender.view.dim else f"{contender.view}",
            "fingerprint": contender.fingerprint,
            "date": contender.date,
            "machine": contender.machine,
            **contender.settings,
        }
        words = [f"{plain(key, 60)} {plain(value, 500)}" for key, value in facts.items() if value]
        yield f"- {_name(contender)}: {'; '.join(words)}"
