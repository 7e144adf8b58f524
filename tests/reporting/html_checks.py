"""What the tests ask of a page: whether it is well formed, and what its tables say."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "line", "circle"}


@dataclass
class Page(HTMLParser):
    """A page taken apart; `problems` holds what is wrong with its structure."""

    problems: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.problems.append(f"an attribute twice in {tag}")
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            return
        self.text += data
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data

    @property
    def words(self) -> str:
        """The text, all white space plain."""
        return " ".join(self.text.split())

    def row(self, name: str, table: int = 0) -> list[str]:
        """Cells of the first row that begins with `name`."""
        return next(row for row in self.tables[table] if row and row[0].startswith(name))


def take_apart(page: str) -> Page:
    """The page, checked for structure and for anything that would be fetched or run."""
    parsed = Page()
    parsed.feed(page)
    parsed.close()
    if parsed._open:
        parsed.problems.append(f"not closed: {parsed._open}")
    for tag, attributes in parsed.tags:
        parsed.problems += _dangers(tag, attributes)
    style = "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    if re.search(r"url\(|@import|expression|</", style):
        parsed.problems.append("the style sheet fetches something")
    return parsed


def _dangers(tag: str, attributes: dict[str, str | None]) -> list[str]:
    allowed = set(
        "html head meta title style body header main section div span p h1 h2 h3 bdi table caption "
        "thead tbody tr th td figure img svg line circle ol ul li dl dt dd pre code".split()
    )
    found = [] if tag in allowed else [f"element {tag}"]
    for name, value in attributes.items():
        if name.startswith("on") or name in ("href", "srcdoc", "action", "srcset"):
            found.append(f"attribute {name} of {tag}")
        if name == "src" and not (value or "").startswith("data:image/svg+xml;base64,"):
            found.append(f"source {value!r:.40}")
    return found
