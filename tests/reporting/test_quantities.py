from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.reporting.quantities import figure_words, size_words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1_189_888, "1.19M"), (302_311_424, "302M"), (2_517_652_480, "2.52B"), (25_472, "25.5k"),
        (999, "999"), (999_950, "1M"), (0, "0"), (2e14, "200T"),
    ],
)  # fmt: skip
def test_a_size_has_three_digits_and_a_unit(count: float, words: str) -> None:
    assert size_words(count) == words


def test_what_is_no_number_is_named_as_such_and_breaks_nothing() -> None:
    for words in (size_words, figure_words):
        assert words(math.inf) == "inf"
        assert words(math.nan) == "nan"


@given(st.floats(1e-12, 1e12))
def test_any_other_figure_keeps_three_digits(value: float) -> None:
    shown = figure_words(value).replace("\N{NARROW NO-BREAK SPACE}", "")
    assert float(shown) == pytest.approx(value, rel=5.1e-3)
