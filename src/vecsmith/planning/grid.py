"""A grid of models, methods, budgets and seeds, as a TOML file says it -> the cells of a sweep.

The one rule: a field that nobody reads is refused, since a sweep that ignored it would be another
sweep than the one that was written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final

from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.planning.catalogue.toml_files import check_numbers, read_toml
from vecsmith.planning.cells import (
    Cell,
    RecipeSettings,
    limits_from_plain,
    settings_from_plain,
)
from vecsmith.planning.inputs import Limits
from vecsmith.planning.tuning_menu import (
    METHODS,
    Method,
    above_zero,
    array,
    check_fields,
    read_freezing,
    read_methods,
)
from vecsmith.results.fields import Block

_TABLES: Final = ("grid", "methods", "learning_rates", "settings", "limits", "cells")
_CELL_FIELDS: Final = (
    "model", "method", "frozen_blocks", "frozen", "rank", "alpha", "flops", "seeds", "lr",
)  # fmt: skip
_MAX_GRID_BYTES: Final = 2**20
_MOST_CELLS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GridModel:
    """A base model of a grid.

    Attributes:
        name: As records call it: the Hub id, or the name of the folder.
        reference: What opens it: an absolute folder, or a Hub id.
    """

    name: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleCells:
    """Cells beside the grid: one model, one method, one budget, some seeds.

    Attributes:
        model: Name of one of the grid's models.
        method: How it is tuned.
        flops: Budget.
        seeds: One cell for each.
        rates: Learning rates, one cell for each; none for those of the grid.
    """

    model: str
    method: Method
    flops: float
    seeds: tuple[int, ...]
    rates: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What is to be run.

    Attributes:
        name: For people.
        models: Base models.
        budgets: FLOP of a cell.
        seeds: Of everything random.
        methods: Ways of tuning.
        rates: Learning rates by method, by model, or by both: `rates[method][model]`,
            `rates[method][""]` and `rates[""][model]`, the first that there is.
        settings: What all cells share.
        limits: Which cells are too short, too long or too large.
        singles: Cells beside the product of these.
    """

    name: str
    models: tuple[GridModel, ...]
    budgets: tuple[float, ...]
    seeds: tuple[int, ...]
    methods: tuple[Method, ...]
    rates: Mapping[str, Mapping[str, tuple[float, ...]]]
    settings: RecipeSettings = field(default_factory=RecipeSettings)
    limits: Limits = field(default_factory=Limits)
    singles: tuple[SingleCells, ...] = ()

    @classmethod
    def open(cls, path: PathLike) -> Grid:
        """The grid in a TOML file; folders of models are looked for beside the file first.

        Raises:
            FormatError: If the file is broken, or a field is unknown, missing or of another kind.
            FileNotFoundError: If there is no such file.
        """
        path = Path(path)
        values = read_toml(path, max_bytes=_MAX_GRID_BYTES)
        return cls.from_plain(values, source=str(path), beside=path.absolute().parent)

    @classmethod
    def from_plain(
        cls, values: Mapping[str, Any], *, source: str = "grid", beside: Path | None = None
    ) -> Grid:
        """The grid that `values` say, as `open` reads them of a file in the folder `beside`.

        Raises:
            FormatError: If a field is unknown, missing or of another kind.
        """
        check_numbers(values, source=source)
        try:
            return _read_grid(Block(dict(values), source), beside or Path.cwd())
        except (ValueError, TypeError) as error:
            raise FormatError(f"{source}: {error}") from error

    def cells(self, n_layers: Mapping[str, int]) -> list[Cell]:
        """All cells, small budgets first, none twice.

        Args:
            n_layers: Blocks of each model by name.

        Raises:
            ValueError: If a rate is missing, or a method does not fit a model.
        """
        found: dict[Cell, None] = {}
        grid = product(self.budgets, self.models, self.methods, self.seeds)
        for flops, model, method, seed in grid:
            if not method.fits(n_layers[model.name]):
                continue
            for rate in self._rates(method.method, model.name):
                tuning = method.tuning(n_layers[model.name])
                cell = Cell(model=model.name, tuning=tuning, flops=flops, seed=seed, lr=rate)
                found.setdefault(cell)
        for single in self.singles:
            tuning = single.method.tuning(n_layers[single.model])
            rates = single.rates or self._rates(single.method.method, single.model)
            for rate, seed in product(rates, single.seeds):
                cell = Cell(
                    model=single.model, tuning=tuning, flops=single.flops, seed=seed, lr=rate
                )
                found.setdefault(cell)
        return sorted(found, key=lambda cell: cell.flops)

    def _rates(self, method: str, model: str) -> tuple[float, ...]:
        own = self.rates.get(method, {})
        for table, name in ((own, model), (own, ""), (self.rates.get("", {}), model)):
            if name in table:
                return table[name]
        raise ValueError(
            f"no learning rate for method {method!r} of {model!r:.80}, expected one in "
            f"[learning_rates]: {method} = 1e-3, or by model"
        )


def filtered(cells: Iterable[Cell], only: Sequence[str]) -> list[Cell]:
    """The cells that fit all of `only`: "method=lora", "model=NAME", "flops=1e10", "seed=0", ...

    Of several filters with one name, a cell has to fit one.

    Raises:
        ValueError: If a filter has no such form.
    """
    wanted: dict[str, list[str]] = {}
    for text in only:
        name, sign, value = text.partition("=")
        if not sign or name not in ("model", "method", "tuning", "flops", "seed"):
            raise ValueError(
                f"filter {text!r:.80}, expected model=, method=, tuning=, flops= or seed= and a "
                "value"
            )
        wanted.setdefault(name, []).append(value)
    return [cell for cell in cells if all(_fits(cell, *each) for each in wanted.items())]


