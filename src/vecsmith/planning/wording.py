"""Numbers as people read them."""

from __future__ import annotations


def flops_text(flops: float) -> str:
    """FLOP, as "1e17" or "9.06e16"."""
    mantissa, exponent = f"{flops:.3g}".partition("e")[::2] if flops >= 1e5 else ("", "")
    if not mantissa:
        return f"{flops:.3g}"
    if not exponent:  # three digits and less than a thousand thousand
        mantissa, exponent = f"{flops:.2e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def amount(number: float) -> str:
    """A large number, as "302 million", "8.2 billion" or "12,500"."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size * 0.9995:
            return f"{number / size:.3g} {word}"
    return f"{round(number):,}"


def n_bytes_text(n_bytes: float) -> str:
    """Bytes, as "7.8 GB"."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= size * 0.9995:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes:.0f} B"


def hours_text(hours: float) -> str:
    """A time, as "12 min", "3.3 h" or "21 days"."""
    if hours < 1 / 60:
        return f"{hours * 3600:.2g} s"
    if hours < 1:
        return f"{hours * 60:.2g} min"
    if hours < 72:
        return f"{hours:.3g} h"
    return f"{amount(hours / 24)} days"


def percent_text(share: float) -> str:
    """A share, as "1.9 %" or "90 %"."""
    percent = 100 * share
    if 0 < percent < 0.05:
        return "less than 0.1 %"
    return f"{percent:.2g} %" if abs(percent) < 99.5 else f"{percent:.0f} %"


def probability_text(probability: float) -> str:
    """A probability, as "0.55"; never a certainty."""
    if probability > 0.99:
        return "more than 0.99"
    return "less than 0.01" if probability < 0.01 else f"{probability:.2f}"


def factor_text(factor: float) -> str:
    """A factor, as "2.4"."""
    return f"{factor:.2g}"
