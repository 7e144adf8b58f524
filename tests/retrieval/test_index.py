"""Searching an index: against float64 sums, faiss, and what its own plans claim."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.retrieval import AdaptiveIndex, SearchPlan, Similarity, Stage, asking
from vecsmith.retrieval.asking import allowed_places
from vecsmith.retrieval.storage import segments

N, D = 3000, 64


def nested_vectors(n: int, seed: int, dim: int = D) -> NDArray[np.float32]:
    """Clusters whose first dims say most, as those of a nested model do."""
    shared = np.random.default_rng(1)
    scale = 1 / np.sqrt(1 + np.arange(dim))
    centres = shared.normal(size=(100, dim)) * scale
    own = np.random.default_rng(seed)
    rows = centres[own.integers(0, len(centres), n)] + 0.6 * own.normal(size=(n, dim)) * scale
    found: NDArray[np.float32] = (rows * own.uniform(0.5, 2, (n, 1))).astype(np.float32)
    return found


VECTORS, QUERIES = nested_vectors(N, seed=2), nested_vectors(200, seed=3)


@pytest.fixture(scope="module")
def index() -> AdaptiveIndex:
    return AdaptiveIndex.build(VECTORS, recall=0.95, k=5, n_threads=1)


def similarities(
    queries: NDArray[Any], rows: NDArray[Any], similarity: Similarity
) -> NDArray[np.float64]:
    """By definition, in float64."""
    left, right = queries.astype(np.float64), rows.astype(np.float64)
    if similarity == "euclidean":
        distances: NDArray[np.float64] = np.linalg.norm(left[:, None] - right, axis=2)
        return -distances
    products: NDArray[np.float64] = left @ right.T
    if similarity == "cosine":
        products /= np.outer(np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1))
    return products


def recall(found: NDArray[Any], true: NDArray[Any]) -> float:
    shares = [len(set(a) & set(b)) / len(b) for a, b in zip(found, true, strict=True)]
    return float(np.mean(shares))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_exact_search_is_that_of_float64_over_the_rows_as_kept(
    similarity: Similarity, dtype: segments.StoreDtype
) -> None:
    index = AdaptiveIndex.build(VECTORS[:900], similarity=similarity, dtype=dtype)
    hits = index.search(QUERIES, 10, exact=True, n_threads=1)
    kept = index.vectors(index.ids)
    worst = {"float32": 0, "float16": 1e-3, "int8": 0.5 / 127}[dtype]
    assert (np.abs(kept - VECTORS[:900]) <= worst * np.abs(VECTORS[:900]).max(1)[:, None]).all()
    expected = similarities(QUERIES, kept, similarity)
    best = -np.sort(-expected, axis=1)[:, :10]
    at_hits = np.take_along_axis(expected, hits.ids, axis=1)
    assert np.allclose(hits.scores, at_hits, atol=2e-6 * np.abs(best).max())
    if dtype == "int8":  # a rounded query may lose a neighbour that is as near as another
        assert recall(hits.ids, np.argsort(-expected, axis=1)[:, :10]) > 0.99
    else:
        assert np.allclose(hits.scores, best, atol=2e-6 * np.abs(best).max())


def test_exact_search_finds_what_faiss_finds() -> None:
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed (extra index)")
    flat = faiss.IndexFlatL2(D)
    flat.add(VECTORS)
    distances, places = flat.search(QUERIES, 7)
    hits = AdaptiveIndex.build(VECTORS[:], similarity="euclidean", dims=[D]).search(
        QUERIES, 7, exact=True
    )
    assert (hits.ids == places).all()
    assert np.allclose(hits.scores, -np.sqrt(distances), rtol=1e-4)


def test_small_distances_survive_far_from_the_origin() -> None:
    near = np.random.default_rng(0).normal(size=(500, 8))
    index = AdaptiveIndex.build((near + 300).astype(np.float32), similarity="euclidean")
    rows = (near + 300).astype(np.float32).astype(np.float64)
    hits = index.search(rows[:50], 3, exact=True)
    expected = np.sort(np.linalg.norm(rows[:50, None] - rows, axis=2), axis=1)[:, :3]
    assert np.allclose(-hits.scores, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("offset", [0, 30, 1000, 10_000, 1_000_000])
def test_exact_distances_are_exact_however_far_from_the_origin(
    offset: float, dtype: segments.StoreDtype, tmp_path: Path
) -> None:
    offset = min(offset, 1000) if dtype == "float16" else offset
    drawn = np.random.default_rng(0).normal(size=(1520, D)) + offset
    rows, queries = np.split(drawn.astype(np.float32), [1500])
    AdaptiveIndex.build(rows, similarity="euclidean", dtype=dtype).save(tmp_path)
    index = AdaptiveIndex.open(tmp_path)
    kept = index.vectors(index.ids)
    expected = -np.sort(-similarities(queries, kept, "euclidean"), axis=1)[:, :10]
    plan = SearchPlan.single_shot(48, D, shortlist=400, kind="int8")
    for options in ({"exact": True}, {"filter": np.ones(1500, bool)}):
        hits = index.search(queries, 10, n_threads=1, **options)
        assert np.allclose(hits.scores, expected, rtol=1e-6)
    if dtype == "float32" and offset <= 10_000:
        hits = with_plan(index, plan).search(queries, 10, n_threads=1)
        assert recall(hits.scores, index.search(queries, 10, exact=True).scores) > 0.95


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_shortlist_is_by_the_similarity_of_prefixes_alone(
    similarity: Similarity, kind: Any
) -> None:
    plan = SearchPlan.single_shot(16, D, shortlist=10, kind=kind)
    index = AdaptiveIndex.build(VECTORS[:1000], similarity=similarity, dims=[16, D])
    index = with_plan(index, plan)
    hits = index.search(QUERIES, 10, plan=plan, n_threads=1)
    expected = similarities(QUERIES[:, :16], VECTORS[:1000, :16], similarity)
    true = np.argsort(-expected, axis=1)[:, :10]
    # the prefixes of a float stage are exact, those of a coarser one nearly so
    assert recall(hits.ids, true) >= (1 if kind == "float32" else 0.95)


def with_plan(index: AdaptiveIndex, plan: SearchPlan) -> AdaptiveIndex:
    """The index with the arrays that `plan` reads."""
    index.use(plan)
    return index


def test_a_learnt_plan_reaches_the_asked_recall_on_queries_it_never_saw(
    index: AdaptiveIndex,
) -> None:
    exact = index.search(QUERIES, 5, exact=True)
    hits = index.search(QUERIES, 5)
    assert len(index.plan.stages) > 1
    assert recall(hits.ids, exact.ids) >= 0.95
    assert hits.cost.n_bytes < exact.cost.n_bytes / 4
    claimed = index.plan.recall
    assert claimed is not None
    assert claimed.n_queries > 100
    assert claimed.low - 0.02 <= recall(hits.ids, exact.ids) <= claimed.high + 0.02


def test_more_recall_costs_more_and_all_of_it_is_exact_search(index: AdaptiveIndex) -> None:
    costs = [index.search(QUERIES, 5, recall=asked).cost for asked in (0.9, 0.99, 1.0)]
    assert [cost.n_bytes for cost in costs] == sorted(cost.n_bytes for cost in costs)
    assert costs[-1].multiply_adds == N * D
    everything = index.search(QUERIES, 5, recall=1.0)
    assert (everything.ids == index.search(QUERIES, 5, exact=True).ids).all()


def test_a_cost_is_what_its_stages_read(index: AdaptiveIndex) -> None:
    plan = index.plan
    cost = index.search(QUERIES[0], 5).cost
    rows = [N, *(stage.keep for stage in plan.stages[:-1])]
    expected = [n * stage.dim for n, stage in zip(rows, plan.stages, strict=True)]
    assert [stage.multiply_adds for stage in cost.stages] == expected
    assert cost.multiply_adds == sum(expected)


def test_scores_of_a_plan_are_those_of_whole_vectors(index: AdaptiveIndex) -> None:
    hits = index.search(QUERIES, 5)
    expected = np.take_along_axis(similarities(QUERIES, VECTORS, "cosine"), hits.ids, axis=1)
    assert np.allclose(hits.scores, expected, atol=1e-6)
    assert (np.diff(hits.scores, axis=1) <= 0).all()


def test_more_hits_than_learnt_for_come_from_longer_shortlists(index: AdaptiveIndex) -> None:
    exact, hits = (index.search(QUERIES, 20, exact=is_exact) for is_exact in (True, False))
    assert hits.plan.stages[0].keep == 4 * index.plan.stages[0].keep
    assert hits.plan.recall is None  # nobody measured it
    assert recall(hits.ids, exact.ids) > 0.9


@pytest.mark.parametrize("n_allowed", [0, 1, 40, 2500])
def test_a_filter_lets_through_what_it_says_and_costs_no_recall(
    index: AdaptiveIndex, n_allowed: int
) -> None:
    mask = np.zeros(N, dtype=bool)
    mask[np.random.default_rng(4).choice(N, n_allowed, replace=False)] = True
    expected = similarities(QUERIES, VECTORS, "cosine")
    expected[:, ~mask] = -np.inf
    true = np.argsort(-expected, axis=1)[:, : min(5, n_allowed)]
    by_mask = index.search(QUERIES, 5, filter=mask)
    by_ids = index.search(QUERIES, 5, filter=set(np.flatnonzero(mask).tolist()))
    assert (by_mask.ids == by_ids.ids).all()
    assert (by_mask.ids[:, n_allowed:] == -1).all()
    assert mask[by_mask.ids[by_mask.ids >= 0]].all()
    if n_allowed:
        assert recall(by_mask.ids[:, : min(5, n_allowed)], true) > 0.95


class Column:
    """A column of a data frame: not an array, but made into one."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return np.asarray(self.values, dtype=dtype)


