"""Numbers from outside, refused by name where they make no sense."""

from __future__ import annotations

import math
from numbers import Real


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
        raise TypeError(f"{name} is {value!r:.60}, expected a number")
    fits = value >= at_least if or_equal else value > at_least
    if not (fits and math.isfinite(value)):
        expected = "zero or more" if or_equal else "more than zero"
        raise ValueError(f"{name} is {value!r:.60}, expected a finite number, {expected}")
