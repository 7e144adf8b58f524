"""Sides of `adaptive_retrieval.py`: what a way of searching is, and those of faiss.

faiss's whole vectors are held once: the flat search, the graph and the refining index share them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._retrieval_material import DIM

K = 10
LINKS, BUILD_EFFORT = 32, 40  # of faiss's graph; the second is faiss's default
EFFORTS = (64, 128, 256, 512, 1024, 2048, 4096)
REFINED_DIM, REFINED = 256, (8, 16, 32, 64, 128, 256)
PANORAMA_LEVELS = 16
FLAT, GRAPH = "faiss flat", f"faiss HNSW M={LINKS}"
PANORAMA, REFINE = "faiss Panorama flat", f"faiss refine, first {REFINED_DIM} dims"
_BLOCK = 50_000

Places = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float32]
Search = Callable[[Rows, int], Places]
Points = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A way of searching: `search` takes queries and threads; what it takes to hold and build."""

    name: str
    search: Search
    settings: str
    n_bytes: int
    build_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Queries with their true neighbours; `learning` are those that efforts are chosen by.

    `reached` is the recall of our plan on these: what a peer's effort has to reach.
    """

    queries: Rows
    truth: Places
    learning: Rows
    known: Places
    reached: float


def faiss_sides(rows: Rows, asked: Asked, folder: Path) -> tuple[list[Side], dict[str, Points]]:
    """Flat, graph, Panorama and refining index; and the curves of those that have an effort."""
    import faiss

    whole = rows.nbytes
    graph, graph_seconds = _graph(faiss, rows, folder)
    flat = faiss.downcast_index(graph.storage)
    refined, refined_seconds = _refined(faiss, rows, flat)
    panorama, panorama_seconds = _panorama(faiss, rows)
    walk, effort, walks = least_effort(lambda ef: _walk(faiss, graph, ef), EFFORTS, asked)
    refine, factor, factors = least_effort(lambda f: _refine(faiss, refined, f), REFINED, asked)
    sides = [
        Side(name=FLAT, search=_plain(faiss, flat), settings="IndexFlatIP", n_bytes=whole),
        Side(
            name=GRAPH, search=walk, settings=f"efConstruction={BUILD_EFFORT} efSearch={effort}",
            n_bytes=whole + len(rows) * 2 * LINKS * 4, build_seconds=graph_seconds,
        ),
        Side(
            name=PANORAMA, search=_plain(faiss, panorama), settings=f"{PANORAMA_LEVELS} levels",
            n_bytes=whole, build_seconds=panorama_seconds,
        ),
        Side(
            name=REFINE, search=refine, settings=f"k_factor={factor}",
            n_bytes=whole + len(rows) * REFINED_DIM * 4, build_seconds=refined_seconds,
        ),
    ]  # fmt: skip
    curves = {
        GRAPH: [
            {**point(_walk(faiss, graph, ef), asked), "settings": f"efSearch={ef}"} for ef in walks
        ],
        REFINE: [
            {**point(_refine(faiss, refined, f), asked, n_timed=20), "settings": f"k_factor={f}"}
            for f in factors
        ],
    }
    return sides, curves


def least_effort(
    search_of: Callable[[int], Search], efforts: Sequence[int], asked: Asked
) -> tuple[Search, int, list[int]]:
    """The least effort that finds as much as ours, the most if none does, and all tried."""
    tried = []
    for effort in efforts:
        tried.append(effort)
        search = search_of(effort)
        if recalls_of(search(asked.learning, 2), asked.known).mean() >= asked.reached:
            break
    return search, tried[-1], tried


def point(search: Search, asked: Asked, *, n_timed: int = 50) -> dict[str, Any]:
    """Recall on all queries, and milliseconds of one: the median on one thread."""
    found = search(asked.queries, 2)
    search(asked.queries[:1], 1)
    milliseconds = []
    for row in range(min(n_timed, len(asked.queries))):
        start = time.perf_counter()
        search(asked.queries[row : row + 1], 1)
        milliseconds.append(1000 * (time.perf_counter() - start))
    return {
        "recall": float(recalls_of(found, asked.truth).mean()),
        "milliseconds": float(np.median(milliseconds)),
    }


def recalls_of(found: Any, truth: Any) -> npt.NDArray[np.float64]:
    """Share of the true neighbours of each query that were found."""
    return np.array([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)])


def once(path: Path, build: Callable[[], None]) -> float:
    """Seconds that `build` takes, or took when `path` was built."""
    record = path.with_name(path.name + ".seconds.json")
    if not record.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        build()
        record.write_text(json.dumps(time.perf_counter() - start))
    return float(json.loads(record.read_text()))


def _graph(faiss: Any, rows: Rows, folder: Path) -> tuple[Any, float]:
    path = folder / f"hnsw_{LINKS}_{BUILD_EFFORT}.faiss"

    def build() -> None:
        faiss.omp_set_num_threads(2)
        graph = faiss.IndexHNSWFlat(DIM, LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = BUILD_EFFORT
        for start in range(0, len(rows), _BLOCK):
            graph.add(np.array(rows[start : start + _BLOCK]))
            print(f"faiss HNSW: {graph.ntotal:,} rows", flush=True)
        faiss.write_index(graph, f"{path}.part")
        os.replace(f"{path}.part", path)

    seconds = once(path, build)
    return faiss.read_index(str(path)), seconds


@dataclass(frozen=True, slots=True)
class _Refined:
    """A refining index; faiss holds its parts by bare pointers, so they are held here."""

    native: Any
    parts: tuple[Any, ...]


def _refined(faiss: Any, rows: Rows, flat: Any) -> tuple[_Refined, float]:
    """Exact inner products of unit prefixes, then of whole vectors for the best of them."""
    start = time.perf_counter()
    scan = faiss.IndexFlatIP(REFINED_DIM)
    for first in range(0, len(rows), _BLOCK):
        scan.add(_unit_prefix(rows[first : first + _BLOCK]))
    cut = faiss.RemapDimensionsTransform(DIM, REFINED_DIM, False)
    unit = faiss.NormalizationTransform(REFINED_DIM, 2.0)
    base = faiss.IndexPreTransform(unit, scan)
    base.prepend_transform(cut)
    refined = _Refined(faiss.IndexRefine(base, flat), (scan, cut, unit, base, flat))
    return refined, time.perf_counter() - start


def _unit_prefix(rows: Rows) -> Rows:
    prefix = np.array(rows[:, :REFINED_DIM])
    lengths = np.linalg.norm(prefix, axis=1, keepdims=True)
    return np.ascontiguousarray(prefix / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _panorama(faiss: Any, rows: Rows) -> tuple[Any, float]:
    start = time.perf_counter()
    panorama = faiss.IndexFlatIPPanorama(DIM, PANORAMA_LEVELS)
    for first in range(0, len(rows), _BLOCK):
        panorama.add(np.array(rows[first : first + _BLOCK]))
    return panorama, time.perf_counter() - start


def _plain(faiss: Any, native: Any) -> Search:
    def search(queries: Rows, n_threads: int) -> Places:
        faiss.omp_set_num_threads(n_threads)
        return np.asarray(native.search(queries, K)[1])

    return search


def _walk(faiss: Any, graph: Any, effort: int) -> Search:
    parameters = faiss.SearchParametersHNSW(efSearch=effort)

    def search(queries: Rows, n_threads: int) -> Places:
        faiss.omp_set_num_threads(n_threads)
        return np.asarray(graph.search(queries, K, params=parameters)[1])

    return search


def _bytes_walked(faiss: Any, walk: Search, asked: Asked) -> int:
    """Bytes of vectors that a query reads, as a mean over all."""
    faiss.cvar.hnsw_stats.reset()
    walk(asked.queries, 1)
    return int(faiss.cvar.hnsw_stats.ndis) * DIM * 4 // len(asked.queries)


def _refine(faiss: Any, refined: _Refined, factor: int) -> Search:
    parameters = faiss.IndexRefineSearchParameters(k_factor=factor)

    def search(queries: Rows, n_threads: int) -> Places:
        faiss.omp_set_num_threads(n_threads)
        return np.asarray(refined.native.search(queries, K, params=parameters)[1])

    return search
