"""The size that a law finds best for each of many budgets, whatever variants its method has.

A method may come in several variants of each size (ranks of LoRA, shares of frozen blocks), which
cost and train differently. Sizes between those that were run take what lies between their
neighbours' variants: the smallest with the smallest, the largest with the largest.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vecsmith.planning.laws.fitted_law import FittedLaw, Optimum
from vecsmith.planning.laws.forms import Floats
from vecsmith.planning.laws.frontier import LawFrontier

__all__ = ["best_sizes"]

# How far beyond the sizes run a best size is searched, either side
_BEYOND = 2.0


def best_sizes(fitted: FittedLaw, budgets: Iterable[float]) -> list[Optimum]:
    """The best size for each budget, of the variant that makes the least loss there.

    Budgets whose best size is at an end of the search are left out: all that they show is that it
    lies beyond.

    Args:
        fitted: Law of one method.
        budgets: FLOP, positive.

    Raises:
        ValueError: If a budget is not positive.
    """
    cells = LawFrontier.of("", fitted)
    sizes = float(cells.n.min()) / _BEYOND, float(cells.n.max()) * _BEYOND
    variants = _variants(cells)
    found = []
    for flops in budgets:
        optima = [
            fitted.optimal(flops, variant.cost_per_token, variant.trained_share, sizes=sizes)
            for variant in variants
        ]
        best = min(optima, key=lambda optimum: optimum.prediction.loss)
        if not best.at_edge:
            found.append(best)
    return found


class _Variant:
    """Cost and trained share of one variant, by size."""

    def __init__(self, log_n: Floats, log_relative_cost: Floats, log_share: Floats) -> None:
        self._log_n = log_n
        self._log_relative_cost = log_relative_cost
        self._log_share = log_share

    def cost_per_token(self, n: Floats) -> Floats:
        """FLOP a token of models of N parameters: N times what its neighbours cost a parameter."""
        found: Floats = n * np.exp(np.interp(np.log(n), self._log_n, self._log_relative_cost))
        return found

    def trained_share(self, n: Floats) -> Floats:
        """Share of the parameters of models of N parameters that is trained."""
        found: Floats = np.exp(np.interp(np.log(n), self._log_n, self._log_share))
        return found


def _variants(cells: LawFrontier) -> list[_Variant]:
    """As many as the size that has the most; a size with fewer has some of them twice."""
    sizes = np.unique(cells.n)
    own = [_sorted_by_share(cells, size) for size in sizes]
    n_variants = max(len(logs) for logs in own)
    places = np.linspace(0.0, 1.0, n_variants)
    rows = np.stack([_spread(logs, places) for logs in own])  # [sizes, variants, 2]
    return [_Variant(np.log(sizes), rows[:, k, 0], rows[:, k, 1]) for k in range(n_variants)]


def _sorted_by_share(cells: LawFrontier, size: float) -> Floats:
    """Logarithms of cost a parameter and of trained share of one size's cells, [K, 2]."""
    at = np.flatnonzero(cells.n == size)
    at = at[np.argsort(cells.share[at], kind="stable")]
    return np.log(np.stack([cells.cost_per_token[at] / size, cells.share[at]], axis=1))


def _spread(logs: Floats, places: Floats) -> Floats:
    own = np.linspace(0.0, 1.0, len(logs))
    return np.stack([np.interp(places, own, column) for column in logs.T], axis=1)
