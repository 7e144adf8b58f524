"""Records that a run writes and others read, and the statistics over them; numpy alone."""

from vecsmith.results.comparison import Comparison, ComparisonRow, compare
from vecsmith.results.records import (
    Kind,
    Precision,
    Scores,
    SpeedResult,
    Statistic,
    TaskResult,
    View,
)
from vecsmith.results.result import EvalResult
from vecsmith.results.retention import Ratio, Retention
from vecsmith.results.store import RunStore
from vecsmith.results.tables import Table, table_of

__all__ = [
    "Comparison",
    "ComparisonRow",
    "EvalResult",
    "Kind",
    "Precision",
    "Ratio",
    "Retention",
    "RunStore",
    "Scores",
    "SpeedResult",
    "Statistic",
    "Table",
    "TaskResult",
    "View",
    "compare",
    "table_of",
]