def test_a_filter_may_come_in_many_forms() -> None:
    index = AdaptiveIndex.build(VECTORS[:6])
    bools = [False, True, False, True, True, False]
    numbers = [1, 3, 4]
    forms = [
        bools, tuple(bools), np.array(bools), list(np.array(bools)), (i for i in numbers),
        iter(bools), Column(bools), numbers, set(numbers),
        dict.fromkeys(numbers), np.array(numbers, dtype=np.uint16), Column(numbers), [*numbers, 99],
    ]  # fmt: skip
    for form in forms:
        hits = index.search(VECTORS[0], 6, filter=form)
        assert sorted(hits.ids[0].tolist()) == [-1, -1, -1, 1, 3, 4]
    assert (index.search(VECTORS[0], 2, filter=[]).ids == -1).all()
    texts = AdaptiveIndex.build(VECTORS[:3], ids=["a", "b", "ab"])
    assert texts.search(VECTORS[0], 2, filter="ab").ids.tolist() == [["ab", None]]
    with pytest.raises(TypeError, match="an id is b'a'"):
        texts.search(VECTORS[0], 2, filter=b"a")
    with pytest.raises(ValueError, match=r"filter of shape \[1\]"):
        index.search(VECTORS[0], 2, filter=True)
    assert (index.search(VECTORS[0], 2, filter=4).ids[0] == [4, -1]).all()


