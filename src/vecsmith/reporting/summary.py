"""A report from runs: who is in it, over which tasks, with which averages and tests.

The one rule: every number is asked of `results`; an average is shown of those only who ran all
of its tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from vecsmith.reporting.cautions import (
    busy_machines,
    clustering_notes,
    is_one_run,
    same_runs,
    sets_left_out,
    weak_sets,
)
from vecsmith.reporting.entries import Entry, common_tasks, entries_of, within
from vecsmith.reporting.facts import date_of, machine_of, settings_of
from vecsmith.reporting.report import (
    Contender,
    Difference,
    Estimate,
    Key,
    NeighborList,
    Point,
    Report,
    Row,
    Versus,
)
from vecsmith.reporting.wording import ratio_words
from vecsmith.results import EvalResult, TaskResult, View
from vecsmith.results.averages import (
    Selection,
    average,
    families_of,
    family_selections,
    group_selections,
    mean_selections,
    task_alone,
)
from vecsmith.results.comparison import Comparison, ComparisonRow, Verdict, compare
from vecsmith.results.matching import difference as mismatch
from vecsmith.results.retention import Ratio


def build_report(
    runs: Sequence[EvalResult],
    *,
    views: Sequence[View | None] | None = None,
    reference: str | None = None,
) -> Report:
    """The report of the first run against the others, or against its baselines if it is alone.

    Args:
        runs: One or more.
        views: Which view of each run; None for its main one.
        reference: Name of the model that retention is relative to; if None, of the baselines that
            ran every task the one that does best.

    Raises:
        ValueError: If there is nothing to compare with, no task in common, no such view or
            reference, or more contenders than letters.
    """
    entries = entries_of(runs, views or [None] * len(runs))
    # the other runs, or, of a run that is alone, its baselines
    places = list(range(1, len(runs))) or list(range(1, len(entries)))
    common = common_tasks(entries[0], [entry for entry in entries[1:] if not entry.is_baseline])
    entries = [within(entry, common) for entry in entries]
    comparisons = [_compared(entries[0], entries[place]) for place in places]
    selections = _selections(entries[0])
    teacher = _reference(entries, reference)
    keys, ratios, ratio_notes = _retention(entries, teacher, selections)
    return Report(
        contenders=tuple(
            _contender(
                entry,
                name,
                selections,
                ratios.get(entry.letter, {}),
                is_run=place < len(runs),
                # one run at two sizes: its curve is drawn once, the other size is a level
                has_curve=not any(map(entry.is_same_run, entries[:place])),
            )
            for place, (entry, name) in enumerate(zip(entries, _names(entries), strict=True))
        ),
        opponents=tuple(places),
        versus=tuple(
            _versus(entries[0], entries[place], comparison)
            for place, comparison in zip(places, comparisons, strict=True)
        ),
        summary=tuple(_summary_row(each, entries, comparisons) for each in selections),
        tasks=tuple(_task_rows(runs, entries, comparisons)),
        ratios=keys,
        ratio_notes=ratio_notes,
        reference=teacher.result.model if teacher else None,
        caveats=(*same_runs(entries, places), *_caveats(runs, entries, comparisons)),
        notes=tuple(clustering_notes(comparisons)),
        left_out=sets_left_out(runs, entries),
        is_one_run=is_one_run(entries),
    )


def with_neighbors(report: Report, neighbors: Sequence[NeighborList], missing: str = "") -> Report:
    """The report with what the models return, or with the reason why that is missing."""
    return replace(report, neighbors=tuple(neighbors), neighbors_missing=missing)


# Averages and tests


def _selections(first: Entry) -> list[Selection]:
    """Means, named groups and families, as they are shown."""
    tasks = first.result.tasks
    means = mean_selections(tasks.values())
    families = family_selections(tasks.values())
    if len(families) == 1:
        means = means[:1]
    groups = group_selections(tasks, first.result.groups)
    # a family of the very tasks of a group is that group under another name
    members = [set(group.weights) for group in groups]
    return [*means, *groups, *(each for each in families if set(each.weights) not in members)]


def _compared(first: Entry, other: Entry) -> Comparison:
    return compare(first.result, other.result, view_a=first.view, view_b=other.view)


def _versus(first: Entry, entry: Entry, comparison: Comparison) -> Versus:
    rows = (*comparison.means, *comparison.groups, *comparison.families)
    averages = {(row.role, row.name): (row.n_sets, _difference(row)) for row in rows}
    return Versus(
        letter=entry.letter,
        averages=averages,
        counts={verdict: comparison.count(verdict) for verdict in get_args(Verdict)},
        are_sets=all(row.n_sets == len(comparison.tasks) for row in comparison.means),
        weak_sets=weak_sets(comparison, first.result.tasks),
    )


def _difference(row: ComparisonRow) -> Difference:
    return Difference(
        value=row.test.difference,
        low=row.test.low,
        high=row.test.high,
        p_value=row.p_adjusted,
        verdict=row.verdict,
        wide=row.wide,
        p_single=row.test.p_value,
    )


def _summary_row(
    selection: Selection, entries: Sequence[Entry], comparisons: Sequence[Comparison]
) -> Row:
    first = entries[0]
    members = [first.result.tasks[name] for name in selection.weights]
    metrics = {task.metric for task in members}
    units = {task.unit for task in members}
    return Row(
        name=selection.name,
        role=selection.role,
        metric=metrics.pop() if len(metrics) == 1 else "",
        n_sets=selection.n_sets,
        n_items=sum(task.n_items for task in members),
        unit=units.pop() if len(units) == 1 else "items",
        scores=tuple(
            entry.estimate(selection) if entry.ran(selection, first) else None for entry in entries
        ),
        differences=tuple(_found(comparison, selection) for comparison in comparisons),
    )


def _found(comparison: Comparison, selection: Selection) -> Difference | None:
    """The comparison's row on exactly the tasks of a selection; of fewer tasks it would mislead."""
    for row in comparison.rows:
        if (row.role, row.name) == (selection.role, selection.name):
            return _difference(row) if row.n_tasks == len(selection.weights) else None
    return None


