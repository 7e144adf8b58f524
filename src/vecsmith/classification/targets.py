"""Labels and weights as the fit takes them.

The one rule: what does not fit is refused with its place, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.classification.heads import HeadKind
from vecsmith.classification.objective import Floats, Targets

_BLOCK = 65536


def checked_rows(x: ArrayLike) -> NDArray[Any]:
    """Embeddings [N, D] that are finite numbers, as they are.

    Raises:
        ValueError: If they are not.
    """
    rows = np.asarray(x)
    if rows.ndim != 2 or rows.dtype.kind not in "fiu" or not rows.size:
        raise ValueError(
            f"embeddings are {rows.dtype} of shape {list(rows.shape)}, expected numbers [N, D] "
            "with N and D at least 1"
        )
    check_finite(rows, "the embeddings")
    return rows


def check_finite(rows: NDArray[Any], name: str) -> None:
    """Refuses numbers [N, D] of which one is none, and says where the first is.

    Raises:
        ValueError: If a row holds NaN or infinity.
    """
    for start in range(0, len(rows), _BLOCK):
        broken = ~np.isfinite(rows[start : start + _BLOCK]).all(axis=1)
        if broken.any():
            place = start + int(np.argmax(broken))
            found = "NaN" if np.isnan(rows[place]).any() else "infinity"
            raise ValueError(
                f"row {place} of {name} is not finite, it holds {found}, expected finite "
                "numbers: encode its text again, or leave it out"
            )


def make_targets(
    y: ArrayLike,
    n_rows: int,
    *,
    kind: HeadKind,
    classes: Sequence[Any] | None,
    class_weight: Any,
    sample_weight: ArrayLike | None,
) -> tuple[NDArray[Any], Targets]:
    """Names of the classes [C], and what each of N rows should be classified as.

    Raises:
        ValueError: If labels or weights do not fit.
    """
    labels = np.asarray(y)
    if len(labels) != n_rows if labels.ndim else True:
        raise ValueError(f"labels have shape {list(labels.shape)}, expected one for each of "
                         f"{n_rows} embeddings")  # fmt: skip
    weights = row_weights(sample_weight, n_rows)
    if kind == "multilabel":
        return _multilabel(labels, weights, classes, class_weight)
    if kind != "softmax":
        raise ValueError(f'kind is {kind!r}, expected "softmax" or "multilabel"')
    if classes is not None:
        raise ValueError('classes are given, expected them with kind="multilabel" alone: else they '
                         "are what the labels are")  # fmt: skip
    return _single_label(labels, weights, class_weight)


def _single_label(
    labels: NDArray[Any], weights: Floats, class_weight: Any
) -> tuple[NDArray[Any], Targets]:
    if labels.ndim != 1 or labels.dtype.kind not in "biuUSO":
        raise ValueError(
            f"labels are {labels.dtype} of shape {list(labels.shape)}, expected text, whole "
            'numbers or booleans [N]; for several labels a row, kind="multilabel"'
        )
    try:
        names, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in labels})
        raise ValueError(f"labels are of types {kinds}, expected one type that sorts") from error
    counts = np.bincount(codes, weights=weights, minlength=len(names))
    balanced = counts.sum() / (len(names) * np.where(counts > 0, counts, np.inf))
    of_classes = _class_weights(class_weight, names, balanced)
    is_binary = len(names) == 2
    return names, Targets(
        codes=None if is_binary else codes,
        present=codes[:, None].astype(np.uint8) if is_binary else None,
        n_classes=len(names),
        row_weights=weights * of_classes[codes],
        positive_weights=np.ones(1),
        negative_weights=np.ones(1),
        is_binary=is_binary,
    )


def _multilabel(
    labels: NDArray[Any], weights: Floats, classes: Sequence[Any] | None, class_weight: Any
) -> tuple[NDArray[Any], Targets]:
    if labels.ndim != 2 or labels.dtype.kind not in "biuf" or not labels.shape[1]:
        raise ValueError(
            f"labels are {labels.dtype} of shape {list(labels.shape)}, expected 0 or 1 for each "
            'row and label, [N, C], with kind="multilabel"'
        )
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError('labels hold numbers other than 0 and 1, expected these with '
                         'kind="multilabel"')  # fmt: skip
    n_classes = labels.shape[1]
    names = np.arange(n_classes) if classes is None else np.asarray(classes)
    if names.shape != (n_classes,) or len(np.unique(names)) != n_classes:
        raise ValueError(f"{len(names)} classes are named, expected {n_classes} different ones, "
                         "one for each column of the labels")  # fmt: skip
    present = labels.astype(np.uint8)
    positive, negative = np.ones(n_classes), np.ones(n_classes)
    if isinstance(class_weight, str):
        there = weights @ present
        absent = weights.sum() - there
        _class_weights(class_weight, names, np.ones(n_classes))
        # a label that all rows have, or none, is told by its bias, whatever it weighs
        positive = weights.sum() / (2 * np.where(there > 0, there, 1))
        negative = weights.sum() / (2 * np.where(absent > 0, absent, 1))
    elif class_weight is not None:
        positive = _class_weights(class_weight, names, positive)
    return names, Targets(
        codes=None,
        present=present,
        n_classes=n_classes,
        row_weights=weights,
        positive_weights=positive,
        negative_weights=negative,
        is_binary=False,
    )


def row_weights(sample_weight: ArrayLike | None, n_rows: int) -> Floats:
    """How much each row counts, [N]; one number stands for all.

    Raises:
        ValueError: If they are not numbers of N rows, or none counts.
    """
    if sample_weight is None:
        return np.ones(n_rows)
    weights = np.asarray(sample_weight, np.float64)
    if weights.ndim == 0:
        weights = np.full(n_rows, float(weights))
    if weights.shape != (n_rows,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            f"sample_weight has shape {list(weights.shape)}, expected a number that is not "
            f"negative for each of {n_rows} rows"
        )
    if not 0 < weights.sum() < np.inf:
        raise ValueError(
            f"sample_weight sums to {weights.sum():g}, being zero for all rows or too large, "
            "expected one that counts at least"
        )
    return weights


def _class_weights(class_weight: Any, names: NDArray[Any], balanced: Floats) -> Floats:
    """The weight of each class [C]."""
    if class_weight is None:
        return np.ones(len(names))
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f'class_weight is {class_weight!r}, expected "balanced" or a mapping')
        return balanced
    if not isinstance(class_weight, Mapping):
        raise ValueError(f'class_weight is {class_weight!r}, expected "balanced" or a mapping')
    known = names.tolist()
    unknown = [name for name in class_weight if name not in known]
    if unknown:
        raise ValueError(f"class_weight names {unknown[:5]}, expected classes of the labels")
    weights = np.array([class_weight.get(name, 1.0) for name in known], np.float64)
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"class_weight holds {weights.tolist()}, expected positive numbers")
    return weights