def test_ids_may_be_texts_of_any_script() -> None:
    ids = [f"문서 {i}" for i in range(40)]
    index = AdaptiveIndex.build(VECTORS[:40], ids=ids)
    hits = index.search(VECTORS[:3], 1)
    assert hits.ids.tolist() == [["문서 0"], ["문서 1"], ["문서 2"]]
    assert index.search(VECTORS[0], 41).ids[0, -1] is None
    index.update(VECTORS[50], "문서 7")
    assert (index.vectors(["문서 7"]) == VECTORS[50]).all()
    index.delete("문서 0")
    assert index.search(VECTORS[0], 40, exact=True).ids[0, -1] is None
    assert "문서 0" not in index.ids


def test_an_index_may_begin_with_nothing(tmp_path: Path) -> None:
    index = AdaptiveIndex.build(np.empty((0, 8), dtype=np.float32))
    assert index.search(np.ones(8), 3).ids.tolist() == [[-1, -1, -1]]
    index.save(tmp_path / "index")
    index = AdaptiveIndex.open(tmp_path / "index")
    index.add(np.eye(8))
    index.add(np.ones(8))
    assert index.ids.tolist() == list(range(9))
    assert index.search(np.ones(8), 1).ids.tolist() == [[8]]


def test_a_vector_of_zeros_has_cosine_zero_with_all() -> None:
    index = AdaptiveIndex.build(np.array([[0.0, 0.0], [-1.0, -1.0], [1.0, 0.0]]))
    hits = index.search(np.ones(2), 3)
    assert hits.ids.tolist() == [[2, 0, 1]]
    assert (index.search(np.zeros(2), 3).scores == 0).all()


