"""Retention: how much of a baseline's score a model keeps.

The one rule: a ratio to nothing is not shown. Where the baseline's score is not clearly above
zero there is no ratio, and the record says so.

The level of chance is not taken off: a coin keeps half of a perfect teacher's accuracy on a task
of two classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vecsmith.results.averages import (
    FAMILIES,
    SETS,
    Role,
    Selection,
    average,
    average_bootstrapped,
    family_selections,
    group_selections,
    mean_selections,
    set_of,
    task_alone,
)
from vecsmith.results.matching import comparable, match_tasks
from vecsmith.results.records import View
from vecsmith.results.resampling import average_bootstrap, interval

if TYPE_CHECKING:
    from vecsmith.results.result import EvalResult

GROUPS = "groups"
# Below five points of a hundred (assumed) a baseline has nothing to keep: random vectors reach two
# in retrieval, and a static model would "keep" two thousand percent of them.
SMALLEST_BASELINE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A model's score as a share of the baseline's.

    Attributes:
        name: Of the task, family or named group; "sets", "families" or "groups" for a mean of
            their ratios.
        role: Which of these it is.
        value: Score / the baseline's score; None where that says nothing.
        low: Lower end of its interval, from resamples that both meet; None where there is none.
        high: Upper end.
        n_tasks: How many tasks it is over.
        note: Why there is no ratio, or what it leaves out; "" mostly.
    """

    name: str
    role: Role
    value: float | None
    low: float | None = None
    high: float | None = None
    n_tasks: int = 1
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What a model keeps of a baseline.

    A family's or group's ratio is that of the two averages; a mean is that of the ratios.

    Attributes:
        model: Name of the model.
        baseline: Name of the baseline.
        view: The model's view; None for its main one.
        level: Of the intervals.
        tasks: Ratio of each task that both have.
        families: Ratio of each family.
        groups: Ratio of each complete named group.
        means: Mean of the ratios of all sets ("sets"), of the families ("families"), and of the
            named groups ("groups") where there are any.
        left_out: Why a task is not compared, by name.
    """

    model: str
    baseline: str
    view: View | None
    level: float
    tasks: tuple[Ratio, ...]
    families: tuple[Ratio, ...]
    groups: tuple[Ratio, ...]
    means: tuple[Ratio, ...]
    left_out: Mapping[str, str]

    @property
    def mean(self) -> Ratio:
        """The one figure to quote: mean over the named groups, over the families without them."""
        return self.means[-1]

    def of(self, name: str) -> Ratio:
        """The ratio of a mean, family, named group or task.

        Raises:
            ValueError: If there is none of that name.
        """
        for ratio in (*self.means, *self.families, *self.groups, *self.tasks):
            if ratio.name == name:
                return ratio
        raise ValueError(f"no ratio is called {name!r:.80}, found {_names(self)}")


def retention_of(
    result: EvalResult, baseline: EvalResult, view: View | None = None, *, level: float = 0.95
) -> Retention:
    """What `result` keeps of `baseline`, whose main view counts.

    Raises:
        ValueError: If they have no task in common that was scored under the view.
    """
    matching = match_tasks(result, baseline, view)
    pairs = _Pairs(result, baseline, comparable(matching, result, baseline), view, level)
    tasks = tuple(pairs.ratio(task_alone(result.tasks[name])) for name in matching.common)
    families = tuple(map(pairs.ratio, family_selections(pairs.tasks.values())))
    groups = tuple(map(pairs.ratio, group_selections(pairs.tasks, result.groups)))
    whole = [group.name for group in group_selections(result.tasks, result.groups)]
    lacking = [name for name in whole if name not in {group.name for group in groups}]
    return Retention(
        model=result.model,
        baseline=baseline.model,
        view=view,
        level=level,
        tasks=tasks,
        families=families,
        groups=groups,
        means=pairs.means(tasks, families, groups, lacking),
        left_out={**matching.refused, **dict.fromkeys(matching.only_a, "not scored")},
    )


class _Pairs:
    """Two results on the tasks that they share."""

    def __init__(
        self,
        result: EvalResult,
        baseline: EvalResult,
        names: Sequence[str],
        view: View | None,
        level: float,
    ) -> None:
        self.tasks = {name: result.tasks[name] for name in names}
        self._baselines = {name: baseline.tasks[name] for name in names}
        self._view = view
        self._level = level
        self._ratios: dict[tuple[Role, str], NDArray[np.float64]] = {}  # in resamples

    def ratio(self, selection: Selection) -> Ratio:
        """The ratio of the two averages of a selection."""
        score = average(self.tasks, selection, self._view)
        whole = average(self._baselines, selection)
        wholes = average_bootstrapped(self._baselines, selection)
        n_tasks = len(selection.weights)
        if whole < SMALLEST_BASELINE or interval(wholes, self._level)[0] <= 0:
            note = f"no ratio: the baseline's {100 * whole:.1f} is not clearly above zero"
            return Ratio(
                name=selection.name, role=selection.role, value=None, n_tasks=n_tasks, note=note
            )
        # the few resamples beyond the interval's end may still be at zero
        wholes = np.maximum(wholes, SMALLEST_BASELINE / 10)
        ratios = average_bootstrapped(self.tasks, selection, self._view) / wholes
        self._ratios[selection.role, selection.name] = ratios
        low, high = interval(ratios, self._level)
        return Ratio(
            name=selection.name,
            role=selection.role,
            value=score / whole,
            low=low,
            high=high,
            n_tasks=n_tasks,
        )

    def means(
        self,
        tasks: Sequence[Ratio],
        families: Sequence[Ratio],
        groups: Sequence[Ratio],
        lacking: Sequence[str],
    ) -> tuple[Ratio, ...]:
        """The means of ratios: over sets, families and, where there are any, named groups.

        Args:
            tasks: Ratio of each.
            families: Ratio of each.
            groups: Ratio of each.
            lacking: Named groups that only the model has whole.
        """
        shares = mean_selections(self.tasks.values())[0].weights
        of_tasks = [
            _Member(ratio, shares[ratio.name], set_of(self.tasks[ratio.name])) for ratio in tasks
        ]
        means = [self._mean(SETS, of_tasks), self._mean(FAMILIES, _alike(families))]
        if groups:
            means.append(self._mean(GROUPS, _alike(groups), lacking))
        return tuple(means)

    def _mean(self, name: str, members: Sequence[_Member], lacking: Sequence[str] = ()) -> Ratio:
        there = [member for member in members if member.ratio.value is not None]
        if not there:
            note = "no member has a ratio"
            return Ratio(name=name, role="mean", value=None, n_tasks=0, note=note)
        absent = [member.ratio.name for member in members if member.ratio.value is None]
        note = f"without {', '.join([*absent, *lacking])}: no ratio" if absent or lacking else ""
        weights = [member.weight for member in there]
        kept = [member.ratio.value or 0.0 for member in there]
        values = average_bootstrap(
            [self._ratios[member.ratio.role, member.ratio.name] for member in there],
            weights,
            [member.set for member in there],
        )
        low, high = interval(values, self._level)
        return Ratio(
            name=name,
            role="mean",
            value=float(np.average(kept, weights=weights)),
            low=low,
            high=high,
            n_tasks=sum(member.ratio.n_tasks for member in there),
            note=note,
        )


class _Member(NamedTuple):
    """A ratio in a mean: what it weighs, and what its resamples are drawn with."""

    ratio: Ratio
    weight: float
    set: str


def _alike(ratios: Sequence[Ratio]) -> list[_Member]:
    return [_Member(ratio, 1.0, ratio.name) for ratio in ratios]


def _names(retention: Retention) -> str:
    averages = (*retention.means, *retention.families, *retention.groups)
    return ", ".join(ratio.name for ratio in averages) + " and the tasks"
