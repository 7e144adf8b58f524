"""Search in the engine against numpy: scores, order, ties, masks, prefixes, odd numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith import _core
from vecsmith.retrieval._kernels import Kind, Rows, prefix_norms, rescore, top_k

KINDS: tuple[Kind, ...] = ("float32", "float16", "int8", "bits")
LEVELS = ("baseline", "neon", "sse4", "avx2", "avx512", "amx")
DIMS = (1, 7, 16, 31, 64, 100, 257, 509)


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param not in _core.cpu_levels():
        pytest.skip(f"this machine has no {request.param}")
    monkeypatch.setenv("VECSMITH_CPU", request.param)
    return str(request.param)


def whole(rng: np.random.Generator, n: int, dim: int) -> NDArray[np.float32]:
    """Small whole numbers, whose sums are exact in any order and often equal."""
    return rng.integers(-3, 4, (n, dim)).astype(np.float32)


def rows_of(vectors: NDArray[np.float32], kind: Kind, dim: int, **affine: Any) -> Rows:
    """Rows whose first `dim` dimensions count, in memory that holds more on both sides of them."""
    if kind == "bits":
        values: NDArray[Any] = np.packbits(vectors > 0, axis=1, bitorder="little")
        needed = -(-dim // 8)
    else:
        values = vectors.astype(np.dtype(kind))
        needed = dim
    # what lies behind the rows would be seen in a score if it were read
    wide = np.full((len(values), needed + 5), 99, dtype=values.dtype)
    wide[:, :needed] = values[:, :needed]
    return Rows(wide[:, :needed], kind, dim, **affine)


def expected_dots(queries: NDArray[np.float32], vectors: NDArray[np.float32], kind: Kind) -> Any:
    """Dot products in float64, after the rounding that a kind of rows does to the query."""
    left, right = queries.astype(np.float64), vectors.astype(np.float64)
    if kind == "bits":
        return (np.where(left > 0, 1, -1) @ np.where(right > 0, 1, -1).T).astype(np.float64)
    if kind == "int8":
        most = np.abs(left).max(axis=1, keepdims=True)
        scale = np.where(most == 0, 1, most) / 127
        return (np.rint(left / scale) @ right.T) * scale.astype(np.float32)
    return left @ right.T


def best(scores: NDArray[Any], k: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The k highest of each row, equal ones by place; what is -inf is not there."""
    places = np.full((len(scores), k), -1)
    found = np.full((len(scores), k), -np.inf)
    for i, row in enumerate(scores):
        order = np.argsort(-row, kind="stable")[:k]
        order = order[row[order] > -np.inf]
        places[i, : len(order)], found[i, : len(order)] = order, row[order]
    return places, found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_queries", [1, 4, 21])
