"""What an evaluation found on all of its tasks, and what can be asked of it.

The one rule: a figure is never shown without its uncertainty and the number of its items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vecsmith._typing import PathLike
from vecsmith.results.averages import average, families_of, find_selection, interval_of
from vecsmith.results.records import Kind, SpeedResult, TaskResult, View
from vecsmith.results.rendering import render
from vecsmith.results.retention import Retention, retention_of
from vecsmith.results.store import RunStore, read_run
from vecsmith.results.tables import table_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvalResult:
    """How a model did on many tasks.

    Attributes:
        model: Its name, as shown.
        fingerprint: Hash of its weights and settings; "" where it has none.
        tasks: By task name, in the order they were run.
        groups: Names of tasks by named group, as in "STS". A group counts where all of its tasks
            are there; a baseline on words may lack some.
        settings: What was asked: "tasks" (the folders), "suite", "dims", "precisions", "split",
            "languages"; and "skipped", the sets that were left out and why.
        speed: Beside the quality.
        machine: What the run was finished on, see `vecsmith._machine.machine`; a task that was
            scored earlier has its own, as it has versions and a date.
        versions: Of the packages that took part, by name, when the run was finished.
        date: When it was finished, ISO 8601, UTC.
        run: What a model and its baselines have in common that were run together, and no other
            run; "" where that is not known.
        baselines: Results of the baselines on the same tasks, by name.
        dropped: Tasks and baselines that the result in the run folder had until this one replaced
            it, and that this one has not; known only where it was just written.
    """

    model: str
    fingerprint: str
    tasks: Mapping[str, TaskResult]
    groups: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, Any]
    speed: SpeedResult = field(default_factory=SpeedResult)
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str | None] = field(default_factory=dict)
    date: str = ""
    run: str = ""
    baselines: Mapping[str, EvalResult] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: PathLike) -> EvalResult:
        """The finished run in `folder`.

        Raises:
            FormatError: If it is not a run, not finished, or a file of it is broken.
            OSError: If it cannot be read.
        """
        return read_run(folder, cls)

    def save(self, folder: PathLike) -> None:
        """Writes the run to `folder`, or over the run that is there, of whatever model.

        Raises:
            FileExistsError: If the folder holds something that is no run.
            FormatError: If the result that is there is of something else, or of a later version.
            OSError: If it cannot be written.
        """
        RunStore(folder).finish(self)

    @property
    def views(self) -> tuple[View, ...]:
        """Views under which every task was scored, the main one first."""
        tasks = list(self.tasks.values())
        views = tasks[0].scores if tasks else ()
        return tuple(view for view in views if all(view in task.scores for task in tasks))

    @property
    def families(self) -> tuple[Kind, ...]:
        """Kinds of the tasks, in the order in which they are always shown."""
        return tuple(families_of(self.tasks.values()))

    def average(self, over: str | None = None, view: View | None = None) -> float:
        """The mean score of many tasks: over sets, and within a set first over its languages.

        Example:
            >>> result.average("STS"), result.average("retrieval"), result.average("families")

        Args:
            over: A named group; a family, which is a kind; "sets" for the mean over all sets
                (MTEB's "Mean (Task)"), also when None; "families" for the mean of the families'
                means (MTEB's "Mean (TaskType)").
            view: Which prefix and precision; each task's main one when None.

        Raises:
            ValueError: If there is no such group or family, or a task lacks the view.
        """
        return average(self.tasks, find_selection(self, over), view)

    def interval(
        self,
        of: str | None = None,
        view: View | None = None,
        *,
        level: float = 0.95,
        over_sets: bool = False,
    ) -> tuple[float, float]:
        """Low and high end of the bootstrap interval of a task's score or of an average.

        Args:
            of: As for `average`; or the name of a task, where no group or family is called so.
            view: Which prefix and precision; each task's main one when None.
            level: Share of the resamples inside.
            over_sets: Whether sets are drawn anew, too: how far an average may lie from that of
                other sets like these. Else only items are: how far from more items of these.

        Raises:
            ValueError: If there is no such task, group or family, or a task lacks the view.
        """
        selection = find_selection(self, of)
        return interval_of(self.tasks, selection, view, level=level, over_sets=over_sets)

    def retention(
        self,
        baseline: EvalResult | str | None = None,
        view: View | None = None,
        *,
        level: float = 0.95,
    ) -> Retention:
        """What the model keeps of a baseline: score / the baseline's, by task, family and group.

        Args:
            baseline: A result on the same tasks, or the name of one of `baselines`; None for the
                only one.
            view: Which prefix and precision of the model; its main one when None. The baseline's
                main view counts.
            level: Of the intervals.

        Raises:
            ValueError: If there is no such baseline, or no task in common.
        """
        return retention_of(self, self._baseline(baseline), view, level=level)

    def table(self, *views: View, width: int = 120) -> str:
        """The scores as text: a row a task, by family, then the averages; a column a view.

        Args:
            *views: Which views to show; all that every task has, when none is given.
            width: Columns of the terminal. Views that do not fit come in a second table below.

        Raises:
            ValueError: If no task was scored under one of the views.
        """
        return render(table_of(self, views), width=width)

    def _baseline(self, baseline: EvalResult | str | None) -> EvalResult:
        if isinstance(baseline, EvalResult):
            return baseline
        found = ", ".join(self.baselines) or "none"
        if baseline is None:
            if len(self.baselines) != 1:
                raise ValueError(
                    f"baselines are {found}, expected exactly one: say which, or pass a result"
                )
            return next(iter(self.baselines.values()))
        if baseline not in self.baselines:
            raise ValueError(f"no baseline is called {baseline!r:.80}, found {found}")
        return self.baselines[baseline]
