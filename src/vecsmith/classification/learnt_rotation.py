"""Coordinates learnt together with the heads that read their prefixes.

This is the objective of Kusupati et al. 2022 (equation 1) with a linear map for the encoder: one
map, a softmax on each of its prefixes, the sum of their losses, from Fisher's discriminants on.
Discriminants please the pairs of classes that are far apart already; this one asks of each prefix
that it be right. The one rule: the map is pulled towards where it began, and it stops where rows
that it does not learn from stop gaining, so with few rows it stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._typing import FloatArray
from vecsmith.classification.fitting import ClassWeight, fit_heads
from vecsmith.classification.heads import LinearHeads
from vecsmith.classification.objective import Targets
from vecsmith.classification.rotation import Rotation
from vecsmith.classification.targets import make_targets

Floats = NDArray[np.float64]

# Measured on train rows of banking77, a fifth held out: of weights 0.001 to 0.01 and pulls 0.001 to
# 0.1 these, in coordinates of unit spread inside classes, are best and their neighbours as good;
# a tenth of them loses 2 points at 16 and 32 dimensions.
_DECAY: Final = 6e-3
_PULL: Final = 1e-2
_MAX_STEPS: Final = 100
_STEPS_BETWEEN_LOOKS: Final = 5
_PATIENCE: Final = 4
# A map of 256 x 64 numbers is known well from so many rows; more take longer.
_MAX_ROWS: Final = 50_000
# Rows at a time, and scores: with ten thousand classes these are what fills the memory.
_MOST_ROWS, _MOST_SCORES = 8192, 2**22
_TEMPERATURES: Final = tuple(2.0 ** (step / 2) for step in range(-6, 5))


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Coordinates [N, D] at unit spread, and what they should be classified as."""

    values: FloatArray
    targets: Targets

    @property
    def weight(self) -> float:
        return float(self.targets.row_weights.sum())


def learn_rotation(
    start: Rotation,
    x: NDArray[Any],
    y: NDArray[Any],
    weights: Floats,
    dims: Sequence[int],
    *,
    held: tuple[NDArray[Any], NDArray[Any], Floats] | None = None,
    n_steps: int | None = None,
    class_weight: ClassWeight = None,
) -> tuple[Rotation, int]:
    """Coordinates whose prefixes classify best, and how many steps were made.

    Prefixes as long as the embeddings are not learnt from: they see everything in any coordinates.

    Args:
        start: Discriminants with all D coordinates.
        x: Rows [N, D]; of more than 50,000 that many are drawn, and a row of each class they lack.
        y: Classes of the rows as places from 0 on, none without a row, [N]; or 0 and 1 for each,
            [N, C].
        weights: How much each row counts, [N].
        dims: Prefix lengths, ascending.
        held: Rows, classes and weights that say when to stop; None: after `n_steps`.
        n_steps: Steps to make at most; None: 100.
        class_weight: As `fit_heads` takes it.

    Raises:
        MissingExtraError: If scipy is not installed.
    """
    short = tuple(dim for dim in dims if dim < len(start.center))
    if not short or n_steps == 0:
        return start, 0
    drawn = _drawn(y)
    single = y.ndim == 1
    _, targets = make_targets(
        y[drawn], len(drawn), kind="softmax" if single else "multilabel", classes=None,
        class_weight=class_weight, sample_weight=weights[drawn],
    )  # fmt: skip
    rows = _Rows(_unit_spread(start, x[drawn]), targets)
    judges = None
    if held is not None:
        judges = _Rows(_unit_spread(start, held[0]), _alike(targets, held[1], held[2]))
    problem = _Problem(rows, short, len(start.center))
    begun = problem.begun(y[drawn], weights[drawn], class_weight)
    found, n_made = _descend(problem, begun, judges, _MAX_STEPS if n_steps is None else n_steps)
    if not n_made:
        return start, 0
    matrix = start.matrix.copy()
    matrix[:, : short[-1]] = start.matrix @ problem.parts(found)[0]
    return Rotation(center=start.center, matrix=matrix), n_made