def _task_rows(
    runs: Sequence[EvalResult], entries: Sequence[Entry], comparisons: Sequence[Comparison]
) -> Iterator[Row]:
    """Tasks by family, those that only some ran after the others."""
    tasks: dict[str, TaskResult] = dict(entries[0].result.tasks)
    for run in runs:
        for name, task in run.tasks.items():
            tasks.setdefault(name, task)
    whole = [*runs, *(entry.result for entry in entries[len(runs) :])]
    for members in families_of(tasks.values()).values():
        for task in members:
            yield _task_row(task, whole, entries, comparisons)


def _task_row(
    task: TaskResult,
    whole: Sequence[EvalResult],
    entries: Sequence[Entry],
    comparisons: Sequence[Comparison],
) -> Row:
    selection = task_alone(task)
    scores: list[Estimate | None] = []
    marks: list[str] = []
    notes = list(task.notes)
    for entry, result in zip(entries, whole, strict=True):
        own = result.tasks.get(task.name)
        reason = "" if own is None else mismatch(task, own) or ""
        marks.append(_mark(reason))
        lacks = own is None or (entry.view is not None and entry.view not in own.scores)
        if lacks or reason:  # a figure of other texts is not to stand beside the others
            scores.append(None)
        else:
            scores.append(replace(entry, result=result).estimate(selection))
        if reason:
            notes.append(f"Not compared with {entry.letter}: {reason}.")
    return Row(
        name=task.name,
        role="task",
        metric=task.metric,
        n_sets=1,
        n_items=task.n_items,
        unit=task.unit,
        scores=tuple(scores),
        differences=tuple(_found(comparison, selection) for comparison in comparisons),
        kind=task.kind,
        split=task.split,
        language=task.language or "",
        notes=tuple(notes),
        marks=tuple(marks),
    )


def _mark(reason: str) -> str:
    """Why a score is left out of its row, in a cell."""
    if not reason:
        return ""
    return f"{'other texts' if reason.startswith('other texts') else reason}: not compared"


# Contenders


def _names(entries: Sequence[Entry]) -> list[str]:
    """Names of the models, with their sizes where one name stands for several sizes."""
    names = [entry.result.model for entry in entries]
    views = {name: {_view(e) for e in entries if e.result.model == name} for name in names}
    return [
        f"{name}, {_view(entry)}" if len(views[name]) > 1 and not entry.is_baseline else name
        for name, entry in zip(names, entries, strict=True)
    ]


def _view(entry: Entry) -> View:
    first_task = next(iter(entry.result.tasks.values()), None)
    return entry.view or (first_task.main_view if first_task else View(0, "text"))


