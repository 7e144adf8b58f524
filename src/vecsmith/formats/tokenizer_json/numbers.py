"""Decimal numbers of a `tokenizer.json`, as Hugging Face's reader takes them.

That reader (serde_json without its feature `float_roundtrip`) collects digits while they fit 64
bits and then multiplies or divides once by a power of ten, so the last bit of a score of 16 digits
and more is often not the nearest there is. Ties between segmentations hang on such bits.
"""

from __future__ import annotations

_MOST = 2**64 - 1
_LARGEST_POWER = 308
# A number of so few characters is exact before it is scaled, and so is its power of ten.
_EXACT = 16


def float_of(text: str) -> float:
    """The number that `text`, a JSON number with a point or an exponent, is there."""
    if len(text) <= _EXACT and "e" not in text and "E" not in text:
        return float(text)
    mantissa, _, exponent = text.lower().removeprefix("-").partition("e")
    digits, power = _significand(mantissa)
    value = _scaled(float(digits), power + int(exponent or 0))
    return -value if text.startswith("-") else value


def _significand(mantissa: str) -> tuple[int, int]:
    """Leading digits that fit 64 bits, and the power of ten they are to be multiplied by."""
    whole, _, fraction = mantissa.partition(".")
    digits, n_whole = _digits(0, whole)
    digits, n_fraction = _digits(digits, fraction)
    return digits, len(whole) - n_whole - n_fraction


def _digits(value: int, more: str) -> tuple[int, int]:
    """`value` with digits of `more` behind it up to the one that does not fit, and their number."""
    longer = int(f"{value}{more[:19]}")
    if len(more) <= 19 and longer <= _MOST:
        return longer, len(more)
    for i, digit in enumerate(more):
        if value * 10 + int(digit) > _MOST:
            return value, i
        value = value * 10 + int(digit)
    return value, len(more)


def _scaled(value: float, power: int) -> float:
    while abs(power) > _LARGEST_POWER and value not in {0.0, float("inf")}:
        step = _LARGEST_POWER if power > 0 else -_LARGEST_POWER
        value = _scaled(value, step)
        power -= step
    if value == 0.0:
        return value
    return value * float(f"1e{power}") if power >= 0 else value / float(f"1e{-power}")
