"""Python's own language reference as paragraphs: real English that is on every machine.

`pydoc_data.topics` is the text behind `help("with")`, a few hundred pages of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MIN_WORDS = 8
_ITEM = re.compile(r"^(?:[*•-]|\(?\d+[.)])\s+")
_HEADING = re.compile(r"^[*=\-^~\"]{4,}$")
_CODE = re.compile(r">>>|::=|^\s*(?:def|class|import|from|return|@)\b|[=;{}\\]\s*$", re.MULTILINE)
_MARKUP = re.compile(r"(?<!\w)\*\*?(\w[^*\n]*?)\*\*?(?!\w)|`([^`]+)`|:\w+:`")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of the reference and the help topic it stands in."""

    text: str
    topic: str


def reference_paragraphs() -> list[Paragraph]:
    """Paragraphs of prose of this Python's language reference, each once, in a fixed order."""
    from pydoc_data.topics import topics

    found: dict[str, Paragraph] = {}
    for topic in sorted(topics):
        for block in re.split(r"\n\s*\n", topics[topic]):
            text = _prose(block)
            if text is not None:
                found.setdefault(text, Paragraph(text, topic))
    return list(found.values())


def _prose(block: str) -> str | None:
    """The block as one line of plain English, or None if it is a heading, a table or code."""
    lines = [line.strip() for line in block.splitlines()]
    if not lines or any(_HEADING.match(line) for line in lines) or _CODE.search(block):
        return None
    # "read-" at the end of a line goes on as "read-only"
    text = re.sub(r"(?<=\w)- (?=\w)", "-", " ".join(lines)) if len(lines) > 1 else lines[0]
    text = _MARKUP.sub(lambda found: found[1] or found[2] or "", _ITEM.sub("", text))
    text = " ".join(text.split())
    words = text.split()
    letters = sum(letter.isalpha() or letter == " " for letter in text)
    is_prose = (
        len(words) >= _MIN_WORDS
        and letters >= 0.8 * len(text)
        and text[-1] in '.:;?!)”"'
        and not text.startswith(("|", "+", "#"))
    )
    return text if is_prose else None
