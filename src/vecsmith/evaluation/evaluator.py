"""Runs models on tasks and writes what came of it, so that nothing is computed twice.

The one rule: a finished task is on disk before the next begins; what is asked again and has not
changed is read, not run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np

from vecsmith import __version__
from vecsmith._machine import machine, versions
from vecsmith._progress import Advance, progress_bar
from vecsmith._typing import Encoder, PathLike
from vecsmith.evaluation.contender import (
    Contender,
    LexicalBaseline,
    LexicalContender,
    VectorContender,
)
from vecsmith.evaluation.embedding_cache import EmbeddingCache
from vecsmith.evaluation.scoring import (
    UNITS,
    check_metric,
    columns_of,
    gold_of,
    statistic_of,
)
from vecsmith.evaluation.speed import measure_speeds
from vecsmith.evaluation.tasks.finder import TaskSource, find_tasks
from vecsmith.evaluation.tasks.suites import Suite, complete_groups, find_suite
from vecsmith.evaluation.tasks.task import BitextData, Task
from vecsmith.results import EvalResult, Precision, SpeedResult, TaskResult
from vecsmith.results.ownership import Owner
from vecsmith.results.store import RunStore

Split = Literal["test", "dev"]

# Raised whenever the same vectors would score otherwise: older records are then run again
SCORING_VERSION = 3
_PRECISIONS = ("float32", "float16", "int8", "binary")
# Whose versions a figure may depend on
_PACKAGES = ("numpy", "scikit-learn", "scipy", "bm25s", "torch", "transformers")
# A static model does these in a tenth of a second; a slow one sees a part of them
_SPEED_TEXTS = 20_000
_SPEED_TEXTS_PER_TASK = 2_000


def evaluate(
    model: Encoder | LexicalBaseline,
    tasks: PathLike | Sequence[PathLike],
    *,
    suite: str | Suite | None = None,
    dims: Sequence[int] | None = None,
    precisions: Sequence[Precision] = ("float32",),
    split: Split = "test",
    languages: Sequence[str] | None = None,
    baselines: Mapping[str, Encoder | LexicalBaseline] | None = None,
    name: str | None = None,
    out: PathLike | None = None,
    restart: bool = False,
    cache: EmbeddingCache | PathLike | None = None,
    measure_speed: bool = True,
    show_progress_bar: bool = False,
) -> EvalResult:
    """Scores of a model on tasks, by dimension and precision, with all that a comparison needs.

    Each text is encoded once; prefixes and precisions are made from that vector (prefix, then
    unit length if the model's vectors have it, then rounding).

    Example:
        >>> result = evaluate(model, "my-tasks/", dims=[256, 64])
        >>> print(result.table())

    Args:
        model: Anything with `encode(texts) -> array`, or a baseline on words such as `Bm25()`.
        tasks: Folder of sets, or one set, or several; see the guide to evaluation sets.
        suite: Name of a choice of sets, as in "english", or one made by hand; None for all.
        dims: Prefix lengths; None for all dims. The first, the longest, stands for the model.
        precisions: What each prefix is stored in: "float32", "float16", "int8", "binary".
        split: "test", or "dev" to choose by: then no test row is read.
        languages: Codes; other languages are left out. None for all.
        baselines: What the model is held against, by name, on the same tasks with all its dims.
        name: The model's name as shown; its own, or its class, when None.
        out: Run folder. Tasks are written as they finish; those there that have not changed are
            not run again. It needs a model with a `fingerprint`, as ours have.
        restart: Whether the run in `out`, of this or another model, is given up for a new one.
        cache: Folder, or cache, for the vectors of slow encoders with a `fingerprint`.
        measure_speed: Whether texts a second and memory are measured, on texts of the tasks.
        show_progress_bar: Whether to show a bar on a terminal.

    Raises:
        FormatError: If a set is broken (file and row are named), or `out` is no run folder.
        FileExistsError: If `out` holds another model's run, or is a folder of something else.
        ValueError: If there is nothing to score, or `dims` do not fit the model.
        MissingExtraError: If the extra `eval` is not installed.
    """
    _check_views(dims, precisions)
    sources, suite_name = _choose(tasks, suite)
    if cache is not None and not isinstance(cache, EmbeddingCache):
        cache = EmbeddingCache(cache)
    contenders = [_contender(model, name, dims, precisions, cache)]
    if baselines is not None and not isinstance(baselines, Mapping):
        raise TypeError(
            f"baselines is of type {type(baselines).__name__}, expected models by name, as in "
            '{"bm25": Bm25()}'
        )
    for label, baseline in (baselines or {}).items():
        contenders.append(_contender(baseline, label, None, ("float32",), cache))
    _check_names(contenders)
    store = _store(out, contenders[0], restart=restart)
    run = _Run(contenders, store, measure_speed=measure_speed)
    skipped: dict[str, str] = {}
    settings = {
        "tasks": [str(Path(folder).resolve()) for folder in _folders(tasks)],
        "suite": suite_name,
        "dims": None if dims is None else sorted(set(dims), reverse=True),
        "precisions": list(precisions),
        "split": split,
        "languages": None if languages is None else list(languages),
        "skipped": skipped,
    }
    with progress_bar("evaluating", total=len(sources), show=show_progress_bar) as advance:
        for source in sources:
            n_before = len(run.tasks)
            for task in source.load(split, languages):
                advance(0, task.name)
                run.add(task, advance)
            if len(run.tasks) == n_before:
                skipped[source.set] = source.why_skipped(split, languages) or "nothing to score"
            advance(1, source.set)
    if not run.tasks:
        raise ValueError(_nothing(settings))
    return run.finish(settings)


class _Run:
    """What has been found so far, in memory and on disk."""

    def __init__(
        self, contenders: Sequence[Contender], store: RunStore | None, *, measure_speed: bool
    ) -> None:
        self._contenders = contenders
        self._store = store
        self._measures_speed = measure_speed
        self._results: list[dict[str, TaskResult]] = [{} for _ in contenders]
        self._sample: list[str] = []
        self._machine = machine()
        self._versions = {"vecsmith": __version__, **versions(_PACKAGES)}
        self.tasks: list[Task] = []

    def add(self, task: Task, advance: Advance) -> None:
        """Runs all contenders on `task`, or reads what they did; a bar says how far they are."""
        check_metric(task)
        if any(task.name == other.name for other in self.tasks):
            raise ValueError(
                f"two tasks are called {task.name}, expected each name once: rename a folder"
            )
        self.tasks.append(_without_texts(task))
        if self._measures_speed:
            self._sample += _sample(task)
        for contender, store, results in zip(
            self._contenders, self._stores(), self._results, strict=True
        ):
            key = _key(contender, task)
            found = store.find(key) if store and key else None
            if found is None:
                found = self._score(contender, task, key, advance)
                if found is not None and store:
                    store.add(found)
            if found is not None:
                results[task.name] = found

    def _stores(self) -> list[RunStore | None]:
        if self._store is None:
            return [None] * len(self._contenders)
        names = [contender.name for contender in self._contenders[1:]]
        return [self._store, *(self._store.baseline(name) for name in names)]

    def finish(self, settings: Mapping[str, Any]) -> EvalResult:
        """The record of the run, written if there is a folder for it."""
        speeds = self._speeds()
        groups = complete_groups(self.tasks)
        date, run = _now(), uuid4().hex
        model, *baselines = (
            EvalResult(
                model=contender.name,
                fingerprint=contender.fingerprint,
                tasks=results,
                groups=groups,
                settings=settings,
                speed=speeds.get(contender.name, SpeedResult()),
                machine=self._machine,
                versions=self._versions,
                date=date,
                run=run,
            )
            for contender, results in zip(self._contenders, self._results, strict=True)
        )
        result = replace(model, baselines={other.model: other for other in baselines})
        if self._store is not None:
            result = replace(result, dropped=self._store.finish(result))
        return result

    def _score(
        self, contender: Contender, task: Task, key: str, advance: Advance
    ) -> TaskResult | None:
        # in the text of the one bar: a second would be drawn over it
        outcome = contender.run(task, lambda detail: advance(0, f"{task.name}: {detail}"))
        if outcome is None:
            return None
        return TaskResult(
            name=task.name,
            set=task.set,
            kind=task.kind,
            language=task.language,
            split=task.split,
            metric=task.metric,
            statistic=statistic_of(task),
            unit=UNITS[task.kind],
            scores=outcome.scores,
            gold=gold_of(task),
            counts=task.counts,
            notes=task.notes,
            seconds=outcome.seconds,
            data_hash=task.data_hash,
            key=key,
            neighbors=outcome.neighbors,
            fingerprint=contender.fingerprint,
            versions=self._versions,
            machine=self._machine,
            date=_now(),
            license=task.license,
            source=task.source,
        )

    def _speeds(self) -> Mapping[str, SpeedResult]:
        encoders = {c.name: c.encoder for c in self._contenders if isinstance(c, VectorContender)}
        if not encoders or not self._sample:
            return {}
        generator = np.random.default_rng(0)
        n_texts = min(_SPEED_TEXTS, len(self._sample))
        chosen = generator.choice(len(self._sample), n_texts, replace=False)
        return measure_speeds(encoders, [self._sample[place] for place in chosen])


def _check_views(dims: Any, precisions: Sequence[str]) -> None:
    if isinstance(precisions, str) or not precisions or set(precisions) - set(_PRECISIONS):
        raise ValueError(f"precisions is {precisions!r}, expected some of {list(_PRECISIONS)}")
    if dims is None:
        return
    whole = isinstance(dims, Sequence) and all(isinstance(dim, int | np.integer) for dim in dims)
    if not whole or not len(dims) or min(dims) < 1:
        raise ValueError(f"dims is {dims!r}, expected prefix lengths of 1 or more, as in [256, 64]")


def _check_names(contenders: Sequence[Contender]) -> None:
    names = [contender.name for contender in contenders]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"two models are called {twice[0]!r}, expected each name once: pass name=... or call "
            "the baseline something else"
        )


def _store(out: PathLike | None, contender: Contender, *, restart: bool) -> RunStore | None:
    """The run folder, which must be of that model or of none."""
    if out is None:
        if restart:
            raise ValueError("restart is True and out is None, expected the folder of the run")
        return None
    return RunStore(out, owner=Owner(contender.name, contender.fingerprint), restart=restart)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _contender(
    model: Encoder | LexicalBaseline,
    name: str | None,
    dims: Sequence[int] | None,
    precisions: Sequence[Precision],
    cache: EmbeddingCache | None,
) -> Contender:
    name = name or getattr(model, "name", None) or type(model).__name__
    if isinstance(model, str | bytes | os.PathLike):
        raise TypeError(
            f"the model is {model!r:.80}, expected an object with encode(texts), such as "
            f"StaticModel.from_pretrained({model!r:.80})"
        )
    if isinstance(model, Encoder):
        return VectorContender(model, name=name, dims=dims, precisions=precisions, cache=cache)
    if isinstance(model, LexicalBaseline):
        return LexicalContender(model, name=name)
    raise TypeError(
        f"{name} is of type {type(model).__name__}, expected an object with encode(texts)"
    )


def _key(contender: Contender, task: Task) -> str:
    """Hash of all that decides the figures; "" for a contender that has no fingerprint."""
    if not contender.fingerprint:
        return ""
    parts = {
        "scoring": SCORING_VERSION,
        "model": contender.fingerprint,
        "asked": contender.asked(),
        "task": [task.name, task.kind, task.language, task.split, task.metric, task.data_hash],
        "versions": versions(["numpy", "scipy", "scikit-learn"]),
    }
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _choose(
    tasks: PathLike | Sequence[PathLike], suite: str | Suite | None
) -> tuple[list[TaskSource], str | None]:
    sources = find_tasks(tasks)
    if suite is None:
        return sources, None
    chosen = find_suite(suite) if isinstance(suite, str) else suite
    return chosen.select(sources), chosen.name


def _folders(tasks: PathLike | Sequence[PathLike]) -> list[PathLike]:
    return [tasks] if isinstance(tasks, str | os.PathLike) else list(tasks)


def _nothing(settings: Mapping[str, Any]) -> str:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in settings["skipped"].items())
    asked = [f"{key} {settings[key]}" for key in ("suite", "split", "languages") if settings[key]]
    where = ", ".join(settings["tasks"])
    return (
        f"nothing to score in {where} ({', '.join(asked)}), expected folders of sets as in the "
        "guide to evaluation sets" + (f"; left out: {reasons}" if reasons else "")
    )


def _sample(task: Task) -> list[str]:
    """Texts of every column of `task`, evenly spread, for the measure of speed."""
    sample: list[str] = []
    columns = columns_of(task)
    for column in columns.values():
        step = max(1, len(column.texts) * len(columns) // _SPEED_TEXTS_PER_TASK)
        sample += column.texts[::step]
    return sample


def _without_texts(task: Task) -> Task:
    """`task` with nothing in it that takes room."""
    return replace(task, data=BitextData(sources=[], targets=[]))
