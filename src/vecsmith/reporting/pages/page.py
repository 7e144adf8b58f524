"""One self-contained HTML page of a comparison, to be read without explanation.

The one rule: the page asks for nothing from anywhere, and holds no script.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vecsmith.reporting.pages.document import document, picture_element, scrolling, section
from vecsmith.reporting.pages.markup import Html, cut, element, foreign, join
from vecsmith.reporting.pages.tables import (
    Cell,
    Column,
    Line,
    Table,
    cost_table,
    left_out_table,
    retention_table,
    scope_words,
    size_tables,
    summary_table,
    task_table,
)
from vecsmith.reporting.pictures.drawing import is_pale, looks
from vecsmith.reporting.report import Contender, Difference, Neighbor, NeighborList, Report
from vecsmith.reporting.wording import count_words, judgements, listed, points, shortened

_MAX_DOCUMENT = 200  # letters of a document shown
HOW_TO_READ = (
    "Scores are shown times 100. Each is followed by its 95 % interval: had other queries, pairs "
    "or texts of the same kind been drawn, the score would mostly lie in it. It is found by "
    "drawing the items again with replacement (bootstrap).",
    "A difference is that of the first model less the other, on the very same items. Its interval "
    "is much narrower than those of the two scores, because both models find the same items hard: "
    "two overlapping score intervals do not mean that nothing was shown. Read the difference.",
    "p is from a permutation test: how often a difference as large would come up if the two "
    "models' scores of each item were swapped at random. It is corrected for the number of tests "
    "(Holm, among the tasks, among the averages): of many tests a few would otherwise succeed by "
    "chance. Better and worse are said where p is below 0.05 and the interval leaves out zero.",
    "For the means there is a second interval, on other sets: the sets are drawn anew as well. It "
    "is wider, and says what to expect on sets like these that nobody has tried.",
    "No difference shown means just that: with so many items, chance could have made it. It does "
    "not mean that the models are equally good; the interval says how large a difference is still "
    "possible.",
    "An average weighs each set alike, whatever its size; a set in several languages counts once. "
    "A group is only shown when all of its sets were run.",
)


def html_page(report: Report, pictures: Mapping[str, bytes]) -> str:
    """The page as text.

    Args:
        report: What to show.
        pictures: SVG files by what they show, in the order they come.
    """
    setter = _Setter(report)
    body = element(
        "body", element("header", *setter.header()), element("main", *setter.sections(pictures))
    )
    return document(f"{listed([c.name for c in _runs(report)])} compared", body)


def _runs(report: Report) -> list[Contender]:
    return [contender for contender in report.contenders if not contender.is_baseline]


class _Setter:
    """Sets the parts of one report."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.colors = {
            contender.letter: look.color
            for contender, look in zip(report.contenders, looks(report.contenders), strict=True)
        }

    def header(self) -> Iterator[Html]:
        """Who is compared with whom, on what, when and where."""
        report = self.report
        names = [report.contenders[0], *(report.contenders[place] for place in report.opponents)]
        first, *others = map(self.name, names)
        yield element("h1", first, " against ", join(others, ", "))
        yield element("p", foreign(scope_words(report), 600), class_="faint")

    def sections(self, pictures: Mapping[str, bytes]) -> Iterator[Html]:
        """All of the page below its heading."""
        report = self.report
        paragraphs: list[Html] = []
        for judgement in judgements(report):
            headline = foreign(judgement.headline, 600)
            paragraphs.append(element("p", headline, class_="headline"))
            paragraphs += [element("p", foreign(detail, 3000)) for detail in judgement.details]
        yield element("section", *paragraphs, class_="verdict", aria_label="Verdict")
        for caveat in report.caveats:
            yield element("p", foreign(caveat, 600), class_="caveat")
        yield section("Averages", self.table(summary_table(report)))
        yield from (picture_element(name, picture) for name, picture in pictures.items())
        yield section("Cost", self.table(cost_table(report)))
        retention = retention_table(report)
        if retention:
            notes = [
                element("p", foreign(note, 300), class_="small") for note in report.ratio_notes
            ]
            yield section("Retention", self.table(retention), *notes)
        sizes = [self.table(table) for table in size_tables(report)]
        if sizes:
            yield section("Quality by dims and precision", *sizes)
        notes = [element("p", foreign(note, 300), class_="small") for note in report.notes]
        yield section("Every task", self.table(task_table(report)), *notes)
        left_out = left_out_table(report)
        if left_out:
            yield section("Sets left out", self.table(left_out))
        yield section("What the models return", *self._neighbors())
        yield section("How to read this", *(element("p", note) for note in HOW_TO_READ))
        yield section("What was run", *map(self._provenance, report.contenders))

    def letter(self, contender: Contender) -> Html:
        """The contender's letter on its colour."""
        color = self.colors[contender.letter]
        ink = "#1f2933" if is_pale(color) else "#fff"
        style = f"background:{color};color:{ink}"
        return element("span", contender.letter, class_="letter", style=style)

    def name(self, contender: Contender) -> Html:
        """Letter and name."""
        return join([self.letter(contender), Html(" "), foreign(contender.name, 120)])

    def table(self, table: Table) -> Html:
        """A table that scrolls by itself where it is wider than the page."""
        head = element("tr", *(self._heading(column) for column in table.columns))
        width = len(table.columns)
        many = sum(" \N{MINUS SIGN} " in column.heading for column in table.columns) > 1
        return scrolling(
            element(
                "table",
                element("caption", element("div", foreign(table.caption, 300))),
                element("thead", head),
                element("tbody", *(self._line(line, width, _reach(table)) for line in table.lines)),
                class_="tight" if many else None,
            )
        )

    def _heading(self, column: Column) -> Html:
        if column.contender:
            name = column.contender.name
            short = shortened(name.rstrip("/").rsplit("/", 1)[-1], 34)
            words = element("bdi", short, title=None if short == name else cut(name, 400))
            letter = element("div", self.letter(column.contender))
            return element("th", letter, words, class_="model", scope="col")
        kind = "text" if column.is_text else None
        return element("th", foreign(column.heading, 80), class_=kind, scope="col")

    def _line(self, line: Line, width: int, reach: float) -> Html:
        if line.section:
            heading = element("th", foreign(line.section, 120), colspan=width, scope="colgroup")
            return element("tr", heading, class_="section")
        return element("tr", *(self._cell(cell, reach) for cell in line.cells))

    def _cell(self, cell: Cell, reach: float) -> Html:
        if cell.contender:
            return element("td", self.name(cell.contender))
        if cell.is_mark:
            return element("td", foreign(cell.text, 120), class_="mark")
        if cell.is_note:
            return element("td", foreign(cell.text, 400), class_="note")
        small = element("span", cell.range, class_="range") if cell.range else Html()
        if cell.difference:
            return element("td", *_difference(cell, cell.difference, reach), class_="difference")
        return element("td", foreign(cell.text), small, class_="text" if cell.is_text else None)

    def _neighbors(self) -> Iterator[Html]:
        if not self.report.neighbors:
            yield element("p", foreign(self.report.neighbors_missing or "No retrieval task.", 600))
            return
        yield element(
            "p",
            "Queries on which the models differ most, and the best documents of each; those that "
            "people judged relevant are marked with a tick and a green edge.",
            class_="faint",
        )
        yield from map(self._query, self.report.neighbors)

    def _query(self, query: NeighborList) -> Html:
        shown = [c for c in self.report.contenders if c.letter in query.found]
        sides = [
            element(
                "div",
                element("div", self.name(c), *_side_score(query, c), class_="small"),
                element("ol", *_documents(query.found[c.letter])),
            )
            for c in shown
        ]
        relevant = f"{count_words(query.n_relevant, 'documents')} judged relevant"
        return element(
            "div",
            element("p", foreign(query.query, 400)),
            element("div", foreign(query.task), f", {relevant}", class_="faint small"),
            element("div", *sides, class_="sides"),
            class_="query",
        )

    def _provenance(self, contender: Contender) -> Html:
        facts = {
            "scored as": "words" if not contender.view.dim else f"{contender.view}",
            "fingerprint": contender.fingerprint,
            "date": contender.date,
            "machine": contender.machine,
            **contender.settings,
        }
        pairs = [
            join([element("dt", foreign(key, 60)), element("dd", foreign(value, 500))])
            for key, value in facts.items()
            if value
        ]
        return join([element("h3", self.name(contender)), element("dl", *pairs)])


