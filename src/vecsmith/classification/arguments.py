"""Arguments of the adaptive classifier, checked before anything is fitted, saved or believed.

The one rule: what does not fit is refused by its name, whoever gave it: a caller or a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from numbers import Integral, Real
from typing import Any, Final

import numpy as np

from vecsmith._extras import require

_CHOICES: Final = {
    "heads": ("untied", "tied"),
    "rotation": ("learnt", "discriminant", "none"),
    "thresholds": ("paper", "accuracy_loss"),
}
_FLAGS: Final = ("surely", "refit", "calibrate")


def check_arguments(given: Mapping[str, Any]) -> None:
    """Refuses arguments that make no sense, whatever the rows are.

    Raises:
        ValueError: If one does not; says which.
    """
    for name, known in _CHOICES.items():
        if not isinstance(given[name], str) or given[name] not in known:
            raise ValueError(f"{name} is {given[name]!r:.60}, expected one of {list(known)}")
    for name in _FLAGS:
        if not isinstance(given[name], bool | np.bool_):
            raise ValueError(f"{name} is {given[name]!r:.60}, expected True or False")
    _number(given, "max_accuracy_loss", lambda loss: loss >= 0, "a share of rows, 0 or more")
    _number(given, "validation_fraction", lambda f: 0 < f < 1, "a number between 0 and 1")
    _number(given, "tol", lambda tol: tol > 0, "a positive number")
    if given["C"] is not None:
        _number(given, "C", lambda c: c > 0, "a positive number, or None to choose it")
    if given["max_dim"] is not None and not (is_whole(given["max_dim"]) and given["max_dim"] > 0):
        raise ValueError(
            f"max_dim is {given['max_dim']!r:.60}, expected a prefix length, or None for all"
        )
    if given["dims"] is not None:
        checked_dims(given["dims"], None)
    _check_class_weight(given["class_weight"])
    seed_of(given["random_state"], draw=False)


def checked_dims(dims: Sequence[int], width: int | None) -> tuple[int, ...]:
    """Prefix lengths, ascending.

    Args:
        dims: As they were given.
        width: Dimensions of the embeddings; None: not known.

    Raises:
        ValueError: If they are no different whole numbers from 1 to `width`.
    """
    if np.iterable(dims):
        given = list(dims)
        different = all(map(is_whole, given)) and len(set(given)) == len(given) > 0
        if different and min(given) >= 1 and (width is None or max(given) <= width):
            return tuple(sorted(int(dim) for dim in given))
        dims = given
    upto = "on" if width is None else f"to {width}, the dimensions of the embeddings"
    raise ValueError(f"dims are {dims!r:.200}, expected different prefix lengths from 1 {upto}")


def is_whole(number: Any) -> bool:
    """Whether it is a whole number, and not a truth value."""
    return isinstance(number, Integral) and not isinstance(number, bool)


def seed_of(random_state: Any, *, draw: bool = True) -> int:
    """The seed that scikit-learn's `random_state` stands for.

    Args:
        random_state: A whole number that is not negative, None or a RandomState.
        draw: Whether to draw one where it is no number; else it is 0.

    Raises:
        ValueError: If it is something else.
    """
    if is_whole(random_state) and random_state >= 0:
        return int(random_state)
    if random_state is None or isinstance(random_state, np.random.RandomState):
        utils = require("sklearn.utils", extra="eval", purpose="draw as scikit-learn does")
        return int(utils.check_random_state(random_state).randint(2**31 - 1)) if draw else 0
    raise ValueError(
        f"random_state is {random_state!r:.60}, expected a whole number that is not negative, a "
        "RandomState, or None"
    )


def _number(
    given: Mapping[str, Any], name: str, fits: Callable[[Any], bool], expected: str
) -> None:
    value = given[name]
    known = isinstance(value, Real) and not isinstance(value, bool)
    if not known or not _is_finite(value) or not fits(value):
        raise ValueError(f"{name} is {value!r:.60}, expected {expected}")


def _is_finite(number: Any) -> bool:
    try:
        return isfinite(number)
    except OverflowError:  # a whole number beyond all floats
        return False


def _check_class_weight(weights: Any) -> None:
    if weights is None or (isinstance(weights, str) and weights == "balanced"):
        return
    if not isinstance(weights, Mapping):
        raise ValueError(
            f'class_weight is {weights!r:.60}, expected "balanced" or a mapping from class to '
            "weight"
        )
    for label, weight in weights.items():
        _number({"weight": weight}, "weight", lambda w: w > 0, f"a positive one of class {label!r}")
