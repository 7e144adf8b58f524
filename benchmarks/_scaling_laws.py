"""Runs drawn from known laws, and whether intervals of what is fitted to them hold the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecsmith.planning.laws import (
    FittedLaw,
    Form,
    FrontierLine,
    LawFrontier,
    LossLaw,
    Observations,
    crossover,
    fit_law,
    frontier_line,
)
from vecsmith.planning.laws.fitted_law import least
from vecsmith.planning.laws.validation import cautions

Floats = NDArray[np.float64]
Hits = dict[str, bool]
NOISE = 0.02
BUDGETS = tuple(1.5e15 * 4.0**i for i in range(6))
# Pythia's (Ziarko et al. 2024, arXiv 2406.04165, section 4.1) but for the smallest: layers, width
SHAPES = ((6, 256), (6, 512), (12, 768), (24, 1024), (16, 2048), (24, 2048), (32, 2560))
RANKS = (8, 32, 128, 512)
# Chosen so that full tuning wins below about 1e17 FLOP and LoRA above
FULL = LossLaw(
    form="hoffmann",
    coefficients={"E": 0.4, "A": 60.0, "B": 300.0, "alpha": 0.3, "beta": 0.35},
)
LORA = LossLaw(
    form="nds",
    coefficients={
        "C": 0.32, "a_d": -1.2, "b_d": 75.0, "a_s": 300.0, "b_s": 2.0, "c_s": 900.0,
        "alpha": 0.3, "beta": 0.385,
    },
)  # fmt: skip
# Hoffmann et al. 2022, arXiv 2203.15556, appendix D.3
CHINCHILLA = LossLaw(
    form="hoffmann",
    coefficients={"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Cells of a sweep: sizes, costs and shares, [K] each, every one at every budget."""

    n: Floats
    cost_per_token: Floats
    share: Floats
    budgets: Floats

    def runs(
        self,
        law: Callable[..., Floats],
        random: np.random.Generator,
        *,
        noise: float = NOISE,
        shared: Floats | float = 0.0,
    ) -> Observations:
        """One run of each cell and budget, whose loss is the law's with log-normal noise."""
        n, budgets = (grid.ravel() for grid in np.meshgrid(self.n, self.budgets, indexing="ij"))
        cost, share = (np.repeat(v, len(self.budgets)) for v in (self.cost_per_token, self.share))
        loss = law(n, budgets / cost, share)
        loss = loss * np.exp(noise * random.standard_normal(len(n)) + shared)
        return Observations(n=n, tokens=budgets / cost, share=share, flops=budgets, loss=loss)


def n_of(layers: int, dim: int) -> int:
    """Non-embedding parameters of a GPT-NeoX model."""
    return layers * (12 * dim**2 + 13 * dim) + 2 * dim


def full_design(budgets: tuple[float, ...] = BUDGETS, n_shapes: int = len(SHAPES)) -> Design:
    """Full tuning: 6 N a token, everything trained."""
    n = np.array([n_of(*shape) for shape in SHAPES[:n_shapes]], float)
    return Design(n=n, cost_per_token=6 * n, share=np.ones(len(n)), budgets=np.array(budgets))


def lora_design(budgets: tuple[float, ...] = BUDGETS) -> Design:
    """LoRA of four ranks: 4 N + 6 N_L a token, with N_L = 16 r d L."""
    cells = [
        (n_of(layers, dim), 16 * rank * dim * layers) for layers, dim in SHAPES for rank in RANKS
    ]
    n, adapters = np.array(cells, float).T
    return Design(
        n=n,
        cost_per_token=4 * n + 6 * adapters,
        share=adapters / (n + adapters),
        budgets=np.array(budgets),
    )


def wide(n_shapes: int = 8) -> Design:
    """Sizes over four decades: well conditioned for the coefficients of a Hoffmann law."""
    n = np.geomspace(3e5, 3e9, n_shapes)
    budgets = np.array([1.5e14 * 4.0**i for i in range(8)])
    return Design(n=n, cost_per_token=6 * n, share=np.ones(len(n)), budgets=budgets)