def _contender(
    entry: Entry,
    name: str,
    selections: Sequence[Selection],
    ratios: Mapping[Key, Estimate],
    *,
    is_run: bool,
    has_curve: bool,
) -> Contender:
    result = entry.result
    return Contender(
        letter=entry.letter,
        name=name,
        is_baseline=entry.is_baseline,
        view=_view(entry),
        views=tuple(
            point for point in _points(entry, selections) if has_curve or point.view == _view(entry)
        ),
        retention=ratios,
        speed=result.speed,
        fingerprint=result.fingerprint,
        # those of a baseline are its run's
        date=date_of(result) if is_run else "",
        settings=settings_of(result) if is_run else {},
        machine=machine_of(result) if is_run else "",
    )


def _points(entry: Entry, selections: Sequence[Selection]) -> Iterator[Point]:
    """Every view that was scored, with the averages whose tasks all have it."""
    tasks = entry.result.tasks
    views = dict.fromkeys(view for task in tasks.values() for view in task.scores)
    for view in views:
        scores = {
            (each.role, each.name): entry.estimate(each, view)
            for each in selections
            if all(name in tasks and view in tasks[name].scores for name in each.weights)
        }
        if scores:
            yield Point(view=view, scores=scores)


def _reference(entries: Sequence[Entry], name: str | None) -> Entry | None:
    """The model asked for, or the best baseline of all tasks; nothing keeps a share of chance."""
    if name is not None:
        for entry in entries:
            if entry.result.model == name:
                return entry
        found = ", ".join(entry.result.model for entry in entries)
        raise ValueError(f"no model is called {name!r:.80}, expected one of: {found}")
    everything = mean_selections(entries[0].result.tasks.values())[0]
    able = [
        entry
        for entry in entries
        if entry.is_baseline
        and entry.ran(everything, entries[0])
        and not entry.result.model.startswith("random")
    ]
    return max(able, key=lambda entry: average(entry.result.tasks, everything), default=None)


def _retention(
    entries: Sequence[Entry], reference: Entry | None, selections: Sequence[Selection]
) -> tuple[tuple[Key, ...], dict[str, dict[Key, Estimate]], tuple[str, ...]]:
    """Rows of the retention, the ratios of each contender by letter, and what they leave out."""
    if reference is None or not reference.result.tasks:
        return (), {}, ()
    averages = {(selection.role, selection.name) for selection in selections}
    notes: dict[str, None] = {}
    n_tasks: dict[Key, int] = {}
    found: dict[str, dict[Key, Estimate]] = {}
    for entry in entries:
        names = entry.result.tasks.keys() & reference.result.tasks.keys()
        if entry is reference or not names:
            continue
        kept = entry.result.retention(reference.result, entry.view)
        ratios = [
            ratio
            for ratio in (*kept.means, *kept.groups, *kept.families)
            if ratio.role == "mean" or (ratio.role, ratio.name) in averages
        ]
        notes |= {
            f"{entry.letter}, {ratio_words((each.role, each.name))}: {each.note}.": None
            for each in ratios
            if each.note
        }
        if not n_tasks:
            n_tasks = {(ratio.role, ratio.name): ratio.n_tasks for ratio in ratios}
        found[entry.letter] = {
            (ratio.role, ratio.name): estimate
            for ratio in ratios
            if ratio.n_tasks == n_tasks.get((ratio.role, ratio.name))
            and (estimate := _share(ratio)) is not None
        }
    order: dict[str, int] = {"groups": 0, "sets": 1, "families": 2}
    keys = sorted(n_tasks, key=lambda key: order[key[1]] if key[0] == "mean" else 3)
    shown = tuple(key for key in keys if any(key in each for each in found.values()))
    return shown, found, tuple(notes)


def _share(ratio: Ratio) -> Estimate | None:
    if ratio.value is None:
        return None
    return Estimate(value=ratio.value, low=ratio.low, high=ratio.high)


# What a reader must know first


def _caveats(
    runs: Sequence[EvalResult], entries: Sequence[Entry], comparisons: Sequence[Comparison]
) -> Iterator[str]:
    common = entries[0].result.tasks
    splits = sorted({task.split for task in common.values()} - {"test"})
    if splits:
        yield f"Some or all scores are of {' and '.join(splits)} rows, not of test rows."
    left_out = {name for run in runs for name in run.tasks} - common.keys()
    if left_out:
        yield (
            f"{len(left_out)} of {len(left_out) + len(common)} tasks are not in the averages, "
            "because not all runs have them on the same texts under these sizes; the table of "
            "tasks shows them."
        )
    if not is_one_run(entries):
        same = all(comparison.same_machine for comparison in comparisons)
        where = "on machines of the same kind" if same else "on different machines"
        yield f"Speeds were measured in different runs, {where}: they cannot be ranked."
    yield from busy_machines(runs, entries)
