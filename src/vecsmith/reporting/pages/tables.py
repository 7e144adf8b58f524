"""The tables of a report as plain cells, for page, README and terminal alike.

The one rule: a cell holds what is shown, as text; how it is set is the business of each medium.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vecsmith.reporting.report import Contender, Difference, Estimate, Report, Row
from vecsmith.reporting.wording import (
    bytes_words,
    count_words,
    half_width,
    interval,
    listed,
    metric_words,
    number,
    p_words,
    percent,
    points,
    rate_words,
    ratio_words,
    row_words,
    signed,
    signed_interval,
)

_NONE = "\N{EN DASH}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell.

    Attributes:
        text: What it says.
        range: Its interval, said smaller.
        half: Half of the interval's width, where there is little room.
        contender: Whom it names, if it names one.
        difference: Drawn and coloured where the medium can.
        is_text: Whether it is set left.
        is_note: Whether it is set small, and may be long.
        is_mark: Whether it says why there is no figure.
    """

    text: str
    range: str = ""
    half: str = ""
    contender: Contender | None = None
    difference: Difference | None = None
    is_text: bool = False
    is_note: bool = False
    is_mark: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Heading of a column: words, or a contender."""

    heading: str
    contender: Contender | None = None
    is_text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Cells of a row, or the heading of the rows below."""

    cells: tuple[Cell, ...] = ()
    section: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns and lines.

    Attributes:
        caption: What a reader needs to know of it.
        columns: From left to right; the first names the line.
        lines: From top to bottom.
        contender: Whom it is about, if one.
    """

    caption: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    contender: Contender | None = None


def summary_table(report: Report) -> Table:
    """Averages: all sets, named groups, families."""
    lines = []
    for role, section in (("mean", ""), ("group", "named groups"), ("family", "families")):
        rows = [row for row in report.summary if row.role == role]
        if rows and section:
            lines.append(Line(section=section))
        lines += [
            Line(
                cells=(
                    Cell(text=_summary_name(row), is_text=True),
                    Cell(text=number(row.n_sets)),
                    Cell(text=number(row.n_items)),
                    *_scores(row),
                    *_differences(row),
                )
            )
            for row in rows
        ]
    return Table(
        caption="scores × 100 with 95 % intervals",
        columns=(
            Column(heading="average over", is_text=True),
            Column(heading="sets"),
            Column(heading="items"),
            *_contender_columns(report),
            *_difference_columns(report),
        ),
        lines=tuple(lines),
    )


def _summary_name(row: Row) -> str:
    metric = metric_words(row.metric)
    return f"{row_words(row.key)}, {metric}" if metric else row_words(row.key)


def _contender_columns(report: Report) -> list[Column]:
    return [Column(heading=c.letter, contender=c) for c in report.contenders]


def _difference_columns(report: Report) -> list[Column]:
    first = report.contenders[0].letter
    return [
        Column(heading=f"{first} \N{MINUS SIGN} {report.contenders[place].letter}", is_text=True)
        for place in report.opponents
    ]


def _scores(row: Row) -> list[Cell]:
    marks = row.marks or ("",) * len(row.scores)
    return [
        Cell(text=mark, is_mark=True) if mark else _estimate(estimate)
        for estimate, mark in zip(row.scores, marks, strict=True)
    ]


def _estimate(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(text=_NONE)
    return Cell(text=points(estimate.value), range=interval(estimate), half=half_width(estimate))


def _differences(row: Row) -> list[Cell]:
    return [
        Cell(text=_NONE, is_text=True)
        if difference is None
        else Cell(
            text=signed(difference.value),
            range=_difference_range(difference),
            difference=difference,
            is_text=True,
        )
        for difference in row.differences
    ]


def _difference_range(difference: Difference) -> str:
    words = f"{signed_interval(difference)}, {p_words(difference.p_value)}"
    if difference.wide is None:
        return words
    low, high = map(signed, difference.wide)
    return f"{words}; on other sets {low} to {high}"


def task_table(report: Report) -> Table:
    """Every task, under its family."""
    has_language = len({row.language for row in report.tasks}) > 1
    has_notes = any(row.notes for row in report.tasks)
    lines: list[Line] = []
    for kind in dict.fromkeys(row.kind for row in report.tasks):
        rows = [row for row in report.tasks if row.kind == kind]
        metrics = ", ".join(dict.fromkeys(metric_words(row.metric) for row in rows))
        lines.append(Line(section=f"{kind.replace('-', ' ')}: {metrics}"))
        for row in rows:
            cells = [Cell(text=row.name, is_text=True)]
            cells += [Cell(text=row.language, is_text=True)] if has_language else []
            cells += [Cell(text=count_words(row.n_items, row.unit))]
            cells += [*_scores(row), *_differences(row)]
            cells += [Cell(text=" ".join(row.notes), is_note=True)] if has_notes else []
            lines.append(Line(cells=tuple(cells)))
    return Table(
        caption="scores × 100 with 95 % intervals; each row is one test of its own",
        columns=(
            Column(heading="set", is_text=True),
            *([Column(heading="language", is_text=True)] if has_language else []),
            Column(heading="items"),
            *_contender_columns(report),
            *_difference_columns(report),
            *([Column(heading="notes", is_text=True)] if has_notes else []),
        ),
        lines=tuple(lines),
    )


def retention_table(report: Report) -> Table | None:
    """Score over the reference's score; None without a reference."""
    shown = [contender for contender in report.contenders if contender.retention]
    if not shown or report.reference is None:
        return None
    lines = [
        Line(
            cells=(
                Cell(text=ratio_words(key), is_text=True),
                *(_share(contender.retention.get(key)) for contender in shown),
            )
        )
        for key in report.ratios
    ]
    return Table(
        caption=f"score as a share of that of {report.reference}, with 95 % intervals",
        columns=(
            Column(heading="average over", is_text=True),
            *(Column(heading=contender.letter, contender=contender) for contender in shown),
        ),
        lines=tuple(lines),
    )


