"""A plan of a search: which prefixes are read, how precisely, and how many rows go on from each.

The first stage looks at all rows, each later one at what the one before kept, and the last one
decides. A plan is a value: printed, compared, costed and kept as JSON without an index at hand.
The one rule: every cost counts the rescoring too, and one multiply-add of one dimension as 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, get_args

from vecsmith.errors import FormatError

RowKind = Literal["float32", "float16", "int8", "bits"]
How = Literal["exact", "hnsw", "ivf"]

_BITS_A_DIM = {"float32": 32, "float16": 16, "int8": 8, "bits": 1}
_MOST_STAGES = 16
# Fewer queries than these tell of a recall hardly more than that it is not small
FEWEST_JUDGES = 25
# More than any machine has of anything: a larger number in a file is a broken one
_MOST = 2**48


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a plan: rows are scored by their first `dim` dims, the best `keep` go on.

    `kind` is how the rows it reads are stored. `how` is "exact" where every row it is given is
    scored; the first stage may instead walk a graph ("hnsw") or visit some cells ("ivf"), and
    `effort` is then faiss's efSearch or nprobe.
    """

    dim: int
    keep: int
    kind: RowKind = "float32"
    how: How = "exact"
    effort: int | None = None

    def __post_init__(self) -> None:
        """Refuses what makes no sense.

        Raises:
            ValueError: If a number is below 1 or above 2**48, a name is unknown, or `effort` does
                not go with `how`.
        """
        for name in ("dim", "keep"):
            _check_count(name, getattr(self, name))
        if self.kind not in get_args(RowKind):
            raise ValueError(f"kind {self.kind!r:.60}, expected one of {list(get_args(RowKind))}")
        if self.how not in get_args(How):
            raise ValueError(f"how {self.how!r:.60}, expected one of {list(get_args(How))}")
        if self.how == "exact" and self.effort is not None:
            raise ValueError(f"effort {self.effort} of an exact stage, expected None")
        if self.how != "exact":
            _check_count(f"effort of {self.how}", self.effort)

    @property
    def row_bytes(self) -> int:
        """Bytes of the prefix of one row."""
        return -(-self.dim * _BITS_A_DIM[self.kind] // 8)

    def __str__(self) -> str:
        effort = {"exact": "", "hnsw": f" hnsw ef={self.effort}", "ivf": f" ivf n={self.effort}"}
        return f"{self.dim} {self.kind}{effort[self.how]} keep {self.keep}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallEstimate:
    """Recall@k that a plan reached on `n_queries` queries it was not chosen by.

    `low` and `high` are the ends of its 95 % interval, `asked` is what was asked for.
    """

    achieved: float
    low: float
    high: float
    n_queries: int
    asked: float

    def __post_init__(self) -> None:
        """Refuses what is no share.

        Raises:
            ValueError: If a share is not from 0 to 1, the interval does not hold the estimate, or
                there are no queries.
        """
        for name in ("achieved", "low", "high", "asked"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} recall {getattr(self, name)}, expected from 0 to 1")
        if not self.low <= self.achieved <= self.high:
            raise ValueError(f"recall {self.achieved} outside its interval {self.low}-{self.high}")
        _check_count("n_queries", self.n_queries)

    @property
    def caution(self) -> str:
        """What speaks against relying on it, in words; "" for nothing."""
        said = []
        if self.achieved < self.asked:
            said.append("less than asked: give other or more held-out queries, or ask for more")
        if self.n_queries < FEWEST_JUDGES:
            said.append(f"few queries: give {2 * FEWEST_JUDGES} or more, half of them judge")
        return "; ".join(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """What one stage does for one query: rows scored, multiply-adds, bytes of rows read.

    `is_estimated` is True where the rows were counted of other queries' walks, as those of a graph.
    """

    stage: Stage
    n_rows: int
    multiply_adds: int
    n_bytes: int
    is_estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchCost:
    """What a search does for one query, all stages together and one by one.

    A multiply-add of one dimension counts 1, as the MFLOPs of the Matryoshka paper (Kusupati et
    al. 2022), whatever the kind; unlike there the rescoring is in it. Of bits a dimension counts
    1 too, though a machine compares hundreds at once: `n_bytes` tells what that saves.
    """

    multiply_adds: int
    n_bytes: int
    stages: tuple[StageCost, ...]

    @property
    def is_estimated(self) -> bool:
        """Whether a stage's rows were counted of other queries' walks."""
        return any(stage.is_estimated for stage in self.stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """Stages of a search for the `k` best rows, and the recall they reached where it was measured.

    Example:
        >>> plan = SearchPlan.funnel([32, 128, 1024], [400, 100, 10])
        >>> plan.cost(1_000_000).multiply_adds
        32153600
    """

    stages: tuple[Stage, ...]
    recall: RecallEstimate | None = None

    def __post_init__(self) -> None:
        """Refuses stages that cannot follow each other.

        Raises:
            ValueError: If there are none or too many, a later one keeps more than the one before
                or is not exact, or the last one has not the most dims.
        """
        if not 1 <= len(self.stages) <= _MOST_STAGES:
            raise ValueError(f"{len(self.stages)} stages, expected from 1 to {_MOST_STAGES}")
        for before, after in pairwise(self.stages):
            if after.keep > before.keep:
                raise ValueError(
                    f"a stage keeps {after.keep} of {before.keep} rows, expected as many or fewer"
                )
            if after.how != "exact":
                raise ValueError(f"a later stage by {after.how}, expected only the first one")
        widest = max(stage.dim for stage in self.stages)
        if self.dim < widest:
            raise ValueError(f"the last stage has {self.dim} dims, expected {widest} as before it")

    @classmethod
    def exact(cls, dim: int, *, k: int = 10, kind: RowKind = "float32") -> SearchPlan:
        """The plan that scores every row by its first `dim` dims."""
        return cls(stages=(Stage(dim=dim, keep=k, kind=kind),))

    @classmethod
    def single_shot(
        cls, short_dim: int, full_dim: int, *, shortlist: int, k: int = 10,
        kind: RowKind = "float32",
    ) -> SearchPlan:  # fmt: skip
        """A shortlist by `short_dim` dims, rescored by `full_dim`: the paper's D_s and D_r.

        Args:
            short_dim: Dims of the scan.
            full_dim: Dims that decide.
            shortlist: Rows that go on from the scan.
            k: Rows in the end.
            kind: How the rows of the scan are stored.
        """
        return cls.funnel([short_dim, full_dim], [shortlist, k], kind=kind)

    @classmethod
    def funnel(
        cls, dims: Sequence[int], keeps: Sequence[int], *, kind: RowKind = "float32"
    ) -> SearchPlan:
        """Growing prefixes of a shrinking shortlist, as [32, 128, 1024] with [400, 100, 10].

        Args:
            dims: Dims of each stage; the last decides.
            keeps: Rows that go on from each; the last is k.
            kind: How the rows of the first stage are stored; later ones read float32.

        Raises:
            ValueError: If there are not as many of both, or they cannot follow each other.
        """
        if len(dims) != len(keeps):
            raise ValueError(f"{len(dims)} dims and {len(keeps)} keeps, expected as many of both")
        return cls(
            stages=tuple(
                Stage(dim=dim, keep=keep, kind="float32" if i else kind)
                for i, (dim, keep) in enumerate(zip(dims, keeps, strict=True))
            )
        )

    @property
    def k(self) -> int:
        """Rows in the end."""
        return self.stages[-1].keep

    @property
    def dim(self) -> int:
        """Dims that decide."""
        return self.stages[-1].dim

    def with_recall(self, recall: RecallEstimate) -> SearchPlan:
        """The same stages, with what they reached."""
        return replace(self, recall=recall)

    def cost(
        self, n_rows: int, *, n_scored: int | None = None, n_kept: int | None = None,
        is_estimated: bool = False,
    ) -> SearchCost:  # fmt: skip
        """What one query costs among `n_rows` rows.

        Args:
            n_rows: Rows in the index.
            n_scored: Rows that the first stage scores; needed where that depends on the data, as
                with "hnsw" and "ivf".
            n_kept: Rows that go on from the first stage, where not as many as it says: of several
                graphs each keeps its own.
            is_estimated: Whether `n_scored` was counted of other queries.

        Raises:
            ValueError: If `n_scored` is missing.
        """
        if n_scored is None:
            if self.stages[0].how != "exact":
                raise ValueError(
                    f"the rows that {self.stages[0].how} scores depend on the data: give n_scored"
                )
            n_scored = n_rows
        costs, given = [], n_scored
        for i, stage in enumerate(self.stages):
            # a walk scores cells' centres too: more than there are rows
            n = given if i == 0 else min(given, n_rows)
            costs.append(_stage_cost(stage, n, is_estimated=is_estimated and i == 0))
            given = n_kept if i == 0 and n_kept is not None else stage.keep
        return SearchCost(
            multiply_adds=sum(cost.multiply_adds for cost in costs),
            n_bytes=sum(cost.n_bytes for cost in costs),
            stages=tuple(costs),
        )

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON holds it."""
        stages = [
            {name: getattr(stage, name) for name in ("dim", "keep", "kind", "how", "effort")}
            for stage in self.stages
        ]
        recall = self.recall and {name: getattr(self.recall, name) for name in _RECALL_FIELDS}
        return {"stages": stages, "recall": recall}

    @classmethod
    def from_json(cls, values: Any, *, source: str = "plan") -> SearchPlan:
        """The plan that `to_json` gave; `source` names the file in errors.

        Raises:
            FormatError: If it is something else, or its values make no sense.
        """
        fields = _object(values, ("stages", "recall"), source)
        stages, recall = fields["stages"], fields["recall"]
        if not isinstance(stages, list):
            raise FormatError(f"{source}: stages is {stages!r:.60}, expected an array")
        try:
            return cls(
                stages=tuple(
                    _stage(stage, f"{source}: stages[{i}]")
                    for i, stage in enumerate(stages[: _MOST_STAGES + 1])
                ),
                recall=None if recall is None else _recall(recall, f"{source}: recall"),
            )
        except ValueError as error:
            raise FormatError(f"{source}: {error}") from error

    def __str__(self) -> str:
        return " -> ".join(map(str, self.stages))


_RECALL_FIELDS = ("achieved", "low", "high", "n_queries", "asked")


def _stage_cost(stage: Stage, n_rows: int, *, is_estimated: bool) -> StageCost:
    return StageCost(
        stage=stage,
        n_rows=n_rows,
        multiply_adds=n_rows * stage.dim,
        n_bytes=n_rows * stage.row_bytes,
        is_estimated=is_estimated,
    )


def _stage(values: Any, source: str) -> Stage:
    fields = _object(values, ("dim", "keep", "kind", "how", "effort"), source)
    for name in ("kind", "how"):
        if not isinstance(fields[name], str):
            raise FormatError(f"{source}: {name} is {fields[name]!r:.60}, expected a string")
    return Stage(**fields)


def _recall(values: Any, source: str) -> RecallEstimate:
    fields = _object(values, _RECALL_FIELDS, source)
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise FormatError(f"{source}: {name} is {value!r:.60}, expected a number")
    return RecallEstimate(**fields)


def _object(values: Any, names: Sequence[str], source: str) -> Mapping[str, Any]:
    """The fields `names` of a JSON object; others are of a later version and left alone."""
    if not isinstance(values, dict):
        raise FormatError(f"{source}: {values!r:.60}, expected an object")
    missing = [name for name in names if name not in values]
    if missing:
        raise FormatError(f"{source}: no field {missing[0]!r}, expected {', '.join(names)}")
    return {name: values[name] for name in names}


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise ValueError(f"{name} is {value!r:.60}, expected a whole number from 1 to {_MOST}")
