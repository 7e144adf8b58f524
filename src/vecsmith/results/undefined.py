"""Which figures are not defined, so that a 0.0 ± 0.0 is not read as a certain zero.

The one rule: what `vecsmith.results.statistics` sets to a number by convention is told in a note.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecsmith.results.records import TaskResult

if TYPE_CHECKING:
    from vecsmith.results.result import EvalResult

_CORRELATION = "are equal: the correlation is not defined and counts as 0"


def notes_of(result: EvalResult, name: str) -> tuple[str, ...]:
    """What a reader must know of a task: its own notes, then which figures are not defined."""
    task = result.tasks[name]
    return tuple(dict.fromkeys((*task.notes, *undefined_notes(result, name))))


def undefined_notes(result: EvalResult, name: str) -> Iterator[str]:
    """Why figures of a task, or of a baseline on it, say nothing; a sentence each."""
    task = result.tasks[name]
    if task.gold is None:
        return
    if task.statistic == "average_precision":
        yield from _one_class(task.gold)
    elif _is_constant(task.gold):
        yield f"all gold scores {_CORRELATION}"
    else:
        yield from _equal_similarities(task)
        for label, baseline in result.baselines.items():
            if name in baseline.tasks:
                yield from _equal_similarities(baseline.tasks[name], f" of {label}")


def _one_class(gold: NDArray[np.float64]) -> Iterator[str]:
    if not (gold > 0).any():
        yield "no pair is positive: average precision is not defined and counts as 0"
    elif (gold > 0).all():
        yield "every pair is positive: average precision is 1 for any model"


def _equal_similarities(task: TaskResult, whose: str = "") -> Iterator[str]:
    """The views under which the model says the same of every pair; all together where all do."""
    equal = [view for view, scores in task.scores.items() if _is_constant(scores.items)]
    if len(equal) == len(task.scores):
        yield f"all similarities{whose} {_CORRELATION}"
    else:
        for view in equal:
            yield f"all similarities{whose} under {view} {_CORRELATION}"


def _is_constant(values: NDArray[np.float64]) -> bool:
    return bool(values.min() == values.max())
