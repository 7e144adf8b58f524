"""Averages of tasks, and how sure a figure or an average is.

The one rule: an average is over sets, and within a set first over its languages, so that a set
of fifty languages weighs as much as a set of one.

Of everything there are two averages, as MTEB shows them: over sets (its "Mean (Task)") and over
families, each family's average counting once (its "Mean (TaskType)").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from vecsmith.results.records import Kind, TaskResult, View
from vecsmith.results.resampling import average_bootstrap, bootstrap, interval

if TYPE_CHECKING:
    from vecsmith.results.result import EvalResult

Role = Literal["task", "family", "group", "mean"]
SETS, FAMILIES = "sets", "families"
N_RESAMPLES = 1000

# Resampling is the dear part of every page, and many pages show the same task.
_bootstraps: WeakKeyDictionary[TaskResult, dict[View, NDArray[np.float64]]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Tasks that are averaged.

    Attributes:
        name: Of the task, the family or the named group; "sets" or "families" for a mean of all.
        role: Which of these it is.
        weights: Share of each task, by name; together 1.
        n_sets: How many sets the tasks are of.
    """

    name: str
    role: Role
    weights: Mapping[str, float]
    n_sets: int


def families_of(tasks: Iterable[TaskResult]) -> dict[Kind, list[TaskResult]]:
    """Tasks by kind, in the order in which kinds are always shown."""
    tasks = list(tasks)
    found: dict[Kind, list[TaskResult]] = {}
    for kind in get_args(Kind):
        of_kind = [task for task in tasks if task.kind == kind]
        if of_kind:
            found[kind] = of_kind
    return found


def task_alone(task: TaskResult) -> Selection:
    """One task as a selection."""
    return Selection(name=task.name, role="task", weights={task.name: 1.0}, n_sets=1)


def family_selections(tasks: Iterable[TaskResult]) -> list[Selection]:
    """The average of each family that `tasks` have."""
    return [_of_sets(kind, "family", members) for kind, members in families_of(tasks).items()]


def group_selections(
    tasks: Mapping[str, TaskResult], groups: Mapping[str, Sequence[str]]
) -> list[Selection]:
    """The average of each named group whose tasks are all there."""
    return [
        _of_sets(group, "group", [tasks[name] for name in dict.fromkeys(names)])
        for group, names in groups.items()
        if names and all(name in tasks for name in names)
    ]


def mean_selections(tasks: Iterable[TaskResult]) -> list[Selection]:
    """The mean over sets, and the mean over families."""
    tasks = list(tasks)
    if not tasks:
        return []
    families = family_selections(tasks)
    shares = {
        name: share / len(families) for family in families for name, share in family.weights.items()
    }
    over_sets = _of_sets(SETS, "mean", tasks)
    over_families = Selection(name=FAMILIES, role="mean", weights=shares, n_sets=over_sets.n_sets)
    return [over_sets, over_families]


def find_selection(result: EvalResult, name: str | None) -> Selection:
    """What `name` stands for: a mean of all, a family, a named group, or else a task.

    Raises:
        ValueError: If it is none of these.
    """
    averages = [
        *mean_selections(result.tasks.values()),
        *family_selections(result.tasks.values()),
        *group_selections(result.tasks, result.groups),
    ]
    if not averages:
        raise ValueError(f"{result.model} has no task, expected at least one to average")
    name = SETS if name is None else name
    for selection in averages:
        if selection.name == name:
            return selection
    if name in result.tasks:
        return task_alone(result.tasks[name])
    found = ", ".join(selection.name for selection in averages)
    raise ValueError(
        f"no average or task is called {name!r:.80}, expected one of {found}, or a task"
    )


def average(
    tasks: Mapping[str, TaskResult], selection: Selection, view: View | None = None
) -> float:
    """The average of a selection under `view`, each task's main one if None.

    Raises:
        ValueError: If a task was not scored under that view.
    """
    return sum(share * tasks[name].score(view) for name, share in selection.weights.items())


def bootstrapped(task: TaskResult, view: View | None = None) -> NDArray[np.float64]:
    """The main metric of `task` in resamples of its items, float64 [B].

    All views, and all models on the same task, meet the same resamples: differences and ratios
    of these values are paired.
    """
    task.scores_of(view)  # says which views there are
    if task not in _bootstraps:
        table = np.stack([scores.items for scores in task.scores.values()])
        values = bootstrap(table, task.gold, task.statistic, n_resamples=N_RESAMPLES)
        _bootstraps[task] = dict(zip(task.scores, values, strict=True))
    return _bootstraps[task][task.main_view if view is None else view]


def average_bootstrapped(
    tasks: Mapping[str, TaskResult],
    selection: Selection,
    view: View | None = None,
    *,
    over_sets: bool = False,
) -> NDArray[np.float64]:
    """The average of a selection in resamples of the items of its tasks, float64 [B].

    With `over_sets` the sets are drawn anew as well.
    """
    members = [tasks[name] for name in selection.weights]
    return average_bootstrap(
        [bootstrapped(task, view) for task in members],
        list(selection.weights.values()),
        [set_of(task) for task in members],
        over_tasks=over_sets,
    )


def interval_of(
    tasks: Mapping[str, TaskResult],
    selection: Selection,
    view: View | None = None,
    *,
    level: float = 0.95,
    over_sets: bool = False,
) -> tuple[float, float]:
    """Low and high end of the interval of a task's figure or of an average.

    Of one task on which every item is right, or every one wrong, resamples are all the same, which
    does not make the figure certain: there the interval is the exact one of Clopper and Pearson
    1934, "The use of confidence or fiducial limits illustrated in the case of the binomial".

    Args:
        tasks: Of the result, by name.
        selection: Which of them.
        view: Which view, each task's main one if None.
        level: How sure.
        over_sets: Whether the sets are drawn anew as well: how far the average may lie from that
            of other sets like these. Else only the items are: how far from more items of these.

    Raises:
        ValueError: If a task was not scored under that view, or the level is no share.
    """
    low, high = interval(average_bootstrapped(tasks, selection, view, over_sets=over_sets), level)
    if len(selection.weights) == 1 and low == high:
        task = tasks[next(iter(selection.weights))]
        return _interval_at_the_edge(task, view, level) or (low, high)
    return low, high


def _interval_at_the_edge(
    task: TaskResult, view: View | None, level: float
) -> tuple[float, float] | None:
    """The interval where all items are 1 or all are 0; None elsewhere.

    It holds for graded items too: the mean of what lies between 0 and 1 is at least the share of
    ones. What each text adds to v-measure does not lie between.
    """
    if task.statistic != "mean" or task.kind == "clustering":
        return None
    items = task.scores_of(view).items
    missed = 1 - float(((1 - level) / 2) ** (1 / len(items)))
    if (items == 1).all():
        return 1 - missed, 1.0
    if (items == 0).all():
        return 0.0, missed
    return None


def set_of(task: TaskResult) -> str:
    """What a task's languages are averaged within: its set, kinds kept apart."""
    return f"{task.kind} {task.set}"


def _of_sets(name: str, role: Role, tasks: Sequence[TaskResult]) -> Selection:
    n_languages: dict[str, int] = {}
    for task in tasks:
        n_languages[set_of(task)] = n_languages.get(set_of(task), 0) + 1
    n_sets = len(n_languages)
    weights = {task.name: 1 / (n_sets * n_languages[set_of(task)]) for task in tasks}
    return Selection(name=name, role=role, weights=weights, n_sets=n_sets)
