"""Classification as a probe: a logistic regression on the vectors, as MTEB has it.

Source: Muennighoff et al. 2023, arXiv 2210.07316, section 3.3 (several draws of training texts, a
logistic regression on each). The one rule: what is drawn depends on the labels and the seed alone,
so every model sees the same texts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith.evaluation.metrics import macro_f1
from vecsmith.evaluation.tasks.drawing import codes_of, stratified_draw

N_DRAWS = 5
MAX_TRAIN = 2000
# scikit-learn's default of 100 stops short on unscaled features; what it costs is small
_MAX_ITERATIONS = 1000
# With C = 1, scikit-learn's default, 77 classes of 2,000 unit vectors lose 6 points of 83 on dev
_STRENGTHS = (1.0, 10.0, 100.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProbeScores:
    """What the classifiers of all draws predicted.

    Attributes:
        correct: Share of the draws that labelled each test text rightly, float64 [N].
        accuracies: Accuracy of each draw.
        macro_f1s: Mean over labels of F1, of each draw.
        strength: C of the classifiers: how weakly large weights are held back.
        n_unfinished: Draws whose fit had not converged.
    """

    correct: NDArray[np.float64]
    accuracies: tuple[float, ...]
    macro_f1s: tuple[float, ...]
    strength: float
    n_unfinished: int


def draw_training(
    labels: Sequence[str], *, n_draws: int = N_DRAWS, max_train: int = MAX_TRAIN
) -> list[NDArray[np.int64]]:
    """Places of the training texts of each draw, ascending.

    A draw is stratified: each label has its share of `max_train`, and at least one text. Where
    there are no more texts than that, there is one draw, of all. The draws are the seeds: draw i
    is that of seed i.
    """
    codes = codes_of(labels)
    if len(codes) <= max_train:
        return [np.arange(len(codes))]
    return [stratified_draw(codes, max_train, seed, at_least=1) for seed in range(n_draws)]


def probe(
    train: Any,
    train_labels: Sequence[str],
    test: Any,
    test_labels: Sequence[str],
    draws: Sequence[NDArray[np.int64]],
) -> ProbeScores:
    """Fits a logistic regression on each draw of `train` and scores it on `test`.

    scikit-learn's (L2, lbfgs, all classes in one softmax), 1,000 iterations, on features scaled
    by one number so that the training texts have a mean square length of 1: how long a model's
    vectors are says nothing of it. The strength C is the best of 1, 10 and 100 on a quarter of the
    first draw, fitted on the rest of it; the weaker of equals is not taken.

    Args:
        train: Features, array or scipy sparse matrix [T, D].
        train_labels: T labels.
        test: Features [N, D].
        test_labels: N labels.
        draws: Rows of `train` of each draw.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    # as numbers: in an array of text the longest label would set the room for all
    codes = codes_of([*train_labels, *test_labels])
    labels, gold = codes[: len(train_labels)], codes[len(train_labels) :]
    scale = _scale(train)
    strength = _choose_strength(train, labels, draws[0], scale)
    correct = np.zeros(len(gold))
    accuracies, macro_f1s, n_unfinished = [], [], 0
    for rows in draws:
        predicted, converged = _predict(train[rows] * scale, labels[rows], test * scale, strength)
        hits = predicted == gold
        correct += hits
        accuracies.append(float(hits.mean()) if len(hits) else 0.0)
        macro_f1s.append(macro_f1(predicted, gold))
        n_unfinished += not converged
    return ProbeScores(
        correct=correct / len(draws),
        accuracies=tuple(accuracies),
        macro_f1s=tuple(macro_f1s),
        strength=strength,
        n_unfinished=n_unfinished,
    )


def _scale(train: Any) -> np.float32:
    """What brings rows, dense or sparse, to a mean square length of 1; 1 where all are zero."""
    squares = train.multiply(train).sum() if hasattr(train, "multiply") else np.vdot(train, train)
    return np.float32((train.shape[0] / squares) ** 0.5 if squares > 0 else 1.0)


def _choose_strength(
    train: Any, labels: NDArray[np.int64], rows: NDArray[np.int64], scale: np.float32
) -> float:
    """The best C on a quarter of `rows`, of each label its share."""
    held = stratified_draw(labels[rows], len(rows) // 4)
    inside = np.isin(np.arange(len(rows)), held)
    fitted, other = rows[~inside], rows[inside]
    if not len(other) or len(np.unique(labels[fitted])) == 1:
        return _STRENGTHS[0]
    hits = [
        (_predict(train[fitted] * scale, labels[fitted], train[other] * scale, c)[0]
         == labels[other]).sum()
        for c in _STRENGTHS
    ]  # fmt: skip
    return _STRENGTHS[int(np.argmax(hits))]


def _predict(
    train: Any, labels: NDArray[np.int64], test: Any, strength: float
) -> tuple[NDArray[np.int64], bool]:
    """Predicted labels of `test`, and whether the fit converged."""
    if len(np.unique(labels)) == 1:
        return np.full(test.shape[0], labels[0]), True
    linear = require("sklearn.linear_model", extra="eval", purpose="fit classifiers")
    exceptions = require("sklearn.exceptions", extra="eval", purpose="fit classifiers")
    pools = require("threadpoolctl", extra="eval", purpose="fit classifiers")
    classifier = linear.LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS)
    # The products are small: waiting for a second thread costs more than it saves, and twenty
    # times as much on a busy machine
    with pools.threadpool_limits(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", exceptions.ConvergenceWarning)
        classifier.fit(train, labels)
    converged = not any(issubclass(w.category, exceptions.ConvergenceWarning) for w in caught)
    predicted: NDArray[np.int64] = classifier.predict(test)
    return predicted, converged
