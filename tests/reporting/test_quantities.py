from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.reporting.quantities import duration_words, figure_words, flop_words, size_words


@pytest.mark.parametrize(
    ("flops", "words"),
    [(9.06e16, "9.06e16"), (1e17, "1e17"), (1.5e15, "1.5e15"), (9.999e15, "1e16"), (0.0, "0")],
)
def test_flop_are_written_as_they_are_typed(flops: float, words: str) -> None:
    assert flop_words(flops) == words


@given(st.floats(1e3, 1e30))
def test_written_flop_read_back_to_half_a_percent(flops: float) -> None:
    assert float(flop_words(flops)) == pytest.approx(flops, rel=5.1e-3)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1_189_888, "1.19M"), (302_311_424, "302M"), (2_517_652_480, "2.52B"), (25_472, "25.5k"),
        (999, "999"), (999_950, "1M"), (0, "0"), (2e14, "200T"),
    ],
)  # fmt: skip
def test_a_size_has_three_digits_and_a_unit(count: float, words: str) -> None:
    assert size_words(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(42.3, "42 s"), (59.99, "60 s"), (750, "12 min"), (11_880, "3.3 h"), (432_000, "5 days")],
)
def test_a_time_is_in_the_unit_that_suits_it(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words.replace(" ", "\N{NARROW NO-BREAK SPACE}")


def test_what_is_no_number_is_named_as_such_and_breaks_nothing() -> None:
    for words in (flop_words, size_words, duration_words, figure_words):
        assert words(math.inf) == "inf"
        assert words(math.nan) == "nan"


@given(st.floats(1e-12, 1e12))
def test_any_other_figure_keeps_three_digits(value: float) -> None:
    shown = figure_words(value).replace("\N{NARROW NO-BREAK SPACE}", "")
    assert float(shown) == pytest.approx(value, rel=5.1e-3)
