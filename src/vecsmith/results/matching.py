"""Which tasks of two results may be compared: the same texts, asked the same way.

The one rule: figures on other texts are never set against each other; what is left out is listed
with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vecsmith.results.records import TaskResult, View

if TYPE_CHECKING:
    from vecsmith.results.result import EvalResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """The tasks of results A and B, told apart.

    Attributes:
        common: Names of tasks that may be compared, in A's order.
        refused: Why a task that both have may not be, by name.
        only_a: Names of tasks that only A has.
        only_b: Names of tasks that only B has.
    """

    common: tuple[str, ...]
    refused: Mapping[str, str]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def match_tasks(
    a: EvalResult, b: EvalResult, view_a: View | None = None, view_b: View | None = None
) -> Matching:
    """Which tasks of `a` and `b` may be compared, under those views or each task's main one."""
    refused = {}
    for name in a.tasks:
        if name not in b.tasks:
            continue
        reason = (
            difference(a.tasks[name], b.tasks[name])
            or _lack(a, name, view_a)
            or _lack(b, name, view_b)
        )
        if reason is not None:
            refused[name] = reason
    return Matching(
        common=tuple(name for name in a.tasks if name in b.tasks and name not in refused),
        refused=refused,
        only_a=tuple(name for name in a.tasks if name not in b.tasks),
        only_b=tuple(name for name in b.tasks if name not in a.tasks),
    )


def comparable(matching: Matching, a: EvalResult, b: EvalResult) -> tuple[str, ...]:
    """Names of the tasks that may be compared.

    Raises:
        ValueError: If there are none.
    """
    if matching.common:
        return matching.common
    reasons = "; ".join(f"{name}: {why}" for name, why in list(matching.refused.items())[:3])
    raise ValueError(
        f"{a.model} and {b.model} have no task that can be compared, expected at least one "
        f"({reasons or 'no task of one is a task of the other'}); evaluate both on the same sets"
    )


def difference(a: TaskResult, b: TaskResult) -> str | None:
    """Why two tasks of one name are not the same task; None if they are."""
    for what in ("kind", "split", "metric", "statistic"):
        if getattr(a, what) != getattr(b, what):
            return f"{what} {getattr(a, what)} and {getattr(b, what)}"
    if a.data_hash != b.data_hash:
        return "other texts or answers: the data has changed between the two runs"
    if a.n_items != b.n_items:
        return f"{a.n_items} and {b.n_items} {a.unit}"
    if a.gold is not None and b.gold is not None and not np.array_equal(a.gold, b.gold):
        return "other gold scores"
    return None


def _lack(result: EvalResult, name: str, view: View | None) -> str | None:
    if view is None or view in result.tasks[name].scores:
        return None
    return f"{result.model} was not scored under {view}"
