"""What cards of all kinds of models have in common: front matter, tables and sections.

One rule: nothing is claimed that is not recorded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

KEY = re.compile(r"^(?P<key>[A-Za-z_][\w.-]*)\s*:(?:\s+(?P<value>.*))?$")
_PLAIN = re.compile(r"^[A-Za-z][\w ./+-]*$")
# Words that YAML would not read as text.
_RESERVED = frozenset({"true", "false", "yes", "no", "on", "off", "null", "none", "y", "n"})


def yaml_lines(front: Mapping[str, Any]) -> Iterator[str]:
    """Front matter, line by line; what YAML keys cannot spell is left out."""
    for key, value in front.items():
        if not KEY.match(f"{key}:") or value is None:
            continue
        if isinstance(value, list | tuple):
            yield f"{key}:"
            yield from (f"- {_yaml_scalar(item)}" for item in value)
        else:
            yield f"{key}: {_yaml_scalar(value)}"


def _yaml_scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _RESERVED:
        return value.strip()
    # every JSON value is YAML
    return json.dumps(value, ensure_ascii=True, default=str)


def scores_section(ours: Mapping[str, Any], dim: int) -> list[str]:
    """What the model scored where it was chosen, if that was recorded."""
    rows = _records(ours, "scores")
    if not rows:
        return []
    dims = list(dict.fromkeys(str(dim) for row in rows for dim in _block(row, "dims")))
    table = [
        (
            row.get("name"),
            row.get("metric"),
            row.get("items") or "",
            "{} ({} to {})".format(*(_points(row.get(key)) for key in ("score", "low", "high"))),
            *(_points(_block(row, "dims").get(dim)) for dim in dims),
        )
        for row in rows
    ]
    head = ("scored on", "metric", "rows", f"{dim} dims (95 % interval)", *dims)
    note = "Times 100, on the rows that the model was chosen by: expect a little less elsewhere."
    return ["## Scores", "", note, "", *markdown_table(head, table), ""]


def data_section(ours: Mapping[str, Any]) -> list[str]:
    """What the model was trained on, if that was recorded."""
    rows = _records(ours, "data")
    if not rows:
        return []
    table = [
        (
            row.get("name"),
            row.get("pairs"),
            row.get("license") or "not known",
            ", ".join(f"{n} {reason}" for reason, n in _block(row, "left_out").items()),
        )
        for row in rows
    ]
    head = ("trained on", "pairs", "licence", "left out")
    return ["## Data", "", *markdown_table(head, table), ""]


def _records(ours: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = ours.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _block(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = row.get(name)
    return found if isinstance(found, dict) else {}


def _points(score: object) -> str:
    return f"{100 * score:.1f}" if isinstance(score, int | float) else ""


def recipe_section(ours: Mapping[str, Any]) -> list[str]:
    """How the model was made: all that was recorded, as dotted names and values."""
    rows = list(_flat(ours))
    if not rows:
        return ["## How it was made", "", "Not recorded."]
    return ["## How it was made", "", *markdown_table(("setting", "value"), rows)]


def licence_section(card: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Whose terms cover the model: the licence that `card` inherited, and those of its data."""
    licence = card.get("license")
    if _records(ours, "data"):
        origin = f"{one_line(str(licence))} for" if licence else "None is known for"
        base = "the model it was made from" if card.get("base_model") else "the model"
        text = (
            f"{origin} {base}; the data it was trained on has terms of its own, listed above as "
            "far as they are stated beside it."
        )
    elif licence:
        text = f"{one_line(str(licence))}, inherited from the model it was made from."
    else:
        text = (
            "Not known: the model it was made from does not say. Its licence covers this model "
            "too; find it out before you share the model."
        )
    return ["## Licence", "", text]


def _flat(block: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings as dotted names and values, without what only the reader needs."""
    for key, value in block.items():
        name = f"{prefix}{key}"
        if name in ("format", "unknown", "scores", "data"):
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, str):
            yield name, value
        else:
            yield name, json.dumps(value, ensure_ascii=False, default=str)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table."""

    def line(cells: Sequence[object]) -> str:
        shown = (one_line(str(cell)).replace("|", "\\|") for cell in cells)
        return f"| {' | '.join(shown)} |"

    return [line(head), "|" + "---|" * len(head), *map(line, rows)]


def one_line(text: str) -> str:
    """`text` with all white space as single blanks."""
    return " ".join(text.split())
