"""Counts and other figures as short as a tick or a cell of a table has room for.

The one rule: three digits, whatever the unit.
"""

from __future__ import annotations

import math

_COUNT_UNITS = ("", "k", "M", "B", "T")
_SPACE = "\N{NARROW NO-BREAK SPACE}"


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


def figure_words(value: float) -> str:
    """Any other figure in three digits: 0.0123, 12.3, 12 300; powers of ten where it is extreme."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if not 1e-4 <= abs(value) < 1e6:
        digits, exponent = f"{value:.2e}".split("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    shown = float(f"{value:.3g}")
    return f"{shown:,.0f}".replace(",", _SPACE) if abs(shown) >= 1000 else f"{shown:g}"
