"""Intervals from draws, widened for small samples."""

from __future__ import annotations

import numpy as np

from vecsmith._extras import require
from vecsmith.planning.laws.forms import Floats

__all__ = ["checked_level", "interval", "tail"]


def checked_level(level: float) -> float:
    """`level`, when it is the share of an interval."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a share between 0 and 1, as in 0.9")
    return level


def tail(level: float, degrees: float) -> float:
    """Share of the draws beyond each end of an interval, for residuals of so many degrees.

    Draws vary as a normal variate does whose scale was estimated; quantiles of Student's t are
    taken of them instead (the expanded percentile interval of Hesterberg 2015, "What Teachers
    Should Know About the Bootstrap", arXiv 1411.5279, section 3.3).
    """
    stats = require("scipy.stats", extra="plan", purpose="give intervals of scaling laws")
    beyond = float(stats.norm.cdf(stats.t.ppf((1 - checked_level(level)) / 2, max(degrees, 1.0))))
    return beyond


def interval(draws: Floats, level: float, degrees: float) -> tuple[Floats, Floats]:
    """Ends of the intervals of draws [B, ...], each [...]."""
    beyond = tail(level, degrees)
    # "weibull" counts the true value as one more draw: without it 200 draws are a little too narrow
    low, high = np.quantile(draws, [beyond, 1 - beyond], axis=0, method="weibull")
    return low, high
