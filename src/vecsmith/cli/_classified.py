"""How good a classifier is on labelled texts, and what stopping early cost and saved."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.classification.cascade import HeadOutcomes
from vecsmith.classification.paired import paired_loss, share_interval
from vecsmith.cli._classifying import FittedModel, encode_file
from vecsmith.cli._labelled import LabelledFile, label_array
from vecsmith.evaluation.metrics import binary_f1, macro_f1


def score(fitted: FittedModel, file: LabelledFile, *, quiet: bool) -> dict[str, Any]:
    """Figures of a classifier on the rows of a file, as JSON.

    Raises:
        ValueError: If there are no rows, or rows have lists of labels where the classifier
            gives one, or the other way round.
    """
    cascaded = fitted.saved.cascaded
    vectors, labels = encode_file(fitted.encoder, cascaded.n_features, file, quiet=quiet)
    if not labels:
        only = f" whose split is {file.split!r}" if file.split else ""
        raise ValueError(f"{file.name} has no rows{only}, expected some to score on")
    targets, unknown = _targets(fitted, labels)
    outcomes = cascaded.outcomes(vectors, targets, np.ones(len(labels)))
    # a row with a label that was never learnt is answered wrongly, also where all that is known
    # of it is predicted
    outcomes.correct[:, unknown] = 0
    return {
        "rows": len(labels),
        "unknown_labels": int(unknown.sum()),
        **_figures(fitted, outcomes),
    } | {"macro_f1": _macro_f1(fitted, vectors, targets)}


def _figures(fitted: FittedModel, outcomes: HeadOutcomes) -> dict[str, Any]:
    cascade, max_dim = fitted.saved.cascaded.cascade, fitted.max_dim
    places = cascade.stops(outcomes.confidences, max_dim=max_dim)
    right = outcomes.correct[places, np.arange(len(places))]
    asked = cascade.asked(max_dim)
    loss = paired_loss(outcomes.correct[asked[-1]], right)
    low, high = share_interval(float(right.sum()), len(right))
    figures = cascade.figures(outcomes, max_dim=max_dim)
    return {
        "accuracy": {"value": figures.accuracy, "low": low, "high": high},
        "dims_used": {"last": figures.mean_dims, "all_asked": figures.mean_total_dims},
        "loss": {"value": loss.value, "low": loss.low, "high": loss.high},
        "heads": [
            {
                "dim": dim,
                "asked": m in asked,
                "accuracy": float(outcomes.correct[m].mean()),
                "decided": float((places == m).mean()),
            }
            for m, dim in enumerate(cascade.dims)
        ],
    }


def _macro_f1(fitted: FittedModel, vectors: NDArray[Any], targets: NDArray[Any]) -> float:
    """Mean over labels of F1."""
    cascaded = fitted.saved.cascaded
    decisions = cascaded.decide(vectors, max_dim=fitted.max_dim)
    if fitted.labels is None:
        return macro_f1(decisions.probabilities.argmax(axis=1), targets)
    predicted = cascaded.labels_of(decisions.probabilities)
    return float(
        np.mean([binary_f1(predicted[:, c], targets[:, c]) for c in range(targets.shape[1])])
    )


def _targets(fitted: FittedModel, labels: list[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Places of classes [N] (-1 for one never learnt) or 0 and 1 [N, C]; which rows have others."""
    several = fitted.labels is not None
    if several != isinstance(labels[0], list):
        found, expected = (
            ("one label", "lists of labels") if several else ("a list of labels", "one label")
        )
        raise ValueError(f"the first row has {found}, expected {expected} as the classifier learnt")
    if fitted.labels is not None:
        known = set(fitted.labels)
        present, _ = label_array(labels, known=fitted.labels)
        return present, np.array([not known.issuperset(row) for row in labels])
    place = {label: i for i, label in enumerate(fitted.classes)}
    targets = np.array([place.get(label, -1) for label in labels])
    return targets, targets < 0
