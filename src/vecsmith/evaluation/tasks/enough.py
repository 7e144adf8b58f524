"""Whether there is enough in a task for its figure to say something of a model.

The one rule: what every model would get the same figure for is refused, not scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from vecsmith.errors import FormatError
from vecsmith.evaluation.tasks.task import (
    BitextData,
    ClassificationData,
    ClusteringData,
    Data,
    PairData,
    RetrievalData,
    SimilarityData,
    TripletData,
)

# Of two pairs the correlation is 1 or -1, whatever the model
MIN_ITEMS = 3


def check_enough(asked: Data, where: str) -> None:
    """Refuses a task of too few items, or of items that are all alike.

    Args:
        asked: Texts and answers.
        where: File, split and language, for the error.

    Raises:
        FormatError: If there is too little to score, or to fit a classifier on.
    """
    for found, expected in _lacks(asked):
        raise FormatError(
            f"{where}: {found}, expected {expected}; add rows, or leave the set or language out"
        )


def _lacks(asked: Data) -> Iterator[tuple[str, str]]:
    """What was found and what was expected, for all that is amiss."""
    match asked:
        case SimilarityData():
            yield from _few(len(asked.first), "pairs")
            yield from _alike(asked.scores.tolist(), "score")
            yield from _alike(chain(asked.first, asked.second), "text")
        case PairData():
            yield from _few(len(asked.first), "pairs")
            n_positive = int(asked.labels.sum())
            if n_positive in (0, len(asked.labels)):
                found = f"{n_positive} positive pairs of {len(asked.labels)}"
                yield found, "some of both, by labels that task.toml may name"
            yield from _alike(chain(asked.first, asked.second), "text")
        case TripletData():
            yield from _few(len(asked.anchors), "triplets")
            yield from _alike(chain(asked.positives, asked.negatives), "text")
        case BitextData():
            yield from _few(len(asked.sources), "sentences")
            yield from _alike(asked.targets, "translation")
        case RetrievalData():
            answered = set(asked.judged_queries[asked.relevance > 0].tolist())
            yield from _few(len(answered), "queries with a relevant document")
            yield from _alike(asked.documents, "document")
        case ClassificationData():
            yield from _few(len(asked.test_texts), "texts to score")
            yield from _alike(asked.test_labels, "label of the texts to score")
            yield from _alike(asked.train_labels, "label of the texts to fit on")
            yield from _alike(asked.train_texts, "text to fit on")
        case ClusteringData():
            yield from _few(len(asked.texts), "texts")
            yield from _alike(asked.labels, "cluster")
            yield from _alike(asked.texts, "text")
            if len(set(asked.labels)) == len(asked.labels):
                yield f"{len(asked.labels)} clusters of one text each", "clusters of several texts"


def _few(n_items: int, name: str) -> Iterator[tuple[str, str]]:
    if n_items < MIN_ITEMS:
        yield f"{n_items} {name}", f"{MIN_ITEMS} or more"


def _alike(values: Iterable[Any], name: str) -> Iterator[tuple[str, str]]:
    """Nothing if two values differ; few are looked at where they do."""
    remaining = iter(values)
    for first in remaining:
        if all(value == first for value in remaining):
            yield f"one distinct {name}, {first!r:.60}", "two or more"
        return
    yield f"no {name}", "two or more"
