"""Records made by hand, with known figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vecsmith.results import EvalResult, Kind, Scores, SpeedResult, TaskResult, View

FULL, SHORT = View(256), View(64)


def make_task(
    name: str = "trec",
    items: Sequence[float] | NDArray[np.float64] = (1.0, 0.5, 0.0, 0.5),
    *,
    kind: Kind = "retrieval",
    language: str | None = None,
    views: Sequence[View] = (FULL, SHORT),
    key: str = "k",
    data_hash: str = "d",
    notes: tuple[str, ...] = (),
    fingerprint: str = "f" * 64,
) -> TaskResult:
    """A task whose metric is the mean of `items`, and ten per cent less under each later view."""
    scores = {}
    for place, view in enumerate(views):
        column = np.array(items, np.float64) * 0.9**place
        scores[view] = Scores(figures={"ndcg@10": float(column.mean()), "map": 0.25}, items=column)
    return TaskResult(
        name=name,
        set=name.split("[")[0],
        kind=kind,
        language=language,
        split="test",
        metric="ndcg@10",
        statistic="mean",
        unit="queries",
        scores=scores,
        counts={"documents": 9},
        notes=notes,
        seconds={"encode": 0.1, "score": 0.02},
        data_hash=data_hash,
        key=f"{name} {key}" if key else "",
        neighbors=np.array([[2, 1], [0, -1], [1, 2], [2, 0]], np.int32),
        fingerprint=fingerprint,
        versions={"numpy": "1.26.0", "absent": None},
        machine={"cpu": "y", "cores": 4},
        date="2025-12-31T23:59:59+00:00",
        license="CC-BY-4.0",
        source="https://example.org/trec",
    )


def make_sts(
    name: str = "stsb",
    *,
    n_items: int = 40,
    noise: float = 0.5,
    seed: int = 0,
    views: Sequence[View] = (FULL, SHORT),
    key: str = "k",
) -> TaskResult:
    """A similarity task; the more `noise`, the less the similarities say about the gold."""
    from scipy.stats import spearmanr

    gold = np.random.default_rng(99).uniform(0, 5, n_items).round(1)
    scores = {}
    for place, view in enumerate(views):
        spread = noise * (1 + place)
        items = gold + spread * np.random.default_rng(seed + place).standard_normal(n_items)
        scores[view] = Scores(
            figures={"spearman_cosine": float(spearmanr(items, gold).statistic)}, items=items
        )
    return TaskResult(
        name=name,
        set=name.split("[")[0],
        kind="similarity",
        language=None,
        split="test",
        metric="spearman_cosine",
        statistic="spearman",
        unit="pairs",
        scores=scores,
        gold=gold,
        data_hash="d",
        key=f"{name} {key}" if key else "",
    )


def make_result(
    *tasks: TaskResult,
    model: str = "minilm-256",
    groups: dict[str, tuple[str, ...]] | None = None,
    baselines: dict[str, EvalResult] | None = None,
) -> EvalResult:
    """A result of `tasks`."""
    return EvalResult(
        model=model,
        fingerprint="f" * 64,
        tasks={task.name: task for task in tasks},
        groups=groups or {},
        settings={"dims": [256, 64], "precisions": ["float32"], "split": "test", "seed": 0},
        speed=SpeedResult(
            texts_per_second=1234.5,
            n_texts=100,
            turns=(1200.0, 1234.5, 1300.25),
            model_bytes=30_000_000,
            peak_bytes=None,
        ),
        machine={"cpu": "x", "cores": 2, "flags": ["avx2"]},
        versions={"numpy": "2.0.0", "absent": None},
        date="2026-01-02T03:04:05+00:00",
        run="0" * 32,
        baselines=baselines or {},
    )
