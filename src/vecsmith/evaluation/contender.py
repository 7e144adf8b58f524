"""Who is evaluated: an encoder, or a baseline that works on words.

The one rule: a contender turns one task into scores by view; it knows nothing of other tasks,
folders or records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import Encoder, FloatArray
from vecsmith.evaluation.embedding_cache import EmbeddingCache
from vecsmith.evaluation.encoding import Role, distinct, encode_role, fingerprint_of, is_unit
from vecsmith.evaluation.ranking import DEPTH, N_NEIGHBORS, id_order, in_corpus, score_ranking
from vecsmith.evaluation.scoring import (
    Column,
    columns_of,
    score_features,
    score_vectors,
    with_subsets,
)
from vecsmith.evaluation.tasks.task import ClassificationData, RetrievalData, Task
from vecsmith.results import Precision, Scores, View

TEXT_VIEW = View(0, "text")
Tell = Callable[[str], object]


@runtime_checkable
class LexicalBaseline(Protocol):
    """What ranks documents and makes features from words, without vectors."""

    name: str
    fingerprint: str

    def rank(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        k: int,
        *,
        language: str | None = None,
    ) -> tuple[NDArray[np.int32], FloatArray]:
        """Places and scores of the best `k` documents of each query, [Q, k], -1 for none."""
        ...

    def features(
        self, train: Sequence[str], test: Sequence[str], *, language: str | None = None
    ) -> tuple[Any, Any]:
        """Sparse features of the training and the test texts, [T, V] and [N, V]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a contender made of a task; see `vecsmith.results.TaskResult`."""

    scores: Mapping[View, Scores]
    neighbors: NDArray[np.int32] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


class VectorContender:
    """An encoder under some views."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        name: str,
        dims: Sequence[int] | None = None,
        precisions: Sequence[Precision] = ("float32",),
        cache: EmbeddingCache | None = None,
    ) -> None:
        """Takes an encoder.

        Args:
            encoder: What is evaluated.
            name: As shown.
            dims: Prefixes; None for all dims.
            precisions: Of every prefix.
            cache: Where vectors are kept; used only if the encoder has a fingerprint.
        """
        self.encoder = encoder
        self.name = name
        self.fingerprint = fingerprint_of(encoder)
        self._dims = None if dims is None else sorted(set(dims), reverse=True)
        self._precisions = tuple(dict.fromkeys(precisions))
        self._cache = cache if self.fingerprint else None

    def asked(self) -> list[str]:
        """What decides the views, for a key."""
        dims = ["all"] if self._dims is None else [str(dim) for dim in self._dims]
        return [*dims, *self._precisions]

    def run(self, task: Task, tell: Tell | None = None) -> Outcome:
        """Scores of the encoder on `task`.

        Args:
            task: What is scored.
            tell: Told, as chunks of texts end, how many are encoded: a slow encoder takes hours.

        Raises:
            ValueError: If the encoder gives no vectors, or fewer dims than were asked for.
        """
        start = time.perf_counter()
        vectors = self._encode(columns_of(task), tell)
        encoded = time.perf_counter()
        dim = next(iter(vectors.values())).shape[1]
        scores: dict[View, Scores] = {}
        neighbors = None
        unit = all(is_unit(rows) for rows in vectors.values())
        for view in self._views(dim):
            scores[view], places = score_vectors(task, vectors, view, unit=unit)
            if neighbors is None and places is not None:
                neighbors = places[:, :N_NEIGHBORS]
        seconds = {"encode": encoded - start, "score": time.perf_counter() - encoded}
        return Outcome(scores=scores, neighbors=neighbors, seconds=seconds)

    def _views(self, dim: int) -> list[View]:
        dims = [dim] if self._dims is None else self._dims
        if dims[0] > dim:
            raise ValueError(f"dims {dims} of {self.name}, which has {dim}, expected at most {dim}")
        return [View(d, precision) for d in dims for precision in self._precisions]

    def _encode(self, columns: Mapping[str, Column], tell: Tell | None) -> dict[str, FloatArray]:
        """Vectors of each column; a text that comes twice in a role is encoded once."""
        vectors: dict[str, FloatArray] = {}
        for role in dict.fromkeys(column.role for column in columns.values()):
            names = [name for name, column in columns.items() if column.role == role]
            texts, places = distinct([text for name in names for text in columns[name].texts])
            rows = self._encode_distinct(texts, role, tell)
            stop = 0
            for name in names:
                start, stop = stop, stop + len(columns[name].texts)
                own = places[start:stop]
                # most columns repeat nothing: no copy of theirs
                whole = len(own) == len(rows) and bool((own == np.arange(len(rows))).all())
                vectors[name] = rows if whole else rows[own]
        return vectors

    def _encode_distinct(self, texts: Sequence[str], role: Role, tell: Tell | None) -> FloatArray:
        if self._cache is None:
            return encode_role(self.encoder, texts, role)
        n_done = 0

        def advance(n_texts: int) -> None:
            nonlocal n_done
            n_done += n_texts
            if tell is not None:
                tell(f"{self.name} encodes, {n_done:,} of {len(texts):,} texts")

        advance(0)
        return self._cache.encode(
            self.encoder, texts, role, fingerprint=self.fingerprint, advance=advance
        )


class LexicalContender:
    """A baseline on words: retrieval and classification."""

    def __init__(self, baseline: LexicalBaseline, *, name: str) -> None:
        """Takes a baseline under a name."""
        self._baseline = baseline
        self.name = name
        self.fingerprint = fingerprint_of(baseline)

    def asked(self) -> list[str]:
        """What decides the views, for a key."""
        return ["text"]

    def run(self, task: Task, tell: Tell | None = None) -> Outcome | None:
        """Scores of the baseline on `task`, None where words alone say nothing of it."""
        start = time.perf_counter()
        neighbors = None
        if isinstance(task.data, RetrievalData):
            collection = task.data
            order = id_order(collection)
            documents = [collection.documents[place] for place in order]
            depth = max(1, min(DEPTH, len(documents)))
            found, _ = self._baseline.rank(
                collection.queries, documents, depth, language=task.language
            )
            places = in_corpus(collection, found, order)
            neighbors = places[:, :N_NEIGHBORS]
            scores = score_ranking(collection, places, task.metric)
        elif isinstance(task.data, ClassificationData):
            columns = columns_of(task)
            train, test = self._baseline.features(
                columns["train"].texts, columns["test"].texts, language=task.language
            )
            scores = score_features(task.data, train, test)
        else:
            return None
        return Outcome(
            scores={TEXT_VIEW: with_subsets(task, scores)},
            neighbors=neighbors,
            seconds={"score": time.perf_counter() - start},
        )


Contender = VectorContender | LexicalContender
