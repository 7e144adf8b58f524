"""What an evaluation found: figures of every task by view, and the items they come from.

The one rule: a record holds all that a comparison needs; nobody has to encode a text again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal[
    "similarity",
    "retrieval",
    "classification",
    "pair-classification",
    "triplets",
    "clustering",
    "bitext",
]
Precision = Literal["float32", "float16", "int8", "binary", "text"]
Statistic = Literal["mean", "spearman", "pearson", "average_precision"]

_BITS = {"float32": 32, "float16": 16, "int8": 8, "binary": 1, "text": 0}
# What is larger is no score, and sums and squares of it would leave the range of float64
_LARGEST = 1e100


@dataclass(frozen=True, slots=True, order=True)
class View:
    """One way to keep vectors: a prefix of so many dims, in numbers of so many bits.

    Attributes:
        dim: Length of the prefix; 0 for a baseline that works on words, not on vectors.
        precision: What a number is stored in; "text" for such a baseline.

    Raises:
        ValueError: If the precision is unknown, or `dim` is below 0.
    """

    dim: int
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.precision not in _BITS:
            known = ", ".join(_BITS)
            raise ValueError(f"precision is {self.precision!r:.60}, expected one of {known}")
        if self.dim < 0:
            raise ValueError(f"dim is {self.dim}, expected a number of dimensions from 0")

    @property
    def n_bytes(self) -> int:
        """Bytes of one vector."""
        return -(-self.dim * _BITS[self.precision] // 8)

    def __str__(self) -> str:
        return "text" if self.precision == "text" else f"{self.dim} {self.precision}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """How one view of a model did on one task.

    Attributes:
        figures: Every metric by name, as a fraction (0 to 1, correlations -1 to 1).
        items: What the main metric is computed from, float64 [N]: with statistic "mean" the
            metric of each item, else the similarity of each pair.
    """

    figures: Mapping[str, float]
    items: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class TaskResult:
    """How a model did on one task.

    A ValueError is raised where the values do not fit each other.

    Attributes:
        name: Of the task: its set, and the language in brackets where the set has several.
        set: Folder name of the set, with the file where a folder holds several.
        kind: What is asked.
        language: Code as in the set, or None.
        split: Rows scored, as in "test".
        metric: The main metric, a key of all figures.
        statistic: How the main metric comes from the items.
        unit: What an item is: "pairs", "queries", "texts", "triplets", "sentences", "draws".
        gold: With statistic "spearman" and "pearson" the human scores, with "average_precision"
            1 for a positive pair and 0 for others, float64 [N]; None with "mean".
        scores: By view; the first is the main one: of those asked for the longest prefix, in the
            precision that was named first.
        counts: How many of what: "documents", "empty texts", "queries without relevant document".
        notes: What a reader must know, a sentence each.
        seconds: What it took: "encode", "score".
        data_hash: Of the texts and gold scored.
        key: Of everything the figures depend on: equal keys, equal figures.
        neighbors: For retrieval: best documents of each query under the main view, by place in
            the corpus, int32 [Q, 10], -1 where there are fewer; else None.
        fingerprint: Hash of the weights and settings of the model scored; "" where it has none.
        versions: Of the packages it was scored with, by name.
        machine: What it was scored on, see `vecsmith._machine.machine`.
        date: When, ISO 8601, UTC. A run that goes on may hold tasks of several dates.
        license: Of the set, as it says itself; None where it does not.
        source: Where the set is from; None where it does not say.
    """

    name: str
    set: str
    kind: Kind
    language: str | None
    split: str
    metric: str
    statistic: Statistic
    unit: str
    scores: Mapping[View, Scores]
    gold: NDArray[np.float64] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    data_hash: str = ""
    key: str = ""
    neighbors: NDArray[np.int32] | None = None
    fingerprint: str = ""
    versions: Mapping[str, str | None] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    date: str = ""
    license: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        _check_task(self)

    @property
    def n_items(self) -> int:
        """Number of items the main metric is over."""
        return len(self.scores[self.main_view].items)

    @property
    def main_view(self) -> View:
        """The view that stands for the model: the first that was asked for."""
        return next(iter(self.scores))

    def score(self, view: View | None = None) -> float:
        """The main metric under `view`, the main one if None.

        Raises:
            ValueError: If the task was not scored under that view.
        """
        return self.scores_of(view).figures[self.metric]

    def scores_of(self, view: View | None = None) -> Scores:
        """All figures under `view`, the main one if None.

        Raises:
            ValueError: If the task was not scored under that view.
        """
        view = self.main_view if view is None else view
        if view not in self.scores:
            found = ", ".join(str(view) for view in self.scores)
            raise ValueError(f"task {self.name!r} has no view {view}, expected one of: {found}")
        return self.scores[view]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpeedResult:
    """How fast a model encodes, and what it weighs.

    Attributes:
        texts_per_second: Median over the turns; None where it was not measured.
        n_texts: Texts of the sample, the same for all models of a run.
        turns: Texts a second in each turn.
        model_bytes: Weights in memory, or None if unknown.
        peak_bytes: Peak memory of the process while encoding the sample, or None if unknown.
    """

    texts_per_second: float | None = None
    n_texts: int = 0
    turns: tuple[float, ...] = ()
    model_bytes: int | None = None
    peak_bytes: int | None = None


def _check_task(task: TaskResult) -> None:
    """Raises ValueError where the values of a task do not fit each other."""
    where = f"task {task.name!r:.100}"
    if not task.scores:
        raise ValueError(f"{where}: no view was scored, expected at least one")
    if not task.n_items:
        raise ValueError(f"{where}: no {task.unit} were scored, expected at least one")
    if task.gold is None and task.statistic != "mean":
        raise ValueError(f"{where}: no gold, expected it with statistic {task.statistic!r}")
    n_items = task.n_items
    if task.gold is not None:
        _check_column(task.gold, n_items, f"{where}: gold")
    for view, scores in task.scores.items():
        _check_column(scores.items, n_items, f"{where}: items of view {view}")
        if task.statistic == "mean" and np.abs(scores.items).max() > _LARGEST:
            raise ValueError(f"{where}: items of view {view} exceed {_LARGEST:g}, expected scores")
        if task.metric not in scores.figures:
            raise ValueError(
                f"{where}: view {view} has no figure {task.metric!r}, "
                f"found {', '.join(scores.figures) or 'none'}"
            )
        for metric, figure in scores.figures.items():
            if not abs(figure) <= _LARGEST:  # nor nan
                raise ValueError(f"{where}: {metric} of view {view} is {figure}, expected a score")
    if task.neighbors is not None and task.neighbors.ndim != 2:
        raise ValueError(f"{where}: neighbors of shape {task.neighbors.shape}, expected [Q, k]")


def _check_column(values: NDArray[np.float64], n_items: int, where: str) -> None:
    if values.dtype != np.float64 or values.shape != (n_items,):
        raise ValueError(
            f"{where}: {values.dtype} of shape {values.shape}, expected float64 of ({n_items},)"
        )
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"{where}: item {place} is {values[place]}, expected a number")
