"""Probabilities that mean what they say: temperatures, and how far off they are.

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. The one rule: what is
learnt here is learnt from rows that the heads were not fitted on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith._extras import require
from vecsmith.classification.heads import LinearHeads, sigmoid, softmax
from vecsmith.classification.targets import row_weights

Floats = NDArray[np.float64]

# Where all rows are right, the likelihood grows with ever colder temperatures: they end here
_COLDEST, _HOTTEST = 0.01, 100.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reliability:
    """Confidence beside accuracy, in bins of equal width.

    Attributes:
        edges: Of the bins, [B + 1]; a bin holds its upper edge, as in the paper.
        counts: Predictions in each bin, [B].
        confidences: Their mean confidence, nan where there are none, [B].
        accuracies: The share of them that is right, nan where there are none, [B].
    """

    edges: Floats
    counts: NDArray[np.int64]
    confidences: Floats
    accuracies: Floats

    @property
    def error(self) -> float:
        """The expected calibration error: mean distance of the two, over predictions."""
        filled = self.counts > 0
        distances = np.abs(self.accuracies[filled] - self.confidences[filled])
        return float(distances @ self.counts[filled] / self.counts.sum())


def calibrate(
    heads: LinearHeads, x: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> LinearHeads:
    """The heads with the temperature of each that makes labels of held-out rows likeliest.

    One number a head (Guo et al. 2017, section 4.2): no prediction changes, only how sure it is.
    The log-likelihood is concave in 1 / T, so its maximum is where its slope is 0. Temperatures
    stay between 0.01 and 100: where all rows are classified rightly, colder is ever likelier.

    Args:
        heads: Fitted on other rows.
        x: Embeddings [N, D].
        y: Labels [N]; for "multilabel" 0 or 1, [N, C].
        sample_weight: How much each row counts, [N].

    Raises:
        ValueError: If a label is not one of the heads' classes, or shapes do not fit.
        MissingExtraError: If scipy is not installed.
    """
    rows = np.asarray(x)
    targets = targets_of(heads, y, len(rows))
    weights = row_weights(sample_weight, len(rows))
    return heads.with_temperatures(
        tuple(
            _temperature(heads.logits(rows, dim).astype(np.float64), targets, weights, heads)
            for dim in heads.dims
        )
    )


def reliability(confidences: ArrayLike, correct: ArrayLike, *, n_bins: int = 15) -> Reliability:
    """How often predictions of each confidence are right.

    Args:
        confidences: Probability of what was predicted, [N].
        correct: Whether it was right, [N].
        n_bins: Bins of equal width from 0 to 1.

    Raises:
        ValueError: If there are none, or a confidence is not between 0 and 1.
    """
    sure = np.asarray(confidences, np.float64).ravel()
    right = np.asarray(correct, np.float64).ravel()
    if not len(sure) or sure.shape != right.shape or not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError(
            f"{len(sure)} confidences and {len(right)} outcomes, expected as many of both, at "
            "least one, and confidences from 0 to 1"
        )
    if n_bins < 1:
        raise ValueError(f"n_bins is {n_bins}, expected at least 1")
    edges = np.linspace(0, 1, n_bins + 1)
    bins = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, n_bins - 1)
    counts = np.bincount(bins, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            edges=edges,
            counts=counts,
            confidences=np.bincount(bins, weights=sure, minlength=n_bins) / counts,
            accuracies=np.bincount(bins, weights=right, minlength=n_bins) / counts,
        )


def calibration_error(
    heads: LinearHeads, x: ArrayLike, y: ArrayLike, dim: int, *, n_bins: int = 15
) -> float:
    """The expected calibration error of one head (Guo et al. 2017, equation 3), from 0 to 1.

    Of the likeliest class of each row; for "multilabel" of each row and label, yes or no.

    Args:
        heads: Whose probabilities are judged.
        x: Embeddings [N, D].
        y: Labels, as for `calibrate`.
        dim: Which head.
        n_bins: Bins of equal width.

    Raises:
        ValueError: As for `calibrate`.
    """
    probabilities = heads.probabilities(x, dim)
    targets = targets_of(heads, y, len(probabilities))
    if heads.kind == "multilabel":
        there = probabilities > 0.5
        sure = np.where(there, probabilities, 1 - probabilities)
        return reliability(sure, there == targets, n_bins=n_bins).error
    best = probabilities.argmax(axis=1)
    return reliability(
        np.minimum(probabilities.max(axis=1), 1), best == targets, n_bins=n_bins
    ).error


def targets_of(heads: LinearHeads, y: ArrayLike, n_rows: int) -> NDArray[Any]:
    """Place of each row's label among the classes, [N]; for "multilabel" bool [N, C].

    Raises:
        ValueError: If a label is not one of them, or shapes do not fit.
    """
    labels = np.asarray(y)
    if heads.kind == "multilabel":
        shape = (n_rows, len(heads.classes))
        if labels.shape != shape or not ((labels == 0) | (labels == 1)).all():
            raise ValueError(
                f"labels have shape {list(labels.shape)}, expected 0 or 1, {list(shape)}"
            )
        return labels.astype(bool)
    if labels.shape != (n_rows,):
        raise ValueError(f"labels have shape {list(labels.shape)}, expected [{n_rows}]")
    order = np.argsort(heads.classes, kind="stable")
    known = heads.classes[order]
    try:
        places = np.minimum(np.searchsorted(known, labels), len(known) - 1)
        strange = known[places] != labels
    except TypeError as error:
        raise ValueError(f"labels are {labels.dtype}, expected {known.dtype}") from error
    if strange.any():
        row = int(np.argmax(strange))
        raise ValueError(
            f"label {labels[row : row + 1].tolist()[0]!r} of row {row} is not one of the "
            f"{len(known)} classes of the heads"
        )
    return order[places]


def _temperature(
    logits: Floats, targets: NDArray[Any], weights: Floats, heads: LinearHeads
) -> float:
    slope = _slope_of(logits, targets, weights, heads)
    coldest, hottest = 1 / _COLDEST, 1 / _HOTTEST
    if slope(coldest) <= 0:
        return _COLDEST
    if slope(hottest) >= 0:
        return _HOTTEST
    optimize = require("scipy.optimize", extra="eval", purpose="calibrate heads")
    # over the logarithm: temperatures are told apart by their ratio
    found = optimize.brentq(lambda u: slope(float(np.exp(u))), np.log(hottest), np.log(coldest))
    return float(np.exp(-found))


def _slope_of(
    logits: Floats, targets: NDArray[Any], weights: Floats, heads: LinearHeads
) -> Callable[[float], float]:
    """Derivative of the negative log-likelihood with respect to 1 / T, which grows with it."""
    if heads.kind == "multilabel":
        return lambda sharpness: float(
            weights @ ((sigmoid(logits * sharpness) - targets) * logits).sum(axis=1)
        )
    of_label = logits[np.arange(len(logits)), targets]
    return lambda sharpness: float(
        weights @ ((softmax(logits * sharpness) * logits).sum(axis=1) - of_label)
    )
