"""Linear classifiers on nested prefixes of embeddings, as plain arrays.

Source: Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022, equation 1: a head of
its own for each prefix (MRL, here untied), or one matrix whose first columns serve all of them
(MRL-E, tied). The one rule: a prefix is prepared alone, since a prefix of a unit vector is not one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith._typing import FloatArray

HeadKind = Literal["softmax", "multilabel"]
Scaling = Literal["normalize", "none"]
_SINGLE = np.finfo(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearHeads:
    """A linear classifier for each of M prefix lengths, C classes.

    Attributes:
        dims: Prefix lengths, ascending, M.
        tied: Whether one matrix serves all prefixes (MRL-E).
        weights: Tied: [C, D], of which a prefix uses its first columns, D the longest. Untied: the
            matrices of the prefixes side by side, [C, sum of dims].
        biases: One row for all prefixes if tied, [1, C], else a row each, [M, C].
        classes: Their labels, [C]: text, whole numbers or booleans.
        kind: "softmax": a row has one class; "multilabel": each class is there or not.
        scaling: "normalize": each prefix is brought to unit length; "none": taken as it is.
        temperatures: What logits are divided by before they are made probabilities, M; None: 1.
        unfinished: Prefix lengths whose fit stopped at its last iteration.

    Raises:
        ValueError: If the arrays do not fit each other or hold what is not finite.
    """

    dims: tuple[int, ...]
    tied: bool
    weights: FloatArray
    biases: FloatArray
    classes: NDArray[Any]
    kind: HeadKind = "softmax"
    scaling: Scaling = "normalize"
    temperatures: tuple[float, ...] | None = None
    unfinished: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_dims(self.dims)
        if self.kind not in ("softmax", "multilabel"):
            raise ValueError(f'kind is {self.kind!r}, expected "softmax" or "multilabel"')
        if self.scaling not in ("normalize", "none"):
            raise ValueError(f'scaling is {self.scaling!r}, expected "normalize" or "none"')
        n_columns = self.dims[-1] if self.tied else sum(self.dims)
        n_rows = 1 if self.tied else len(self.dims)
        _fits(self.weights, (len(self.classes), n_columns), "weights")
        _fits(self.biases, (n_rows, len(self.classes)), "biases")
        given = self.temperatures
        if given is not None and (
            len(given) != len(self.dims) or not all(_SINGLE.tiny <= t <= _SINGLE.max for t in given)
        ):
            raise ValueError(
                f"temperatures are {list(given)}, expected {len(self.dims)} positive numbers"
            )

    @property
    def n_parameters(self) -> int:
        """Numbers that the heads hold."""
        return self.weights.size + self.biases.size

    def place(self, dim: int) -> int:
        """Which of the heads is for the first `dim` dimensions.

        Raises:
            ValueError: If there is none for it.
        """
        if dim not in self.dims:
            raise ValueError(f"no head for {dim} dimensions, expected one of {list(self.dims)}")
        return self.dims.index(dim)

    def head(self, dim: int) -> tuple[FloatArray, FloatArray]:
        """Weights [C, dim] and bias [C] of one head, views.

        Raises:
            ValueError: If there is none for `dim`.
        """
        place = self.place(dim)
        if self.tied:
            return self.weights[:, :dim], self.biases[0]
        first = sum(self.dims[:place])
        return self.weights[:, first : first + dim], self.biases[place]

    def logits(
        self, x: ArrayLike, dim: int, *, names: NDArray[np.integer] | None = None
    ) -> NDArray[np.floating[Any]]:
        """Scores of the classes from the first `dim` dimensions, [N, C].

        In float64 if `x` is, else in float32. Temperatures are not in them.

        Args:
            x: Embeddings [N, D], D at least `dim`; what is after the prefix is not read.
            dim: One of `dims`.
            names: What errors call the rows, [N]; None: 0, 1, and so on.

        Raises:
            ValueError: If there is no head for `dim`, `x` is too narrow, or a row is not finite.
        """
        weights, bias = self.head(dim)
        rows = prefix_of(x, dim)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
            scores: NDArray[np.floating[Any]] = rows @ weights.T.astype(rows.dtype, copy=False)
            if self.scaling == "normalize":
                scores *= inverse_lengths(rows)[:, None]
            scores += bias
        broken = ~np.isfinite(scores).all(axis=1)
        if broken.any():
            row = int(np.argmax(broken))
            raise ValueError(
                f"row {row if names is None else names[row]} gives scores that are not finite, "
                "expected embeddings of finite numbers"
            )
        return scores

    def probabilities(
        self, x: ArrayLike, dim: int, *, names: NDArray[np.integer] | None = None
    ) -> NDArray[np.floating[Any]]:
        """Probabilities of the classes from the first `dim` dimensions, [N, C].

        Softmax over the classes, or for "multilabel" the sigmoid of each, of logits divided by the
        head's temperature.

        Args:
            x: Embeddings [N, D].
            dim: One of `dims`.
            names: What errors call the rows, [N]; None: 0, 1, and so on.

        Raises:
            ValueError: As for `logits`.
        """
        return self.probabilities_of(self.logits(x, dim, names=names), dim)

    def probabilities_of(
        self, logits: NDArray[np.floating[Any]], dim: int
    ) -> NDArray[np.floating[Any]]:
        """Probabilities [N, C] of what `logits` gave for `dim`."""
        place = self.place(dim)
        scores = logits / logits.dtype.type(self.temperatures[place] if self.temperatures else 1.0)
        return softmax(scores) if self.kind == "softmax" else sigmoid(scores)

    def predict(self, x: ArrayLike, dim: int) -> NDArray[Any]:
        """Labels [N] of the best class; for "multilabel" whether each label is there, bool [N, C].

        Args:
            x: Embeddings [N, D].
            dim: One of `dims`.

        Raises:
            ValueError: As for `logits`.
        """
        logits = self.logits(x, dim)
        return logits > 0 if self.kind == "multilabel" else self.classes[logits.argmax(axis=1)]

    def with_temperatures(self, temperatures: tuple[float, ...] | None) -> LinearHeads:
        """The same heads, whose logits are divided by these."""
        return replace(self, temperatures=temperatures)


def check_dims(dims: tuple[int, ...]) -> None:
    """Refuses what are no prefix lengths of heads.

    Raises:
        ValueError: If they are not positive or do not ascend.
    """
    if not dims or any(b <= a for a, b in zip((0, *dims), dims, strict=False)):
        raise ValueError(f"dims are {list(dims)}, expected positive lengths, ascending")


def prefix_of(x: ArrayLike, dim: int) -> NDArray[np.floating[Any]]:
    """The first `dim` columns of embeddings [N, D]: float64 as it is, all else as float32.

    Raises:
        ValueError: If they are not rows of numbers, or too short.
    """
    rows = np.asarray(x)
    if rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise ValueError(
            f"embeddings are {rows.dtype} of shape {list(rows.shape)}, expected numbers [N, D]"
        )
    if rows.shape[1] < dim:
        raise ValueError(
            f"embeddings have {rows.shape[1]} dimensions, expected {dim} at least: the head for "
            f"{dim} dimensions reads so many"
        )
    dtype = np.float64 if rows.dtype == np.float64 else np.float32
    return rows[:, :dim].astype(dtype, copy=False)


def inverse_lengths(rows: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """What brings each row [N, D] to unit length, [N]; 0 for rows of zeros."""
    with np.errstate(divide="ignore", over="ignore"):
        squares = np.einsum("nd,nd->n", rows, rows)
        if not np.isfinite(squares).all():  # float32 leaves its range at lengths of 1e19
            squares = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
        inverse: NDArray[np.floating[Any]] = np.where(squares > 0, 1 / np.sqrt(squares), 0)
    return inverse.astype(rows.dtype)


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Softmax of each row [N, C]."""
    with np.errstate(over="ignore"):  # scores too far apart for a float are infinitely so
        powers: NDArray[np.floating[Any]] = np.exp(logits - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def sigmoid(logits: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Sigmoid of each number, without overflow."""
    small = np.exp(-np.abs(logits))
    halves: NDArray[np.floating[Any]] = np.where(logits >= 0, 1, small) / (1 + small)
    return halves


def _fits(array: FloatArray, shape: tuple[int, ...], name: str) -> None:
    if array.dtype != np.float32 or array.shape != shape:
        raise ValueError(
            f"{name} are {array.dtype} of shape {list(array.shape)}, expected float32 {list(shape)}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} hold numbers that are not finite")
