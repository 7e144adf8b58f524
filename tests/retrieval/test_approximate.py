"""Graphs and cells over prefixes: what they find, what they refuse, and their files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.errors import FormatError, MissingExtraError
from vecsmith.retrieval.approximate import ApproximateFile, ApproximateRows
from vecsmith.retrieval.exact import Similarity, search
from vecsmith.retrieval.plan import Stage
from vecsmith.retrieval.planning import choose_plan

faiss = pytest.importorskip("faiss")

DIM = 16
HOWS: Any = ["hnsw", "ivf"]
EFFORT = {"hnsw": 100, "ivf": 40}


def _rows(n: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(30, 2 * DIM))
    rows = centres[rng.integers(0, 30, n)] + 0.7 * rng.normal(size=(n, 2 * DIM))
    lengths = rng.uniform(0.5, 2, size=(n, 1))
    scaled: FloatArray = (rows * lengths).astype(np.float32)
    return scaled


ROWS, QUERIES = _rows(4000, 0), _rows(50, 1)


def _built(how: Any, similarity: Similarity = "cosine", rows: FloatArray = ROWS) -> ApproximateRows:
    prefixes = rows[:, :DIM]
    blocks = (prefixes[i : i + 1000] for i in range(0, len(rows), 1000))
    return ApproximateRows.build(blocks, prefixes, how=how, similarity=similarity, n_rows=len(rows))


def _stage(how: Any, keep: int = 30, effort: int | None = None) -> Stage:
    return Stage(dim=DIM, keep=keep, kind="int8", how=how, effort=effort or EFFORT[how])


def _share(found: NDArray[Any], truth: NDArray[Any]) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)]))


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_the_shortlist_holds_the_true_neighbours_of_the_prefix(
    how: Any, similarity: Similarity
) -> None:
    truth, _ = search(QUERIES[:, :DIM], ROWS[:, :DIM], 10, similarity=similarity)
    found = _built(how, similarity).search(QUERIES, _stage(how))
    assert found.shape == (50, 30)
    assert _share(found, truth) > 0.97


@pytest.mark.parametrize("how", HOWS)
def test_more_effort_scores_more_rows_and_finds_no_less(how: Any) -> None:
    rows = _built(how)
    truth, _ = search(QUERIES[:, :DIM], ROWS[:, :DIM], 10)
    low, high = (
        _stage(how, keep=10, effort=effort) for effort in ((10, 200) if how == "hnsw" else (1, 40))
    )
    assert rows.n_scored(QUERIES, low) < rows.n_scored(QUERIES, high) <= len(ROWS) + rows.n_cells
    assert _share(rows.search(QUERIES, low), truth) <= _share(rows.search(QUERIES, high), truth)


def test_every_cell_visited_scores_every_row() -> None:
    rows = _built("ivf")
    assert rows.n_scored(QUERIES, _stage("ivf", effort=10**6)) == len(ROWS) + rows.n_cells


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("share", [0.5, 0.02])
def test_only_allowed_rows_are_found_and_the_best_of_them(how: Any, share: float) -> None:
    allowed = np.random.default_rng(2).random(len(ROWS)) < share
    places = np.flatnonzero(allowed)
    truth, _ = search(QUERIES[:, :DIM], ROWS[places][:, :DIM], 10)
    found = _built(how).search(QUERIES, _stage(how), allowed=allowed)
    assert allowed[found[found >= 0]].all()
    assert _share(found, places[truth]) > 0.95


@pytest.mark.parametrize("how", HOWS)
def test_missing_places_are_minus_one(how: Any) -> None:
    rows = _built(how, rows=ROWS[:20])
    found = rows.search(QUERIES[:3], _stage(how, keep=25, effort=10**6))
    assert [sorted(row) for row in found.tolist()] == [[-1] * 5 + list(range(20))] * 3


@pytest.mark.parametrize("how", HOWS)
def test_who_builds_and_searches_keeps_its_number_of_threads(how: Any) -> None:
    before = faiss.omp_get_max_threads()
    seen: list[int] = []

    def blocks() -> Iterator[FloatArray]:
        for i in range(0, len(ROWS), 1000):
            seen.append(faiss.omp_get_max_threads())  # an encoder may make them
            yield ROWS[i : i + 1000, :DIM]

    rows = ApproximateRows.build(
        blocks(), ROWS[:, :DIM], how=how, n_rows=len(ROWS), n_threads=before + 1
    )
    rows.search(QUERIES, _stage(how), n_threads=before + 1)
    rows.n_scored(QUERIES, _stage(how))
    assert {*seen, faiss.omp_get_max_threads()} == {before}


@pytest.mark.parametrize("how", HOWS)
def test_a_saved_file_finds_what_was_found_before(how: Any, tmp_path: Path) -> None:
    rows = _built(how)
    record = rows.save(tmp_path / "g1.faiss")
    record = ApproximateFile.from_json(json.loads(json.dumps(record.to_json())), source="manifest")
    again = ApproximateRows.open(tmp_path, record, similarity="cosine")
    assert record.n_rows == len(again) == len(ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["g1.faiss"]
    assert np.array_equal(again.search(QUERIES, _stage(how)), rows.search(QUERIES, _stage(how)))


def test_a_file_cut_short_or_altered_never_reaches_faiss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = _built("ivf").save(tmp_path / "g1.faiss")
    whole = (tmp_path / "g1.faiss").read_bytes()
    monkeypatch.setattr(faiss, "read_index", lambda *_: pytest.fail("faiss has read the file"))
    for broken, message in (
        (whole[:-1], f"{len(whole) - 1} bytes, expected {len(whole)}"),
        (whole[:500] + bytes([whole[500] ^ 1]) + whole[501:], "the file was altered"),
    ):
        (tmp_path / "g1.faiss").write_bytes(broken)
        with pytest.raises(FormatError, match=message):
            ApproximateRows.open(tmp_path, record, similarity="cosine")


def test_a_file_of_something_else_is_refused_after_it_is_read(tmp_path: Path) -> None:
    record = _built("ivf").save(tmp_path / "g1.faiss")
    for other in (
        dataclasses.replace(record, how="hnsw"),
        dataclasses.replace(record, n_rows=7),
        dataclasses.replace(record, dim=8),
    ):
        with pytest.raises(FormatError, match=r"g1.faiss: holds \('IndexIVFScalarQuantizer', 16"):
            ApproximateRows.open(tmp_path, other, similarity="cosine")
    with pytest.raises(FormatError, match="holds"):
        ApproximateRows.open(tmp_path, record, similarity="euclidean")


def _altered(path: Path, record: ApproximateFile, old: bytes, new: bytes) -> ApproximateFile:
    """The file with some bytes replaced, and a record that agrees with it."""
    whole = path.read_bytes()
    assert whole.count(old) >= 1
    path.write_bytes(whole.replace(old, new, 1))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return dataclasses.replace(record, sha256=digest)


def test_a_broken_graph_whose_digest_agrees_is_refused_as_a_broken_file(tmp_path: Path) -> None:
    rows = _built("hnsw")
    path = tmp_path / "g1.faiss"
    record = rows.save(path)
    links = faiss.vector_to_array(rows._native.hnsw.neighbors)
    length = struct.pack("<q", len(links)) + links.tobytes()[:64]
    for new in (
        length[:8] + np.full(16, 2**30, np.int32).tobytes(),  # to rows that are not there
        struct.pack("<q", 2**36) + length[8:],  # longer than the file and all memory
    ):
        rows.save(path)
        altered = _altered(path, record, length, new)
        with pytest.raises(FormatError, match=r"g1\.faiss: .*build the index again"):
            ApproximateRows.open(tmp_path, altered, similarity="cosine")


def test_rows_that_cells_claim_and_that_are_not_there_are_not_found(tmp_path: Path) -> None:
    rows = _built("ivf")
    record = rows.save(tmp_path / "g1.faiss")
    lists = rows._native.invlists
    cell = next(i for i in range(rows.n_cells) if lists.list_size(i) > 3)
    n = lists.list_size(cell)
    own = faiss.rev_swig_ptr(lists.get_ids(cell), n).copy()
    far = np.resize(np.array([-(2**62), 2**62, len(ROWS)], np.int64), n)
    altered = _altered(tmp_path / "g1.faiss", record, own.tobytes(), far.tobytes())
    opened = ApproximateRows.open(tmp_path, altered, similarity="cosine")
    found = opened.search(ROWS[own, :DIM], _stage("ivf"))
    assert found.min() == -1
    assert found.max() < len(ROWS)
    allowed = np.ones(len(ROWS), bool)
    assert opened.search(ROWS[own, :DIM], _stage("ivf"), allowed=allowed).max() < len(ROWS)


def test_what_faiss_refuses_while_it_searches_is_told_as_a_broken_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = _built("ivf")

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("Error in search at IndexIVF.cpp: Error: 'is_trained' failed")

    monkeypatch.setattr(rows._native, "search", refuse)
    with pytest.raises(FormatError, match="faiss cannot take it: 'is_trained' failed"):
        rows.search(QUERIES, _stage("ivf"))


_GOOD = ApproximateFile(
    name="g1.faiss", how="hnsw", dim=8, n_rows=3, n_bytes=100, sha256="0" * 64
).to_json()


@pytest.mark.parametrize(
    "broken",
    [
        None, {}, {**_GOOD, "name": "../g1.faiss"}, {**_GOOD, "name": 3}, {**_GOOD, "dim": 0},
        {**_GOOD, "n_rows": True}, {**_GOOD, "n_bytes": 2**60}, {**_GOOD, "how": "lsh"},
        {**_GOOD, "how": ["hnsw"]}, {**_GOOD, "sha256": "00"},
    ],
)  # fmt: skip
def test_a_broken_record_is_refused(broken: Any) -> None:
    with pytest.raises(FormatError, match=r"index\.json"):
        ApproximateFile.from_json(broken, source="index.json")


def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "g1.faiss"
    path.write_bytes(b"old")

    class FullDisk:
        def __init__(self, file: Any) -> None:
            self.n_left = 3000
            self.file = file

        def write(self, piece: bytes) -> int:
            self.n_left -= len(piece)
            if self.n_left < 0:
                raise OSError(28, "No space left on device")
            return int(self.file.write(piece))

    from vecsmith.retrieval import approximate

    def written(file: Any) -> Any:
        return real(FullDisk(file))  # type: ignore[arg-type]

    real = approximate._Written
    monkeypatch.setattr(approximate, "_Written", written)
    with pytest.raises(OSError, match="No space left"):
        _built("hnsw").save(path)
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["g1.faiss"]


def test_a_stage_of_another_prefix_is_refused() -> None:
    with pytest.raises(ValueError, match="a stage of 8 dims by hnsw, expected 16 by ivf"):
        _built("ivf").search(QUERIES, Stage(dim=8, keep=5, how="hnsw", effort=20))


def test_the_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"vecsmith\[index\]"):
        _built("hnsw")


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows to train on"):
        ApproximateRows.build([], np.ones((0, 4), np.float32), how="hnsw", n_rows=0)


@pytest.mark.parametrize("how", HOWS)
def test_efforts_are_learnt_as_lengths_are(how: Any) -> None:
    rows = _built(how)

    class Searcher:
        def exact_top_k(self, queries: FloatArray, k: int) -> NDArray[np.int64]:
            return search(queries, ROWS, k)[0].astype(np.int64)

        def scan(self, queries: FloatArray, stage: Stage) -> NDArray[np.int64]:
            if stage.how == "exact":
                return self.exact_top_k(queries, stage.keep)
            return rows.search(queries, stage)

        def rescore(self, queries: FloatArray, places: NDArray[np.int64], stage: Stage) -> Any:
            units = ROWS[:, : stage.dim] / np.linalg.norm(ROWS[:, : stage.dim], axis=1)[:, None]
            scores = np.einsum("qd,qkd->qk", queries[:, : stage.dim], units[places])
            scores[places < 0] = -np.inf
            order = np.argsort(-scores, axis=1, kind="stable")[:, : stage.keep]
            return np.take_along_axis(places, order, 1), np.take_along_axis(scores, order, 1)

    efforts = [_stage(how, keep=400, effort=effort) for effort in (1, 4, 16, 50, 400)]
    queries = _rows(300, 3)
    choice = choose_plan(
        Searcher(), queries, n_rows=10**6, recall=0.95, dims=[], most=400, firsts=efforts,
        n_scored=lambda stage: rows.n_scored(queries[:50], stage),
    )  # fmt: skip
    first = choice.plan.stages[0]
    assert first.how == how
    assert first.effort in (1, 4, 16, 50, 400)
    assert choice.plan.recall is not None
    assert choice.plan.recall.achieved > 0.94
