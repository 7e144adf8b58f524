"""Exact search of our engine beside faiss's flat indexes and numpy: same vectors, same queries.

    python benchmarks/search.py [--rows 250000] [--dim 1024] [--threads 2]

Answers are compared before the clock starts: scores of float32 and float16 rows with faiss's to
1e-5, those of int8 rows with numpy's whole numbers and those of bits with faiss's Hamming
distances exactly. A single query is one call on one thread; GB/s are bytes of rows over the least
processor time, to be held against the plain read of the same memory that stands beside.
Vectors are random: which of them are near does not change what a flat search reads.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._record import LOCAL_RESULTS, load_average, paired, versions, write_record
from vecsmith import _core
from vecsmith.retrieval._kernels import Kind, Rows, top_k

KINDS: tuple[Kind, ...] = ("float32", "float16", "int8", "bits")
PREFIXES = (64, 256)
Answer = tuple[NDArray[Any], NDArray[Any]]
Search = Callable[[NDArray[np.float32]], Answer]


@dataclass(frozen=True, slots=True)
class Case:
    """Rows of one kind and length, and who searches them."""

    rows: Rows
    sides: dict[str, Callable[[int], Search]]  # of a number of threads


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=250_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--queries", type=int, default=256, help="of a batch")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of the batch on several threads")
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((asked.rows, asked.dim), dtype=np.float32)
    queries = rng.standard_normal((asked.queries, asked.dim), dtype=np.float32)
    read = _read_gigabytes(vectors)
    print(f"plain read {read:.1f} GB/s, load {load_average()}", flush=True)
    rows = []
    for dim in (*(d for d in PREFIXES if d < asked.dim), asked.dim):
        for kind in KINDS:
            case = _case(kind, np.ascontiguousarray(vectors[:, :dim]), asked.k)
            asked_of = np.ascontiguousarray(queries[:, :dim])
            checked = _check(case, asked_of[:16])
            row = _timed(case, asked_of, rounds=asked.rounds, threads=asked.threads)
            rows.append({"kind": kind, "dim": dim, "checked": checked, **row})
            print(_line(rows[-1]), flush=True)
    path = write_record(
        "search",
        {
            "settings": {k: v for k, v in vars(asked).items() if k != "out"},
            "level": _core.cpu_level(),
            "plain_read_gb_per_second": read,
            "rows": rows,
            "versions": versions(["vecsmith", "numpy", "faiss-cpu"]),
        },
        folder=asked.out,
    )
    print(path)
    return 0


def _read_gigabytes(vectors: NDArray[np.float32]) -> float:
    """GB/s of the best of five plain reads of the same memory."""
    words = vectors.view(np.int64).reshape(-1)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        words.max()
        seconds.append(time.perf_counter() - start)
    return vectors.nbytes / min(seconds) / 1e9


def _case(kind: Kind, vectors: NDArray[np.float32], k: int) -> Case:
    values: NDArray[Any] = vectors
    factors = None
    if kind == "float16":
        values = vectors.astype(np.float16)
    if kind == "int8":
        most = np.abs(vectors).max(axis=1)
        values = np.rint(vectors / most[:, None] * 127).astype(np.int8)
        factors = (most / 127).astype(np.float32)
    if kind == "bits":
        values = np.packbits(vectors > 0, axis=1, bitorder="little")
    rows = Rows(values, kind, vectors.shape[1], factors)

    def ours(n_threads: int) -> Search:
        return lambda queries: top_k(queries, rows, k, n_threads=n_threads)

    sides: dict[str, Callable[[int], Search]] = {"ours": ours}
    if kind != "int8":  # faiss's whole-number codes are decoded and searched as float32
        sides["faiss"] = _faiss(kind, values, k)
    if kind == "float32":
        sides["numpy"] = lambda _: lambda queries: _by_numpy(queries, vectors, k)
    return Case(rows, sides)


def _faiss(kind: Kind, values: NDArray[Any], k: int) -> Callable[[int], Search]:
    import faiss

    index: Any
    dim = values.shape[1]
    if kind == "bits":
        index = faiss.IndexBinaryFlat(8 * dim)
    elif kind == "float16":
        half = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexScalarQuantizer(dim, half, faiss.METRIC_INNER_PRODUCT)
    else:
        index = faiss.IndexFlatIP(dim)
    for start in range(0, len(values), 50_000):
        block = values[start : start + 50_000]
        index.add(block if kind == "bits" else block.astype(np.float32))

    def on(n_threads: int) -> Search:
        def search(queries: NDArray[np.float32]) -> Answer:
            faiss.omp_set_num_threads(n_threads)
            asked: NDArray[Any] = queries
            if kind == "bits":
                asked = np.packbits(queries > 0, axis=1, bitorder="little")
            scores, places = index.search(asked, k)
            return places, scores

        return search

    return on


def _by_numpy(queries: NDArray[np.float32], vectors: NDArray[np.float32], k: int) -> Answer:
    """A product and a partial sort; the product runs on as many threads as BLAS likes."""
    scores = queries @ vectors.T
    places = np.argpartition(scores, -k, axis=1)[:, -k:]
    return places, np.take_along_axis(scores, places, axis=1)


def _check(case: Case, queries: NDArray[np.float32]) -> str:
    """Raises AssertionError where the answers differ; tells what they were held against."""
    places, scores = case.sides["ours"](1)(queries)
    rows = case.rows
    if rows.kind == "int8" and rows.factors is not None:
        most = np.abs(queries).max(axis=1).astype(np.float64)
        levels = np.rint(queries * (127 / most)[:, None])
        found = levels @ rows.values.T.astype(np.float64)
        wanted = found.astype(np.float32) * (most / 127).astype(np.float32)[:, None] * rows.factors
        order = np.argsort(-wanted, axis=1, kind="stable")[:, : places.shape[1]]
        np.testing.assert_array_equal(places, order)
        np.testing.assert_array_equal(scores, np.take_along_axis(wanted, order, axis=1))
        return "numpy"
    _, theirs = case.sides["faiss"](1)(queries)
    if rows.kind == "bits":
        np.testing.assert_array_equal((rows.dim - scores) / 2, theirs)
    else:
        np.testing.assert_allclose(scores, theirs, rtol=1e-5)
    return "faiss"


def _timed(
    case: Case, queries: NDArray[np.float32], *, rounds: int, threads: int
) -> dict[str, Any]:
    """Median seconds of each side and what ours gains: one query, a batch, a batch on threads."""
    found: dict[str, Any] = {}
    for name, n_threads, batch in (
        ("one query", 1, 1),
        ("batch", 1, len(queries)),
        ("batch on threads", threads, len(queries)),
    ):
        sides = {
            side: on(n_threads)
            for side, on in case.sides.items()
            if side != "numpy" or name == "batch on threads"
        }
        # one query after the other; a batch is the same each time
        given = [queries[i : i + batch] for i in range(min(rounds, len(queries) - batch + 1))]
        times = paired(sides, rounds=rounds, material=_in_turn(given))
        found[name] = {
            "n_queries": batch,
            "n_threads": n_threads,
            "seconds": {side: times.median(side) for side in sides},
            "processor_seconds": times.processor_seconds,
            "load_averages": times.load_averages,
            "times": {
                side: {
                    "wall": times.ratio(side, "ours"),
                    "cpu": times.processor_ratio(side, "ours"),
                }
                for side in sides
                if side != "ours"
            },
        }
    one = min(found["one query"]["processor_seconds"]["ours"])
    found["gb_per_second"] = case.rows.values.nbytes / one / 1e9
    return found


def _in_turn(given: list[NDArray[np.float32]]) -> Callable[[int], NDArray[np.float32]]:
    return lambda number: given[number % len(given)]


def _line(row: dict[str, Any]) -> str:
    parts = [f"{row['kind']:8} {row['dim']:5} {row['gb_per_second']:5.1f} GB/s"]
    for name in ("one query", "batch", "batch on threads"):
        seconds = row[name]["seconds"]
        gains = ", ".join(
            f"{side} {ratio['wall']['median']:.1f}x (cpu {ratio['cpu']['median']:.1f}x)"
            for side, ratio in row[name]["times"].items()
        )
        parts.append(f"{name} {1e3 * seconds['ours']:.2f} ms {gains}")
    return " | ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
