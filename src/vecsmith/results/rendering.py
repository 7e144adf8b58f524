"""Tables as text for a terminal: aligned columns, in a given width.

The one rule: nothing is cut off without a sign of it; columns that do not fit come below.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from vecsmith.results.tables import Cell, Column, Table, TableRow

_GAP = "  "
_LEAST_LABEL, _MOST_LABEL, _MOST_HEADING = 20, 44, 18

_HEADINGS = {"group": "named groups", "mean": "all"}


def render(table: Table, *, width: int = 120) -> str:
    """The table as text.

    Args:
        table: Of a result.
        width: Columns of the terminal; at least one figure stands beside the labels.
    """
    most = max(_LEAST_LABEL, min(_MOST_LABEL, width * 3 // 8))
    lines = [
        ["task", "items", *map(_column_heading, table.columns)],
        ["bytes per vector", "", *map(_bytes, table.columns)],
        *_lines(table, most),
    ]
    title = f"{visible(table.model)}: scores x 100, ± half of the 95 % interval"
    blocks = [title, *(align(panel) for panel in _panels(lines, width))]
    if table.footnotes:
        notes = (f"[{number}] {note}" for number, note in enumerate(table.footnotes, start=1))
        blocks.append("\n".join(_wrapped(visible(note), width) for note in notes))
    return "\n\n".join(blocks) + "\n"


def align(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells in columns: the first to the left, the others to the right.

    A line of one cell is a heading and may be longer than the column. Control characters are made
    visible.
    """
    lines = [list(map(visible, line)) for line in lines]
    widths = _widths(lines)
    aligned = []
    for first, *others in lines:
        cells = [first + " " * (widths[0] - text_width(first))]
        cells += [
            " " * (width - text_width(cell)) + cell
            for cell, width in zip(others, widths[1:], strict=False)
        ]
        aligned.append(_GAP.join(cells).rstrip())
    return "\n".join(aligned)


def shorten(text: str, most: int) -> str:
    """`text` in at most so many columns, its middle left out; control characters made visible."""
    text = visible(text)
    if text_width(text) <= most:
        return text
    head, tail = most - most // 2 - 1, most // 2
    return _fitting(text, head) + "…" + _fitting(text[::-1], tail)[::-1]


def visible(text: str) -> str:
    """`text` with a sign in place of each control character, which could steer a terminal."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def text_width(text: str) -> int:
    """Columns that `text` takes on a terminal: two for a Chinese or Korean character."""
    return sum(map(_letter_width, text))


def percent(value: float) -> str:
    """A fraction times 100, with one decimal."""
    return f"{100 * value:.1f}"


def counted_sets(n_sets: int) -> str:
    """How many sets, in words."""
    return "1 set" if n_sets == 1 else f"{n_sets} sets"


def _wrapped(text: str, width: int) -> str:
    """`text` in lines of at most so many columns, later ones indented; a long word stays whole."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"    {word}" if lines else word)
    return "\n".join(lines)


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _fitting(text: str, most: int) -> str:
    """The longest beginning of `text` of at most so many columns."""
    taken = 0
    for place, letter in enumerate(text):
        taken += _letter_width(letter)
        if taken > most:
            return text[:place]
    return text


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    full = [line for line in lines if len(line) > 1]
    return [max(map(text_width, column)) for column in zip(*full, strict=True)]


def _panels(lines: Sequence[Sequence[str]], width: int) -> Iterator[list[list[str]]]:
    """The lines, in pieces whose columns fit; each has the labels again."""
    widths = _widths(lines)
    used = widths[0] + len(_GAP) + widths[1]
    begin, taken = 2, used
    for place in range(2, len(widths)):
        taken += len(_GAP) + widths[place]
        if taken > width and place > begin:
            yield [[*line[:2], *line[begin:place]] for line in lines]
            begin, taken = place, used + len(_GAP) + widths[place]
    yield [[*line[:2], *line[begin:]] for line in lines]


def _lines(table: Table, most: int) -> Iterator[list[str]]:
    last = ""
    for row in table.rows:
        heading = _heading(table, row)
        if heading != last:
            last = heading
            yield [""]
            yield [heading]
        yield [
            f"  {_label(row, most - 2)}",
            f"{row.n_items:,} {row.unit}",
            *map(_figure, row.cells),
        ]
        if any(cell and cell.wide for cell in row.cells):
            yield ["    on other sets like these", "", *map(_spread, row.cells)]


def _heading(table: Table, row: TableRow) -> str:
    if row.role == "retention":
        return f"{row.metric}: percent of the baseline's score"
    if row.kind is None:
        return _HEADINGS[row.role]
    metrics = {other.metric for other in table.rows if other.kind == row.kind}
    return f"{row.kind}, {row.metric}" if len(metrics) == 1 else row.kind


def _label(row: TableRow, most: int) -> str:
    notes = "".join(f" [{number}]" for number in row.notes)
    n_sets = "" if row.role in ("task", "retention") else f" ({counted_sets(row.n_sets)})"
    label = _last_part(row.label) if row.role == "retention" else row.label
    return shorten(label, max(1, most - len(notes) - len(n_sets))) + n_sets + notes


def _column_heading(column: Column) -> str:
    label = column.label if column.baseline is None else _last_part(column.label)
    return shorten(label, _MOST_HEADING)


def _last_part(name: str) -> str:
    """Of "organisation/model" the model, which tells more."""
    return name.rstrip("/").rsplit("/", 1)[-1]


def _figure(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    if cell.low is None or cell.high is None:
        return percent(cell.score)
    return f"{percent(cell.score)} ±{percent((cell.high - cell.low) / 2)}"


def _spread(cell: Cell | None) -> str:
    if cell is None or cell.wide is None:
        return ""
    return f"±{percent((cell.wide[1] - cell.wide[0]) / 2)}"


def _bytes(column: Column) -> str:
    return "" if column.n_bytes is None else f"{column.n_bytes:,}"
