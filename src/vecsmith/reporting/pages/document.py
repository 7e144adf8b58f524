"""What every page is made of: its head, its tables that scroll, its pictures.

The one rule: a page asks for nothing from anywhere, and holds no script.
"""

from __future__ import annotations

import base64

from vecsmith.reporting.pages.markup import Html, cut, element, escaped
from vecsmith.reporting.pages.style import CSS

# Nothing may be fetched, run or sent, even if a name should ever slip through unescaped.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)


def document(title: str, body: Html) -> str:
    """A page of that title, as text; `body` is the whole `body` element."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", cut(title, 200)),
        element("style", Html(CSS)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def section(title: str, *parts: Html) -> Html:
    """A part of the page under a heading."""
    return element("section", element("h2", title), *parts)


def scrolling(table: Html) -> Html:
    """A table that scrolls sideways where it is wider than the screen."""
    return element("div", table, class_="scroll", tabindex="0")


def picture_element(name: str, picture: bytes) -> Html:
    """An SVG file that shows `name`."""
    # an image, not markup: what is in it can neither clash with the page nor run
    source = "data:image/svg+xml;base64," + base64.b64encode(picture).decode("ascii")
    hint = element("p", "Wider than the screen: it scrolls sideways.", class_="hint small")
    # built by hand: the address is far longer than any text may be
    image = Html(f'<img src="{source}" alt="{escaped(name)}"/>')
    return element("div", hint, element("figure", image, tabindex="0"))