class _Problem:
    """The sum over prefixes of the mean loss, with decay and pull, of one flat array of numbers."""

    def __init__(self, rows: _Rows, dims: tuple[int, ...], width: int) -> None:
        self.rows = rows
        self.dims = dims
        self._origin = np.eye(width, dims[-1], dtype=np.float32)
        n_scores = rows.targets.n_rows_of_weights
        self._shapes = [
            (width, dims[-1]),
            *((n_scores, dim) for dim in dims),
            (len(dims), n_scores),
        ]
        self._cuts = np.cumsum([rows * columns for rows, columns in self._shapes])[:-1]

    def begun(self, y: NDArray[Any], weights: Floats, class_weight: ClassWeight) -> Floats:
        """No change of coordinates, and the heads that are best with none."""
        heads = fit_heads(
            self.rows.values[:, : self.dims[-1]],
            y,
            dims=self.dims,
            strength=1 / (_DECAY * self.rows.weight),
            class_weight=class_weight,
            sample_weight=weights,
            kind="softmax" if y.ndim == 1 else "multilabel",
            scaling="none",
            tol=1e-3,
        )
        parts = [self._origin, *(self._fitted(heads, dim) for dim in self.dims)]
        biases = np.stack([self._fitted_bias(heads, dim) for dim in self.dims])
        return np.concatenate([part.ravel() for part in (*parts, biases)]).astype(np.float64)

    def parts(self, flat: Floats) -> list[FloatArray]:
        """The map [D, P], the weights of each head, and all biases, [M, K]."""
        return [
            part.reshape(shape).astype(np.float32)
            for part, shape in zip(np.split(flat, self._cuts), self._shapes, strict=True)
        ]

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        """Value and gradient."""
        change, *weights, biases = self.parts(flat)
        gradients = [_DECAY * head for head in weights]
        value = sum(0.5 * _DECAY * float(np.vdot(head, head)) for head in weights)
        moved = change - self._origin
        value += 0.5 * _PULL * float(np.vdot(moved, moved))
        of_change = _PULL * moved
        of_biases = np.zeros_like(biases)
        share = 1 / self.rows.weight
        for first, block in self._blocks(self.rows):
            coordinates = block @ change
            of_coordinates = np.zeros_like(coordinates)
            for m, dim in enumerate(self.dims):
                scores = coordinates[:, :dim] @ weights[m].T + biases[m]
                loss, slope = self.rows.targets.loss(scores.astype(np.float64), first)
                slopes = (slope * share).astype(np.float32)
                value += loss * share
                gradients[m] += slopes.T @ coordinates[:, :dim]
                of_biases[m] += slopes.sum(axis=0)
                of_coordinates[:, :dim] += slopes @ weights[m]
            of_change += block.T @ of_coordinates
        flat_gradients = [part.ravel() for part in (of_change, *gradients, of_biases)]
        return value, np.concatenate(flat_gradients).astype(np.float64)

    def held_loss(self, flat: Floats, held: _Rows) -> float:
        """Mean loss of other rows, summed over prefixes, each at its best temperature."""
        change, *weights, biases = self.parts(flat)
        losses = np.zeros((len(self.dims), len(_TEMPERATURES)))
        for first, block in self._blocks(held):
            coordinates = block @ change
            for m, dim in enumerate(self.dims):
                scores = (coordinates[:, :dim] @ weights[m].T + biases[m]).astype(np.float64)
                losses[m] += [held.targets.loss(scores / t, first)[0] for t in _TEMPERATURES]
        return float(losses.min(axis=1).sum()) / held.weight

    def _blocks(self, rows: _Rows) -> Iterator[tuple[int, FloatArray]]:
        """Some rows at a time, and the place of the first of them."""
        step = max(1, min(_MOST_ROWS, _MOST_SCORES // self.rows.targets.n_rows_of_weights))
        for first in range(0, len(rows.values), step):
            yield first, rows.values[first : first + step]

    def _fitted(self, heads: LinearHeads, dim: int) -> FloatArray:
        weights, _ = heads.head(dim)
        # one sigmoid tells two classes: half of either sign was made of it
        return weights[1:] - weights[:1] if self.rows.targets.is_binary else weights

    def _fitted_bias(self, heads: LinearHeads, dim: int) -> FloatArray:
        _, bias = heads.head(dim)
        return bias[1:] - bias[:1] if self.rows.targets.is_binary else bias


def _descend(
    problem: _Problem, begun: Floats, held: _Rows | None, max_steps: int
) -> tuple[Floats, int]:
    """Numbers after the best count of steps, as `held` judges it or all, and that count."""
    optimize = require("scipy.optimize", extra="eval", purpose="fit heads")
    best, best_loss, best_step = begun, np.inf, 0
    if held is not None:
        best_loss = problem.held_loss(begun, held)
    step = 0

    def look(intermediate_result: Any) -> None:
        nonlocal best, best_loss, best_step, step
        step += 1
        if held is None:
            best, best_step = intermediate_result.x.copy(), step
        elif step % _STEPS_BETWEEN_LOOKS == 0:
            loss = problem.held_loss(intermediate_result.x, held)
            if loss < best_loss:
                best, best_loss, best_step = intermediate_result.x.copy(), loss, step
            elif step - best_step >= _PATIENCE * _STEPS_BETWEEN_LOOKS:
                raise StopIteration

    optimize.minimize(
        problem, begun, jac=True, method="L-BFGS-B", callback=look,
        options={"maxiter": max_steps, "maxfun": 10 * max_steps, "ftol": 1e-9, "gtol": 1e-6},
    )  # fmt: skip
    return best, best_step


def _unit_spread(start: Rotation, x: NDArray[Any]) -> FloatArray:
    """Coordinates [N, D] whose spread inside classes is about 1 each."""
    width = len(start.center)
    values: FloatArray = start.coordinates(x, 0, width).astype(np.float32)
    values *= np.float32(np.sqrt(width))
    return values


def _alike(targets: Targets, y: NDArray[Any], weights: Floats) -> Targets:
    """Other rows of the same classes, of which they need not have all."""
    present = y[:, None] if y.ndim == 1 else y
    return replace(
        targets,
        codes=None if targets.codes is None else y,
        present=None if targets.present is None else present.astype(np.uint8),
        row_weights=weights,
        positive_weights=np.ones_like(targets.positive_weights),
        negative_weights=np.ones_like(targets.negative_weights),
    )


def _drawn(y: NDArray[Any]) -> NDArray[np.intp]:
    """Places of the rows to learn from; each class keeps one, so that places of classes stay."""
    if len(y) <= _MAX_ROWS:
        return np.arange(len(y))
    order = np.random.default_rng(0).permutation(len(y))
    drawn, others = order[:_MAX_ROWS], order[_MAX_ROWS:]
    if y.ndim == 1:
        classes, firsts = np.unique(y[others], return_index=True)
        lacking = ~np.isin(classes, y[drawn])
        drawn = np.append(drawn, others[firsts[lacking]])
    return np.sort(drawn)