@pytest.mark.parametrize("scale", [1e-40, 1e-25, 1e-19, 1e19, 1e30])
def test_a_cosine_does_not_depend_on_the_length_of_a_query(
    index: AdaptiveIndex, scale: float
) -> None:
    # of whole numbers with few bits a scaled query has the same direction, to the bit
    whole = np.sign(QUERIES[:20]) * 2.0 ** np.random.default_rng(0).integers(0, 3, (20, D))
    scaled = whole * 2.0 ** np.round(np.log2(scale))
    found = index.search(scaled, 5, n_threads=1)
    expected = index.search(whole, 5, n_threads=1)
    assert (found.ids == expected.ids).all()
    assert np.allclose(found.scores, expected.scores, atol=1e-6)


def test_float16_refuses_what_it_would_round_away() -> None:
    with pytest.raises(ValueError, match=r"no value beyond 1e-06, expected 6.1.*e-05 or more"):
        AdaptiveIndex.build(np.full((2, 3), 1e-6), dtype="float16")
    AdaptiveIndex.build(np.array([[0, 0], [1e-7, 1e-4]]), dtype="float16")  # zeros stay zeros


def test_signs_are_those_above_zero() -> None:
    plan = SearchPlan.single_shot(D, D, shortlist=100, k=100, kind="bits")
    rows = np.maximum(VECTORS[:1500], 0)
    found = with_plan(AdaptiveIndex.build(rows), plan).search(rows[:50], 100, plan=plan)
    differing = ((rows[:50, None] > 0) != (rows > 0)).sum(2)
    near = np.argsort(differing, axis=1, kind="stable")[:, :100]
    assert (np.sort(found.ids, axis=1) == np.sort(near, axis=1)).all()


def test_a_filter_by_ids_holds_for_the_rows_that_a_search_began_with() -> None:
    index = AdaptiveIndex.build(VECTORS[:50])
    index.add(VECTORS[50:52], [100, 101])
    before, _ = index._held
    index.update(VECTORS[52:53], [100])
    index.add(VECTORS[53:54], [102])
    mask = allowed_places(before, [100, 102, 7], "int")
    assert np.flatnonzero(mask).tolist() == [7, 50]


def test_rows_that_were_deleted_have_no_say_in_what_is_learnt() -> None:
    rows = np.concatenate([np.zeros((4000, D), np.float32), VECTORS])
    index = AdaptiveIndex.build(rows, n_threads=1, recall=0.95, k=5)
    index.delete(np.arange(4000))
    index.learn(recall=0.95, k=5, n_threads=1)
    assert index.info["n_learnt"] == N
    exact = index.search(QUERIES, 5, exact=True)
    assert recall(index.search(QUERIES, 5).ids, exact.ids) >= 0.94
    index.delete(index.ids[1000:])
    index.learn(n_threads=1)
    assert len(index.plan.stages) == 1  # too few are left to gain by any plan


