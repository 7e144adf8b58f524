"""What a search costs, against what faiss counts itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vecsmith.retrieval import AdaptiveIndex, SearchPlan, Stage, near

faiss = pytest.importorskip("faiss")

DIM = 32
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(1500, DIM)).astype(np.float32)
QUERIES = VECTORS[:16] + 0.1 * RNG.normal(size=(16, DIM)).astype(np.float32)


def _index(how: Any, monkeypatch: pytest.MonkeyPatch, folder: Any) -> AdaptiveIndex:
    """An index of one segment with a graph or cells."""
    monkeypatch.setattr(near, "FEWEST_ROWS", 1000)
    index = AdaptiveIndex.build(VECTORS, dims=[DIM, 16], n_threads=1)
    stages = (Stage(dim=16, keep=40, kind="int8", how=how, effort=8), Stage(dim=DIM, keep=10))
    index.use(SearchPlan(stages=stages))
    index.save(folder)
    return AdaptiveIndex.open(folder)


def _counted(how: str, index: AdaptiveIndex, **options: Any) -> tuple[Any, int]:
    """Hits, and rows that faiss has scored a query meanwhile."""
    counts = faiss.cvar.hnsw_stats if how == "hnsw" else faiss.cvar.indexIVF_stats
    index.search(QUERIES, 10, n_threads=1, **options)  # what is counted once is counted
    counts.reset()
    hits = index.search(QUERIES, 10, n_threads=1, **options)
    return hits, int(counts.ndis) // len(QUERIES)


@pytest.mark.parametrize("how", ["hnsw", "ivf"])
def test_a_walk_costs_the_rows_that_faiss_scored(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    index = _index(how, monkeypatch, tmp_path)
    hits, n_scored = _counted(how, index)
    segment = index._held[0].segments[0]
    assert segment.near is not None
    first, last = hits.cost.stages
    assert first.n_rows == pytest.approx(n_scored + segment.near.n_cells, abs=1)
    assert first.n_rows < len(VECTORS)
    assert first.is_estimated
    assert (last.n_rows, last.is_estimated) == (40, False)
    assert hits.cost.multiply_adds == first.n_rows * 16 + 40 * DIM


@pytest.mark.parametrize("how", ["hnsw", "ivf"])
def test_added_rows_are_counted_beside_the_walk_and_hand_on_their_own(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    index = _index(how, monkeypatch, tmp_path)
    before = index.search(QUERIES, 10).cost.stages
    index.add(RNG.normal(size=(100, DIM)).astype(np.float32))
    after = index.search(QUERIES, 10).cost.stages
    assert after[0].n_rows == before[0].n_rows + 100
    assert after[1].n_rows == 40 + 40


@pytest.mark.parametrize("how", ["hnsw", "ivf"])
def test_a_filter_makes_a_walk_dearer_as_it_is(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr("vecsmith.retrieval.asking._FEW_ALLOWED", 100)
    index = _index(how, monkeypatch, tmp_path)
    allowed = np.arange(len(VECTORS)) % 4 == 0  # a power of two: the effort is not rounded
    hits, n_scored = _counted(how, index, filter=allowed)
    # with a filter faiss counts cells' rows that it passed over or not, as its version does it
    assert hits.cost.stages[0].n_rows > index.search(QUERIES, 10).cost.stages[0].n_rows
    assert hits.cost.stages[0].n_rows >= n_scored - 1
