"""Two results on the same tasks: which is better, by how much, and how sure that is.

The one rule: no winner inside the noise. A verdict needs a paired test on the same items that
stays below 5 % after Holm's correction, and an interval of the difference that leaves out zero.

Tests are corrected among the tasks, among the families and named groups, and among the two means:
each of these is a question of its own.

Clustering alone is given no verdict: k-means from other starts changes v-measure by more than other
texts do, and a test over texts does not see that (in simulation it rejected 20 % of equal models at
the 5 % level). In averages with other kinds it is tested with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith.results.averages import (
    Role,
    Selection,
    average,
    bootstrapped,
    family_selections,
    group_selections,
    interval_of,
    mean_selections,
    set_of,
    task_alone,
)
from vecsmith.results.comparison_text import render_comparison
from vecsmith.results.matching import comparable, match_tasks
from vecsmith.results.records import Kind, SpeedResult, TaskResult, View
from vecsmith.results.resampling import (
    PairedTest,
    average_bootstrap,
    holm,
    interval,
    p_value,
    permuted_differences,
)
from vecsmith.results.result import EvalResult

Verdict = Literal["better", "worse", "no difference shown"]
SIGNIFICANCE = 0.05
_LEVEL = 1 - SIGNIFICANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two that are compared.

    Attributes:
        model: Name of the model.
        view: The view compared; the main one of the first task where none was asked for.
        fingerprint: Hash of its weights and settings; "" where it has none.
        speed: Of its run.
    """

    model: str
    view: View
    fingerprint: str
    speed: SpeedResult

    @property
    def vector_bytes(self) -> int | None:
        """Bytes of one vector; None for a baseline on words."""
        return None if self.view.precision == "text" else self.view.n_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A score and its 95 % interval over more items of the same sets, as fractions."""

    score: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """A and B on one task, or by one average.

    Attributes:
        name: Of the task, family or named group; "sets" or "families" for a mean of all.
        role: Which of these it is.
        kind: Family of a task or of a family's average, else None.
        metric: What the scores are; None for an average over several metrics.
        n_items: Items that both were scored on.
        unit: What an item is; "items" where tasks differ.
        n_sets: Sets that the row is over.
        n_tasks: Tasks that the row is over: a set may have several languages.
        a: Score of A.
        b: Score of B.
        test: Difference A less B with its interval, and the p-value of the paired test.
        wide: Interval of the difference on other sets like these; None but for means.
        p_adjusted: The p-value after Holm's correction.
        verdict: Of A against B; "no difference shown" of clustering alone, whatever its p-value.
    """

    name: str
    role: Role
    kind: Kind | None
    metric: str | None
    n_items: int
    unit: str
    n_sets: int
    n_tasks: int
    a: Figure
    b: Figure
    test: PairedTest
    wide: tuple[float, float] | None
    p_adjusted: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A against B on the tasks that both have.

    Attributes:
        a: The first.
        b: The one it is held against.
        tasks: A row for each task that both have.
        families: A row for each family of these.
        groups: A row for each named group that is complete in both.
        means: The mean over sets, and the mean over families.
        refused: Why a task that both have is left out, by name.
        only_a: Names of tasks that only A has.
        only_b: Names of tasks that only B has.
        same_run: Whether both are known to be of one run: then their speeds were measured in turns.
        same_machine: Whether both ran on the same kind of processor with as many cores.
    """

    a: Side
    b: Side
    tasks: tuple[ComparisonRow, ...]
    families: tuple[ComparisonRow, ...]
    groups: tuple[ComparisonRow, ...]
    means: tuple[ComparisonRow, ...]
    refused: Mapping[str, str]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    same_run: bool
    same_machine: bool

    @property
    def rows(self) -> tuple[ComparisonRow, ...]:
        """All rows: means, named groups, families, tasks."""
        return (*self.means, *self.groups, *self.families, *self.tasks)

    @property
    def speed_ratio(self) -> float | None:
        """How many times as many texts a second A encodes; None where one was not measured."""
        return _ratio(self.a.speed.texts_per_second, self.b.speed.texts_per_second)

    @property
    def model_bytes_ratio(self) -> float | None:
        """A's weights in memory / B's; None where one is unknown."""
        return _ratio(self.a.speed.model_bytes, self.b.speed.model_bytes)

    @property
    def vector_bytes_ratio(self) -> float | None:
        """Bytes of A's vectors / B's; None where one has no vectors."""
        return _ratio(self.a.vector_bytes, self.b.vector_bytes)

    def count(self, verdict: Verdict) -> int:
        """How many tasks have that verdict."""
        return sum(row.verdict == verdict for row in self.tasks)

    def table(self, width: int = 120) -> str:
        """The comparison as text, in about so many columns."""
        return render_comparison(self, width=width)


