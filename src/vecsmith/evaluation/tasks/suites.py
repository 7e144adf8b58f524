"""Choices of sets: the named groups that averages are quoted for, and all sets of a language.

The one rule: a group counts only when it is whole, with the rows left out that it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from vecsmith.evaluation.tasks.languages import is_of
from vecsmith.evaluation.tasks.settings import METRICS, Values
from vecsmith.evaluation.tasks.source import TaskSource, has_column
from vecsmith.evaluation.tasks.splits import OF_STSB
from vecsmith.results import Kind

# The groups by name: what they ask, and their tasks.
GROUPS: Mapping[str, tuple[Kind, tuple[str, ...]]] = {
    "STS": ("similarity", ("stsb", "sts12", "sts13", "sts14", "sts15")),
    "RET": ("retrieval", ("scifact", "cranfield", "med", "trecqa", "xquad[en]")),
    "CLS": ("classification", ("banking77", "sst2", "cr", "hwu64", "subj")),
}
# STS Benchmark was chosen from the STS tasks: pairs that models train on or are tuned on must go.
_NOT_OF_STSB: Values = {OF_STSB: ("dev", "train")}
EXCLUDED: Mapping[str, Values] = dict.fromkeys(("sts12", "sts13", "sts14", "sts15"), _NOT_OF_STSB)


class Scored(Protocol):
    """What `complete_groups` looks at; a `Task` is one."""

    @property
    def name(self) -> str:
        """Of the task."""
        ...

    @property
    def kind(self) -> Kind:
        """What is asked."""
        ...

    @property
    def metric(self) -> str:
        """The main metric."""
        ...

    @property
    def exclude(self) -> Values:
        """Rows left out."""
        ...

    @property
    def include(self) -> Values:
        """Rows kept, if not all."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A choice among sets, whatever folder they lie in.

    ```python
    >>> french = Suite(name="french", languages=("fr",))

    ```

    Attributes:
        name: As shown.
        tasks: Names of tasks, as in "stsb" or "xquad[en]"; None for all.
        languages: Codes to keep; None for all.
        except_languages: Codes of languages whose tasks are left out.
        exclude: Rows to leave out of a set that has the column: values by column, by set.
    """

    name: str
    tasks: tuple[str, ...] | None = None
    languages: tuple[str, ...] | None = None
    except_languages: tuple[str, ...] = ()
    exclude: Mapping[str, Values] = field(default_factory=dict)

    def select(self, sources: Iterable[TaskSource]) -> list[TaskSource]:
        """The sources chosen, restricted to the languages chosen.

        One whose language is not known is among them, skipped for that reason, where the choice is
        by language.

        Raises:
            FormatError: If a file whose languages must be read is broken.
        """
        return [each for source in sources for each in self._select(source)]

    def _select(self, source: TaskSource) -> Iterator[TaskSource]:
        if source.skipped is None:
            source = self._without_rows(source)
            if self.tasks is not None:
                yield from self._by_name(source, self.tasks)
                return
            by_language = self.languages is not None or bool(self.except_languages)
            if by_language:
                yield from self._by_language(source)
                return
        if self.tasks is None:
            yield source

    def _without_rows(self, source: TaskSource) -> TaskSource:
        filters = self.exclude.get(source.set, {})
        there = {column: each for column, each in filters.items() if has_column(source, column)}
        return source.restricted(exclude=there) if there else source

    def _by_name(self, source: TaskSource, tasks: Sequence[str]) -> Iterator[TaskSource]:
        if source.set in tasks:
            yield source
            return
        languages = [
            name.removeprefix(f"{source.set}[").removesuffix("]")
            for name in tasks
            if name.startswith(f"{source.set}[") and name.endswith("]")
        ]
        if languages:
            yield source.restricted(languages=languages)

    def _by_language(self, source: TaskSource) -> Iterator[TaskSource]:
        found = source.languages()
        if not found:
            reason = 'its language is not known; say it in task.toml, as in language = "en"'
            yield replace(source, kind=None, skipped=reason)
            return
        kept = [code for code in found if self._keeps(code)]
        if kept:
            yield source.restricted(languages=kept)

    def _keeps(self, code: str) -> bool:
        wanted = self.languages is None or is_of(code, self.languages)
        return wanted and not is_of(code, self.except_languages)


SUITES: Mapping[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            name="groups",
            tasks=tuple(name for _, names in GROUPS.values() for name in names),
            exclude=EXCLUDED,
        ),
        Suite(name="english", languages=("en",), exclude=EXCLUDED),
        Suite(name="multilingual", except_languages=("en",)),
        Suite(name="korean", languages=("ko",)),
    )
}


def find_suite(name: str) -> Suite:
    """The suite of that name: "groups", "english", "multilingual" or "korean".

    Raises:
        ValueError: If there is none.
    """
    if name not in SUITES:
        raise ValueError(f"suite is {name!r}, expected one of {', '.join(SUITES)}")
    return SUITES[name]


def complete_groups(tasks: Iterable[Scored]) -> dict[str, tuple[str, ...]]:
    """Names of tasks by named group, of those groups whose every task is there as it must be.

    A task is as it must be when it is of the group's kind and under the kind's first metric, and
    the rows are left out, all and only, that the group leaves out.
    """
    there = {task.name: task for task in tasks}
    return {
        group: names
        for group, (kind, names) in GROUPS.items()
        if all(name in there and _is_as_grouped(there[name], kind) for name in names)
    }


def _is_as_grouped(task: Scored, kind: Kind) -> bool:
    excluded = dict(task.exclude) == dict(EXCLUDED.get(task.name, {})) and not task.include
    return task.kind == kind and task.metric == METRICS[kind][0] and excluded
