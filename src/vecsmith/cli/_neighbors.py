"""What models return for queries, in words: texts are read back from where the run found them.

The one rule: a text is shown only beside figures of that very text; where the set has changed or
has gone, the reader is told so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vecsmith.evaluation.tasks.source import TaskSource
    from vecsmith.evaluation.tasks.splits import Asked as Split
    from vecsmith.evaluation.tasks.task import RetrievalData
    from vecsmith.reporting.report import Neighbor, NeighborList
    from vecsmith.results import EvalResult

MAX_QUERIES = 12
_MAX_DOCUMENTS = 5
_MAX_PER_TASK = 3  # while other sets still have queries to show
_MAX_LETTERS = 2000  # kept of a text

Choice = tuple[str, int]  # a task, and the place of an item in it


def read_neighbors(
    models: Mapping[str, EvalResult],
    *,
    words: Sequence[str] = (),
    folders: Sequence[Path] = (),
) -> tuple[list[NeighborList], str]:
    """What `models` return for some queries, and what could not be shown and why.

    Args:
        models: Results by letter, at least two; by the first two it is decided on which queries
            models differ most.
        words: Parts of the queries to show; those on which the models differ most if none.
        folders: Where the sets are now; where the first run found them if none.
    """
    first, second = list(models.values())[:2]
    names = [name for name in first.tasks if _is_shown(name, list(models.values()))]
    if not names:
        return [], "These models have run no retrieval set on the same texts."
    chosen = [] if words else most_different(first, second, names)
    wanted = names if words else sorted({name for name, _ in chosen})
    found: dict[Choice, NeighborList] = {}
    matched: list[Choice] = []
    missing: list[str] = []
    for name, texts in _texts(first, wanted, folders, missing):
        lists = _Lists(name, texts, models)
        if words:
            matched += [(name, item) for item in lists.items_with(words)]
        for choice in [*chosen, *matched]:
            if choice[0] == name and choice not in found and len(found) < 4 * MAX_QUERIES:
                found[choice] = lists.of_item(choice[1])
    if words and not found and not missing:
        missing.append(f"No query of {', '.join(names)} has these words: {'; '.join(words)}.")
    shown = [found[choice] for choice in (matched if words else chosen) if choice in found]
    return shown, " ".join(missing)


def most_different(first: EvalResult, second: EvalResult, names: Sequence[str]) -> list[Choice]:
    """Items on which two results differ most: half of them won by each, from many sets."""
    sides: list[list[tuple[float, str, int]]] = [[], []]
    for name in names:
        gains = first.tasks[name].scores_of().items - second.tasks[name].scores_of().items
        for side, sign in zip(sides, (1, -1), strict=True):
            best = np.argsort(-sign * gains, kind="stable")[: 2 * MAX_QUERIES]
            side += [(-sign * gains[i], name, int(i)) for i in best if sign * gains[i] > 0]
    ranked = [[(name, item) for _, name, item in sorted(side)] for side in sides]
    halves = [_spread(side, MAX_QUERIES // 2) for side in ranked]
    return [choice for half in halves for choice in half]


def _spread(choices: Sequence[Choice], n_choices: int) -> list[Choice]:
    """The first choices, of any one task only a few while there are others."""
    counts: dict[str, int] = {}
    early: list[Choice] = []
    late: list[Choice] = []
    for choice in choices:
        counts[choice[0]] = counts.get(choice[0], 0) + 1
        (early if counts[choice[0]] <= _MAX_PER_TASK else late).append(choice)
    return [*early, *late][:n_choices]


def _is_shown(name: str, results: Sequence[EvalResult]) -> bool:
    """Whether all results have neighbors of a task, on the same texts."""
    tasks = [result.tasks.get(name) for result in results]
    return all(
        task is not None
        and task.neighbors is not None
        and tasks[0] is not None
        and task.data_hash == tasks[0].data_hash
        and task.n_items == tasks[0].n_items
        for task in tasks
    )


# Reading texts back


def _texts(
    result: EvalResult, names: Sequence[str], folders: Sequence[Path], missing: list[str]
) -> Iterator[tuple[str, RetrievalData]]:
    """The texts of tasks as they are on disk now; appends to `missing` why others are not."""
    from vecsmith.errors import VecsmithError
    from vecsmith.evaluation.tasks import find_tasks

    places = [str(folder) for folder in folders] or _folders_of(result)
    if not places:
        missing.append("The run does not say where its sets are: name the folder with --tasks.")
        return
    try:
        sources = {source.set: source for source in find_tasks(places)}
    except (VecsmithError, OSError, ValueError) as error:
        missing.append(f"The sets could not be read back ({error}): name the folder with --tasks.")
        return
    for name in names:
        try:
            texts = _read(result, name, sources)
        except (VecsmithError, OSError, ValueError, ImportError) as error:
            missing.append(f"{name} could not be read back ({error}).")
            continue
        if texts is None:
            missing.append(f"{name} is not in {', '.join(places)} any more, or its texts differ.")
        else:
            yield name, texts


def _folders_of(result: EvalResult) -> list[str]:
    folders: Any = result.settings.get("tasks")
    if not isinstance(folders, list | tuple):
        return []
    return [folder for folder in folders if isinstance(folder, str) and os.path.isabs(folder)]


def _read(result: EvalResult, name: str, sources: Mapping[str, TaskSource]) -> RetrievalData | None:
    """The texts of the task of that name, if they are the very ones that were scored."""
    from vecsmith.evaluation.tasks.suites import SUITES
    from vecsmith.evaluation.tasks.task import RetrievalData

    record = result.tasks[name]
    if record.set not in sources:
        return None
    suite = SUITES.get(str(result.settings.get("suite")))
    split: Split = "dev" if result.settings.get("split") == "dev" else "test"
    languages = [record.language] if record.language and name != record.set else None
    source = sources[record.set]
    for chosen in suite.select([source]) if suite else [source]:
        for task in chosen.load(split, languages):
            if task.name == name and task.data_hash == record.data_hash:
                return task.data if isinstance(task.data, RetrievalData) else None
    return None


class _Lists:
    """Queries of one task, and what each model returns for them."""

    def __init__(self, name: str, texts: RetrievalData, models: Mapping[str, EvalResult]) -> None:
        self._name, self._texts, self._models = name, texts, models
        good = texts.relevance > 0
        queries, documents = texts.judged_queries[good], texts.judged_documents[good]
        self._relevant = set(zip(queries.tolist(), documents.tolist(), strict=True))
        # items are those of the queries with a relevant document, in the order of the queries
        self._queries = np.unique(queries).tolist()

    def items_with(self, words: Sequence[str]) -> list[int]:
        """Items whose query holds some of the words, as they are or in other case."""
        folded = [part.casefold() for part in words]
        return [
            item
            for item, query in enumerate(self._queries)
            if any(part in self._texts.queries[query].casefold() for part in folded)
        ]

    def of_item(self, item: int) -> NeighborList:
        """What the models return for the query of an item."""
        from vecsmith.reporting.report import NeighborList

        query = self._queries[item]
        tasks = {letter: result.tasks[self._name] for letter, result in self._models.items()}
        return NeighborList(
            task=self._name,
            query=self._texts.queries[query][:_MAX_LETTERS],
            n_relevant=sum(asked == query for asked, _ in self._relevant),
            scores={letter: float(task.scores_of().items[item]) for letter, task in tasks.items()},
            found={
                letter: tuple(self._documents(query, task.neighbors))
                for letter, task in tasks.items()
            },
        )

    def _documents(self, query: int, neighbors: NDArray[np.int32] | None) -> Iterator[Neighbor]:
        from vecsmith.reporting.report import Neighbor

        places = [] if neighbors is None else neighbors[query, :_MAX_DOCUMENTS].tolist()
        for place in places:
            if 0 <= place < len(self._texts.documents):
                yield Neighbor(
                    text=self._texts.documents[place][:_MAX_LETTERS],
                    is_relevant=(query, place) in self._relevant,
                )