def compare(
    a: EvalResult,
    b: EvalResult,
    *,
    view_a: View | None = None,
    view_b: View | None = None,
) -> Comparison:
    """What can be said of `a` against `b`, on the tasks that both have.

    Example:
        >>> compare(result, result.baselines["bm25"]).means[0].verdict

    Args:
        a: A result.
        b: Another, or the same under another view.
        view_a: Prefix and precision of A; each task's main one when None.
        view_b: The same of B.

    Raises:
        ValueError: If there is no task to compare them on.
    """
    matching = match_tasks(a, b, view_a, view_b)
    names = comparable(matching, a, b)
    pair = _Pair(
        {name: a.tasks[name] for name in names},
        {name: b.tasks[name] for name in names},
        view_a,
        view_b,
    )
    groups = {**a.groups, **{name: b.groups[name] for name in b.groups if name not in a.groups}}
    averages = [*family_selections(pair.a.values()), *group_selections(pair.a, groups)]
    averaged = pair.rows(averages)
    return Comparison(
        a=_side(a, pair.a, view_a),
        b=_side(b, pair.b, view_b),
        tasks=pair.rows([task_alone(task) for task in pair.a.values()]),
        families=tuple(row for row in averaged if row.role == "family"),
        groups=tuple(row for row in averaged if row.role == "group"),
        means=pair.rows(mean_selections(pair.a.values())),
        refused=matching.refused,
        only_a=matching.only_a,
        only_b=matching.only_b,
        same_run=a.run == b.run != "",
        same_machine=all(a.machine.get(key) == b.machine.get(key) for key in ("cpu", "cores")),
    )


def verdict_of(test: PairedTest, p_adjusted: float) -> Verdict:
    """What may be said of A: nothing, where the difference may be noise."""
    if p_adjusted < SIGNIFICANCE and test.low > 0:
        return "better"
    if p_adjusted < SIGNIFICANCE and test.high < 0:
        return "worse"
    return "no difference shown"


class _Pair:
    """The tasks that two results share, and the tests on them."""

    def __init__(
        self,
        a: Mapping[str, TaskResult],
        b: Mapping[str, TaskResult],
        view_a: View | None,
        view_b: View | None,
    ) -> None:
        self.a, self.b = a, b
        self._view_a, self._view_b = view_a, view_b
        # Holm multiplies the smallest p-value by the number of tests: with too few random swaps
        # nothing could ever be shown among hundreds of tasks
        self._n_permutations = max(2000, 50 * len(a))
        # languages of a set may be translations of each other: they share their swaps
        sets = list(dict.fromkeys(map(set_of, a.values())))
        self._streams = {name: sets.index(set_of(task)) for name, task in a.items()}
        self._swapped: dict[str, tuple[float, NDArray[np.float64]]] = {}

    def rows(self, selections: Sequence[Selection]) -> tuple[ComparisonRow, ...]:
        """A row for each selection; their p-values are corrected together."""
        tests = [self._test(selection) for selection in selections]
        adjusted = holm([test.p_value for test in tests]).tolist() if tests else []
        return tuple(map(self._row, selections, tests, adjusted))

    def _row(self, selection: Selection, test: PairedTest, p_adjusted: float) -> ComparisonRow:
        members = [self.a[name] for name in selection.weights]
        metrics, units = {task.metric for task in members}, {task.unit for task in members}
        is_of_one_kind = selection.role in ("task", "family")
        is_luck = all(task.kind == "clustering" for task in members)
        return ComparisonRow(
            name=selection.name,
            role=selection.role,
            kind=members[0].kind if is_of_one_kind else None,
            metric=metrics.pop() if len(metrics) == 1 else None,
            n_items=test.n_items,
            unit=units.pop() if len(units) == 1 else "items",
            n_sets=selection.n_sets,
            n_tasks=len(members),
            a=_figure(self.a, selection, self._view_a),
            b=_figure(self.b, selection, self._view_b),
            test=test,
            wide=self._wide(selection),
            p_adjusted=p_adjusted,
            verdict="no difference shown" if is_luck else verdict_of(test, p_adjusted),
        )

    def _test(self, selection: Selection) -> PairedTest:
        """As `resampling.paired_test_of_average`, of draws that all averages share."""
        observed, permuted = 0.0, np.zeros(self._n_permutations)
        for name, share in selection.weights.items():
            difference, differences = self._differences(name)
            observed += share * difference
            permuted += share * differences
        low, high = interval(self._resampled(selection), _LEVEL)
        return PairedTest(
            difference=observed,
            low=low,
            high=high,
            p_value=p_value(observed, permuted),
            n_items=sum(self.a[name].n_items for name in selection.weights),
        )

    def _differences(self, name: str) -> tuple[float, NDArray[np.float64]]:
        if name not in self._swapped:
            a, b = self.a[name], self.b[name]
            self._swapped[name] = permuted_differences(
                a.scores_of(self._view_a).items,
                b.scores_of(self._view_b).items,
                a.gold,
                a.statistic,
                n_permutations=self._n_permutations,
                stream=self._streams[name],
            )
        return self._swapped[name]

    def _resampled(self, selection: Selection, *, over_sets: bool = False) -> NDArray[np.float64]:
        """Differences of the two averages in resamples that both meet, [B]."""
        differences = [
            bootstrapped(self.a[name], self._view_a) - bootstrapped(self.b[name], self._view_b)
            for name in selection.weights
        ]
        return average_bootstrap(
            differences,
            list(selection.weights.values()),
            [set_of(self.a[name]) for name in selection.weights],
            over_tasks=over_sets,
        )

    def _wide(self, selection: Selection) -> tuple[float, float] | None:
        if selection.role != "mean" or selection.n_sets < 2:
            return None
        return interval(self._resampled(selection, over_sets=True), _LEVEL)


def _figure(tasks: Mapping[str, TaskResult], selection: Selection, view: View | None) -> Figure:
    low, high = interval_of(tasks, selection, view, level=_LEVEL)
    return Figure(score=average(tasks, selection, view), low=low, high=high)


def _side(result: EvalResult, tasks: Mapping[str, TaskResult], view: View | None) -> Side:
    return Side(
        model=result.model,
        view=next(iter(tasks.values())).main_view if view is None else view,
        fingerprint=result.fingerprint,
        speed=result.speed,
    )


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a and b else None
