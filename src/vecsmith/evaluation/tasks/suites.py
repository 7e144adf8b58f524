"""Choices of sets: the named groups that averages are quoted for, and all sets of a language.

The one rule: a group counts only when it is whole, every task of the very rows that count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from vecsmith.evaluation.tasks.languages import is_of
from vecsmith.evaluation.tasks.settings import Values
from vecsmith.evaluation.tasks.source import TaskSource, has_column
from vecsmith.evaluation.tasks.splits import OF_STSB

# The groups by name: their tasks, and the hash of what each asks. It is of the public sets' test
# rows, under the kind's first metric: a user's own folder named "cr", dev rows, or sts12 with all
# its pairs have another.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "STS": {
        "stsb": "8a96b9febe030f5e5ab0972f4a1d73a2",
        "sts12": "b77a160a9199c8e6fdb07d80d20db456",
        "sts13": "888a41e31e870888a7597185bfc0fd70",
        "sts14": "7fd22a267fc19c17b37ab5a339782934",
        "sts15": "c958fb75ba21020978b79c8da9b573a6",
    },
    "RET": {
        "scifact": "4175a0c393aba6b6a6b9c0202536128d",
        "cranfield": "e9f90beef8c047efa60b319b2227e59f",
        "med": "f40f3ff46d6085bf867131d129898558",
        "trecqa": "20f4e5f0122d1130ba631f7a80cf33fc",
        "xquad[en]": "68d308407b65d479d5be6bc03ab3e9bb",
    },
    "CLS": {
        "banking77": "888d9bde9b42ef4ce6649c331ccae99d",
        "sst2": "2e247101ef57bd83d2dca54803090711",
        "cr": "51a8e59a94803a70599d3f0006760e46",
        "hwu64": "0e8ccfaae9e56a78e9a7da98a0b8522e",
        "subj": "db952f795e39a22bcfb7229fa382dbb1",
    },
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
    def data_hash(self) -> str:
        """Of what was asked."""
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
            tasks=tuple(name for names in GROUPS.values() for name in names),
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
    """Names of tasks by named group, of the groups whose every task is there, of the right rows.

    A group's average is held against those that others quote, so it must be of the same rows.
    """
    there = {task.name: task.data_hash for task in tasks}
    return {
        group: tuple(hashes) for group, hashes in GROUPS.items() if hashes.items() <= there.items()
    }
