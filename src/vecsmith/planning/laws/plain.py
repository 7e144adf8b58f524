"""Fitted laws and lines as plain values, and back from values that may say anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

import numpy as np

from vecsmith.errors import FormatError
from vecsmith.planning.laws.fitted_law import FittedLaw, HeldOut
from vecsmith.planning.laws.forms import Floats, Form
from vecsmith.planning.laws.frontier import FrontierLine
from vecsmith.planning.laws.model_offsets import ModelScatter
from vecsmith.planning.laws.observations import Observations
from vecsmith.planning.laws.surface import Points, Surface
from vecsmith.results.fields import Block

__all__ = ["law_of", "line_of", "plain_law", "plain_line"]

# e**100 is more than any number of parameters or tokens
_MOST_LOG: Final = 100.0
_ARRAYS: Final = ("n", "tokens", "loss", "share", "flops", "budget")


def plain_law(fitted: FittedLaw) -> dict[str, Any]:
    """What `law_of` reads; coefficients, their intervals and figures stand there for people."""
    surface, runs = fitted.surface, fitted.observations
    return {
        "coefficients": dict(fitted.law.coefficients),
        "intervals": {name: list(ends) for name, ends in fitted.intervals.items()},
        "identifiable": list(fitted.identifiable),
        "figures": {
            "r2": fitted.r2,
            "mean_error": fitted.mean_error,
            "noise": fitted.noise,
            "runs": len(runs),
        },
        "level": fitted.level,
        "delta": fitted.delta,
        "degrees": fitted.degrees,
        "scatter": asdict(fitted.scatter),
        "warnings": list(fitted.warnings),
        "held_out": [asdict(held) for held in fitted.held_out],
        "surface": {
            "with_share": surface.with_share,
            "log_n": surface.log_n,
            "log_tokens": surface.log_tokens,
            "ends": list(surface.ends),
        },
        "parameters": fitted.parameters.tolist(),
        "draws": fitted.draws.tolist(),
        "observations": {
            **{name: getattr(runs, name).tolist() for name in _ARRAYS},
            "names": list(runs.names),
        },
    }


def law_of(block: Block, form: Form) -> FittedLaw:
    """The law that `plain_law` gave.

    Raises:
        FormatError: If a field is missing or of another kind.
        ValueError: If numbers do not fit each other.
    """
    of_surface = block.block("surface")
    ends = of_surface.numbers("ends")
    if len(ends) != 2 or not -_MOST_LOG < ends[0] < ends[1] < _MOST_LOG:
        raise FormatError(f"{of_surface.source}: ends are {ends}, expected two, ascending")
    for name in ("log_n", "log_tokens"):
        if not 0 <= of_surface.number(name) < _MOST_LOG:
            raise FormatError(
                f"{of_surface.source}: {name} is {of_surface.number(name):g}, expected a logarithm "
                f"of 0 to {_MOST_LOG:g}"
            )
    surface = Surface(
        form=form,
        with_share=of_surface.flag("with_share") and form == "nds",
        log_n=of_surface.number("log_n"),
        log_tokens=of_surface.number("log_tokens"),
        ends=(ends[0], ends[1]),
    )
    n_parameters = surface.n_heights + surface.n_exponents
    parameters = _rows(block, "parameters", [block.values.get("parameters")], n_parameters)[0]
    draws = block.values.get("draws")
    degrees = block.count("degrees")
    if not isinstance(draws, list) or len(draws) < 2 or degrees < 1:
        raise FormatError(
            f"{block.source}: expected two draws or more and a degree of freedom or more"
        )
    runs = block.block("observations")
    fitted = FittedLaw(
        surface=surface,
        parameters=_within(surface, parameters[None], block)[0],
        draws=_within(surface, _rows(block, "draws", draws, n_parameters), block),
        observations=_observations(runs),
        delta=block.number("delta"),
        level=block.number("level"),
        degrees=degrees,
        scatter=ModelScatter(models=0.0, degrees=1, runs=0.0),
        held_out=tuple(_held_out(each) for each in block.blocks("held_out")),
        warnings=block.texts("warnings"),
    )
    if not 0 < fitted.level < 1:
        raise FormatError(f"{block.source}: level is {fitted.level}, expected one between 0 and 1")
    _check_losses(fitted, block)
    return replace(fitted, scatter=_scatter(block, fitted))


def plain_line(line: FrontierLine) -> dict[str, Any]:
    """What `line_of` reads."""
    return {
        "slope": line.slope,
        "intercept": line.intercept,
        "flops": line.flops.tolist(),
        "losses": line.losses.tolist(),
        "models": list(line.models),
        "draws": line.draws.tolist(),
    }


def line_of(block: Block, name: str) -> FrontierLine:
    """The line that `plain_line` gave.

    Raises:
        FormatError: If a field is missing or of another kind.
    """
    flops, losses = (np.array(block.numbers(key)) for key in ("flops", "losses"))
    draws = block.values.get("draws")
    if len(flops) < 3 or len(flops) != len(losses) or not isinstance(draws, list):
        raise FormatError(f"{block.source}: expected draws, and three budgets or more with a loss")
    if not ((flops > 0).all() and (losses > 0).all()) or len(draws) < 2:
        raise FormatError(f"{block.source}: expected positive budgets and losses, and two draws")
    return FrontierLine(
        name=name,
        slope=block.number("slope"),
        intercept=block.number("intercept"),
        flops=flops,
        losses=losses,
        draws=_rows(block, "draws", draws, 2),
        models=block.texts("models"),
    )


def _rows(block: Block, key: str, rows: list[Any], width: int) -> Floats:
    """Rows of finite numbers, each of `width`."""
    where = f"{block.source}: {key}"
    checked = []
    for i, row in enumerate(rows):
        numbers = Block({"row": row}, f"{where}[{i}]").numbers("row")
        if len(numbers) != width:
            raise FormatError(f"{where}[{i}] has {len(numbers)} numbers, expected {width}")
        checked.append(numbers)
    return np.array(checked, np.float64)


def _check_losses(fitted: FittedLaw, block: Block) -> None:
    """Refuses a law that gives its own runs no loss; one of a fit gives each a positive one."""
    runs = fitted.observations
    points = Points.of(runs.n, runs.tokens, runs.share)
    every = np.concatenate([fitted.parameters[None], fitted.draws])
    with np.errstate(all="ignore"):
        losses = fitted.surface.log_loss(every, points)
    if not (np.isfinite(losses) & (losses > -_MOST_LOG)).all():
        raise FormatError(
            f"{block.source}: gives runs of its own no positive loss, expected the law of a fit"
        )


def _within(surface: Surface, parameters: Floats, block: Block) -> Floats:
    """Parameters, when they are within the bounds that every fit keeps to."""
    low, high = surface.bounds()
    if not ((parameters >= low - 1e-9) & (parameters <= high + 1e-9)).all():
        raise FormatError(
            f"{block.source}: parameters are out of the bounds of a {surface.form} law, expected "
            "those of a fit"
        )
    return parameters


def _observations(block: Block) -> Observations:
    values: Mapping[str, Floats] = {key: np.array(block.numbers(key)) for key in _ARRAYS}
    try:
        return Observations(**values, names=block.texts("names"))
    except ValueError as error:
        raise FormatError(f"{block.source}: {error}") from error


def _scatter(block: Block, fitted: FittedLaw) -> ModelScatter:
    """Of models and runs; files of version 1 say only the former, the residuals say the latter."""
    if block.has("scatter"):
        said = block.block("scatter")
        found = ModelScatter(
            models=said.number("models"), degrees=said.count("degrees"), runs=said.number("runs")
        )
    else:
        found = _older_scatter(block.number("model_noise"), fitted)
    if min(found.models, found.runs) < 0 or max(found.models, found.runs) > _MOST_LOG:
        raise FormatError(f"{block.source}: scatter is {found}, expected standard deviations")
    if not 1 <= found.degrees <= len(fitted.observations):
        raise FormatError(
            f"{block.source}: scatter of {found.degrees} degrees, expected 1 to the number of runs"
        )
    return found


def _older_scatter(model_noise: float, fitted: FittedLaw) -> ModelScatter:
    if model_noise <= 0:
        return ModelScatter(models=0.0, degrees=1, runs=fitted.noise)
    names, places = np.unique(np.asarray(fitted.observations.names), return_inverse=True)
    means = np.bincount(places, fitted.residuals) / np.bincount(places)
    within = fitted.residuals - means[places]
    # Three parameters of a law tell sizes apart; what is left of the models shows their scatter.
    degrees = max(1, len(names) - 3)
    runs = float(np.sqrt(within @ within / max(1, fitted.degrees - degrees)))
    return ModelScatter(models=model_noise, degrees=degrees, runs=runs)


def _held_out(block: Block) -> HeldOut:
    return HeldOut(
        what=block.text("what"),
        n_runs=block.count("n_runs"),
        mean_error=block.number("mean_error"),
        max_error=block.number("max_error"),
        bias=block.number("bias"),
    )
