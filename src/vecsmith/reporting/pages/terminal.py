"""A comparison as text for a terminal: the verdict first, then the tables.

The one rule: control characters of names never reach the terminal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from vecsmith.reporting.pages.tables import (
    Cell,
    Column,
    Table,
    cost_table,
    retention_table,
    summary_table,
    task_table,
)
from vecsmith.reporting.report import Report
from vecsmith.reporting.wording import judgements, signed_interval
from vecsmith.results.rendering import shorten, text_width

_LEAST_NAME, _MOST_NAME = 20, 48
_GAP = "  "


def terminal_text(report: Report, *, width: int = 100) -> str:
    """The report as text; tables wider than `width` columns come in several pieces."""
    return "\n".join(_lines(report, width)).rstrip() + "\n"


def _lines(report: Report, width: int) -> Iterator[str]:
    for judgement in judgements(report):
        yield from _wrapped(judgement.headline, width)
        for detail in judgement.details:
            yield from (f"  {line}" for line in _wrapped(detail, width - 2))
        yield ""
    for caveat in report.caveats:
        yield from (*_wrapped(f"Note: {caveat}", width), "")
    for contender in report.contenders:
        role = ", baseline" if contender.is_baseline else ""
        view = "words" if not contender.view.dim else contender.view
        name = contender.name.removesuffix(f", {view}")  # it follows
        yield f"{contender.letter}  {_shown(name, width - 30)} ({view}{role})"
    for title, table in (
        ("Averages", summary_table(report)),
        ("Tasks", task_table(report)),
        ("Retention", retention_table(report)),
        ("Cost", cost_table(report)),
    ):
        if table is None:
            continue
        yield from ("", *_wrapped(f"{title}: {table.caption}", width))
        for piece in _pieces(_columns(table, width), width):
            yield ""
            yield from _set(piece)
    for note in (*report.ratio_notes, *report.notes):
        yield from ("", *_wrapped(f"Note: {note}", width))
    if report.left_out:
        names = ", ".join(dict.fromkeys(each.set for each in report.left_out))
        yield from ("", _shown(f"Left out (--html or --json say why): {names}", width))
    if report.neighbors_missing:
        yield from ("", *_wrapped(report.neighbors_missing, width))


class _Set:
    """One column: its texts from top to bottom, and how it is set."""

    def __init__(self, column: Column, texts: Sequence[str]) -> None:
        heading = column.contender.letter if column.contender else _shown(column.heading, 30)
        self.texts = [heading, *texts]
        self.width = max(map(text_width, self.texts))
        self.to_left = column.is_text

    def line(self, place: int) -> str:
        """The text at `place`, as wide as the column."""
        text = self.texts[place]
        space = " " * (self.width - text_width(text))
        return text + space if self.to_left else space + text


def _columns(table: Table, width: int) -> list[_Set]:
    """Columns without notes, which are for the page; the first one carries the sections."""
    columns: list[_Set] = []
    for place, column in enumerate(table.columns):
        if any(line.cells and line.cells[place].is_note for line in table.lines):
            continue
        texts = [_text(line.cells[place]) if line.cells else "" for line in table.lines]
        columns.append(_Set(column, texts))
    first = columns[0]
    # the names take what the widest of the others leaves them
    most = width - len(_GAP) - max((column.width for column in columns[1:]), default=0)
    most = max(_LEAST_NAME, min(most, _MOST_NAME))
    for place, line in enumerate(table.lines, 1):
        section = f"[{_shown(line.section, _MOST_NAME)}]" if line.section else ""
        first.texts[place] = shorten(section or first.texts[place], most)
    first.width = max(map(text_width, first.texts))
    return columns


def _pieces(columns: Sequence[_Set], width: int) -> Iterator[list[_Set]]:
    """The columns in pieces that fit, the first column in each."""
    piece, taken = [columns[0]], columns[0].width
    for column in columns[1:]:
        if taken + len(_GAP) + column.width > width and len(piece) > 1:
            yield piece
            piece, taken = [columns[0]], columns[0].width
        piece.append(column)
        taken += len(_GAP) + column.width
    yield piece


def _set(columns: Sequence[_Set]) -> Iterator[str]:
    for place in range(len(columns[0].texts)):
        yield _GAP.join(column.line(place) for column in columns).rstrip()


def _text(cell: Cell) -> str:
    if cell.contender:
        return cell.contender.letter
    if cell.difference:
        words = f"{cell.text} ({signed_interval(cell.difference)}) {cell.difference.verdict}"
        return _shown(words, 200)
    if cell.range and not cell.half:
        return _shown(f"{cell.text} ({cell.range})", _MOST_NAME)
    return _shown(f"{cell.text} {cell.half}", _MOST_NAME)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(_shown(text, 4000), max(20, width))


def _shown(text: str, most: int) -> str:
    """`text` on one line without control characters; all its spaces are plain ones."""
    return shorten(" ".join(text.split()), max(20, most))
