"""An index against a plain dict: ten thousand random changes and searches."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.retrieval import AdaptiveIndex, SearchPlan, Similarity

DIM = 6


class Model:
    """What an index is by definition: vectors by id, in the order they came."""

    def __init__(self, similarity: Similarity) -> None:
        self.rows: dict[Any, NDArray[np.float64]] = {}
        self.similarity = similarity

    def add(self, vectors: NDArray[Any], ids: list[Any]) -> None:
        self.rows.update(zip(ids, vectors.astype(np.float64), strict=True))

    def update(self, vectors: NDArray[Any], ids: list[Any]) -> None:
        for id_ in ids:  # a new vector is the latest to have come
            del self.rows[id_]
        self.add(vectors, ids)

    def search(self, query: NDArray[Any], k: int, allowed: set[Any]) -> list[tuple[Any, float]]:
        found = [
            (id_, self._score(query.astype(np.float64), row))
            for id_, row in self.rows.items()
            if id_ in allowed
        ]
        return sorted(found, key=lambda hit: -hit[1])[:k]  # sorting is stable: first come first

    def _score(self, query: NDArray[np.float64], row: NDArray[np.float64]) -> float:
        if self.similarity == "euclidean":
            return -float(np.sqrt(((query - row) ** 2).sum()))
        return float(query @ row)


class Both:
    """An index and its model, changed alike."""

    def __init__(self, folder: Path, similarity: Similarity, kind: type, seed: int) -> None:
        self.random = random.Random(seed)
        self.generator = np.random.default_rng(seed)
        self.kind = kind
        self.model = Model(similarity)
        self.folder = folder
        self.n_ids = 0
        vectors, ids = self._vectors(40), self._new_ids(40)
        self.index = AdaptiveIndex.build(vectors, ids=ids, similarity=similarity)
        self.model.add(vectors, ids)

    def _vectors(self, n: int) -> NDArray[np.float32]:
        # small whole numbers: every product is exact and most scores tie
        return self.generator.integers(-3, 4, (n, DIM)).astype(np.float32)

    def _new_ids(self, n: int) -> list[Any]:
        self.n_ids += n
        numbers = range(self.n_ids - n, self.n_ids)
        return [self.kind(f"{'번호 ' if self.kind is str else ''}{i * 7}") for i in numbers]

    def _some_ids(self, most: int) -> list[Any]:
        ids = list(self.model.rows)
        return self.random.sample(ids, min(len(ids), self.random.randint(1, most)))

    def add(self) -> None:
        n = self.random.choice([1, 1, 2, 5])
        vectors, ids = self._vectors(n), self._new_ids(n)
        gone = [id_ for id_ in ids if self.random.random() < 0.2]
        self.index.add(vectors, ids)
        self.model.add(vectors, ids)
        if gone:  # an id may come back after it was deleted
            for id_ in gone:
                del self.model.rows[id_]
            self.index.delete(gone)
            again = self._vectors(len(gone))
            self.index.add(again, gone)
            self.model.add(again, gone)

    def delete(self) -> None:
        ids = self._some_ids(3 if len(self.model.rows) < 120 else 30)
        self.index.delete(ids)
        for id_ in ids:
            del self.model.rows[id_]

    def update(self) -> None:
        ids = self._some_ids(3)
        vectors = self._vectors(len(ids))
        self.index.update(vectors, ids)
        self.model.update(vectors, ids)

    def search(self) -> None:
        ids = list(self.model.rows)
        k = self.random.choice([1, 3, 10, 300])
        how = self.random.choice(["all", "ids", "mask", "plan"])
        allowed = set(ids)
        options: dict[str, Any] = {"exact": True}
        if how == "ids":
            allowed = set(self._some_ids(50))
            options["filter"] = allowed | {self.kind("999999999")}
        elif how == "mask":
            mask = self.generator.random(len(ids)) < 0.5
            allowed = {id_ for id_, is_in in zip(ids, mask, strict=True) if is_in}
            options["filter"] = mask
        elif how == "plan":  # a shortlist that holds every row decides as exact search does
            plan = SearchPlan.exact(DIM, k=k)
            options = {"plan": plan}
        query = self._vectors(1)[0]
        hits = self.index.search(query, k, **options)
        expected = self.model.search(query, k, allowed)
        n = len(expected)
        assert hits.ids[0, :n].tolist() == [id_ for id_, _ in expected]
        assert np.allclose(hits.scores[0, :n], [score for _, score in expected], atol=1e-6)
        assert set(hits.ids[0, n:].tolist()) <= {-1, None}
        assert np.isneginf(hits.scores[0, n:]).all()

    def vectors(self) -> None:
        ids = self._some_ids(5)
        assert (self.index.vectors(ids) == np.array([self.model.rows[id_] for id_ in ids])).all()

    def state(self) -> None:
        assert len(self.index) == len(self.model.rows)
        assert self.index.ids.tolist() == list(self.model.rows)

    def save(self) -> None:
        folder = self.folder if self.random.random() < 0.8 else self.folder / "elsewhere"
        self.index.save(folder)
        if self.random.random() < 0.5:
            self.index = AdaptiveIndex.open(folder, verify=True)
        self.folder = folder


@pytest.mark.parametrize(
    ("n_operations", "similarity", "kind"),
    [(10_000, "dot", int), (1_500, "euclidean", str)],
)
def test_any_changes_leave_what_a_dict_holds(
    tmp_path: Path, n_operations: int, similarity: Similarity, kind: type
) -> None:
    both = Both(tmp_path / "index", similarity, kind, seed=n_operations)
    weights = {
        both.add: 16, both.delete: 12, both.update: 12, both.search: 40, both.vectors: 10,
        both.state: 9, both.save: 1,
    }  # fmt: skip
    operations = both.random.choices(list(weights), list(weights.values()), k=n_operations)
    for operation in operations:
        if operation in (both.delete, both.update, both.vectors) and len(both.model.rows) < 20:
            operation = both.add
        operation()
    both.state()
    assert len(list(both.folder.glob("*.vectors.safetensors"))) < 10
