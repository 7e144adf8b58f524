"""What a cell would come to, told from counts alone, before anything is run.

The one rule: why a cell is not run is said in a sentence that names the number in the way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vecsmith.planning.accounting.flops import cost_per_token
from vecsmith.planning.accounting.memory import estimate_memory
from vecsmith.planning.accounting.shapes import ModelShape
from vecsmith.planning.catalogue.models import load_catalogue
from vecsmith.planning.cells import Cell, RecipeSettings
from vecsmith.planning.grid import Grid, GridModel, filtered
from vecsmith.planning.inputs import Limits
from vecsmith.results.tuning import Tuning

_GB: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a cell comes to on some pairs, told ahead.

    Attributes:
        cost_per_token: Counted FLOP.
        tokens: That the budget pays for.
        steps: Of these, about: with batches of mean length.
        epochs: Passes over the pairs, about.
    """

    cost_per_token: float
    tokens: int
    steps: int
    epochs: float

    def refusal(self, limits: Limits, *, warmup: float) -> str:
        """Why it is not worth running, "" if it is; `warmup` is that share of its steps."""
        if self.steps < limits.min_steps:
            return (
                f"about {self.steps:,} steps, expected {limits.min_steps:,} or more: the budget is "
                "small for this model"
            )
        if warmup and self.steps * warmup < limits.min_warmup_steps:
            return (
                f"about {self.steps * warmup:.1f} steps of warm-up, expected "
                f"{limits.min_warmup_steps:,} or more: the budget is small for this model"
            )
        if self.epochs > limits.max_epochs:
            return (
                f"about {self.epochs:.3g} epochs, expected at most {limits.max_epochs:g}: the "
                "pairs are few for this budget"
            )
        return ""


def workload(
    cell: Cell,
    *,
    cost_per_token: float,
    batch_size: int,
    n_pairs: float,
    tokens_per_pair: float,
) -> Workload:
    """What `cell` comes to on `n_pairs` pairs of so many real tokens."""
    tokens = math.floor(cell.flops / cost_per_token)
    pairs = tokens / tokens_per_pair
    return Workload(
        cost_per_token=cost_per_token,
        tokens=tokens,
        steps=math.floor(pairs / batch_size),
        epochs=pairs / n_pairs,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlined:
    """A cell and what it comes to.

    Attributes:
        cell: What would be run.
        load: What it comes to; None where the method does not fit the model.
        refusal: Why it is not run, "" where it is.
    """

    cell: Cell
    load: Workload | None
    refusal: str


def assess(
    cell: Cell,
    shape: ModelShape,
    settings: RecipeSettings,
    limits: Limits,
    *,
    n_pairs: float,
    tokens_per_pair: float,
) -> Outlined:
    """What `cell` comes to with a model of `shape` on so many pairs, and why not to run it."""
    try:
        cost = cost_per_token(shape, cell.tuning)
    except ValueError as error:
        return Outlined(cell=cell, load=None, refusal=str(error))
    load = workload(
        cell,
        cost_per_token=cost,
        batch_size=settings.batch_size,
        n_pairs=n_pairs,
        tokens_per_pair=tokens_per_pair,
    )
    refusal = load.refusal(limits, warmup=settings.warmup)
    return Outlined(
        cell=cell, load=load, refusal=refusal or _too_large(shape, cell.tuning, settings, limits)
    )


def outline(
    grid: Grid,
    *,
    only: Sequence[str] = (),
    n_pairs: float = math.inf,
    tokens_per_pair: float | None = None,
) -> list[Outlined]:
    """All cells of `grid` and what each would come to, without a file but those of shapes.

    Args:
        grid: Of models in folders or in the shipped catalogue.
        only: Filters, see `filtered`.
        n_pairs: Of the data; without it no epochs are counted.
        tokens_per_pair: Real tokens of a pair in the mean; None for as many as count of two texts.

    Raises:
        ValueError: If a model is neither a folder nor in the catalogue, or a rate is missing.
        FormatError: If a folder's files are broken.
    """
    shapes = _shapes_of(grid.models)
    cells = filtered(grid.cells({name: each.n_layers for name, each in shapes.items()}), only)
    return [
        assess(
            cell,
            shapes[cell.model],
            grid.settings,
            grid.limits,
            n_pairs=n_pairs,
            tokens_per_pair=tokens_per_pair or 2.0 * grid.settings.max_length,
        )
        for cell in cells
    ]


def _shapes_of(models: Sequence[GridModel]) -> Mapping[str, ModelShape]:
    known = {entry.name: entry.shape for entry in load_catalogue()}
    found = {}
    for model in models:
        if Path(model.reference).is_dir():
            found[model.name] = ModelShape.from_folder(model.reference)
        elif model.name in known:
            found[model.name] = known[model.name]
        else:
            raise ValueError(
                f"model {model.name!r:.80} is no folder and not in the catalogue, expected one of "
                "them to count its cells without opening it"
            )
    return found


def _too_large(shape: ModelShape, tuning: Tuning, settings: RecipeSettings, limits: Limits) -> str:
    """Why it does not fit into memory, by the estimate; "" if it does or nobody asked."""
    if limits.memory is None:
        return ""
    memory = estimate_memory(
        shape,
        tuning,
        batch_size=settings.batch_size,
        mini_batch=max(1, settings.mini_batch // 2) if settings.mini_batch else None,
        length=settings.max_length,
        precision="bfloat16" if settings.precision == "bfloat16" else "float32",
        gradient_checkpointing=settings.gradient_checkpointing,
    )
    if memory.total <= limits.memory:
        return ""
    return (
        f"about {memory.total / _GB:.3g} GB of memory, expected at most "
        f"{limits.memory / _GB:.3g} GB: lower mini_batch, or set gradient_checkpointing"
    )