def test_many_queries_are_answered_in_blocks(
    index: AdaptiveIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = [None, np.arange(N) < 500, np.arange(N) < 2900]
    at_once = [index.search(QUERIES, 9, filter=mask) for mask in masks]
    monkeypatch.setattr(asking, "_CANDIDATE_BYTES", 1)  # each query alone
    for mask, expected in zip(masks, at_once, strict=True):
        hits = index.search(QUERIES, 9, filter=mask)
        assert (hits.ids == expected.ids).all()
        assert (hits.scores == expected.scores).all()
        assert hits.cost == expected.cost


def test_blocks_and_mapped_arrays_give_what_one_array_gives(
    tmp_path: Path, index: AdaptiveIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blocks() -> Iterator[NDArray[np.float64]]:
        for start in itertools.chain(range(0, N - 7, 700), [N]):
            yield VECTORS[start : start + 700].astype(np.float64)

    monkeypatch.setattr(segments, "_BLOCK_VALUES", 5000)
    np.save(tmp_path / "vectors.npy", VECTORS)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    expected = index.search(QUERIES, 5)
    for i, vectors in enumerate([blocks(), mapped]):
        other = AdaptiveIndex.build(vectors, recall=0.95, k=5, out=tmp_path / f"{i}", n_threads=1)
        assert other.plans == index.plans
        hits = other.search(QUERIES, 5)
        assert (hits.ids == expected.ids).all()
        assert (hits.scores == expected.scores).all()


def test_searches_see_every_change_whole_while_it_is_made() -> None:
    index = AdaptiveIndex.build(VECTORS[:500])
    stop, problems = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            hits = index.search(QUERIES[:5], 600, exact=True, n_threads=1)
            for ids in hits.ids:
                found = ids[ids >= 0]
                # updates replace rows: none is lost and none is there twice
                if not 500 <= len(found) <= 520 or len(set(found.tolist())) < len(found):
                    problems.append(found)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for step in range(60):
        index.update(VECTORS[step * 3 : step * 3 + 20], np.arange(step, step + 20))
        if step < 20:
            index.add(VECTORS[600 + step], 1000 + step)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems
    assert len(index) == 520


def test_plans_are_learnt_again_when_asked(index: AdaptiveIndex) -> None:
    grown = AdaptiveIndex.build(VECTORS[:100])
    assert len(grown.plan.stages) == 1
    grown.add(VECTORS[100:], np.arange(100, N))
    grown.learn(recall=0.95, k=5, n_threads=1)
    assert len(grown.plan.stages) > 1
    assert grown.info["n_learnt"] == N
    exact = grown.search(QUERIES, 5, exact=True)
    assert recall(grown.search(QUERIES, 5).ids, exact.ids) >= 0.94


@pytest.mark.parametrize("how", ["hnsw", "ivf"])
def test_a_plan_may_begin_with_a_graph_or_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    pytest.importorskip("faiss", reason="faiss-cpu is not installed (extra index)")
    monkeypatch.setattr("vecsmith.retrieval.near.FEWEST_ROWS", 1000)
    plan = SearchPlan(
        stages=(
            Stage(dim=32, keep=150, kind="int8", how=how, effort=150 if how == "hnsw" else 30),
            Stage(dim=D, keep=10),
        )
    )
    index = AdaptiveIndex.build(VECTORS, approximate=how, recall=0.9, n_threads=1)
    index.use(plan)
    index.save(tmp_path / "index")
    index = AdaptiveIndex.open(tmp_path / "index", verify=True)
    assert list((tmp_path / "index").glob("*.faiss"))
    index.add(QUERIES[:10], np.arange(5000, 5010))
    index.delete(np.arange(100))
    exact, hits = (
        index.search(QUERIES, 10, n_threads=1, **options)
        for options in ({"exact": True}, {"plan": plan})
    )
    assert recall(hits.ids, exact.ids) > 0.9
    assert (hits.ids[:10, 0] == np.arange(5000, 5010)).all()  # the added are scanned beside it
    assert not set(range(100)) & set(hits.ids.ravel().tolist())
    index.save(tmp_path / "index")
    assert len(AdaptiveIndex.open(tmp_path / "index", verify=True)) == N - 90


def graph_plan(how: Any, dim: int) -> SearchPlan:
    return SearchPlan(
        stages=(Stage(dim=dim, keep=64, kind="int8", how=how, effort=64), Stage(dim=D, keep=10))
    )


@pytest.mark.parametrize(("how", "dim"), [("hnsw", D), ("ivf", 32)])
def test_another_graph_takes_the_place_of_the_one_that_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any, dim: int
) -> None:
    pytest.importorskip("faiss", reason="faiss-cpu is not installed (extra index)")
    monkeypatch.setattr("vecsmith.retrieval.near.FEWEST_ROWS", 1000)
    index = AdaptiveIndex.build(VECTORS[:1900], dims=[32, D], n_threads=1)
    index.use(graph_plan("hnsw", 32))
    index.save(tmp_path / "index")
    index = AdaptiveIndex.open(tmp_path / "index")
    index.use(graph_plan(how, dim))
    expected = index.search(QUERIES, 10, exact=True, n_threads=1).ids
    for opened in (index, None):
        found = opened or AdaptiveIndex.open(tmp_path / "index", verify=True)
        assert recall(found.search(QUERIES, 10, n_threads=1).ids, expected) > 0.6
        index.save(tmp_path / "index")
    assert [path.name[-len(f"{how}-{dim}.faiss") :] for path in tmp_path.rglob("*.faiss")] == [
        f"{how}-{dim}.faiss"
    ]
    near = AdaptiveIndex.open(tmp_path / "index")._held[0].segments[0].near
    assert near is not None
    assert (near.how, near.dim, len(near)) == (how, dim, 1900)
    index.use(SearchPlan.single_shot(16, D, shortlist=50))
    index.save(tmp_path / "index")
    assert not list(tmp_path.rglob("*.faiss"))
    AdaptiveIndex.open(tmp_path / "index")


def test_a_plan_given_takes_the_place_of_the_one_given_before(index: AdaptiveIndex) -> None:
    other = AdaptiveIndex.build(VECTORS[:50], n_threads=1)
    exact = other.plan
    for shortlist in range(20, 40):
        other.use(SearchPlan.single_shot(16, D, shortlist=shortlist))
    assert other.plans == (exact, SearchPlan.single_shot(16, D, shortlist=39))
    for k in range(10, 20):
        other.use(SearchPlan.exact(D, k=k))
    assert other.plans == (exact, SearchPlan.exact(D, k=19))
    other.use(exact)
    remaining: tuple[SearchPlan, ...] = other.plans
    assert remaining == (exact,)
    assert other.plan == exact
    learnt = AdaptiveIndex.build(VECTORS, recall=0.95, k=5, n_threads=1)
    learnt.use(learnt.plans[-1])
    assert learnt.plans == index.plans  # those that were learnt stay
    assert learnt.plan == index.plans[-1]


BAD_BUILDS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"ids": [1, 2]}, ValueError, "2 ids for 4 vectors"),
    ({"ids": [1, 2, 2, 3]}, ValueError, "id 2 is there twice"),
    ({"ids": ["a", "b", "c", "b"]}, ValueError, "id 'b' is there twice"),
    ({"ids": [1, "b", 2, 3]}, TypeError, "whole numbers or texts"),
    ({"ids": [1.5, 2, 3, 4]}, TypeError, "an id is 1.5"),
    ({"ids": [0, 1, 2, -1]}, ValueError, "stands for no hit"),
    ({"ids": ["a", "b", "c", "\ud800"]}, ValueError, "half a character"),
    ({"similarity": "manhattan"}, ValueError, "similarity 'manhattan', expected one of"),
    ({"dtype": "int4"}, ValueError, "dtype 'int4', expected one of"),
    ({"approximate": "pq"}, ValueError, "approximate 'pq', expected one of"),
    ({"dims": [9]}, ValueError, "expected numbers from 1 to 8"),
    ({"recall": 1.2}, ValueError, r"recall is 1.2, expected above 0"),
    ({"k": 0}, ValueError, "k is 0"),
    ({"k": 2.5}, ValueError, "k is 2.5, expected a whole number"),
    ({"queries": np.ones((3, 7))}, ValueError, r"queries of shape \[3, 7\]"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD_BUILDS)
