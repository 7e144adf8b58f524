"""Counts, FLOP, times and sums of money as people write them.

The one rule: a number keeps the digits that were given, three at most, and always its unit.
"""

from __future__ import annotations

import math

_COUNT_UNITS = ("", "k", "M", "B", "T")
_SPACE = "\N{NARROW NO-BREAK SPACE}"
_TIMES = ((60.0, 1.0, "s"), (3600.0, 60.0, "min"), (2 * 86400.0, 3600.0, "h"))
_DAYS = (86400.0, "days")


def flop_words(flops: float) -> str:
    """FLOP as one types them: 9.06e16, 1e17."""
    if not math.isfinite(flops) or flops <= 0:
        return f"{flops:g}"
    digits, exponent = f"{flops:.2e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def size_words(count: float) -> str:
    """A number of parameters, tokens or pairs, in three digits: 25.5k, 302M, 1.21B."""
    if not math.isfinite(count):
        return f"{count:g}"
    for unit in _COUNT_UNITS:
        shown = float(f"{count:.3g}")
        if abs(shown) < 1000 or unit == _COUNT_UNITS[-1]:
            break
        count /= 1000
    return f"{shown:g}{unit}" if abs(shown) < 1e5 else f"{shown:.3g}{unit}"


def duration_words(seconds: float) -> str:
    """A time in the unit that suits it: 42 s, 12 min, 3.3 h, 5 days."""
    if not math.isfinite(seconds):
        return f"{seconds:g}"
    for below, unit_seconds, unit in _TIMES:
        if seconds < below:
            return f"{_rounded(seconds / unit_seconds)}{_SPACE}{unit}"
    return f"{_rounded(seconds / _DAYS[0])}{_SPACE}{_DAYS[1]}"


def figure_words(value: float) -> str:
    """Any other figure in three digits: 0.0123, 12.3, 12 300; powers of ten where it is extreme."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if not 1e-4 <= abs(value) < 1e6:
        digits, exponent = f"{value:.2e}".split("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    shown = float(f"{value:.3g}")
    return f"{shown:,.0f}".replace(",", _SPACE) if abs(shown) >= 1000 else f"{shown:g}"


def _rounded(value: float) -> str:
    """Two digits below a hundred, all of them above."""
    return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"
