"""Numbers from outside, refused by name where they make no sense."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any


def check_positive(**numbers: float | None) -> None:
    """Raises unless each number is above zero and finite; None is no number and passes.

    Raises:
        ValueError: If one is zero, negative, infinite or no number.
        TypeError: If one is of another kind.
    """
    for name, value in numbers.items():
        _check(name, value, at_least=0.0, or_equal=False)


def check_not_negative(**numbers: float | None) -> None:
    """Raises unless each number is zero or more and finite; None passes.

    Raises:
        ValueError: If one is negative, infinite or no number.
        TypeError: If one is of another kind.
    """
    for name, value in numbers.items():
        _check(name, value, at_least=0.0, or_equal=True)


def is_finite(value: Any) -> bool:
    """Whether `value` is a number that a float can hold; a boolean is none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond 1e308
        return False


def shown(value: Any) -> str:
    """`value` for an error, cut to 60 characters."""
    try:
        return f"{value!r:.60}"
    except ValueError:  # Python writes out no whole number of more than 4300 digits
        return "a number of thousands of digits"


def whole(number: float, name: str) -> int:
    """The whole number that `number` is, as 5e6 is five million.

    Raises:
        ValueError: If it is none.
    """
    if number != int(number):
        raise ValueError(f"{name} is {number}, expected a whole number")
    return int(number)


def _check(name: str, value: float | None, *, at_least: float, or_equal: bool) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {shown(value)}, expected a number")
    fits = value >= at_least if or_equal else value > at_least
    if not (fits and is_finite(value)):
        expected = "zero or more" if or_equal else "more than zero"
        raise ValueError(f"{name} is {shown(value)}, expected a finite number, {expected}")