def test_rows_of_whole_numbers_are_found_as_by_sorting(
    kind: Kind, n_queries: int, level: str
) -> None:
    rng = np.random.default_rng(5)
    for dim in DIMS:
        vectors, queries = whole(rng, 300, dim), whole(rng, n_queries, dim + 3)
        queries[:, 0] = 3  # a scale of 3 / 127 for int8
        scores = expected_dots(queries[:, :dim], vectors, kind).astype(np.float32)
        for k in (1, 30, 400):
            places, found = top_k(queries, rows_of(vectors, kind, dim), k)
            if kind == "int8":  # the scale is rounded in float32 there, ties are the same
                np.testing.assert_allclose(found, best(scores, k)[1], rtol=1e-6)
                continue
            np.testing.assert_array_equal(found, best(scores, k)[1])
            np.testing.assert_array_equal(places, best(scores, k)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_float64_within_rounding(kind: Kind, level: str) -> None:
    rng = np.random.default_rng(6)
    vectors = rng.standard_normal((500, 384)).astype(np.float32)
    if kind == "int8":
        vectors = np.rint(vectors * 40).clip(-127, 127).astype(np.float32)
    if kind == "float16":
        vectors = vectors.astype(np.float16).astype(np.float32)
    queries = rng.standard_normal((20, 384)).astype(np.float32)
    factors = rng.uniform(0.5, 2, 500).astype(np.float32)
    offsets = rng.standard_normal(500).astype(np.float32)
    for dim in (384, 96, 33):
        rows = rows_of(vectors, kind, dim, factors=factors, offsets=offsets)
        dots = expected_dots(queries[:, :dim], vectors[:, :dim], kind)
        scores = dots * factors + offsets
        places, found = top_k(queries, rows, 50)
        size = 1e-5 * np.abs(dots).max()
        np.testing.assert_allclose(found, best(scores, 50)[1], atol=size)
        np.testing.assert_allclose(found, np.take_along_axis(scores, places, 1), atol=size)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_blocks_and_batches_change_no_bit(kind: Kind) -> None:
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((30_000, 40)).astype(np.float32)
    queries = rng.standard_normal((70, 40)).astype(np.float32)
    scale = 30 if kind == "int8" else 1
    rows = rows_of(np.rint(vectors * scale).clip(-127, 127), kind, 40)
    places, scores = top_k(queries, rows, 25)
    for n_threads in (2, 5):
        again = top_k(queries, rows, 25, n_threads=n_threads)
        np.testing.assert_array_equal(again[0], places)
        np.testing.assert_array_equal(again[1], scores)
        for q in (0, 69):
            one = top_k(queries[q : q + 1], rows, 25, n_threads=n_threads)
            np.testing.assert_array_equal(one[0][0], places[q])
            np.testing.assert_array_equal(one[1][0], scores[q])


@pytest.mark.parametrize("kind", KINDS)
def test_every_level_gives_the_bits_of_the_plain_one(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(8)
    for dim in (1, 15, 16, 17, 48, 63, 65, 128, 384, 509, 515):
        vectors = rng.standard_normal((150, dim)).astype(np.float32)
        vectors[:3] *= np.float32(1e-41)
        vectors[3:6] *= np.float32(1e30)
        with np.errstate(over="ignore"):
            stored = np.rint(vectors * 90).clip(-128, 127) if kind == "int8" else vectors
            rows = rows_of(stored, kind, dim)
        for n_queries in (1, 5, 18):
            queries = rng.standard_normal((n_queries, dim)).astype(np.float32)
            found = []
            for name in _core.cpu_levels():
                monkeypatch.setenv("VECSMITH_CPU", name)
                places, scores = top_k(queries, rows, 150)
                found.append((places.tolist(), scores.view(np.uint32).tolist()))
            assert all(one == found[0] for one in found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99, 1.0])
def test_rows_that_are_not_allowed_are_never_found(kind: Kind, share: float, level: str) -> None:
    rng = np.random.default_rng(9)
    vectors, queries = whole(rng, 3000, 24), whole(rng, 6, 24)
    allowed = rng.random(3000) < share
    affine = rng.integers(1, 3, 3000).astype(np.float32)
    rows = rows_of(vectors, kind, 24, factors=affine, offsets=affine)
    everything = top_k(queries, rows, 3000)
    for n in (1, 6):
        places, scores = top_k(queries[:n], rows, 40, allowed=allowed)
        for q in range(n):
            keep = allowed[everything[0][q]]
            wanted = everything[0][q][keep][:40]
            np.testing.assert_array_equal(places[q, : len(wanted)], wanted)
            np.testing.assert_array_equal(scores[q, : len(wanted)], everything[1][q][keep][:40])
            assert (places[q, len(wanted) :] == -1).all()
            assert np.isneginf(scores[q, len(wanted) :]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_candidates_score_as_they_do_in_a_search_of_all(kind: Kind, level: str) -> None:
    rng = np.random.default_rng(10)
    vectors = rng.standard_normal((400, 70)).astype(np.float32)
    vectors = np.rint(vectors * 30).clip(-127, 127)
    affine = rng.standard_normal(400).astype(np.float32)
    queries = rng.standard_normal((9, 70)).astype(np.float32)
    rows = rows_of(vectors, kind, 70, factors=affine, offsets=affine)
    candidates = rng.integers(-1, 400, (9, 60))  # some come twice
    every_place, every_score = top_k(queries, rows, 400)
    for k in (5, 100):
        places, scores = rescore(queries, rows, candidates, k, n_threads=2)
        for q in range(9):
            keep = np.isin(every_place[q], candidates[q][candidates[q] >= 0])
            wanted = every_place[q][keep][:k]
            np.testing.assert_array_equal(places[q, : len(wanted)], wanted)
            np.testing.assert_array_equal(scores[q, : len(wanted)], every_score[q][keep][:k])
            assert (places[q, len(wanted) :] == -1).all()


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("n_queries", [1, 8])
def test_scores_that_are_not_numbers_are_never_found(
    kind: Kind, n_queries: int, level: str
) -> None:
    rng = np.random.default_rng(11)
    vectors, queries = whole(rng, 100, 20), whole(rng, n_queries, 20) + np.float32(5)
    vectors[7, 3], vectors[8, 4], vectors[9, 5] = np.nan, np.inf, -np.inf
    places, scores = top_k(queries, rows_of(vectors, kind, 20), 100)
    for row_places, row_scores in zip(places, scores, strict=True):
        assert row_places[0] == 8
        assert np.isposinf(row_scores[0])
        assert not {7, 9} & set(row_places.tolist())
        assert row_places[-2:].tolist() == [-1, -1]
        assert not np.isnan(row_scores).any()


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_query_of_nan_or_of_opposed_infinities_finds_nothing(kind: Kind, value: float) -> None:
    rows = rows_of(np.ones((50, 8), dtype=np.float32), kind, 8)
    queries = np.ones((5, 8), dtype=np.float32)
    queries[:, 2], queries[:, 3] = value, -value
    for n in (1, 5):
        places, scores = top_k(queries[:n], rows, 3)
        assert (places == -1).all()
        assert np.isneginf(scores).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_no_queries_and_rows_of_zeros_are_fine(kind: Kind) -> None:
    one = np.ones((1, 8), dtype=np.float32)
    none = rows_of(np.zeros((0, 8), dtype=np.float32), kind, 8)
    assert top_k(one, none, 2)[0].tolist() == [[-1, -1]]
    zeros = rows_of(np.zeros((3, 8), dtype=np.float32), kind, 8)
    assert top_k(one[:0], zeros, 2)[0].shape == (0, 2)
    assert top_k(one, zeros, 4)[0].tolist() == [[0, 1, 2, -1]]
    assert top_k(0 * one, zeros, 4, first=10)[0].tolist() == [[10, 11, 12, -1]]
    assert rescore(one, zeros, np.full((1, 0), 0), 2)[0].tolist() == [[-1, -1]]


def test_a_factor_or_an_offset_that_is_not_a_number_takes_its_row_out() -> None:
    rows = np.ones((4, 2), dtype=np.float32)
    spoiled = np.array([1, np.nan, 1, 1], dtype=np.float32)
    gone = np.array([0, 0, -np.inf, 0], dtype=np.float32)
    found = top_k(rows[:1], Rows(rows, "float32", 2, spoiled, gone), 4)[0]
    assert found.tolist() == [[0, 3, -1, -1]]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_prefix_norms_are_numpys(dtype: type[np.generic], level: str) -> None:
    rng = np.random.default_rng(12)
    values = rng.standard_normal((300, 130)).astype(dtype)
    dims = [1, 5, 16, 60, 129]
    norms = prefix_norms(values[:, :129], dims, n_threads=2)
    for d, found in zip(dims, norms, strict=True):
        wanted = np.linalg.norm(values[:, :d].astype(np.float64), axis=1)
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    squares = prefix_norms(values, dims, squared=True)
    np.testing.assert_array_equal(np.sqrt(squares), norms)


def test_what_does_not_fit_is_refused_with_values() -> None:
    queries = np.ones((2, 8), dtype=np.float32)
    values = np.ones((5, 8), dtype=np.float32)
    short = np.ones(4, dtype=np.float32)
    with pytest.raises(ValueError, match="k is 0, expected 1 or more"):
        top_k(queries, Rows(values, "float32", 8), 0)
    with pytest.raises(ValueError, match="rows of 0 dimensions, expected 1 to 65536"):
        top_k(queries, Rows(values, "float32", 0), 1)
    with pytest.raises(ValueError, match="rows of 8 dimensions, expected 9"):
        top_k(queries, Rows(values, "float32", 9), 1)
    with pytest.raises(ValueError, match="queries of 8 dimensions, expected at least 16"):
        top_k(queries, Rows(values.view(np.float16), "float16", 16), 1)
    with pytest.raises(ValueError, match="factors has 4 entries, expected 5"):
        top_k(queries, Rows(values, "float32", 8, short), 1)
    with pytest.raises(ValueError, match="allowed has 4 entries, expected 5"):
        top_k(queries, Rows(values, "float32", 8), 1, allowed=np.ones(4, dtype=bool))
    with pytest.raises(ValueError, match="entries of a row are 2 apart"):
        top_k(queries, Rows(values[:, ::2], "float32", 4), 1)
    with pytest.raises(ValueError, match="rows are in reverse"):
        top_k(queries, Rows(values[::-1], "float32", 8), 1)
    with pytest.raises(ValueError, match="rows are 0 bytes apart"):
        top_k(queries, Rows(np.broadcast_to(values[:1], (5, 8)), "float32", 8), 1)
    with pytest.raises(TypeError, match="int8 rows are of float32"):
        Rows(values, "int8", 8)
    with pytest.raises(TypeError, match="incompatible"):
        top_k(queries.astype(np.float64), Rows(values, "float32", 8), 1)
    with pytest.raises(ValueError, match="prefix of 3 dimensions, expected 1 or more, ascending"):
        prefix_norms(values, [5, 3])
    with pytest.raises(ValueError, match="squares of rows that are not float32 or float16"):
        prefix_norms(values.view(np.int8), [3])


@pytest.mark.parametrize("wrong", [-2, 5, 2**40, -(2**62)])
def test_a_candidate_that_is_no_row_is_an_index_error(wrong: int) -> None:
    values = np.ones((5, 8), dtype=np.float32)
    candidates = np.array([[0, 1], [4, wrong]])
    with pytest.raises(IndexError, match=f"candidate {wrong} of query 1, expected -1 or a row"):
        rescore(values[:2], Rows(values, "float32", 8), candidates, 1)


def test_a_wrong_level_is_told_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.ones((5, 8), dtype=np.float32)
    monkeypatch.setenv("VECSMITH_CPU", "fast")
    with pytest.raises(ValueError, match=r"^VECSMITH_CPU: cpu level 'fast'"):
        prefix_norms(values, [8])