def _share(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(text=_NONE)
    return Cell(text=percent(estimate.value), range=interval(estimate), half=half_width(estimate))


def cost_table(report: Report) -> Table:
    """What each model costs: bytes, memory, time."""
    order = "" if report.is_one_run else ", in different runs: they cannot be ranked"
    return Table(
        caption="sizes in decimal units; an index of plain vectors, without any graph or lists; "
        f"texts per second: median of the turns, slowest to fastest{order}",
        columns=(
            Column(heading="model", is_text=True),
            Column(heading="vector", is_text=True),
            Column(heading="bytes per vector"),
            Column(heading="index of a million"),
            Column(heading="weights"),
            Column(heading="texts per second"),
            Column(heading="memory while encoding"),
        ),
        lines=tuple(
            Line(cells=(Cell(text=contender.name, contender=contender), *_costs(contender)))
            for contender in report.contenders
        ),
    )


def _costs(contender: Contender) -> list[Cell]:
    view, speed = contender.view, contender.speed
    size = view.n_bytes
    rate = speed.texts_per_second
    return [
        Cell(text="words" if not view.dim else f"{view.dim} {view.precision}", is_text=True),
        Cell(text=number(size) if size else _NONE),
        Cell(text=bytes_words(1e6 * size) if size else _NONE),
        Cell(text=_NONE if speed.model_bytes is None else bytes_words(speed.model_bytes)),
        Cell(text=_NONE if rate is None else rate_words(rate), range=_turns(speed.turns)),
        Cell(text=_NONE if speed.peak_bytes is None else bytes_words(speed.peak_bytes)),
    ]


def _turns(turns: Sequence[float]) -> str:
    """The slowest and the fastest turn; empty where there is nothing between them."""
    ends = [rate_words(rate) for rate in (min(turns), max(turns))] if turns else []
    return " to ".join(ends) if len(set(ends)) == 2 else ""


def size_tables(report: Report) -> list[Table]:
    """For each model with several views: quality by dims and precision."""
    return [_size_table(report, c) for c in report.contenders if len(c.views) > 1]


def _size_table(report: Report, contender: Contender) -> Table:
    # groups where there are any, else families: the table is to fit a page
    averages = "group" if any(row.role == "group" for row in report.summary) else "family"
    rows = [
        row
        for row in report.summary
        if row.role in ("mean", averages) and any(row.key in p.scores for p in contender.views)
    ]
    ordered = sorted(contender.views, key=lambda p: (-p.view.n_bytes, -p.view.dim))
    return Table(
        caption=f"{contender.letter}: scores × 100 with 95 % intervals, largest vectors first",
        columns=(
            Column(heading="vector", is_text=True),
            Column(heading="bytes per vector"),
            Column(heading="index of a million"),
            *(Column(heading=row_words(row.key)) for row in rows),
        ),
        lines=tuple(
            Line(
                cells=(
                    Cell(text=str(point.view), is_text=True),
                    Cell(text=number(point.view.n_bytes)),
                    Cell(text=bytes_words(1e6 * point.view.n_bytes)),
                    *(_estimate(point.scores.get(row.key)) for row in rows),
                )
            )
            for point in ordered
        ),
        contender=contender,
    )


def scope_words(report: Report) -> str:
    """What was compared, how much of it, when and where, in a sentence or two."""
    rows = report.tasks
    languages = len({row.language for row in rows if row.language})
    splits = listed(list(dict.fromkeys(row.split for row in rows)))
    words = (
        f"{count_words(len(rows), 'tasks')}, "
        f"{count_words(sum(row.n_items for row in rows), 'items')}"
        + (f", {count_words(languages, 'languages')}" if languages > 1 else "")
        + f", {splits} rows."
    )
    runs = [contender for contender in report.contenders if not contender.is_baseline]
    machines = list(dict.fromkeys(run.machine for run in runs if run.machine))
    dates = sorted({run.date[:10] for run in runs if run.date})
    if dates:
        words += f" Run on {listed(dates)}" + (f": {'; '.join(machines)}." if machines else ".")
    return words


def left_out_table(report: Report) -> Table | None:
    """Sets that were found and not scored; None if there are none."""
    if not report.left_out:
        return None
    return Table(
        caption="sets that were found and not scored",
        columns=(
            Column(heading="set", is_text=True),
            Column(heading="in the runs of", is_text=True),
            Column(heading="why", is_text=True),
        ),
        lines=tuple(
            Line(
                cells=(
                    Cell(text=each.set, is_text=True),
                    Cell(text=", ".join(each.letters), is_text=True),
                    Cell(text=each.reason, is_note=True),
                )
            )
            for each in report.left_out
        ),
    )