def test_what_cannot_be_built_is_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        AdaptiveIndex.build(np.eye(4, 8), **options)


def test_vectors_that_are_none_are_refused_by_row() -> None:
    rows = np.ones((5, 3))
    rows[3, 1] = np.nan
    with pytest.raises(ValueError, match="vector 3 has the value nan"):
        AdaptiveIndex.build(rows)
    with pytest.raises(ValueError, match="vector 3 has the value inf"):
        AdaptiveIndex.build([rows[:3], np.full((1, 3), 1e39)])
    with pytest.raises(ValueError, match="expected at most 65504"):
        AdaptiveIndex.build(np.full((1, 3), 1e5), dtype="float16")
    for wide in (np.ones((1, 65_537), np.float32), np.ones((0, 65_537), np.float32)):
        with pytest.raises(ValueError, match="vectors of 65537 dims, expected at most 65536"):
            AdaptiveIndex.build(wide)
    with pytest.raises(ValueError, match="none are left behind 9223372036854775807"):
        AdaptiveIndex.build(np.eye(1, 3), ids=[2**63 - 1]).add(np.eye(1, 3))
    with pytest.raises(TypeError, match="vectors of <U1"):
        AdaptiveIndex.build(np.array([["a"]]))
    with pytest.raises(ValueError, match="vectors of 4 dims, expected 3"):
        AdaptiveIndex.build([np.ones((2, 3)), np.ones((2, 4))])
    with pytest.raises(ValueError, match="there are no vectors"):
        AdaptiveIndex.build(iter([]))


