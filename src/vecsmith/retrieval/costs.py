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
        scan_row: Of a row in a scan whatever its length, by kind.
        scan_kept: Of a row that a scan keeps: as it goes, it keeps several for each of them.
        jump: Of a row that lies anywhere and was fetched ahead.
        jump_byte: Of its bytes.
        graph_row: Of a row that a graph leads to: nothing can be fetched ahead there.
        stage: Of a stage that has begun.
    """

    scan_byte: Mapping[RowKind, float] = field(default_factory=lambda: _SCAN_BYTE)
    scan_row: Mapping[RowKind, float] = field(default_factory=lambda: _SCAN_ROW)
    scan_kept: float = 250.0
    jump: float = 80.0
    jump_byte: float = 0.07
    graph_row: float = 200.0
    stage: float = 8_000.0


# Measured on one core of a Sapphire Rapids Xeon that others used too (least of 7 runs, 300,000
# rows, k 100 and 1000; 30 to 3000 rows of 128 to 1024 dims rescored out of 1.2 GB). Scans run at
# 14 GB/s, so it is the memory that is measured; other machines differ by a factor of about two.
_SCAN_BYTE: Final[Mapping[RowKind, float]] = MappingProxyType(
    {"float32": 0.066, "float16": 0.070, "int8": 0.065, "bits": 0.045}
)
_SCAN_ROW: Final[Mapping[RowKind, float]] = MappingProxyType(
    {"float32": 1.0, "float16": 1.0, "int8": 1.0, "bits": 2.7}
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
    return (nanoseconds + machine.stage * len(plan.stages)) * 1e-9


def _first(cost: StageCost, machine: Machine) -> float:
    if cost.stage.how == "hnsw":
        return _jumps(cost, machine.graph_row, machine)
    kind = cost.stage.kind
    scan = cost.n_rows * machine.scan_row[kind] + cost.n_bytes * machine.scan_byte[kind]
    return scan + cost.stage.keep * machine.scan_kept


def _jumps(cost: StageCost, row: float, machine: Machine) -> float:
    return cost.n_rows * row + cost.n_bytes * machine.jump_byte
