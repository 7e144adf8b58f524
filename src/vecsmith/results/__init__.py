"""Records that a run writes and others read, and the statistics over them; numpy alone."""

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
from vecsmith.results.store import RunStore

__all__ = [
    "EvalResult",
    "Kind",
    "Precision",
    "RunStore",
    "Scores",
    "SpeedResult",
    "Statistic",
    "TaskResult",
    "View",
]