def _fits(cell: Cell, name: str, values: Sequence[str]) -> bool:
    if name == "flops":
        return any(abs(_float(value, name) - cell.flops) <= 1e-6 * cell.flops for value in values)
    if name == "seed":
        return any(_float(value, name) == cell.seed for value in values)
    own = {"model": cell.model, "method": cell.tuning.method, "tuning": str(cell.tuning)}[name]
    return own in values


def _float(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"filter {name}={text!r:.40}, expected a number") from None


def _read_grid(block: Block, beside: Path) -> Grid:
    check_fields(block, _TABLES)
    head = block.block("grid")
    check_fields(head, ("name", "models", "budgets", "seeds"))
    models = _models(head, beside)
    names = tuple(model.name for model in models)
    methods = read_methods(block.block("methods")) if block.has("methods") else ()
    singles = tuple(_single(each, names) for each in block.blocks("cells")) if block.has(
        "cells"
    ) else ()  # fmt: skip
    budgets = _positive(head, "budgets")
    seeds = _seeds(head, "seeds") if head.has("seeds") else (0,)
    n_cells = len(models) * len(methods) * len(budgets) * len(seeds)
    if n_cells > _MOST_CELLS:
        raise FormatError(f"{block.source}: {n_cells:,} cells, expected at most {_MOST_CELLS:,}")
    if not n_cells and not singles:
        raise FormatError(
            f"{block.source}: no cells, expected models, budgets and [methods], or [[cells]]"
        )
    return Grid(
        name=head.text("name"),
        models=models,
        budgets=budgets,
        seeds=seeds,
        methods=methods,
        rates=_rates(block.block("learning_rates"), names) if block.has("learning_rates") else {},
        settings=settings_from_plain(block.block("settings"))
        if block.has("settings")
        else RecipeSettings(),
        limits=limits_from_plain(block.block("limits")) if block.has("limits") else Limits(),
        singles=singles,
    )


def find_model(text: str, beside: Path) -> GridModel:
    """The model that `text` names: a folder beside a file, a folder from here, or a Hub id."""
    for place in (beside, Path.cwd()):
        folder = place / Path(text).expanduser()
        if folder.is_dir():
            folder = folder.resolve()
            return GridModel(name=folder.name, reference=str(folder))
    return GridModel(name=text, reference=text)


def _models(head: Block, beside: Path) -> tuple[GridModel, ...]:
    models = [find_model(text, beside) for text in head.texts("models")]
    names = [model.name for model in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FormatError(
            f"{head.source}: two models are called {twice[0]!r:.80}, expected different names: "
            "rename a folder"
        )
    return tuple(models)


def _single(block: Block, names: Sequence[str]) -> SingleCells:
    check_fields(block, _CELL_FIELDS)
    method = block.choice("method", METHODS)
    own = {"freeze": ("frozen_blocks", "frozen"), "lora": ("rank", "alpha")}
    for name in ("frozen_blocks", "frozen", "rank", "alpha"):
        if block.has(name) and name not in own.get(method, ()):
            raise FormatError(f"{block.source}: {name} with method {method!r}, expected none")
    if block.has("frozen") == block.has("frozen_blocks") and method == "freeze":
        raise FormatError(f"{block.source}: expected frozen or frozen_blocks with method 'freeze'")
    freezing = read_freezing(
        block.values.get("frozen", block.values.get("frozen_blocks", 0)), block.source
    )
    chosen = freezing if method == "freeze" else Method(
        method=method,
        rank=block.count("rank") if block.has("rank") else 0,
        alpha=block.number("alpha") if block.has("alpha") else 0.0,
    )  # fmt: skip
    chosen.tuning(2**30)
    return SingleCells(
        model=block.choice("model", tuple(names)),
        method=chosen,
        flops=above_zero(block.number("flops"), f"{block.source}: flops"),
        seeds=_seeds(block, "seeds") if block.has("seeds") else (0,),
        rates=_ratearray(block.values["lr"], f"{block.source}: lr") if block.has("lr") else (),
    )


def _rates(block: Block, names: Sequence[str]) -> dict[str, dict[str, tuple[float, ...]]]:
    """Rates by method and model; "" stands for any of either."""
    check_fields(block, (*METHODS, *names))
    found: dict[str, dict[str, tuple[float, ...]]] = {}
    for key, value in block.values.items():
        if key in METHODS and isinstance(value, dict):
            own = block.block(key)
            check_fields(own, names)
            found[key] = {
                name: _ratearray(rate, f"{own.source}: {name}") for name, rate in value.items()
            }
        elif key in METHODS:
            found[key] = {"": _ratearray(value, f"{block.source}: {key}")}
        else:
            found.setdefault("", {})[key] = _ratearray(value, f"{block.source}: {key}")
    return found


def _ratearray(value: Any, where: str) -> tuple[float, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or any(isinstance(each, bool) or not isinstance(each, (int, float))
                         for each in values):  # fmt: skip
        raise FormatError(f"{where} is {value!r:.60}, expected a rate or several")
    return tuple(above_zero(float(each), where) for each in values)


def _positive(block: Block, key: str) -> tuple[float, ...]:
    values = block.numbers(key)
    return tuple(above_zero(value, f"{block.source}: {key}") for value in values)


def _seeds(block: Block, key: str) -> tuple[int, ...]:
    values = array(block, key)
    if not values or any(type(value) is not int or not 0 <= value < 2**63 for value in values):
        raise FormatError(f"{block.source}: {key} is {values!r:.60}, expected whole numbers from 0")
    return tuple(values)
