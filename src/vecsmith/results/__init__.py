"""Records that a run writes and others read, and the statistics over them; numpy alone."""

from vecsmith.results.records import (
    EvalResult,
    Kind,
    Precision,
    Scores,
    SpeedResult,
    Statistic,
    TaskResult,
    View,
)

__all__ = [
    "EvalResult",
    "Kind",
    "Precision",
    "Scores",
    "SpeedResult",
    "Statistic",
    "TaskResult",
    "View",
]
