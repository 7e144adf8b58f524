"""What a report shows, as plain values: who was compared, on what, how it came out.

The one rule: tables, pictures and pages are made from these values alone and compute no new ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vecsmith.results import SpeedResult, View
from vecsmith.results.averages import Role
from vecsmith.results.comparison import Verdict

Key = tuple[Role, str]  # a row: what it is, and its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure and its 95 % interval, as fractions; the interval is None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first model's score less another's, on the same items.

    Attributes:
        value: Difference of the scores, as a fraction.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p_value: Of the paired test, corrected for the number of tests; the verdict goes by it.
        verdict: What may be said of the first model.
        wide: Interval on other sets like these, where that was asked.
        p_single: Of the test as if it were the only one.
    """

    value: float
    low: float
    high: float
    p_value: float
    verdict: Verdict
    wide: tuple[float, float] | None = None
    p_single: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Scores of one view of a model, by summary row."""

    view: View
    scores: Mapping[Key, Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A model in the report: a run, or a baseline that ran beside one.

    Attributes:
        letter: Short name in pictures and sentences: "A", "B", ...
        name: As the run calls it.
        is_baseline: Whether it came along as a baseline.
        view: The view its scores are of.
        views: Scores of every view it was evaluated under, by summary row.
        retention: Score over the reference model's, by summary row; empty without a reference.
        speed: Beside the quality.
        fingerprint: Of weights and settings, "" if it has none.
        date: When it ran, ISO 8601.
        settings: What was asked, as text by name.
        machine: Where it ran, one line.
    """

    letter: str
    name: str
    is_baseline: bool
    view: View
    views: tuple[Point, ...] = ()
    retention: Mapping[Key, Estimate] = field(default_factory=dict)
    speed: SpeedResult = field(default_factory=SpeedResult)
    fingerprint: str = ""
    date: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table: an average of tasks, or a task.

    Attributes:
        name: Of the group, family or task; "sets" and "families" for the means of all.
        role: Which of these it is.
        metric: What the score is, as in "ndcg@10".
        n_sets: Sets averaged; 1 for a task.
        n_items: Items the score is over.
        unit: What an item is.
        scores: Of each contender, None where it has not run, or on other texts.
        differences: The first contender's less each opponent's, None where they share no items.
        kind: Family of a task.
        split: Rows of a task that were scored, as in "test".
        language: Of a task, if it has one.
        notes: What a reader must know, a sentence each.
        marks: Of each contender why its score is not beside the others, "" mostly.
    """

    name: str
    role: Role
    metric: str
    n_sets: int
    n_items: int
    unit: str
    scores: tuple[Estimate | None, ...]
    differences: tuple[Difference | None, ...]
    kind: str = ""
    split: str = ""
    language: str = ""
    notes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """What tells it from the other rows."""
        return self.role, self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """The first model against one other, on all that both ran.

    Attributes:
        letter: Of the other.
        averages: Differences by row, with the number of sets each is over.
        counts: How many tasks have each verdict.
        are_sets: Whether each of these tasks is a set of its own, not one language of it.
        weak_sets: Which sets leave the average unsure, a sentence each.
    """

    letter: str
    averages: Mapping[Key, tuple[int, Difference]]
    counts: Mapping[Verdict, int] = field(default_factory=dict)
    are_sets: bool = True
    weak_sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbor:
    """A document that a model returns for a query."""

    text: str
    is_relevant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborList:
    """What the models return for one query.

    Attributes:
        task: Name of the retrieval task.
        query: Its text.
        n_relevant: Documents judged relevant.
        scores: Main metric of the query, by letter of the contender.
        found: Best documents first, by letter of the contender.
    """

    task: str
    query: str
    n_relevant: int
    scores: Mapping[str, float]
    found: Mapping[str, tuple[Neighbor, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A set that was not scored.

    Attributes:
        set: Its name.
        reason: Why.
        letters: Of the contenders whose runs left it out.
    """

    set: str
    reason: str
    letters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a page shows.

    Attributes:
        contenders: Runs first, in the order given, then the baselines.
        opponents: Places in `contenders` of those the first is compared with.
        versus: The tests of the first against each opponent, in the same order.
        summary: Averages: of all sets, of named groups, of families.
        tasks: One row a task.
        ratios: Rows of the retention, in order.
        ratio_notes: What the ratios leave out, a sentence each.
        reference: Name of the model that retention is relative to, or None.
        caveats: What must be known before the figures are read, a sentence each.
        notes: What explains single rows, a sentence each.
        left_out: Sets that were not scored.
        is_one_run: Whether all speeds were measured in one run, in turns: else none is faster.
        neighbors: Queries and what the models return for them.
        neighbors_missing: Why there are none, if there are none.
    """

    contenders: tuple[Contender, ...]
    opponents: tuple[int, ...]
    versus: tuple[Versus, ...]
    summary: tuple[Row, ...]
    tasks: tuple[Row, ...]
    ratios: tuple[Key, ...] = ()
    ratio_notes: tuple[str, ...] = ()
    reference: str | None = None
    caveats: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    is_one_run: bool = True
    neighbors: tuple[NeighborList, ...] = ()
    neighbors_missing: str = ""