def hoffmann_replica(
    design: Design, seed: int, n_bootstrap: int = 200, delta: float | None = None
) -> Hits:
    """Losses, optima and coefficients of full tuning."""
    runs = design.runs(FULL.loss, np.random.default_rng(seed))
    fitted = fit_law(runs, delta=delta, n_bootstrap=n_bootstrap, seed=seed, validate=False)
    asked = design.budgets.max() * np.array([0.25, 1.0, 4.0])
    hits = _losses(fitted, FULL, design.n[[0, len(design.n) // 2, -1]], asked)
    hits |= _optima(fitted, FULL, asked)
    for name, (low, high) in fitted.intervals.items():
        hits[f"coefficient {name}"] = low <= FULL.coefficients[name] <= high
    return hits


def model_replica(seed: int, n_bootstrap: int = 200) -> Hits:
    """Losses and optima of models that each lie off the law by an amount of their own, 2 %."""
    design, random = full_design(), np.random.default_rng(seed)
    own = np.repeat(NOISE * random.standard_normal(len(design.n)), len(design.budgets))
    runs = design.runs(FULL.loss, random, noise=NOISE / 2, shared=own)
    fitted = fit_law(runs, n_bootstrap=n_bootstrap, seed=seed, validate=False)
    asked = design.budgets.max() * np.array([0.25, 1.0, 4.0])
    hits = _losses(fitted, FULL, design.n[[0, len(design.n) // 2, -1]], asked)
    return hits | _optima(fitted, FULL, asked)


def lora_replica(seed: int, n_bootstrap: int = 200) -> Hits:
    """Losses and optima of LoRA, four ranks."""
    design = lora_design()
    runs = design.runs(LORA.loss, np.random.default_rng(seed))
    fitted = fit_law(runs, form="nds", n_bootstrap=n_bootstrap, seed=seed, validate=False)
    asked = design.budgets.max() * np.array([0.25, 1.0, 4.0])
    hits: Hits = {}
    for rank in (16, 256):
        cost, share = _costs(rank)
        n = np.array([1e7, 3e8, 2.5e9])
        hits |= _losses(fitted, LORA, n, asked, cost, share, f" rank {rank}")
        hits |= _optima(fitted, LORA, asked, cost, share, f" rank {rank}")
    return hits


def crossover_replica(seed: int, n_bootstrap: int = 200) -> Hits:
    """Where the frontiers of two fitted laws cross, and where two straight lines do."""
    random = np.random.default_rng(seed)
    of_full = full_design().runs(FULL.loss, random)
    of_lora = lora_design().runs(LORA.loss, random)
    full = fit_law(of_full, n_bootstrap=n_bootstrap, seed=2 * seed, validate=False)
    lora = fit_law(of_lora, form="nds", n_bootstrap=n_bootstrap, seed=2 * seed + 1, validate=False)
    found = crossover(LawFrontier.of("full", full), LawFrontier.of("lora", lora))
    lines = [_line(slope, middle, random, seed) for slope, middle in LINES]
    crossed = crossover(lines[0], lines[1])
    return {
        "crossover of laws": found.low <= true_crossover() <= found.high,
        "crossover of lines": crossed.low <= LINE_CROSSOVER <= crossed.high,
    }


# ln loss at the mean of the budgets' logarithms, and slopes as far apart as the paper's must be
# for its crossover: 0.01383 (Ziarko et al. 2024, section 4.4, with the coefficients unrounded).
LINE_CROSSOVER = 9.06e16
_MIDDLE = float(np.log(BUDGETS).mean())
LINES = (
    (-0.2081, 0.3),
    (-0.2081 - 0.01383, 0.3 - 0.01383 * (_MIDDLE - float(np.log(LINE_CROSSOVER)))),
)


def form_replica(seed: int) -> Hits:
    """Whether each form is flagged as wrong, of right and of wrong laws."""
    random = np.random.default_rng(seed)
    fits: dict[str, tuple[Design, Callable[..., Floats], Form]] = {
        "right: hoffmann of hoffmann": (full_design(), FULL.loss, "hoffmann"),
        "right: nds of hoffmann": (full_design(), FULL.loss, "nds"),
        "right: nds of nds": (lora_design(), LORA.loss, "nds"),
        "wrong: hoffmann of nds": (lora_design(), LORA.loss, "hoffmann"),
        "wrong: hoffmann of a product": (full_design(), product, "hoffmann"),
        "wrong: nds of a product": (full_design(), product, "nds"),
        "wrong: hoffmann of a broken power": (full_design(), broken, "hoffmann"),
        "wrong: nds of a broken power": (full_design(), broken, "nds"),
    }
    return {
        name: _is_flagged(design.runs(law, random), form)
        for name, (design, law, form) in fits.items()
    }


def _is_flagged(runs: Observations, form: Form) -> bool:
    fitted = fit_law(runs, form=form, n_bootstrap=20, validate=False)
    return any(warning.startswith("wrong form") for warning in cautions(fitted))


def product(n: Floats, tokens: Floats, share: Floats) -> Floats:
    """A law of another form: a product of powers (Zhang et al. 2024, arXiv 2402.17193)."""
    return 0.3 + 2.5e4 * n**-0.25 * tokens**-0.3 + 0 * share


def broken(n: Floats, tokens: Floats, share: Floats) -> Floats:
    """Full tuning whose data term hardly falls beyond 3e8 tokens, as where data is repeated."""
    return FULL.loss(n, tokens / (1 + (tokens / 3e8) ** 2) ** 0.4, share)


def true_crossover() -> float:
    """Where the frontiers of the two laws cross, by bisection."""

    def better(flops: float) -> bool:
        return _frontier(full_design(), FULL, flops) < _frontier(lora_design(), LORA, flops)

    low, high = BUDGETS[0], BUDGETS[-1]
    for _ in range(60):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if better(middle) else (low, middle)
    return low


def share_of_hits(replicas: list[Hits]) -> dict[str, float]:
    """How often each interval held the truth."""
    return {name: float(np.mean([hits[name] for hits in replicas])) for name in replicas[0]}


def by_kind(shares: Mapping[str, float]) -> dict[str, float]:
    """Mean over the quantities of each kind: the name's first word."""
    kinds = dict.fromkeys(name.split()[0] for name in shares)
    return {
        kind: float(np.mean([share for name, share in shares.items() if name.split()[0] == kind]))
        for kind in kinds
    }


def _frontier(design: Design, law: LossLaw, flops: float) -> float:
    return float(law.loss(design.n, flops / design.cost_per_token, design.share).min())


def _line(slope: float, middle: float, random: np.random.Generator, seed: int) -> FrontierLine:
    flops = np.array(BUDGETS)
    noise = NOISE * random.standard_normal(len(flops))
    loss = np.exp(middle + slope * (np.log(flops) - _MIDDLE) + noise)
    runs = Observations(n=np.full(len(flops), 1e8), tokens=flops / 6e8, loss=loss)
    return frontier_line(runs, name=f"{slope:.3f}", seed=seed)


def _costs(rank: int) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    """Cost and share of a rank as smooth functions of N, as of models 12 times wider than deep."""

    def ratio(n: Floats) -> Floats:
        width: Floats = (12 * n / 12 * 6) ** (1 / 3)
        return 4 / 3 * rank / width

    return lambda n: n * (4 + 6 * ratio(n)), lambda n: ratio(n) / (1 + ratio(n))


def _losses(
    fitted: FittedLaw,
    law: LossLaw,
    n: Floats,
    budgets: Floats,
    cost: Callable[[Floats], Floats] = lambda n: 6 * n,
    share: Callable[[Floats], Floats] = np.ones_like,
    name: str = "",
) -> Hits:
    hits: Hits = {}
    for size, budget in [(size, budget) for size in n for budget in budgets]:
        place = np.array(size)
        said = fitted.predict(size, float(budget / cost(place)), float(share(place)))
        truth = float(law.loss(place, budget / cost(place), share(place)))
        hits[f"loss N {size:.3g} C {budget:.3g}{name}"] = said.low <= truth <= said.high
    return hits


def _optima(
    fitted: FittedLaw,
    law: LossLaw,
    budgets: Floats,
    cost: Callable[[Floats], Floats] = lambda n: 6 * n,
    share: Callable[[Floats], Floats] = np.ones_like,
    name: str = "",
) -> Hits:
    sizes = (1e5, 1e11)
    grid = np.geomspace(*sizes, 4000)
    hits: Hits = {}
    for budget in map(float, budgets):
        losses = law.loss(grid, budget / cost(grid), share(grid))
        truth = float(np.exp(least(np.log(grid), losses[None])[0]))
        found = fitted.optimal(budget, cost, share, sizes=sizes)
        hits[f"optimum C {budget:.3g}{name}"] = found.low <= truth <= found.high
    return hits
