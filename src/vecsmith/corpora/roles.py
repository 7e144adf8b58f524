"""Which columns of a table are anchor, positive, negatives and score.

The one rule: names decide where they are known, the order only where there is one way to read it;
else the caller is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vecsmith.corpora.rows import Rows, listed

# Names of the two sides of a pair; the first two that are both there count.
PAIRS: Final[tuple[tuple[str, str], ...]] = (
    ("anchor", "positive"),
    ("anchor", "pos"),
    ("query", "positive"),
    ("query", "pos"),
    ("query", "positive_passage"),
    ("query", "answer"),
    ("query", "document"),
    ("query", "passage"),
    ("query", "response"),
    ("query", "text"),
    ("query", "corpus"),
    ("question", "positive"),
    ("question", "pos"),
    ("question", "answer"),
    ("question", "document"),
    ("question", "passage"),
    ("question", "response"),
    ("question", "context"),
    ("question1", "question2"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("premise", "hypothesis"),
    ("text1", "text2"),
    ("text_1", "text_2"),
    ("text_a", "text_b"),
    ("source", "target"),
    ("title", "abstract"),
    ("title", "body"),
    ("instruction", "response"),
    ("english", "non_english"),
)
SCORES: Final = ("score", "scores", "similarity", "similarity_score", "label", "labels")
_NEGATIVE = re.compile(r"(?:hard_)?neg(?:ative)?(?:_passage)?_?(\d*)")
# Labels of these are classes, also where they are written as numbers.
_INFERENCE: Final = ("premise", "hypothesis")
# What the order of columns is taken of leaves these out.
_NEVER_TEXT: Final = frozenset({"id", "_id", "idx", "index", "split", "lang", "language", "subset"})


def find_roles(table: TableFacts) -> dict[str, str]:
    """Columns by role: "anchor", "positive", then "negative_1", ... and "score" if there are any.

    Raises:
        ValueError: If it cannot be told.
    """
    by_name: dict[str, str] = {}
    for column in table.columns:
        by_name.setdefault(_plain(column), column)
    pair = next((pair for pair in PAIRS if pair[0] in by_name and pair[1] in by_name), None)
    if pair is not None:
        sides = {"anchor": by_name[pair[0]], "positive": by_name[pair[1]]}
        return sides | _negatives(by_name) | _score(by_name, table, pair)
    negatives, score = _negatives(by_name), _score(by_name, table, None)
    known = {*negatives.values(), *score.values()}
    rest = [
        name
        for name in table.text_columns
        if name not in known and name not in table.fixed and _plain(name) not in _NEVER_TEXT
    ]
    if all(name.isdigit() for name in table.columns):  # tuples have an order and no names
        numbers = [name for name in table.columns if name in table.number_columns]
        if len(rest) >= 2 and len(numbers) <= 1:
            return roles_in_order([*rest, *numbers], table)
    elif len(rest) == 2:
        return {"anchor": rest[0], "positive": rest[1]} | negatives | score
    raise ValueError(
        f"{table.origin}: columns {listed(table.columns)}, expected two that are named as a pair, "
        "such as 'anchor' and 'positive' or 'query' and 'document'; name yours in this order: "
        'roles=["my_question", "my_answer"]'
    )


def roles_in_order(columns: Sequence[str], table: TableFacts) -> dict[str, str]:
    """Columns by role from their order: anchor, positive, then negatives; numbers are the score.

    Raises:
        ValueError: If a column is not there, or there are fewer than two of text.
    """
    _check_there(columns, table)
    scores = [name for name in columns if _is_score(name, table)]
    texts = [name for name in columns if name not in scores]
    if len(texts) < 2 or len(scores) > 1:
        raise ValueError(
            f"{table.origin}: roles {listed(columns)}, expected columns of anchor and positive, "
            "then of negatives, at most one of them a score"
        )
    names = ["anchor", "positive", *(f"negative_{i}" for i in range(1, len(texts) - 1))]
    return dict(zip(names, texts, strict=True)) | dict(zip(["score"], scores, strict=False))


def stated_roles(roles: Mapping[str, str], table: TableFacts) -> dict[str, str]:
    """Columns by role as the caller says, negatives numbered from 1.

    Raises:
        ValueError: If a role is not known, one of the two sides lacks, or a column is not there.
    """
    _check_there(list(roles.values()), table)
    negatives: list[tuple[int, str]] = []
    for role, column in roles.items():
        found = re.fullmatch(r"negative(?:_(\d+))?", role)
        if found:
            negatives.append((int(found[1] or 0), column))
        elif role not in ("anchor", "positive", "score"):
            raise ValueError(
                f"{table.origin}: role {role!r}, expected anchor, positive, negative, negative_1, "
                "... or score"
            )
    if "anchor" not in roles or "positive" not in roles:
        raise ValueError(
            f"{table.origin}: roles {listed(roles)}, expected anchor and positive among them"
        )
    named = {"anchor": roles["anchor"], "positive": roles["positive"]}
    named |= {f"negative_{i}": column for i, (_, column) in enumerate(sorted(negatives), 1)}
    return named | ({"score": roles["score"]} if "score" in roles else {})


def _check_there(columns: Sequence[str], table: TableFacts) -> None:
    for column in columns:
        if column not in table.columns:
            raise ValueError(
                f"{table.origin}: roles name column {column!r}, expected one of "
                f"{listed(table.columns)}"
            )


def _negatives(by_name: Mapping[str, str]) -> dict[str, str]:
    found = [
        (int(match[1] or 0), column)
        for plain, column in by_name.items()
        if (match := _NEGATIVE.fullmatch(plain))
    ]
    return {f"negative_{i}": column for i, (_, column) in enumerate(sorted(found), 1)}


def _score(
    by_name: Mapping[str, str], table: TableFacts, pair: tuple[str, str] | None
) -> dict[str, str]:
    column = next((by_name[name] for name in SCORES if name in by_name), None)
    if column is None or column in table.fixed:
        return {}
    if pair != _INFERENCE and _is_score(column, table):
        return {"score": column}
    raise ValueError(
        f"{table.origin}: column {column!r} holds {table.example(column)}, expected a grade of "
        f'likeness; choose rows by it, as in where={{"{column}": {table.example(column)}}}, or '
        'leave it out: roles=["anchor column", "positive column"]'
    )


def _is_score(column: str, table: TableFacts) -> bool:
    # of CSV all is text, so a name is needed to take a column of numerals for numbers
    named = _plain(column) in SCORES
    return column in table.number_columns or (named and column in table.numeral_columns)


def _plain(name: str) -> str:
    return re.sub(r"[^0-9a-z]+", "_", name.strip().lower()).strip("_") or name


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """What the first rows of a table tell.

    Attributes:
        origin: What they are of, for messages.
        columns: Names of all columns.
        text_columns: Those that hold texts.
        number_columns: Those that hold numbers.
        numeral_columns: Those that hold texts which are numbers.
        fixed: Those by which rows were chosen.
        examples: A value of each, as Python writes it.
    """

    origin: str
    columns: tuple[str, ...]
    text_columns: tuple[str, ...]
    number_columns: tuple[str, ...]
    numeral_columns: tuple[str, ...]
    fixed: frozenset[str]
    examples: Mapping[str, str]

    def example(self, column: str) -> str:
        """A value of `column`, for a message."""
        return self.examples.get(column, "nothing")


def facts_of(
    origin: str, columns: Sequence[str], head: Rows | None, fixed: frozenset[str]
) -> TableFacts:
    """What the first rows of a table tell about its columns."""
    values = {name: _present(head, name) for name in columns}
    texts = {name for name in columns if values[name] and _all(values[name], str)}
    numbers = {name for name in columns if values[name] and _all(values[name], int | float)}
    return TableFacts(
        origin=origin,
        columns=tuple(columns),
        text_columns=tuple(name for name in columns if name in texts or not values[name]),
        number_columns=tuple(name for name in columns if name in numbers),
        numeral_columns=tuple(
            name for name in columns if name in texts and all(map(_is_numeral, values[name]))
        ),
        fixed=fixed,
        examples={name: f"{found[0]!r:.60}" for name, found in values.items() if found},
    )


def _present(head: Rows | None, column: str) -> list[Any]:
    return [] if head is None else [value for value in head.columns[column] if value is not None]


def _all(values: Sequence[Any], kind: Any) -> bool:
    return all(isinstance(value, kind) for value in values)


def _is_numeral(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return not text.strip()
    return True