def _reach(table: Table) -> float:
    """Largest difference in a table: its whiskers are on one scale."""
    differences = [cell.difference for line in table.lines for cell in line.cells]
    return max([0.01, *(abs(bound) for d in differences if d for bound in (d.low, d.high))])


def _difference(cell: Cell, difference: Difference, reach: float) -> Iterator[Html]:
    kind = {"better": "better", "worse": "worse"}.get(difference.verdict, "faint")
    yield _whisker(difference, kind, reach)
    yield element("span", f"{cell.text} ", difference.verdict, class_=kind)
    yield element("span", cell.range, class_="range")


def _whisker(difference: Difference, kind: str, reach: float) -> Html:
    """The interval of a difference about zero; the dot is full where something was shown."""
    color = {"better": "#0b6e4f", "worse": "#b3400a"}.get(kind, "#52606d")
    low, middle, high = (
        f"{60 + 54 * max(-1.0, min(1.0, fraction / reach)):.1f}"
        for fraction in (difference.low, difference.value, difference.high)
    )
    return element(
        "svg",
        element("line", x1=60, x2=60, y1=1, y2=15, stroke="#9aa5b1"),
        element("line", x1=low, x2=high, y1=8, y2=8, stroke=color, stroke_width=2),
        element(
            "circle", cx=middle, cy=8, r=3.6, stroke=color, stroke_width=1.6,
            fill="#fff" if kind == "faint" else color,
        ),
        width=120, height=16, viewBox="0 0 120 16", role="img", aria_label=difference.verdict,
    )  # fmt: skip


def _side_score(query: NeighborList, contender: Contender) -> list[Html | str]:
    score = query.scores.get(contender.letter)
    return [] if score is None else [f": {points(score)}"]


def _documents(found: Sequence[Neighbor]) -> Iterator[Html]:
    for rank, neighbor in enumerate(found, 1):
        words = [element("span", f"{rank}", class_="rank")]
        if neighbor.is_relevant:
            words.append(element("span", "\N{CHECK MARK} relevant ", class_="tick"))
        words.append(foreign(neighbor.text, _MAX_DOCUMENT) if neighbor.text else Html("(empty)"))
        yield element("li", *words, class_="relevant" if neighbor.is_relevant else None)
