"""HTML built from values, escaped by construction: what is not `Html` is text.

The one rule: text from records and data sets never becomes markup, whatever it holds.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

MAX_LETTERS = 4000  # of any one piece of text; what is longer is cut

# controls, lone surrogates, and marks that reorder the text around them
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
# spaces that break lines; the others are there to hold words together
_SPACES = re.compile("[ \\t\\n\\r\\f\\v\\x85\\u2028\\u2029]+")
_VOID = {"br", "img", "meta", "line", "circle", "rect"}


class Html(str):
    """Markup that is known to be well formed."""

    __slots__ = ()


def cut(text: str, n_letters: int) -> str:
    """`text` on one line, of at most `n_letters`."""
    words = _SPACES.sub(" ", text[: 4 * n_letters + 100]).strip()
    if len(words) <= n_letters:
        return words
    kept = words[: n_letters - 1]
    end = kept.rfind(" ", len(kept) - 20)  # not inside a word, where words are short
    return (kept[:end] if end > 0 else kept).rstrip() + "…"


def escaped(text: str) -> Html:
    """`text` as it shows, nothing of it read as markup."""
    shown = text if len(text) <= MAX_LETTERS else text[: MAX_LETTERS - 1] + "…"
    return Html(html.escape(printable(shown), quote=True))


def printable(text: str) -> str:
    """`text` with a mark in place of what has no shape or turns the text around it."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def join(parts: Iterable[Html | str], separator: str = "") -> Html:
    """Parts one after the other; those that are not markup are escaped."""
    return Html(escaped(separator).join(p if isinstance(p, Html) else escaped(p) for p in parts))


def element(tag: str, /, *children: Html | str, **attributes: str | float | None) -> Html:
    """An element; children that are not markup are escaped.

    Args:
        tag: Name of the element; trusted.
        children: What is in it.
        attributes: By name, `class_` for class and `_` for a hyphen; None leaves one out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        # closed in SVG; in HTML the slash is allowed and means nothing
        return Html(f"<{tag}{written}/>")
    return Html(f"<{tag}{written}>{join(children)}</{tag}>")


def foreign(text: str, n_letters: int = 160) -> Html:
    """Text of unknown language and direction, cut, kept from turning the words around it."""
    whole = cut(text, 2000)
    shown = cut(text, n_letters)
    return element("bdi", shown, title=None if shown == whole else whole)
