"""Which of a teacher's tokens lie under each of a student's, by the characters they cover.

Pure functions of arrays. Tokens of many texts are handled at once: a text is a row, and a place in
it a number that grows from row to row, so that one search serves all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens of some texts, text after text, each in the order of its text.

    Attributes:
        rows: Which text each of T tokens is of, never falling, shape [T].
        ids: Ids on the student's side, -1 where it has none, [T].
        starts: First character of each, [T].
        ends: The one after its last, [T].
    """

    rows: Places
    ids: Places
    starts: Places
    ends: Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Pairs of a student's and a teacher's token that share characters.

    Attributes:
        kept: Which of the student's tokens the teacher has read, bool, shape [S].
        left: Of each of P pairs, the student's token, counted over those kept, never falling, [P].
        right: Of each pair, the teacher's token, [P].
        shares: 1 over the number of pairs of the student's token, float32 [P].
    """

    kept: NDArray[np.bool_]
    left: Places
    right: Places
    shares: NDArray[np.float32]


def align(student: Tokens, teacher: Tokens) -> Alignment:
    """The teacher's tokens under each of the student's.

    A token of the student goes with those it shares a character with; among several, with those
    of its own id if there are any (the bytes of one character cover the same place). One that
    covers nothing goes with the next. Tokens beyond what the teacher read, as after the place where
    a text was cut, are not kept.

    Args:
        student: Its tokens.
        teacher: Its own tokens in the same texts, without specials and prompt.
    """
    width = 2 + int(max(student.ends.max(initial=0), teacher.ends.max(initial=0)))
    starts = np.maximum.accumulate(teacher.rows * width + teacher.starts)
    ends = np.maximum.accumulate(teacher.rows * width + teacher.ends)
    row_begin = np.searchsorted(teacher.rows, student.rows, side="left")
    row_end = np.searchsorted(teacher.rows, student.rows, side="right")
    kept = row_begin < row_end
    first, last = row_begin[kept], row_end[kept] - 1
    begin = student.rows * width + student.starts
    end = student.rows * width + student.ends
    empty = begin == end
    in_read = (begin[kept] < ends[last]) & ((end[kept] > starts[first]) | empty[kept])
    kept[kept] = in_read
    first, last = first[in_read], last[in_read]
    begin, end = begin[kept], end[kept]
    low = np.clip(np.searchsorted(ends, begin, side="right"), first, last)
    high = np.clip(np.searchsorted(starts, end, side="left"), low + 1, last + 1)
    n_under = high - low
    left = np.repeat(np.arange(len(low)), n_under)
    right = np.arange(len(left)) - np.repeat(np.cumsum(n_under) - n_under, n_under)
    right += np.repeat(low, n_under)
    same = student.ids[kept][left] == teacher.ids[right]
    chosen = same | ~_any_of(left, same, len(low))[left]
    left, right = left[chosen], right[chosen]
    shares = 1.0 / np.bincount(left, minlength=len(low))[left]
    return Alignment(kept=kept, left=left, right=right, shares=shares.astype(np.float32))


def _any_of(groups: Places, marks: NDArray[np.bool_], n_groups: int) -> NDArray[np.bool_]:
    """Whether any member of each group is marked, shape [n_groups]."""
    found: NDArray[np.bool_] = np.bincount(groups[marks], minlength=n_groups) > 0
    return found


def tokens_of(encodings: list[Any], own: Places, *, begin: int = 0) -> tuple[Tokens, Places]:
    """Tokens of texts as a tokenizer cut them, and the place of each among all of its ids.

    Specials that a tokenizer puts around a text are left out, and what ends before `begin`.

    Args:
        encodings: `tokenizers.Encoding`, one a text.
        own: The student's id of each of the tokenizer's ids, -1 for none.
        begin: Characters before each text, which do not count.
    """
    lengths = np.fromiter((len(e.ids) for e in encodings), dtype=np.int64, count=len(encodings))
    rows = np.repeat(np.arange(len(encodings)), lengths)
    ids = _joined([e.ids for e in encodings])
    special = _joined([e.special_tokens_mask for e in encodings])
    spans = _joined([span for e in encodings for span in e.offsets]).reshape(-1, 2) - begin
    chosen = (special == 0) & ((spans[:, 1] > 0) | (begin == 0))
    known = np.append(own, -1)  # ids beyond the end have none
    found = Tokens(
        rows=rows[chosen],
        ids=known[np.minimum(ids[chosen], len(own))],
        starts=np.maximum(spans[chosen, 0], 0),
        ends=spans[chosen, 1],
    )
    return found, np.flatnonzero(chosen)


def _joined(lists: list[Any]) -> Places:
    return np.concatenate([np.empty(0, dtype=np.int64), *map(_as_places, lists)])


def _as_places(items: Any) -> Places:
    return np.asarray(items, dtype=np.int64)
