"""Runs with plausible items: models of known quality on the same tasks, seeded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.results import EvalResult, Kind, Scores, SpeedResult, Statistic, TaskResult, View
from vecsmith.results.statistics import value

VIEWS = tuple(View(dim) for dim in (256, 128, 64, 32))
_LOSS = {"float32": 0.0, "float16": 0.001, "int8": 0.01, "binary": 0.15, "text": 0.0}
_METRICS: Mapping[Kind, tuple[str, Statistic, str]] = {
    "similarity": ("spearman_cosine", "spearman", "pairs"),
    "retrieval": ("ndcg@10", "mean", "queries"),
    "classification": ("accuracy", "mean", "texts"),
    "pair-classification": ("average_precision", "average_precision", "pairs"),
    "triplets": ("accuracy", "mean", "triplets"),
    "clustering": ("v_measure", "mean", "draws"),
    "bitext": ("f1", "mean", "sentences"),
}
ENGLISH: tuple[tuple[str, Kind, str | None, int], ...] = (
    ("stsb", "similarity", "en", 400),
    ("sts12", "similarity", "en", 500),
    ("sts13", "similarity", "en", 300),
    ("scifact", "retrieval", "en", 150),
    ("cranfield", "retrieval", "en", 180),
    ("banking77", "classification", "en", 400),
    ("sst2", "classification", "en", 500),
    ("mrpc", "pair-classification", "en", 300),
    ("xnli/triplets", "triplets", "en", 400),
    ("newsgroups", "clustering", "en", 10),
)
GROUPS = {
    "STS": ("stsb", "sts12", "sts13"),
    "RET": ("scifact", "cranfield"),
    "CLS": ("banking77", "sst2"),
}

RunMaker = Callable[..., EvalResult]


def make_task(
    name: str,
    kind: Kind,
    language: str | None,
    n_items: int,
    *,
    quality: float,
    seed: int,
    views: Sequence[View] = VIEWS,
    notes: tuple[str, ...] = (),
) -> TaskResult:
    """What a model of `quality` (0 to 1) does on a task; items are hard for all models alike."""
    common = np.random.default_rng(sum(map(ord, name)) + n_items)
    own = np.random.default_rng([seed, sum(map(ord, name))])
    metric, statistic, unit = _METRICS[kind]
    gold, hardness = common.uniform(0, 5, n_items).round(1), common.standard_normal(n_items)
    if statistic == "average_precision":
        gold = (gold > 3).astype(np.float64)
    luck = 0.6 * own.standard_normal(n_items)
    scores = {}
    for view in views:
        share = quality * (1 - 0.25 * np.exp(-view.dim / 64) if view.dim else 1.0)
        share -= _LOSS[view.precision]
        items = _items(kind, share, hardness + luck, gold)
        gold_used = gold if statistic != "mean" else None
        figure = value(items, gold_used, statistic)
        scores[view] = Scores(figures={metric: figure, "other": 0.5}, items=items)
    return TaskResult(
        name=name,
        set=name.split("[")[0],
        kind=kind,
        language=language,
        split="test",
        metric=metric,
        statistic=statistic,
        unit=unit,
        scores=scores,
        gold=gold if statistic != "mean" else None,
        counts={"empty texts": 0},
        notes=notes,
        data_hash=f"data of {name}",
        key=f"{name} {quality} {seed}",
        neighbors=np.zeros((n_items, 10), np.int32) if kind == "retrieval" else None,
    )


def _items(
    kind: Kind, share: float, hardness: NDArray[np.float64], gold: NDArray[np.float64]
) -> NDArray[np.float64]:
    threshold = 4 * (share - 0.5)
    values: NDArray[np.float64]
    if kind in ("similarity", "pair-classification"):
        values = gold * share + (1.6 - share) * hardness
        return values
    if kind == "retrieval":
        gains = np.array([1.0, 0.631, 0.5, 0.431, 0.0])
        ranks = np.clip((hardness - threshold + 1) * 1.6, 0, 4).astype(int)
        values = gains[ranks]
        return values
    if kind == "classification":
        values = np.clip(np.round(5 * (threshold + 1.2 - hardness)), 0, 5) / 5
        return values
    if kind == "clustering":
        values = np.clip(share - 0.05 * hardness, 0, 1)
        return values
    values = (hardness < threshold + 1).astype(np.float64)
    return values


def make_run(
    model: str = "minilm-256",
    quality: float = 0.6,
    *,
    seed: int = 1,
    sets: Sequence[tuple[str, Kind, str | None, int]] = ENGLISH,
    views: Sequence[View] = VIEWS,
    groups: Mapping[str, tuple[str, ...]] = GROUPS,
    rate: float | None = 150_000.0,
    model_bytes: int | None = 31_000_000,
    baselines: Sequence[EvalResult] = (),
    notes: tuple[str, ...] = (),
) -> EvalResult:
    """A finished run."""
    tasks = [
        make_task(*each, quality=quality, seed=seed, views=views, notes=notes) for each in sets
    ]
    names = {task.name for task in tasks}
    return EvalResult(
        model=model,
        fingerprint=f"{abs(seed):064x}",
        tasks={task.name: task for task in tasks},
        groups={name: members for name, members in groups.items() if names >= set(members)},
        settings={
            "dims": [256, 128],
            "precisions": ["float32"],
            "split": "test",
            "tasks": ["sets"],
        },
        speed=SpeedResult(
            texts_per_second=rate,
            n_texts=1000,
            turns=(rate, rate) if rate else (),
            model_bytes=model_bytes,
            peak_bytes=250_000_000 if rate else None,
        ),
        machine={"cpu": "Some Processor", "cores": 2, "memory_gib": 8.0, "system": "Linux"},
        versions={"numpy": "2.4.6", "vecsmith": "0.1.0"},
        date="2026-01-02T03:04:05+00:00",
        run="1" * 32,
        baselines={other.model: other for other in baselines},
    )


def make_baselines(sets: Sequence[tuple[str, Kind, str | None, int]] = ENGLISH) -> list[EvalResult]:
    """A teacher, and a baseline on words that cannot do everything."""
    teacher = make_run(
        "all-MiniLM-L6-v2", 0.75, seed=7, sets=sets, views=(View(384),), rate=130.0,
        model_bytes=90_900_000,
    )  # fmt: skip
    able = [each for each in sets if each[1] in ("retrieval", "classification")]
    words = make_run(
        "bm25", 0.55, seed=8, sets=able, views=(View(0, "text"),), rate=None, model_bytes=None
    )
    return [teacher, words]


@pytest.fixture(scope="session")
def pair() -> tuple[EvalResult, EvalResult]:
    """A run, and one that is clearly worse on all but classification."""
    baselines = make_baselines()
    better = make_run("minilm-256", 0.62, seed=1, baselines=baselines)
    worse = make_run("other", 0.55, seed=2, rate=140_000.0, baselines=baselines)
    like = {name: task for name, task in better.tasks.items() if task.kind == "classification"}
    return better, replace(worse, tasks={**worse.tasks, **like})


LANGUAGES = "en de es fr ru zh tr vi ar bg el hi ko th ur".split()
_MULTILINGUAL_SETS: tuple[tuple[str, Kind], ...] = (
    ("xquad", "retrieval"),
    ("xnli/triplets", "triplets"),
    ("pawsx", "pair-classification"),
    ("긴-한국어-세트-이름/مجموعة", "bitext"),
)
MULTILINGUAL: tuple[tuple[str, Kind, str | None, int], ...] = tuple(
    (f"{name}[{language}]", kind, language, 60)
    for name, kind in _MULTILINGUAL_SETS
    for language in LANGUAGES
)
make_multilingual = partial(make_run, sets=MULTILINGUAL, groups={})
