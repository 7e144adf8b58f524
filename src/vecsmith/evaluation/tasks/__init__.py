"""Tasks: what is asked of which texts, read from folders of sets.

`finder` tells sets by the names of files and columns, `source` reads one when its turn comes,
`task` is what comes of it: plain values. The other modules are steps between the two.
"""

from vecsmith.evaluation.tasks.finder import find_tasks
from vecsmith.evaluation.tasks.source import TaskSource
from vecsmith.evaluation.tasks.task import (
    BitextData,
    ClassificationData,
    ClusteringData,
    PairData,
    RetrievalData,
    SimilarityData,
    Task,
    Texts,
    TripletData,
)

__all__ = [
    "BitextData",
    "ClassificationData",
    "ClusteringData",
    "PairData",
    "RetrievalData",
    "SimilarityData",
    "Task",
    "TaskSource",
    "Texts",
    "TripletData",
    "find_tasks",
]