def test_what_does_not_fit_the_index_is_refused_and_changes_nothing() -> None:
    index = AdaptiveIndex.build(np.eye(4, 8))
    wrong: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (ValueError, "id 3 is in the index already", lambda: index.add(np.eye(2, 8), [9, 3])),
        (ValueError, "id 9 is not in the index", lambda: index.delete([0, 9])),
        (ValueError, "id 9 is not in the index", lambda: index.update(np.eye(1, 8), [9])),
        (TypeError, "expected whole numbers as", lambda: index.delete(["a"])),
        (ValueError, "vectors of 7 dims, expected 8", lambda: index.add(np.eye(2, 7))),
        (ValueError, "2 ids for 1 vectors", lambda: index.update(np.eye(1, 8), [0, 1])),
        (ValueError, r"queries of shape \[3\]", lambda: index.search(np.ones(3))),
        (ValueError, "query 0 has the value nan", lambda: index.search(np.full(8, np.nan))),
        (ValueError, "k is 0", lambda: index.search(np.ones(8), 0)),
        (ValueError, "at most one of them", lambda: index.search(np.ones(8), recall=1, exact=True)),
        (ValueError, r"filter of shape \[3\]", lambda: index.search(np.ones(8), filter=[True] * 3)),
        (TypeError, "a filter with the id 'a'", lambda: index.search(np.ones(8), filter=["a"])),
        (
            ValueError,
            "the plan reads int8 prefixes of 4 dims",
            lambda: index.search(
                np.ones(8), plan=SearchPlan.single_shot(4, 8, shortlist=20, kind="int8")
            ),
        ),
        (
            ValueError,
            "decides by 4 dims, expected all 8",
            lambda: index.search(np.ones(8), plan=SearchPlan.exact(4)),
        ),
    ]  # fmt: skip
    for error, message, call in wrong:
        with pytest.raises(error, match=message):
            call()
    assert index.ids.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("as_texts", [False, True])
def test_an_id_is_in_an_index_from_its_addition_to_its_deletion(as_texts: bool) -> None:
    ids: list[Any] = [f"글 {i}" for i in range(3)] if as_texts else [7, 8, 9]
    foreign: list[Any] = [7, None] if as_texts else ["7", True, 7.0, 2**70, [7]]
    index = AdaptiveIndex.build(np.eye(3, 8, dtype=np.float32), ids=ids)
    assert all(each in index for each in ids)
    assert not any(each in index for each in [*foreign, "\ud800", 6])
    index.delete(ids[1])
    assert [each in index for each in ids] == [True, False, True]
    index.add(np.ones((1, 8), np.float32), [ids[1]])
    assert ids[1] in index
    assert as_texts or np.int64(8) in index
    assert (index.vectors(ids[0]) == np.eye(1, 8)).all()


def test_a_printed_index_tells_rows_dims_type_and_plan() -> None:
    index = AdaptiveIndex.build(np.eye(3, 8, dtype=np.float32), dtype="int8", similarity="dot")
    index.delete(0)
    assert repr(index) == f"AdaptiveIndex(2 x 8, int8, dot, plan: {index.plan})"


def test_where_fewer_rows_may_be_found_than_asked_the_last_places_are_empty() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    names = ["faq-1", "faq-2", "x", "y", "z"]
    for ids, none in ((None, -1), (names, None)):
        hits = AdaptiveIndex.build(vectors, ids=ids).search(vectors[:2], k=7)
        assert hits.ids.shape == (2, 7)
        assert hits.ids[:, 5:].tolist() == [[none, none]] * 2
        assert (hits.scores[:, 5:] == -np.inf).all()
        assert np.isfinite(hits.scores[:, :5]).all()
    index = AdaptiveIndex.build(vectors, ids=names)
    wanted = [name for name in index.ids if str(name).startswith("faq-")]
    hits = index.search(vectors[:2], k=3, filter=[*wanted, "nowhere"])
    assert [set(ids[s > -np.inf]) for ids, s in zip(hits.ids, hits.scores, strict=True)] == [
        {"faq-1", "faq-2"}
    ] * 2
