"""Tokens under tokens, on small texts whose answer is plain to see."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.distillation.alignment import Tokens, align

Token = tuple[int, int, int, int]


def tokens(*items: Token) -> Tokens:
    """Of (row, id, start, end)."""
    columns = np.array(items, dtype=np.int64).reshape(-1, 4).T
    return Tokens(rows=columns[0], ids=columns[1], starts=columns[2], ends=columns[3])


def pairs(student: Tokens, teacher: Tokens) -> dict[int, list[int]]:
    """The teacher's places by the student's, over all of the student's tokens."""
    found = align(student, teacher)
    places = np.flatnonzero(found.kept)
    under: dict[int, list[int]] = {int(place): [] for place in places}
    for left, right in zip(found.left, found.right, strict=True):
        under[int(places[left])].append(int(right))
    sums = np.bincount(found.left, weights=found.shares, minlength=len(places))
    np.testing.assert_allclose(sums, 1.0, rtol=1e-6)
    return under


def test_a_word_has_the_pieces_it_is_made_of() -> None:
    # "zebrafish swims": the student has words, the teacher zeb ##ra ##fish swim ##s
    student = tokens((0, 90, 0, 9), (0, 91, 10, 15))
    teacher = tokens((0, 1, 0, 3), (0, 2, 3, 5), (0, 3, 5, 9), (0, 4, 10, 14), (0, 5, 14, 15))
    assert pairs(student, teacher) == {0: [0, 1, 2], 1: [3, 4]}


def test_pieces_of_a_word_have_the_word() -> None:
    student = tokens((0, 1, 0, 3), (0, 2, 3, 9))
    assert pairs(student, tokens((0, 7, 0, 9))) == {0: [0], 1: [0]}


def test_the_bytes_of_one_character_each_have_their_own() -> None:
    student = tokens((0, 5, 0, 1), (0, 6, 0, 1), (0, 7, 0, 1))
    teacher = tokens((0, 5, 0, 1), (0, 6, 0, 1), (0, 7, 0, 1))
    assert pairs(student, teacher) == {0: [0], 1: [1], 2: [2]}


def test_a_token_that_covers_nothing_goes_with_the_next() -> None:
    student = tokens((0, 3, 0, 0), (0, 4, 0, 4), (1, 3, 0, 0))
    teacher = tokens((0, 8, 0, 4), (1, 8, 0, 2))
    assert pairs(student, teacher) == {0: [0], 1: [0], 2: [1]}


def test_what_the_teacher_did_not_read_is_not_kept() -> None:
    student = tokens((0, 1, 0, 4), (0, 2, 4, 9), (0, 3, 10, 12), (1, 1, 0, 3))
    teacher = tokens((0, 7, 0, 4), (0, 8, 4, 6))
    assert pairs(student, teacher) == {0: [0], 1: [1]}


def test_the_left_of_a_text_that_was_cut_there_is_not_kept() -> None:
    student = tokens((0, 1, 0, 4), (0, 2, 4, 8), (0, 3, 8, 12))
    assert pairs(student, tokens((0, 7, 5, 8), (0, 8, 8, 12))) == {1: [0], 2: [1]}


@pytest.mark.parametrize("student", [tokens(), tokens((0, 1, 0, 2))])
def test_a_teacher_that_read_nothing_keeps_nothing(student: Tokens) -> None:
    assert pairs(student, tokens()) == {}


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[list[Token], list[Token]]:
    """Texts cut in two ways, each into pieces that touch."""
    student: list[Token] = []
    teacher: list[Token] = []
    for row in range(draw(st.integers(1, 3))):
        length = draw(st.integers(1, 12))
        for side in (student, teacher):
            cuts = draw(st.sets(st.integers(1, length - 1), max_size=5)) if length > 1 else set()
            bounds = [0, *sorted(cuts), length]
            side += [(row, draw(st.integers(0, 3)), a, b) for a, b in pairwise(bounds)]
    return student, teacher


@given(cut_texts())
def test_the_search_finds_what_comparing_all_with_all_finds(
    texts: tuple[list[Token], list[Token]],
) -> None:
    student, teacher = texts
    expected = {}
    for i, (row, own, start, end) in enumerate(student):
        under = [j for j, (r, _, a, b) in enumerate(teacher) if r == row and a < end and b > start]
        expected[i] = [j for j in under if teacher[j][1] == own] or under
    assert pairs(tokens(*student), tokens(*teacher)) == expected
