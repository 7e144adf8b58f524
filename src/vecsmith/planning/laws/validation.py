"""Whether a law may be believed: runs held out, patterns in its residuals, rival forms."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vecsmith.planning.laws.best_fit import best_fit
from vecsmith.planning.laws.bootstrap import Tangent, f_test, noise_of, split, tangent
from vecsmith.planning.laws.fitted_law import FittedLaw, HeldOut
from vecsmith.planning.laws.forms import Floats, Form
from vecsmith.planning.laws.observations import Observations
from vecsmith.planning.laws.surface import Points, Surface

__all__ = ["cautions", "hold_out", "pattern_of"]

# How rarely a right law is said to be wrong, by each test.
_ALARM = 0.01
# Residuals farther out than this many standard deviations are said to be outliers.
_OUTLIER = 4.0
_FEW_DEGREES = 8


def hold_out(
    observed: Observations, form: Form, *, delta: float | None = None
) -> Iterator[HeldOut]:
    """What fits without the largest size, without the highest budget and without both predict.

    A set is left out of the answer where too few runs would remain to fit.
    """
    # Budgets of one level that were spent to the last whole step are not quite equal.
    largest = observed.n >= observed.n.max() * (1 - 1e-9)
    highest = observed.asked >= observed.asked.max() * 0.8
    sets = {
        "largest size": largest,
        "highest budget": highest,
        "largest size or highest budget": largest | highest,
    }
    for what, out in sets.items():
        error = _held_out_error(observed, ~out, form, delta)
        if error is not None:
            yield HeldOut(
                what=what,
                n_runs=len(error),
                mean_error=float(np.abs(error).mean()),
                max_error=float(np.abs(error).max()),
                bias=float(error.mean()),
            )


def _held_out_error(
    observed: Observations, kept: NDArray[np.bool_], form: Form, delta: float | None
) -> Floats | None:
    """Log loss of the runs not kept less what a fit of the others predicts."""
    if kept.all() or not kept.any():
        return None
    seen, unseen = observed.where(kept), observed.where(~kept)
    points = Points.of(seen.n, seen.tokens, seen.share)
    surface = Surface.over(form, points, with_share=seen.share_varies)
    enough = len(seen) > surface.n_heights + surface.n_exponents
    if not enough or min(len(np.unique(seen.n)), len(np.unique(seen.tokens))) < 3:
        return None
    best, _ = best_fit(surface, points, np.log(seen.loss), delta=delta)
    asked = Points.of(unseen.n, unseen.tokens, unseen.share)
    error: Floats = np.log(unseen.loss) - surface.log_loss(best[None], asked)[0]
    return error


def cautions(fitted: FittedLaw) -> Iterator[str]:
    """What to know before the law is used, in words."""
    runs = fitted.observations
    points = Points.of(runs.n, runs.tokens, runs.share)
    plane = tangent(fitted.surface, points, np.log(runs.loss), fitted.parameters)
    if plane.degrees < _FEW_DEGREES:
        yield (
            f"{len(runs)} runs fix {plane.basis.shape[1]} parameters: {plane.degrees} degrees of "
            f"freedom are left to see the noise by, expected {_FEW_DEGREES} or more"
        )
    if len(np.unique(runs.n)) < 4:
        yield (
            f"{len(np.unique(runs.n))} model sizes, expected 4 or more: what the law says of other "
            "sizes rests on its form"
        )
    yield from _at_bounds(fitted)
    yield from _outliers(fitted)
    yield from _misfits(fitted, plane)


def _at_bounds(fitted: FittedLaw) -> Iterator[str]:
    surface = fitted.surface
    low, high = surface.bounds()
    names = ("alpha", "beta", "b_s")
    for i in range(surface.n_exponents):
        place = surface.n_heights + i
        value = fitted.parameters[place]
        if not low[place] < value < high[place]:
            yield (
                f"{names[i]} is {np.exp(value):.3g}, the end of its range: the runs do not show "
                "how the loss bends there"
            )
    if fitted.parameters[0] <= 0:
        yield "the floor is 0, its least: the runs are too far from a floor to show one"


def _outliers(fitted: FittedLaw) -> Iterator[str]:
    residuals = fitted.residuals
    scale = float(np.median(np.abs(residuals))) / 0.6745
    for i in np.flatnonzero(np.abs(residuals) > max(_OUTLIER * scale, 1e-6)):
        runs = fitted.observations
        yield (
            f"the run of {runs.names[i]} at {runs.asked[i]:.3g} FLOP is {residuals[i]:+.1%} off in "
            f"log loss, {abs(residuals[i]) / scale:.1f} times the noise: look at it"
        )


def _misfits(fitted: FittedLaw, plane: Tangent) -> Iterator[str]:
    """Patterns that a right law would not leave in its residuals."""
    runs = fitted.observations
    bend = _bend(fitted, plane)
    if bend is not None:
        yield (
            f"wrong form: the residuals bend with size and tokens, by {bend:.1%} of the loss "
            f"beyond noise; do not extrapolate with this {fitted.form} law"
        )
    if fitted.model_noise > 0:
        yield (
            f"models lie off the law by {fitted.model_noise:.1%} of the loss, each by its own, "
            "beside what runs scatter: the intervals allow for it, as far as "
            f"{len(set(runs.names))} models can show that it is not the form"
        )
    if fitted.form == "hoffmann":
        yield from _rival(fitted, plane)


def _rival(fitted: FittedLaw, plane: Tangent) -> Iterator[str]:
    """Whether the form that holds this one as a special case explains what this one cannot."""
    runs = fitted.observations
    points = Points.of(runs.n, runs.tokens, runs.share)
    surface = Surface.over("nds", points, with_share=runs.share_varies)
    if len(runs) <= surface.n_heights + surface.n_exponents:
        return
    best, _ = best_fit(surface, points, np.log(runs.loss), delta=fitted.delta)
    wider = tangent(surface, points, np.log(runs.loss), best)
    extra = wider.basis.shape[1] - plane.basis.shape[1]
    if extra < 1 or wider.degrees < 1:
        return
    limit = _OUTLIER * fitted.delta
    before, after = (
        float((np.clip(t.residuals, -limit, limit) ** 2).sum()) for t in (plane, wider)
    )
    if f_test(before - after, extra, after, wider.degrees) < _ALARM:
        yield (
            f"wrong form: an nds law leaves residuals of {np.sqrt(after / wider.degrees):.1%} "
            f"where this hoffmann law leaves {np.sqrt(before / plane.degrees):.1%}: fit that form"
        )


def _bend(fitted: FittedLaw, plane: Tangent) -> float | None:
    """How strongly the residuals bend, where it is not that models lie off the law by chance."""
    runs, bends = fitted.observations, _bends(fitted.observations)
    if fitted.model_noise == 0:
        return pattern_of(plane, bends)
    of_models = noise_of(plane, runs.names).of_models
    within = pattern_of(plane.with_columns(of_models), bends)
    if within is not None:
        return within
    # Models that lie off by chance are as far off where a bend is taken out as along it.
    along = plane.beyond(bends)
    rest = plane.with_columns(bends).beyond(of_models)
    explained, left = (float(((b.T @ plane.residuals) ** 2).sum()) for b in (along, rest))
    if f_test(explained, along.shape[1], left, rest.shape[1]) >= _ALARM:
        return None
    return float(np.sqrt(explained / len(runs)))


def pattern_of(plane: Tangent, columns: Floats) -> float | None:
    """How strongly `columns` [R, C] show in the residuals, beyond what a right law leaves of them.

    An F-test of the columns' part outside of the plane (the RESET test of Ramsey 1969, with columns
    chosen for power laws). The answer is a standard deviation of log loss, or None where chance
    explains it: 1 time in 100 it says otherwise of a right law.
    """
    outside = plane.beyond(columns)
    explained, unexplained, n_left = split(plane, outside)
    if f_test(explained, outside.shape[1], unexplained, n_left) >= _ALARM:
        return None
    beyond = explained - outside.shape[1] * unexplained / n_left
    return float(np.sqrt(max(beyond, 0.0) / len(plane.residuals)))


def _bends(runs: Observations) -> Floats:
    """Squares and products of logarithms, which no law of the two forms has."""
    logs = [np.log(runs.n), np.log(runs.tokens)]
    if runs.share_varies:
        logs.append(np.log(runs.share))
    centred = [(log - log.mean()) / max(float(log.std()), 1e-12) for log in logs]
    pairs = [(a, b) for i, a in enumerate(centred) for b in centred[i:]]
    bends: Floats = np.stack([a * b for a, b in pairs], axis=1)
    return bends
