"""Intervals from draws, widened for small samples."""

from __future__ import annotations

import numpy as np

from vecsmith._extras import require
from vecsmith.planning.laws.forms import Floats

__all__ = ["centred_interval", "centred_share", "checked_level", "interval", "tail"]

# Draws that lie off the estimate by more standard deviations than this say that something else is
# wrong, and no shift mends it.
_MOST_SHIFT = 0.6
# Fewer draws than this beyond an end of an interval say nothing of where it is.
_LEAST_BEYOND = 4


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
    beyond, wider = _within_draws(level, degrees, len(draws))
    # "weibull" counts the true value as one more draw: without it 200 draws are a little too narrow
    shares = [beyond, 0.5, 1 - beyond]
    low, middle, high = np.quantile(draws, shares, axis=0, method="weibull")
    return middle + wider * (low - middle), middle + wider * (high - middle)


def _within_draws(level: float, degrees: float, n_draws: int) -> tuple[float, float]:
    """The share of draws beyond each end that they can show, and how much farther the ends are.

    Student's t of one or two degrees puts the ends where hundreds of draws have none: the ends that
    they do show are moved out from the middle by the ratio of the quantiles of a normal variate.
    """
    stats = require("scipy.stats", extra="plan", purpose="give intervals of scaling laws")
    asked = tail(level, degrees)
    usual = min((1 - level) / 2, _LEAST_BEYOND / (n_draws + 1))
    shown = max(asked, usual, 1 / (n_draws + 1))
    return shown, max(1.0, float(stats.norm.isf(asked) / stats.norm.isf(shown)))


def centred_interval(
    draws: Floats, estimates: Floats, level: float, degrees: float
) -> tuple[Floats, Floats]:
    """Ends of intervals of estimates [G] that are biased as their draws [B, G] are, each [G].

    The least of many noisy numbers is too low, and draws of it are as much below the estimate as
    that is below the truth: both are shifted back (the bias-corrected percentile interval of Efron
    and Tibshirani 1993, "An Introduction to the Bootstrap", section 14.3, without acceleration).
    """
    stats = require("scipy.stats", extra="plan", purpose="give intervals of scaling laws")
    beyond, wider = _within_draws(level, degrees, len(draws))
    reach = float(stats.norm.isf(beyond))
    shifts = 2 * _shift(draws, estimates)
    low, middle, high = (_quantiles(draws, stats.norm.cdf(shifts + z)) for z in (-reach, 0, reach))
    return middle + wider * (low - middle), middle + wider * (high - middle)


def centred_share(draws: Floats, estimates: Floats) -> Floats:
    """How probable it is that what the estimates [G] are of is below zero, by draws [B, G]."""
    stats = require("scipy.stats", extra="plan", purpose="give intervals of scaling laws")
    below = (draws < 0).mean(axis=0) + 0.5 * (draws == 0).mean(axis=0)
    with np.errstate(divide="ignore"):
        shares: Floats = stats.norm.cdf(stats.norm.ppf(below) - 2 * _shift(draws, estimates))
    return shares


def _shift(draws: Floats, estimates: Floats) -> Floats:
    """Standard deviations by which the estimates lie above the middle of their draws, [G]."""
    stats = require("scipy.stats", extra="plan", purpose="give intervals of scaling laws")
    below = (draws < estimates).mean(axis=0) + 0.5 * (draws == estimates).mean(axis=0)
    least = 1 / (len(draws) + 1)
    shift = stats.norm.ppf(np.clip(below, least, 1 - least))
    shifts: Floats = np.clip(shift, -_MOST_SHIFT, _MOST_SHIFT)
    return shifts


def _quantiles(draws: Floats, shares: Floats) -> Floats:
    """The quantile of each column [B, G] at a share of its own [G], as "weibull" counts."""
    ordered = np.sort(draws, axis=0)
    places = np.clip(shares * (len(draws) + 1) - 1, 0, len(draws) - 1)
    lower = np.minimum(places.astype(int), len(draws) - 2)
    columns = np.arange(draws.shape[1])
    part = places - lower
    found: Floats = ordered[lower, columns] * (1 - part) + ordered[lower + 1, columns] * part
    return found
