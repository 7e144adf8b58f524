"""What the runs that laws were fitted to had in common: rates, ranks, shares, lengths.

The one rule: a law holds for runs like those it was fitted to, so a plan made by it keeps to what
they did unless the user says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vecsmith.errors import FormatError
from vecsmith.results.fields import Block
from vecsmith.results.tuning import TUNING_METHODS, Tuning
from vecsmith.results.tuning_runs import TuningRun

_SOURCE: Final = "laws: provenance: recipe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """What finished runs did.

    Attributes:
        methods: With which they tuned.
        rates: Method, N, learning rate that did best and name of each model, by method.
        ranks: Of LoRA.
        alpha: Of LoRA where all had the same, else 0 for twice the rank.
        frozen_shares: Shares of blocks that were frozen.
        tokens_per_pair: Real tokens of a pair in the mean.
        n_pairs: Pairs that there were to train on.
        min_steps: Fewest steps of a run.
        max_epochs: Most passes over the pairs.
    """

    methods: tuple[str, ...]
    rates: tuple[tuple[str, float, float, str], ...]
    ranks: tuple[int, ...]
    alpha: float
    frozen_shares: tuple[float, ...]
    tokens_per_pair: float
    n_pairs: int
    min_steps: int
    max_epochs: float

    def rate(self, method: str, n_params: int, model: str = "") -> float | None:
        """The rate of the model of that name, else of that nearest in size; None without any."""
        known = [
            (name != model, abs(np.log(n / n_params)), lr)
            for of_method, n, lr, name in self.rates
            if of_method == method
        ]
        return min(known)[2] if known else None


def experience_of(runs: Iterable[TuningRun]) -> dict[str, Any]:
    """What finished runs did, in the kinds that JSON has; `read_experience` is the way back.

    Nothing where no run says on how many pairs it was.
    """
    done = [run for run in runs if run.status == "done" and run.pairs and run.epochs and run.steps]
    if not done:
        return {}
    adapters = [run.tuning for run in done if run.tuning.method == "lora"]
    frozen = {
        round(run.tuning.frozen_blocks / run.shape["n_layers"], 4)
        for run in done
        if run.tuning.method == "freeze" and run.shape.get("n_layers")
    }
    return {
        "methods": [name for name in TUNING_METHODS if name in {r.tuning.method for r in done}],
        "rates": _rates(done),
        "ranks": sorted({tuning.rank for tuning in adapters}),
        "alpha": _alpha(adapters),
        "frozen_shares": sorted(frozen),
        "tokens_per_pair": sum(run.tokens for run in done) / sum(run.pairs for run in done),
        "n_pairs": round(float(np.median([run.pairs / run.epochs for run in done]))),
        "min_steps": min(run.steps for run in done),
        "max_epochs": max(run.epochs for run in done),
    }


def read_experience(provenance: Mapping[str, Any]) -> Experience | None:
    """What the runs did, from what a file of laws says of them; None where it does not.

    Raises:
        FormatError: If a field is missing, of another type, or makes no sense.
    """
    if not provenance.get("recipe"):
        return None
    block = Block(provenance["recipe"], _SOURCE)
    rates = []
    for row in block.blocks("rates"):
        values = row.text("method"), row.number("n_params"), row.number("lr")
        name = row.text("model") if row.has("model") else ""
        if not (values[1] > 0 and values[2] > 0):
            raise FormatError(f"{row.source}: {values!r:.60}, expected numbers above 0")
        rates.append((*values, name))
    found = Experience(
        methods=block.texts("methods"),
        rates=tuple(rates),
        ranks=tuple(int(rank) for rank in block.numbers("ranks")),
        alpha=block.number("alpha"),
        frozen_shares=block.numbers("frozen_shares"),
        tokens_per_pair=block.number("tokens_per_pair"),
        n_pairs=block.count("n_pairs"),
        min_steps=block.count("min_steps"),
        max_epochs=block.number("max_epochs"),
    )
    if not (
        all(rank >= 1 for rank in found.ranks)
        and all(0 <= share < 1 for share in found.frozen_shares)
        and min(found.tokens_per_pair, found.n_pairs, found.min_steps, found.max_epochs) > 0
    ):
        raise FormatError(f"{_SOURCE}: {block.values!r:.200}, expected ranks, shares and counts")
    return found


def _alpha(adapters: Sequence[Tuning]) -> float:
    """The one alpha that all ranks had; 0 for twice the rank, or where there is no rule."""
    alphas = {tuning.alpha for tuning in adapters}
    is_twice = all(tuning.alpha == 2 * tuning.rank for tuning in adapters)
    return alphas.pop() if len(alphas) == 1 and not is_twice else 0.0


def _rates(runs: Iterable[TuningRun]) -> list[dict[str, Any]]:
    """The rate that did best at the largest budget of each method and model, over its seeds."""
    logs: dict[tuple[str, str, int], dict[tuple[float, str, float], list[float]]] = {}
    for run in runs:
        rate = run.settings.get("lr")
        if not isinstance(rate, (int, float)) or isinstance(rate, bool) or run.loss is None:
            continue
        model = run.tuning.method, run.model, run.n_params
        cell = run.flops, str(run.tuning), float(rate)
        logs.setdefault(model, {}).setdefault(cell, []).append(float(np.log(run.loss)))
    found = []
    for (method, name, n_params), cells in sorted(logs.items()):
        _, _, (_, _, lr) = min((-cell[0], float(np.mean(cells[cell])), cell) for cell in cells)
        found.append({"method": method, "model": name, "n_params": n_params, "lr": lr})
    return found
