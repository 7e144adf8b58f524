"""Heads fitted on embeddings that stay as they are: convex problems, solved with L-BFGS.

What is minimised over the weights W and biases b of a head, or of all tied ones, is

    strength * sum over prefixes m of c_m * sum over rows i of s_i * loss(W_m x_i[:m] + b; y_i)
        + |W|^2 / 2

(Kusupati et al. 2022, equation 1, with the weight decay of a logistic regression; biases are free).
For one prefix that is scikit-learn's LogisticRegression with C = strength. The one rule: value and
gradient are exact and in float64, taken block by block, so that memory grows with the embeddings
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith._extras import require
from vecsmith.classification.arguments import checked_dims
from vecsmith.classification.heads import HeadKind, LinearHeads, Scaling
from vecsmith.classification.objective import Objective, Targets
from vecsmith.classification.targets import checked_rows, make_targets

ClassWeight = Literal["balanced"] | Mapping[Any, float] | None
# Of a head's fit: what the largest entry of the mean loss's gradient may be; scikit-learn's default
_TOLERANCE = 1e-4
_MAX_ITERATIONS = 1000
# Parameters from which a second thread may gain: with 250 of them two threads took 50 times the
# processor time of one on a busy machine, with 5,000 twice
_WORTH_THREADS = 10_000


def fit_heads(
    x: ArrayLike,
    y: ArrayLike,
    *,
    dims: Sequence[int] | None = None,
    tied: bool = False,
    weights: Mapping[int, float] | None = None,
    strength: float = 1.0,
    class_weight: ClassWeight = None,
    sample_weight: ArrayLike | None = None,
    kind: HeadKind = "softmax",
    classes: Sequence[Any] | None = None,
    scaling: Scaling = "normalize",
    max_iter: int = _MAX_ITERATIONS,
    tol: float = _TOLERANCE,
) -> LinearHeads:
    """A linear classifier for each prefix length of embeddings.

    The problems are convex and begin at zero: there is no seed, and an untied head is the same
    whatever other prefixes are fitted with it.

    Args:
        x: Embeddings [N, D], float16, float32 or float64; may be memory-mapped.
        y: Labels [N]; for "multilabel" whether each row has each label, 0 or 1, [N, C].
        dims: Prefix lengths; None: D and its halves down to 8.
        tied: One matrix for all prefixes (MRL-E) instead of one each (MRL).
        weights: c_m, how much the loss of each prefix counts; None: 1 each. Untied, it changes
            nothing but how strongly that head's weights are held back.
        strength: How weakly large weights are held back, scikit-learn's C.
        class_weight: "balanced": each class counts as much as any other. A mapping from class to
            weight multiplies the loss of its rows (of its positive rows for "multilabel"); classes
            left out count 1.
        sample_weight: How much each row counts, [N].
        kind: "softmax": one class a row; "multilabel": each class is there or not.
        classes: Names of the columns of a "multilabel" y; None: 0, 1, and so on.
        scaling: "normalize": each prefix is brought to unit length first; "none": not.
        max_iter: Iterations of L-BFGS at most, for each separate problem.
        tol: It ends when no entry of the gradient of the mean loss is larger.

    Raises:
        ValueError: If shapes, labels, dims or weights do not fit, or a number is not finite.
        MissingExtraError: If scipy is not installed.

    Example:
        >>> import numpy as np
        >>> x = np.array([[1.0, 0.1], [0.9, -0.2], [-1.0, 0.3], [-0.8, 0.1]])
        >>> heads = fit_heads(x, ["yes", "yes", "no", "no"], dims=[1, 2])
        >>> heads.predict(np.array([[0.5, 0.5]]), dim=1).tolist()
        ['yes']
    """
    rows = checked_rows(x)
    width = rows.shape[1]
    lengths = halved_dims(width) if dims is None else checked_dims(dims, width)
    shares = _checked_weights(weights, lengths)
    _positive(strength, "strength")
    _positive(tol, "tol")
    if max_iter < 1:
        raise ValueError(f"max_iter is {max_iter}, expected at least 1")
    names, targets = make_targets(
        y, len(rows), kind=kind, classes=classes, class_weight=class_weight,
        sample_weight=sample_weight,
    )  # fmt: skip

    unfinished: list[int] = []
    solved: list[NDArray[np.float64]] = []
    for of in [lengths] if tied else [(dim,) for dim in lengths]:
        shares_of = {dim: strength * shares[dim] for dim in of}
        objective = Objective(rows, targets, shares_of, scaling=scaling)
        # Not from the shorter head, though that is nearer: where the rows are separable its slope
        # is below the tolerance already, and the new dimensions would stay unused
        start = np.zeros((targets.n_rows_of_weights, of[-1] + 1))
        parameters, converged = _minimized(objective, start, max_iter, tol)
        solved.append(parameters)
        unfinished += [] if converged else of
    return _heads_of(
        solved, targets, names, lengths, tied=tied, kind=kind, scaling=scaling,
        unfinished=tuple(unfinished),
    )  # fmt: skip


def halved_dims(dim: int, smallest: int = 8) -> tuple[int, ...]:
    """`dim` and its halves down to `smallest`, ascending: MRL's choice.

    Example:
        >>> halved_dims(96)
        (12, 24, 48, 96)
    """
    lengths = [dim]
    while lengths[-1] % 2 == 0 and lengths[-1] // 2 >= smallest:
        lengths.append(lengths[-1] // 2)
    return tuple(reversed(lengths))


def _minimized(
    objective: Objective, start: NDArray[np.float64], max_iter: int, tol: float
) -> tuple[NDArray[np.float64], bool]:
    """Parameters [rows of weights, D + 1], the last column the biases; whether it converged."""
    optimize = require("scipy.optimize", extra="eval", purpose="fit heads")
    pools = require("threadpoolctl", extra="eval", purpose="fit heads")
    # as scikit-learn: a fit ends by its gradient; ftol only where rounding ends all progress
    options = {"maxiter": max_iter, "gtol": tol, "ftol": 64 * np.finfo(float).eps, "maxls": 50,
               "maxfun": 50 * max_iter}  # fmt: skip
    with pools.threadpool_limits(1 if start.size < _WORTH_THREADS else None, "blas"):
        found = optimize.minimize(
            lambda flat: objective(flat.reshape(start.shape)),
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            options=options,
        )
    parameters: NDArray[np.float64] = found.x.reshape(start.shape)
    return parameters, found.nit < max_iter


def _heads_of(
    solved: Sequence[NDArray[np.float64]],
    targets: Targets,
    names: NDArray[Any],
    dims: tuple[int, ...],
    *,
    tied: bool,
    kind: HeadKind,
    scaling: Scaling,
    unfinished: tuple[int, ...],
) -> LinearHeads:
    # two classes are fitted as one sigmoid, as scikit-learn does; halves of either sign give the
    # softmax of both the same probabilities
    full = [np.concatenate([-p / 2, p / 2]) if targets.is_binary else p for p in solved]
    return LinearHeads(
        dims=dims,
        tied=tied,
        weights=np.concatenate([p[:, :-1] for p in full], axis=1).astype(np.float32),
        biases=np.stack([p[:, -1] for p in full]).astype(np.float32),
        classes=names,
        kind=kind,
        scaling=scaling,
        unfinished=unfinished,
    )


def _checked_weights(
    weights: Mapping[int, float] | None, dims: tuple[int, ...]
) -> Mapping[int, float]:
    if weights is None:
        return dict.fromkeys(dims, 1.0)
    if set(weights) != set(dims):
        raise ValueError(f"weights are for dims {sorted(weights)}, expected {list(dims)}")
    for dim, weight in weights.items():
        _positive(weight, f"weight of {dim} dimensions")
    return weights


def _positive(number: float, name: str) -> None:
    if not 0 < number < float("inf"):
        raise ValueError(f"{name} is {number}, expected a positive number")
