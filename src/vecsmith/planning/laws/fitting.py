"""A law fitted to runs, with what is sure about it and what is not.

The story: best starts by variable projection, a robust fit from each, a polish by L-BFGS, then the
same fit of bootstrapped data, and the checks of `validation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vecsmith.planning.laws.best_fit import best_fit
from vecsmith.planning.laws.bootstrap import bootstrap, noise_of, tangent
from vecsmith.planning.laws.fitted_law import FittedLaw
from vecsmith.planning.laws.forms import Form, checked_form
from vecsmith.planning.laws.intervals import checked_level
from vecsmith.planning.laws.observations import Observations
from vecsmith.planning.laws.surface import Points, Surface
from vecsmith.planning.laws.validation import cautions, hold_out
from vecsmith.results.tuning_runs import TuningRun

__all__ = ["fit_law"]

# Runs beyond the coefficients: with one or two to see the noise by, no interval is honest.
_LEAST_DEGREES = 3


def fit_law(
    runs: Sequence[TuningRun] | Observations,
    *,
    form: Form = "hoffmann",
    delta: float | None = None,
    n_starts: int = 8,
    n_bootstrap: int = 200,
    seed: int = 0,
    level: float = 0.9,
    validate: bool = True,
) -> FittedLaw:
    """The law of that form that fits the losses of `runs` best, with intervals.

    Where the trained share is the same for all runs of a size (full and bias-only tuning, LoRA of
    one rank), a_s and b_s of the "nds" form cannot be told from what the size does: they are left
    out, 0 and 1, and not among `identifiable`.

    Args:
        runs: Of one method, of settings that compare; those not done are left out.
        form: Of the law.
        delta: Residual of log loss from where Huber's loss is linear. None for 1.345 times the
            noise that the runs show, at which the fit is nearly least squares and its intervals
            hold; Hoffmann et al. 2022 and Ziarko et al. 2024 take 1e-3, far below the noise, which
            makes it a fit of medians: as robust as can be, with intervals that are too narrow.
        n_starts: Points of the grid that a fit begins from.
        n_bootstrap: Draws for the intervals.
        seed: Of the draws.
        level: Of the intervals.
        validate: Whether to fit again without the largest size and the highest budget, and with the
            other form, to say what came of it.

    Raises:
        ValueError: If there are too few runs, sizes or amounts of data, or runs do not compare.
        MissingExtraError: If scipy is not installed.

    Example:
        >>> import numpy as np
        >>> n, tokens = map(np.ravel, np.meshgrid([1e6, 4e6, 2e7, 1e8], [1e8, 1e9, 1e10]))
        >>> loss = 0.5 + 60 / n**0.3 + 300 / tokens**0.35
        >>> fitted = fit_law(Observations(n=n, tokens=tokens, loss=loss))
        >>> print(f"{fitted.law.coefficients['alpha']:.3f}")
        0.300
    """
    observed = runs if isinstance(runs, Observations) else Observations.of_runs(runs)
    checked_level(level)
    _check_numbers(delta, n_starts, n_bootstrap)
    points = Points.of(observed.n, observed.tokens, observed.share)
    surface = Surface.over(checked_form(form), points, with_share=observed.share_varies)
    _check_design(observed, surface)
    log_loss = np.log(observed.loss)
    best, used = best_fit(surface, points, log_loss, delta=delta, n_starts=n_starts)
    plane = tangent(surface, points, log_loss, best)
    noise = noise_of(plane, observed.names)
    draws = bootstrap(surface, points, best, noise, delta=used, n_bootstrap=n_bootstrap, seed=seed)
    fitted = FittedLaw(
        surface=surface,
        parameters=best,
        draws=draws,
        observations=observed,
        delta=used,
        level=level,
        degrees=max(plane.degrees, 1),
        scatter=noise.scatter,
    )
    if not validate:
        return fitted
    checked = replace(fitted, held_out=tuple(hold_out(observed, form, delta=delta)))
    return replace(checked, warnings=tuple(cautions(checked)))


def _check_numbers(delta: float | None, n_starts: int, n_bootstrap: int) -> None:
    if delta is not None and not (np.isfinite(delta) and delta > 0):
        raise ValueError(f"delta is {delta}, expected a positive number as 1e-3, or None")
    for name, number, least in (("n_starts", n_starts, 1), ("n_bootstrap", n_bootstrap, 20)):
        if number < least:
            raise ValueError(f"{name} is {number}, expected at least {least}")


def _check_design(observed: Observations, surface: Surface) -> None:
    """Refuses runs that cannot fix the law, whatever their losses."""
    n_needed = surface.n_heights + surface.n_exponents
    remedy = "" if surface.form == "hoffmann" else ' or the form "hoffmann", which has fewer'
    if len(observed) < n_needed + _LEAST_DEGREES:
        raise ValueError(
            f"{len(observed)} finished runs for the {n_needed} coefficients of {surface.form}, "
            f"expected {n_needed + _LEAST_DEGREES} or more, as fewer do not show how they "
            f"scatter{remedy}"
        )
    for name, values in (("model sizes", observed.n), ("amounts of tokens", observed.tokens)):
        distinct = len(np.unique(values))
        if distinct < 3:
            raise ValueError(
                f"{distinct} different {name}, expected at least 3: fewer cannot tell a power law "
                "from its floor"
            )
