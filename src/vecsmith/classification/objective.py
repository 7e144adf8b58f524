"""The loss of linear heads over prefixes, its value and gradient: what `fitting` minimises.

All prefixes are done in one pass over the columns: the scores of a prefix are those of the one
before it and the product of the columns between. The one rule: float64, in an order fixed by the
rows alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.classification.heads import Scaling, sigmoid

Floats = NDArray[np.float64]

# Rows at a time: of 256 dimensions they are 8 MB in float64, and stay in the cache of most machines
_BLOCK = 4096
# Embeddings that are no larger in float64 are turned into it once, not at each evaluation
_KEEP_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Targets:
    """What rows should be classified as.

    Attributes:
        codes: Class of each row for a softmax over more than two, [N]; else None.
        present: Whether each row has each label, uint8 [N, K]; for two classes K is 1: whether it
            is the second. None for a softmax over more.
        n_classes: C.
        row_weights: How much each row counts, [N].
        positive_weights: Times that, where a label is there, [K].
        negative_weights: Times that, where it is not, [K].
        is_binary: Whether it is two classes, of which one sigmoid tells.
    """

    codes: NDArray[np.intp] | None
    present: NDArray[np.uint8] | None
    n_classes: int
    row_weights: Floats
    positive_weights: Floats
    negative_weights: Floats
    is_binary: bool

    @property
    def n_rows_of_weights(self) -> int:
        """Rows of the matrix that is fitted."""
        return 1 if self.is_binary else self.n_classes

    def loss(self, scores: Floats, first: int) -> tuple[float, Floats]:
        """Weighted loss of the rows from `first` on with these scores, and its gradient [B, K]."""
        rows = slice(first, first + len(scores))
        weights = self.row_weights[rows]
        if self.codes is not None:
            return _cross_entropy(scores, self.codes[rows], weights)
        assert self.present is not None
        present = self.present[rows]
        each = np.where(present, self.positive_weights, self.negative_weights) * weights[:, None]
        # log(1 + exp(z)) - y z, without overflow
        losses = np.logaddexp(0, scores) - present * scores
        return float((each * losses).sum()), each * (sigmoid(scores) - present)


def _cross_entropy(
    scores: Floats, codes: NDArray[np.intp], weights: Floats
) -> tuple[float, Floats]:
    places = np.arange(len(scores))
    shifted = scores - scores.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    sums = powers.sum(axis=1)
    value = float(weights @ (np.log(sums) - shifted[places, codes]))
    powers *= (weights / sums)[:, None]
    powers[places, codes] -= weights
    return value, powers


class Objective:
    """The mean loss over rows and prefixes with its share of weight decay, and its gradient.

    The sum in `fitting` divided by strength times what the rows weigh, so that one tolerance serves
    all numbers of rows.

    Args:
        rows: Embeddings [N, D].
        targets: Their classes.
        weights: Of each prefix length, ascending: strength times c_m.
        scaling: How a prefix is prepared.
    """

    def __init__(
        self,
        rows: NDArray[Any],
        targets: Targets,
        weights: Mapping[int, float],
        *,
        scaling: Scaling,
    ) -> None:
        self._dims = tuple(weights)
        self._rows = rows[:, : self._dims[-1]]
        self._targets = targets
        self._scaling = scaling
        total, of_rows = sum(weights.values()), float(targets.row_weights.sum())
        self._shares = [weight / total for weight in weights.values()]
        self._mean = 1 / of_rows
        self._decay = 1 / (total * of_rows)
        fits = self._rows.size * 8 <= _KEEP_BYTES
        self._kept = list(self._prepared()) if fits else None

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        """Value, and gradient with respect to `parameters` flattened.

        Args:
            parameters: Weights and, as the last column, biases [K, D + 1].
        """
        matrix, bias = parameters[:, :-1], parameters[:, -1]
        value = 0.0
        gradient = np.zeros_like(parameters)
        first = 0
        for rows, scales in self._kept if self._kept is not None else self._prepared():
            value += self._add_block(rows, scales, matrix, bias, first, gradient)
            first += len(rows)
        value = value * self._mean + 0.5 * self._decay * float(np.vdot(matrix, matrix))
        gradient *= self._mean
        gradient[:, :-1] += self._decay * matrix
        return value, gradient.ravel()

    def _add_block(
        self,
        rows: Floats,
        scales: Floats | None,
        matrix: Floats,
        bias: Floats,
        first: int,
        gradient: Floats,
    ) -> float:
        """Adds the gradient of a block's loss, and gives the loss."""
        value = 0.0
        scores = np.zeros((len(rows), len(matrix)))
        of_scores = []
        starts = (0, *self._dims[:-1])
        for place, (start, stop) in enumerate(zip(starts, self._dims, strict=True)):
            scores += rows[:, start:stop] @ matrix[:, start:stop].T
            scale = None if scales is None else scales[:, place, None]
            loss, slope = self._targets.loss(
                (scores if scale is None else scores * scale) + bias, first
            )
            value += self._shares[place] * loss
            slope *= self._shares[place]
            gradient[:, -1] += slope.sum(axis=0)
            of_scores.append(slope if scale is None else slope * scale)
        # the columns of a block are in its own prefix and in all longer ones
        carried = np.zeros_like(scores)
        for start, stop, slope in zip(
            reversed(starts), reversed(self._dims), reversed(of_scores), strict=True
        ):
            carried += slope
            gradient[:, start:stop] += carried.T @ rows[:, start:stop]
        return value

    def _prepared(self) -> Iterator[tuple[Floats, Floats | None]]:
        """Blocks of rows in float64, and what scales each prefix of them to unit length, [B, M]."""
        for start in range(0, len(self._rows), _BLOCK):
            rows = self._rows[start : start + _BLOCK].astype(np.float64)
            if self._scaling == "none":
                yield rows, None
                continue
            squares = np.add.reduceat(rows * rows, [0, *self._dims[:-1]], axis=1).cumsum(axis=1)
            with np.errstate(divide="ignore"):
                yield rows, np.where(squares > 0, 1 / np.sqrt(squares), 0)
