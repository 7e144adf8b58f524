"""Seconds that a plan should take for one query on one thread: what plans are chosen by.

Multiply-adds say little of time here. A scan is as long as its bytes take from memory; a row that
is rescored lies anywhere, so it costs a miss of the caches before its first byte. Only the order
of plans has to be right, so one machine's constants serve others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from vecsmith.retrieval.plan import RowKind, SearchPlan, StageCost


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Nanoseconds of the steps of a search.

    Attributes:
        scan_byte: Of a byte of a row in a scan, by kind.
        scan_row: Of a row in a scan whatever its length: its factor, and a look at its score.
        jump: Of a row that lies anywhere.
        jump_byte: Of its bytes, by kind.
        graph_row: Of a row that a graph leads to: nothing is fetched ahead there.
        kept: Of a row that goes on to the next stage.
        stage: Of a stage that has begun.
    """

    scan_byte: Mapping[RowKind, float] = field(default_factory=lambda: _SCAN_BYTE)
    scan_row: float = 1.0
    jump: float = 60.0
    jump_byte: Mapping[RowKind, float] = field(default_factory=lambda: _JUMP_BYTE)
    graph_row: float = 150.0
    kept: float = 15.0
    stage: float = 5_000.0


_SCAN_BYTE: Final[Mapping[RowKind, float]] = MappingProxyType(
    {"float32": 0.1, "float16": 0.12, "int8": 0.1, "bits": 0.1}
)
_JUMP_BYTE: Final[Mapping[RowKind, float]] = MappingProxyType(
    {"float32": 0.12, "float16": 0.14, "int8": 0.12, "bits": 0.12}
)
MEASURED: Final = Machine()


def seconds(
    plan: SearchPlan, n_rows: int, *, n_scored: int | None = None, machine: Machine = MEASURED
) -> float:
    """Seconds of one query among `n_rows` rows.

    Args:
        plan: The stages.
        n_rows: Rows in the index.
        n_scored: Rows that the first stage scores, where that depends on the data.
        machine: How long its steps take.
    """
    first, *later = plan.cost(n_rows, n_scored=n_scored).stages
    nanoseconds = _first(first, machine) + sum(
        _jumps(cost, machine.jump, machine) for cost in later
    )
    nanoseconds += sum(machine.stage + machine.kept * cost.stage.keep for cost in (first, *later))
    return nanoseconds * 1e-9


def _first(cost: StageCost, machine: Machine) -> float:
    if cost.stage.how == "hnsw":
        return _jumps(cost, machine.graph_row, machine)
    return cost.n_rows * machine.scan_row + cost.n_bytes * machine.scan_byte[cost.stage.kind]


def _jumps(cost: StageCost, row: float, machine: Machine) -> float:
    return cost.n_rows * row + cost.n_bytes * machine.jump_byte[cost.stage.kind]
