"""A result as rows and columns of plain values, for whoever shows it: terminal, Markdown, HTML.

The one rule: a row says how many items it is over, and a cell how sure it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vecsmith.results.averages import (
    FAMILIES,
    SETS,
    Role,
    Selection,
    average,
    families_of,
    family_selections,
    group_selections,
    interval_of,
    mean_selections,
    set_of,
    task_alone,
)
from vecsmith.results.records import Kind, TaskResult, View
from vecsmith.results.shares import ShareKept, shares_kept
from vecsmith.results.undefined import notes_of

if TYPE_CHECKING:
    from vecsmith.results.result import EvalResult

RowRole = Role | Literal["retention"]
LEVEL = 0.95
_MEAN_LABELS = {SETS: "mean over sets", FAMILIES: "mean over families"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One view of the model, or a baseline under its main view.

    Attributes:
        label: The view, as in "256" or "64 int8"; the baseline's name.
        baseline: Name of the baseline; None for the model itself.
        view: Which view; None for a baseline on words.
        n_bytes: Of one vector; None for a baseline on words.
    """

    label: str
    baseline: str | None
    view: View | None
    n_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A figure and how sure it is; all are fractions.

    Attributes:
        score: The figure.
        low: Lower end of its 95 % interval over more items of the same sets.
        high: Its upper end.
        wide: Both ends of the interval over other sets like these; None but for means.
    """

    score: float
    low: float | None
    high: float | None
    wide: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A task, an average, or what is kept of a baseline.

    Attributes:
        label: As shown; the baseline's name for "retention".
        role: "task", "family", "group", "mean" or "retention".
        kind: Family of a task or of a family's average, else None.
        metric: Of a task, or of tasks of one metric; which retention; else None.
        n_items: Items that the row is over.
        unit: What an item is; "items" where tasks differ.
        n_sets: Sets that the row is over.
        cells: One for each column, None where there is no figure.
        notes: Numbers of the footnotes, from 1.
    """

    label: str
    role: RowRole
    kind: Kind | None
    metric: str | None
    n_items: int
    unit: str
    n_sets: int
    cells: tuple[Cell | None, ...]
    notes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All figures of a result.

    Attributes:
        model: Name of the model.
        columns: Its views, then its baselines.
        rows: Tasks by family, each family's average after its tasks; named groups; means; what is
            kept of the baselines.
        footnotes: What a reader must know of some tasks.
    """

    model: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    footnotes: tuple[str, ...]


def table_of(result: EvalResult, views: Sequence[View] = ()) -> Table:
    """The table of a result.

    Args:
        result: Which one.
        views: Columns of the model; all that every task has, when empty.

    Raises:
        ValueError: If no task was scored under one of the views.
    """
    views = _known(result, views) or result.views or _all_views(result)
    footnotes = list(
        dict.fromkeys(note for name in result.tasks for note in notes_of(result, name))
    )
    columns = _Columns(result, views)
    rows = [
        *_family_rows(result, columns, footnotes),
        *(_average_row(s, s.name, columns) for s in group_selections(result.tasks, result.groups)),
        *(
            _average_row(s, _MEAN_LABELS[s.name], columns)
            for s in mean_selections(result.tasks.values())
        ),
    ]
    for share in shares_kept(result, views):
        if share.note:
            footnotes.append(share.note)
        if any(share.ratios):
            rows.append(_retention_row(share, result, (len(footnotes),) if share.note else ()))
    return Table(
        model=result.model,
        columns=columns.described(),
        rows=tuple(rows),
        footnotes=tuple(footnotes),
    )


class _Columns:
    """Where the figures of each column come from."""

    def __init__(self, result: EvalResult, views: Sequence[View]) -> None:
        self.result = result
        self.views = views

    def described(self) -> tuple[Column, ...]:
        own = [
            Column(label=_label(view), baseline=None, view=_vectors(view), n_bytes=_bytes(view))
            for view in self.views
        ]
        return (*own, *(_baseline_column(name, b) for name, b in self.result.baselines.items()))

    def cells(self, selection: Selection) -> tuple[Cell | None, ...]:
        """The figures of a selection, None where a column lacks a task of it."""
        own = [_cell(self.result.tasks, selection, view) for view in self.views]
        others = [_cell(other.tasks, selection, None) for other in self.result.baselines.values()]
        return (*own, *others)


def _family_rows(
    result: EvalResult, columns: _Columns, footnotes: Sequence[str]
) -> Iterator[TableRow]:
    families = families_of(result.tasks.values())
    for selection in family_selections(result.tasks.values()):
        members = [result.tasks[name] for name in selection.weights]
        for task in members:
            yield TableRow(
                label=task.name,
                role="task",
                kind=task.kind,
                metric=task.metric,
                n_items=task.n_items,
                unit=task.unit,
                n_sets=1,
                cells=columns.cells(task_alone(task)),
                notes=tuple(sorted(1 + footnotes.index(n) for n in notes_of(result, task.name))),
            )
        if len(members) > 1:
            kind = next(kind for kind in families if kind == selection.name)
            yield _average_row(selection, f"mean of {kind}", columns, kind)


def _average_row(
    selection: Selection, label: str, columns: _Columns, kind: Kind | None = None
) -> TableRow:
    members = [columns.result.tasks[name] for name in selection.weights]
    metrics, units = {task.metric for task in members}, {task.unit for task in members}
    return TableRow(
        label=label,
        role=selection.role,
        kind=kind,
        metric=metrics.pop() if len(metrics) == 1 else None,
        n_items=sum(task.n_items for task in members),
        unit=units.pop() if len(units) == 1 else "items",
        n_sets=selection.n_sets,
        cells=columns.cells(selection),
    )


def _retention_row(share: ShareKept, result: EvalResult, notes: tuple[int, ...]) -> TableRow:
    members = [result.tasks[name] for name in share.tasks]
    own = [
        None if ratio is None else Cell(score=ratio.value or 0.0, low=ratio.low, high=ratio.high)
        for ratio in share.ratios
    ]
    return TableRow(
        label=share.baseline,
        role="retention",
        kind=None,
        metric=f"retention, mean over {share.over}",
        n_items=sum(task.n_items for task in members),
        unit="items",
        n_sets=len(set(map(set_of, members))),
        cells=(*own, *(None for _ in result.baselines)),
        notes=notes,
    )


def _cell(tasks: Mapping[str, TaskResult], selection: Selection, view: View | None) -> Cell | None:
    for name in selection.weights:
        if name not in tasks or (view is not None and view not in tasks[name].scores):
            return None
    low, high = interval_of(tasks, selection, view, level=LEVEL)
    wide = None
    if selection.role == "mean" and selection.n_sets > 1:
        wide = interval_of(tasks, selection, view, level=LEVEL, over_sets=True)
    return Cell(score=average(tasks, selection, view), low=low, high=high, wide=wide)


def _known(result: EvalResult, views: Sequence[View]) -> tuple[View, ...]:
    known = _all_views(result)
    for view in views:
        if view not in known:
            found = ", ".join(map(str, known))
            raise ValueError(f"no task was scored under {view}, expected one of: {found}")
    return tuple(views)


def _all_views(result: EvalResult) -> tuple[View, ...]:
    return tuple(dict.fromkeys(view for task in result.tasks.values() for view in task.scores))


def _baseline_column(name: str, baseline: EvalResult) -> Column:
    view = baseline.views[0] if baseline.views else None
    return Column(
        label=name,
        baseline=name,
        view=None if view is None else _vectors(view),
        n_bytes=None if view is None else _bytes(view),
    )


def _label(view: View) -> str:
    return str(view.dim) if view.precision == "float32" else str(view)


def _vectors(view: View) -> View | None:
    return None if view.precision == "text" else view


def _bytes(view: View) -> int | None:
    return None if view.precision == "text" else view.n_bytes
