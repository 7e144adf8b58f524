"""Heads in a cascade, ready to classify: plain values, numpy alone, nothing to fit.

The one rule: a row's coordinates are made as far as it needs them and no further.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.classification.cascade import Cascade, HeadOutcomes, Places, confidence_of
from vecsmith.classification.heads import LinearHeads, prefix_of
from vecsmith.classification.rotation import Rotation

FloatMatrix = NDArray[np.floating[Any]]

# Rows at a time, and probabilities: with ten thousand classes these are what fills the memory.
_MOST_ROWS, _MOST_SCORES = 8192, 2**22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decisions:
    """What was decided on N rows.

    Attributes:
        probabilities: Of the classes, from the head that decided, [N, C].
        dims: Dimensions of the head that decided, [N].
        total_dims: Dimensions of all heads asked, summed, [N].
    """

    probabilities: FloatMatrix
    dims: NDArray[np.int64]
    total_dims: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CascadedHeads:
    """Embeddings to labels.

    Attributes:
        heads: A linear classifier for each prefix length.
        cascade: Which of them are asked, and how sure each must be.
        n_features: Width of the embeddings.
        rotation: Change of coordinates before the heads, or None.
        scale: What rows are multiplied by where there is no rotation.

    Raises:
        ValueError: If the parts do not fit each other.
    """

    heads: LinearHeads
    cascade: Cascade
    n_features: int
    rotation: Rotation | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.heads.dims != self.cascade.dims:
            raise ValueError(
                f"heads of {list(self.heads.dims)} dimensions and a cascade of "
                f"{list(self.cascade.dims)}, expected the same"
            )
        width = self.n_features if self.rotation is None else self.rotation.matrix.shape[1]
        rows = self.n_features if self.rotation is None else self.rotation.matrix.shape[0]
        if self.heads.dims[-1] > width or rows != self.n_features:
            raise ValueError(
                f"heads of up to {self.heads.dims[-1]} of {width} dimensions of embeddings of "
                f"{rows}, expected no more than there are, of {self.n_features}"
            )
        if not 0 < self.scale <= float(np.finfo(np.float32).max):
            raise ValueError(f"scale is {self.scale}, expected a positive number of float32")

    def coordinates(self, x: NDArray[Any], start: int, stop: int) -> FloatMatrix:
        """Coordinates `start` to `stop` that the heads read, of embeddings [N, D].

        In float64 if the embeddings are, else in float32.
        """
        if self.rotation is not None:
            return self.rotation.coordinates(x, start, stop)
        wide = prefix_of(x[:, start:stop], stop - start)
        with np.errstate(over="ignore"):  # heads refuse what is not finite
            return wide * wide.dtype.type(self.scale)

    def decide(self, x: ArrayLike, *, max_dim: int | None = None, first_row: int = 0) -> Decisions:
        """What the first head that is sure enough says of each row.

        Args:
            x: Embeddings [N, D].
            max_dim: The longest prefix to use; None: all.
            first_row: What errors call the first row.

        Raises:
            ValueError: If the embeddings are not N rows of D finite numbers, or no head has so few
                dimensions as `max_dim`.
        """
        rows = self._checked(x)
        dtype = np.float64 if rows.dtype == np.float64 else np.float32
        probabilities = np.empty((len(rows), len(self.heads.classes)), dtype)
        places = np.empty(len(rows), np.intp)
        asked = self.cascade.asked(max_dim)
        for block in self._blocks(len(rows)):
            names = first_row + np.arange(block.start, block.start + len(rows[block]))
            self._decide_block(rows[block], names, asked, probabilities[block], places[block])
        totals = self.cascade.total_dims(max_dim=max_dim)
        return Decisions(
            probabilities=probabilities,
            dims=np.asarray(self.heads.dims, np.int64)[places],
            total_dims=totals[places],
        )

    def predict(
        self, x: ArrayLike, *, max_dim: int | None = None
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Labels as `labels_of` gives them and dimensions of the head that decided, [N].

        As `decide`, holding no more probabilities than those of some rows.

        Args:
            x: Embeddings [N, D].
            max_dim: The longest prefix to use; None: all.

        Raises:
            ValueError: As for `decide`.
        """
        rows = self._checked(x)
        labels, dims = [], []
        for block in [*self._blocks(len(rows))] or [slice(0, 0)]:
            decisions = self.decide(rows[block], max_dim=max_dim, first_row=block.start)
            labels.append(self.labels_of(decisions.probabilities))
            dims.append(decisions.dims)
        return np.concatenate(labels), np.concatenate(dims)

    def labels_of(self, probabilities: FloatMatrix) -> NDArray[Any]:
        """Labels [N] that probabilities [N, C] stand for; with several a row 0 or 1, [N, C]."""
        if self.heads.kind == "multilabel":
            present: NDArray[Any] = (probabilities > 0.5).astype(np.int64)
            return present
        labels: NDArray[Any] = self.heads.classes[probabilities.argmax(axis=1)]
        return labels

    def outcomes(
        self, x: NDArray[Any], targets: NDArray[Any], weights: NDArray[np.float64]
    ) -> HeadOutcomes:
        """What every head says of rows whose answers are known.

        Args:
            x: Embeddings [N, D].
            targets: Place of each row's class [N]; with several labels 0 or 1 for each, [N, C].
            weights: How much each row counts, [N].
        """
        multilabel = self.heads.kind == "multilabel"
        confidences = np.empty((len(self.heads.dims), len(x)))
        correct = np.empty_like(confidences)
        for block in self._blocks(len(x)):
            rows = self.coordinates(x[block], 0, self.heads.dims[-1])
            for m, dim in enumerate(self.heads.dims):
                names = np.arange(block.start, block.start + len(rows))
                probabilities = self.heads.probabilities(rows, dim, names=names)
                confidences[m, block] = confidence_of(probabilities, multilabel=multilabel)
                if multilabel:
                    correct[m, block] = ((probabilities > 0.5) == targets[block]).all(axis=1)
                else:
                    correct[m, block] = probabilities.argmax(axis=1) == targets[block]
        return HeadOutcomes.of(self.heads.dims, confidences, correct, weights)

    def _checked(self, x: ArrayLike) -> NDArray[Any]:
        rows = np.asarray(x)
        if rows.ndim != 2 or rows.shape[1] != self.n_features or rows.dtype.kind not in "fiu":
            raise ValueError(
                f"embeddings are {rows.dtype} of shape {list(rows.shape)}, expected numbers "
                f"[N, {self.n_features}]"
            )
        return rows

    def _blocks(self, n_rows: int) -> Iterator[slice]:
        step = max(1, min(_MOST_ROWS, _MOST_SCORES // len(self.heads.classes)))
        for start in range(0, n_rows, step):
            yield slice(start, start + step)

    def _decide_block(
        self,
        rows: NDArray[Any],
        names: NDArray[np.integer],
        asked: tuple[int, ...],
        probabilities: FloatMatrix,
        places: Places,
    ) -> None:
        waiting = np.arange(len(rows))
        known = self.coordinates(rows, 0, 0)
        for m in asked:
            dim = self.heads.dims[m]
            known = np.concatenate(
                [known, self.coordinates(rows[waiting], known.shape[1], dim)], axis=1
            )
            found = self.heads.probabilities(known, dim, names=names[waiting])
            sure = confidence_of(found, multilabel=self.heads.kind == "multilabel")
            last = m == asked[-1]
            stops = np.ones(len(waiting), np.bool_) if last else sure > self.cascade.thresholds[m]
            probabilities[waiting[stops]] = found[stops]
            places[waiting[stops]] = m
            waiting, known = waiting[~stops], known[~stops]
            if not len(waiting):
                break
