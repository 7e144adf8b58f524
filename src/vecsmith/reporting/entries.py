"""Who takes part in a report, and which tasks its averages are over.

The one rule: averages are over tasks that the first and all other models with vectors ran on the
same texts; a baseline is shown where it can be, and narrows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vecsmith.reporting.report import Estimate
from vecsmith.results import EvalResult, TaskResult, View
from vecsmith.results.averages import Selection, average, interval_of
from vecsmith.results.comparison import compare
from vecsmith.results.matching import difference as mismatch

MAX_CONTENDERS = 26  # one letter each
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """A contender, and the result that its figures are from."""

    letter: str
    result: EvalResult
    is_baseline: bool
    view: View | None

    def ran(self, selection: Selection, first: Entry) -> bool:
        """Whether it ran all tasks of a selection, on the same texts as the first."""
        tasks = self.result.tasks
        return all(
            name in tasks and mismatch(first.result.tasks[name], tasks[name]) is None
            for name in selection.weights
        )

    def is_same_run(self, other: Entry) -> bool:
        """Whether both are of the very same run, at whatever sizes."""
        one, two = self.result, other.result
        return (one.model, one.fingerprint, one.run, one.date) == (
            *(two.model, two.fingerprint, two.run, two.date),
        )

    def estimate(self, selection: Selection, view: View | None = None) -> Estimate:
        """The average of a selection with its interval."""
        view = self.view if view is None else view
        low, high = interval_of(self.result.tasks, selection, view)
        value = average(self.result.tasks, selection, view)
        return Estimate(value=value, low=low, high=high)


def entries_of(runs: Sequence[EvalResult], views: Sequence[View | None]) -> list[Entry]:
    """Runs, then their baselines, each once."""
    if not runs or len(runs) != len(views):
        raise ValueError(f"{len(views)} views for {len(runs)} runs, expected one for each run")
    seen = {(run.model, run.fingerprint) for run in runs}
    baselines = []
    for run in runs:
        for name, other in run.baselines.items():
            key = (name, other.fingerprint)
            if key not in seen:
                seen.add(key)
                baselines.append(other)
    if len(runs) == 1 and not baselines:
        raise ValueError(
            f"one run, {runs[0].model}, and it has no baselines, expected another run, or a run "
            "made with --baseline"
        )
    for run, view in zip(runs, views, strict=True):
        _check_view(run, view)
    chosen = [*runs, *baselines]
    if len(chosen) > MAX_CONTENDERS:
        raise ValueError(
            f"{len(chosen)} models and baselines, expected at most {MAX_CONTENDERS}: "
            "compare fewer runs"
        )
    return [
        Entry(
            letter=letter,
            result=result,
            is_baseline=place >= len(runs) or (place > 0 and _is_on_words(result)),
            view=views[place] if place < len(runs) and not _is_on_words(result) else None,
        )
        for place, (letter, result) in enumerate(zip(_LETTERS, chosen, strict=False))
    ]


def _check_view(run: EvalResult, view: View | None) -> None:
    """Raises ValueError where no task of `run` was scored under `view`."""
    found = dict.fromkeys(str(each) for task in run.tasks.values() for each in task.scores)
    if view is not None and str(view) not in found and not _is_on_words(run):
        raise ValueError(
            f"{run.model} was not scored under {view}, expected one of: {', '.join(found)}"
        )


def _is_on_words(result: EvalResult) -> bool:
    """Whether it has no vectors: it cannot run every task, and is not to narrow the averages."""
    return all(task.main_view.precision == "text" for task in result.tasks.values())


def common_tasks(first: Entry, others: Sequence[Entry]) -> list[str]:
    """Tasks that the first and all other runs have, on the same texts and under their views."""
    names = [
        name
        for name, task in first.result.tasks.items()
        if (first.view is None or first.view in task.scores)
        and all(_has(other, name, task) for other in others)
    ]
    if not names:
        for other in others:  # says what is the matter between two
            compare(first.result, other.result, view_a=first.view, view_b=other.view)
        raise ValueError(
            f"no task is in all of {', '.join(e.result.model for e in (first, *others))}"
            f"{'' if first.view is None else f' under {first.view}'}, expected at least one; "
            "evaluate them on the same sets"
        )
    return names


def _has(entry: Entry, name: str, task: TaskResult) -> bool:
    own = entry.result.tasks.get(name)
    if own is None or mismatch(task, own) is not None:
        return False
    return entry.view is None or entry.view in own.scores


def within(entry: Entry, names: Sequence[str]) -> Entry:
    """The entry with these tasks only."""
    tasks = {name: entry.result.tasks[name] for name in names if name in entry.result.tasks}
    return replace(entry, result=replace(entry.result, tasks=tasks))
