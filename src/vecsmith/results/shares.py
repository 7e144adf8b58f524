"""What each view of a model keeps of its baselines, as a table shows it.

The one rule: a mean over a part of the tasks is never taken for one over all. A baseline that
lacks tasks is held against on those it has, and a note says so; one with nothing to keep is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vecsmith.results.averages import group_selections
from vecsmith.results.matching import match_tasks
from vecsmith.results.records import View
from vecsmith.results.retention import GROUPS, Ratio, Retention, retention_of

if TYPE_CHECKING:
    from vecsmith.results.result import EvalResult

_MOST_NAMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareKept:
    """What is kept of one baseline.

    Attributes:
        baseline: Its name.
        over: What the mean is over, in words.
        tasks: Names of the tasks it is over.
        ratios: By view shown, None where there is none.
        note: Why it is partial, or why there is no ratio at all; "" mostly.
    """

    baseline: str
    over: str = ""
    tasks: tuple[str, ...] = ()
    ratios: tuple[Ratio | None, ...] = ()
    note: str = ""


def shares_kept(result: EvalResult, views: Sequence[View]) -> Iterator[ShareKept]:
    """What each of the views keeps of each baseline."""
    if result.tasks:
        for name, baseline in result.baselines.items():
            yield _share(name, result, baseline, views)


def _share(name: str, result: EvalResult, baseline: EvalResult, views: Sequence[View]) -> ShareKept:
    whole = [view for view in views if all(view in task.scores for task in result.tasks.values())]
    matching = match_tasks(result, baseline)
    if not matching.common:
        reason = f"no task can be compared, {_listed(_left_out(matching.refused, matching.only_a))}"
        return ShareKept(baseline=name, note=f"no retention of {name}: {reason}")
    if not whole:
        return ShareKept(baseline=name, note=f"no retention of {name}: no view has every task")
    kept = {view: retention_of(result, baseline, view) for view in whole}
    first = kept[whole[0]]
    below = _without_ratio(first)
    if below:
        reason = f"its scores on {_listed(below)} are not clearly above zero"
        return ShareKept(baseline=name, note=f"no retention of {name}: {reason}")
    return ShareKept(
        baseline=name,
        over="named groups" if first.mean.name == GROUPS else first.mean.name,
        tasks=_members(result, first),
        ratios=tuple(kept[view].mean if view in kept else None for view in views),
        note=_partial(name, result, first),
    )


def _without_ratio(kept: Retention) -> list[str]:
    """What of the mean has no ratio: the baseline's score is at zero."""
    averaged = kept.groups if kept.mean.name == GROUPS else kept.families
    return [ratio.name for ratio in averaged if ratio.value is None]


def _members(result: EvalResult, kept: Retention) -> tuple[str, ...]:
    common = {ratio.name: result.tasks[ratio.name] for ratio in kept.tasks}
    if kept.mean.name != GROUPS:
        return tuple(common)
    groups = group_selections(common, result.groups)
    return tuple(dict.fromkeys(name for group in groups for name in group.weights))


def _partial(name: str, result: EvalResult, kept: Retention) -> str:
    if not kept.left_out:
        return ""
    left_out = [f"{task} ({reason})" for task, reason in kept.left_out.items()]
    return (
        f"retention of {name} is partial, over {len(kept.tasks)} of {len(result.tasks)} tasks: "
        f"without {_listed(left_out)}"
    )


def _left_out(refused: Mapping[str, str], lacking: Sequence[str]) -> list[str]:
    return [f"{task} ({reason})" for task, reason in refused.items()] + [
        f"{task} (not scored)" for task in lacking
    ]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
