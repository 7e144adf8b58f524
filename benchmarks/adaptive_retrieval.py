"""A million sentences of 1024 dims: the adaptive index beside faiss, at the same recall.

    python benchmarks/adaptive_retrieval.py --pairs english-sets/pairs.parquet

The pairs are those of recipes/english_sets.py; on them a nested static model is trained, which
encodes the sentences (`_retrieval_material.py`). 1,000 sentences that are not in the index are the
queries; 2,000 others are what plans are learnt from and faiss's efforts chosen by. The answers are
checked first: exact search equals faiss's flat search, and every recall is measured against it.
Then all sides search in turn, query by query on one thread, and 1,000 queries at once on two.

faiss's own vectors are held once: the flat search, the graph (M = 32) and the refining index share
them. Indexes are kept in results/local/adaptive_retrieval and used again; the seconds they took to
build are kept with them. --quick takes 100,000 sentences. It needs 20 GB of memory and of disk.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._record import LOCAL_RESULTS, load_average, paired, versions, write_record
from benchmarks._retrieval_material import DIM, Material, material
from benchmarks._retrieval_peers import (
    EFFORTS,
    FLAT,
    GRAPH,
    PANORAMA,
    Asked,
    K,
    Places,
    Points,
    Rows,
    Search,
    Side,
    faiss_sides,
    least_effort,
    once,
    point,
    recalls_of,
)
from vecsmith.retrieval import _kernels
from vecsmith.retrieval.approximate import ApproximateFile, ApproximateRows
from vecsmith.retrieval.index import AdaptiveIndex
from vecsmith.retrieval.plan import SearchPlan, Stage
from vecsmith.retrieval.planning import recall_estimate

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RECALL = 0.99
N_QUERIES, N_LEARNING = 1000, 2000
OURS_EXACT, OURS = "vecsmith exact", "vecsmith adaptive"
WALKED_DIM = 256
OURS_GRAPH = f"vecsmith HNSW of {WALKED_DIM} dims, then rescored"


def main() -> int:
    arguments = _arguments()
    name = f"{arguments.rows // 1000}k"
    folder = arguments.work / name
    given = material(
        arguments.data, arguments.pairs, arguments.work,
        n_rows=arguments.rows, n_queries=N_QUERIES, n_learning=N_LEARNING,
    )  # fmt: skip
    index, seconds = _index(given, folder)
    asked = _asked(
        index,
        np.array(given.queries[: arguments.queries]),
        np.array(given.learning[: arguments.learning]),
    )
    sides: dict[str, Side] = {}
    curves: dict[str, Points] = {}
    for found, drawn in (
        _our_sides(index, folder / "index", seconds, asked),
        _walked_side(given.rows, asked, folder),
        faiss_sides(given.rows, asked, folder),
    ):
        sides |= {side.name: side for side in found}
        curves |= drawn
    _check_exact(sides[FLAT].search(asked.queries, 2), given.rows, asked)
    record = {
        "rows": arguments.rows,
        "dim": DIM,
        "queries": arguments.queries,
        "k": K,
        "recall_asked": RECALL,
        "plan": index.plan.to_json(),
        "sides": {name: _facts(side, asked) for name, side in sides.items()},
        "curves": curves,
        **_times(sides, asked.queries, arguments),
        "load_average": load_average(),
        "versions": versions(["vecsmith", "faiss-cpu", "numpy"]),
    }
    _print(record)
    stem = "adaptive_retrieval" if arguments.rows >= 10**6 else f"adaptive_retrieval_{name}"
    path = write_record(stem, record, folder=arguments.out)
    _draw(record, path.with_suffix(".png"))
    print(f"record: {path}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--pairs", type=Path, required=True, help="by recipes/english_sets.py")
    parser.add_argument("--rows", type=int, default=10**6)
    parser.add_argument("--quick", action="store_true", help="100,000 sentences")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--queries-a-round", type=int, default=20)
    parser.add_argument("--batch-rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=N_QUERIES, help="how many are asked")
    parser.add_argument("--learning", type=int, default=N_LEARNING, help="to choose efforts by")
    parser.add_argument("--work", type=Path, default=LOCAL_RESULTS / "adaptive_retrieval")
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rows = 100_000
    return arguments


def _index(given: Material, folder: Path) -> tuple[AdaptiveIndex, float]:
    """The index with plans learnt, built into a folder once."""

    def build() -> None:
        AdaptiveIndex.build(
            given.rows, queries=np.array(given.learning), recall=RECALL, k=K,
            out=folder / "index", n_threads=2,
        )  # fmt: skip

    seconds = once(folder / "index", build)
    return AdaptiveIndex.open(folder / "index"), seconds


def _asked(index: AdaptiveIndex, queries: Rows, learning: Rows) -> Asked:
    known = np.asarray(index.search(learning, k=K, exact=True).ids)
    return Asked(
        queries=queries,
        truth=np.asarray(index.search(queries, k=K, exact=True).ids),
        learning=learning,
        known=known,
        reached=float(recalls_of(index.search(learning, k=K).ids, known).mean()),
    )


def _our_sides(
    index: AdaptiveIndex, folder: Path, seconds: float, asked: Asked
) -> tuple[list[Side], dict[str, Points]]:
    """Exact search and the plan that was learnt; the curve is of all plans that were."""
    whole = len(index) * DIM * 4
    n_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))

    def search_of(plan: SearchPlan) -> Search:
        return lambda queries, n_threads: np.asarray(
            index.search(queries, k=K, plan=plan, n_threads=n_threads).ids
        )

    def exact(queries: Rows, n_threads: int) -> Places:
        return np.asarray(index.search(queries, k=K, exact=True, n_threads=n_threads).ids)

    sides = [
        Side(name=OURS_EXACT, search=exact, settings="float32", n_bytes=whole),
        Side(
            name=OURS, search=search_of(index.plan), settings=str(index.plan), n_bytes=n_bytes,
            build_seconds=seconds,
        ),
    ]  # fmt: skip
    points = []
    for plan in index.plans:
        cost = plan.cost(len(index))
        points.append(
            {
                **point(search_of(plan), asked, n_timed=200 if len(plan.stages) > 1 else 20),
                "settings": str(plan),
                "multiply_adds": cost.multiply_adds,
                "n_bytes": cost.n_bytes,
            }
        )
    return sides, {OURS: points}


def _walked_side(rows: Rows, asked: Asked, folder: Path) -> tuple[list[Side], dict[str, Points]]:
    """A graph over short prefixes as the first stage, whole vectors as the second."""
    path = folder / "walked.faiss"

    def build() -> None:
        places = np.random.default_rng(0).choice(len(rows), min(20_000, len(rows)), replace=False)
        graph = ApproximateRows.build(
            (np.array(rows[i : i + 50_000, :WALKED_DIM]) for i in range(0, len(rows), 50_000)),
            rows[np.sort(places), :WALKED_DIM],
            how="hnsw",
            n_rows=len(rows),
            n_threads=2,
        )
        path.with_suffix(".json").write_text(json.dumps(graph.save(path).to_json()))

    seconds = once(path, build)
    record = ApproximateFile.from_json(
        json.loads(path.with_suffix(".json").read_text()), source="walked.json"
    )
    graph = ApproximateRows.open(folder, record, similarity="cosine")
    whole = _kernels.Rows(rows, "float32", DIM)

    def search_of(effort: int) -> Search:
        stage = Stage(dim=WALKED_DIM, keep=effort, kind="int8", how="hnsw", effort=effort)

        def search(queries: Rows, n_threads: int) -> Places:
            shortlist = graph.search(queries, stage, n_threads=n_threads)
            return _kernels.rescore(queries, whole, shortlist, K, n_threads=n_threads)[0]

        return search

    search, effort, tried = least_effort(search_of, EFFORTS, asked)
    side = Side(
        name=OURS_GRAPH, search=search, settings=f"efSearch={effort}", build_seconds=seconds,
        n_bytes=rows.nbytes + record.n_bytes,
    )  # fmt: skip
    curve = [{**point(search_of(ef), asked), "settings": f"efSearch={ef}"} for ef in tried]
    return [side], {OURS_GRAPH: curve}


def _facts(side: Side, asked: Asked) -> dict[str, Any]:
    recall = recall_estimate(recalls_of(side.search(asked.queries, 2), asked.truth), asked=RECALL)
    return {
        "settings": side.settings,
        "recall": {name: getattr(recall, name) for name in ("achieved", "low", "high")},
        "gigabytes": round(side.n_bytes / 1e9, 3),
        "build_seconds": side.build_seconds,
    }


def _check_exact(found: Places, rows: Rows, asked: Asked) -> None:
    """Both flat searches find the same, but for rows whose scores differ by rounding alone."""
    for query, ours, theirs in zip(asked.queries, asked.truth, found, strict=True):
        if set(ours.tolist()) != set(theirs.tolist()):
            left, right = (
                np.sort(rows[places].astype(np.float64) @ query) for places in (ours, theirs)
            )
            if not np.allclose(left, right, atol=2e-6):
                raise SystemExit("the two exact searches differ")


def _times(
    sides: Mapping[str, Side], queries: Rows, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Seconds in turn: of single queries on one thread, and of all at once on two."""
    n = arguments.queries_a_round

    def one_by_one(side: Side) -> Callable[[Rows], object]:
        return lambda some: [side.search(some[i : i + 1], 1) for i in range(len(some))]

    def at_once(side: Side) -> Callable[[Rows], object]:
        return lambda some: side.search(some, 2)

    single = paired(
        {name: one_by_one(side) for name, side in sides.items()},
        rounds=arguments.rounds,
        material=lambda i: queries[i * n % len(queries) :][:n].copy(),
    )
    batch = paired(
        {name: at_once(side) for name, side in sides.items()},
        rounds=arguments.batch_rounds,
        material=lambda _: queries.copy(),
    )
    return {
        "single": {
            name: {
                "milliseconds": 1000 * single.median(name) / n,
                "processor_milliseconds": 1000
                * statistics.median(single.processor_seconds[name])
                / n,
                "times_faster_than": {
                    other: single.ratio(other, name) for other in (OURS_EXACT, FLAT, GRAPH)
                },
                "times_less_work_than": {
                    other: single.processor_ratio(other, name)
                    for other in (OURS_EXACT, FLAT, GRAPH)
                },
            }
            for name in sides
        },
        "batch": {
            name: {
                "milliseconds": batch.median(name) * 1000 / len(queries),
                "queries_per_second": len(queries) / batch.median(name),
            }
            for name in sides
        },
        "load_averages": single.load_averages + batch.load_averages,
    }


def _print(record: Mapping[str, Any]) -> None:
    """The table of the guide."""
    print(
        "| | recall@10 | ms a query, one thread | × faiss flat | × faiss HNSW "
        "| queries/s, batch, two threads | GB | build s |\n|---|---|---|---|---|---|---|---|"
    )
    for name, side in record["sides"].items():
        single, recall = record["single"][name], side["recall"]
        faster = single["times_faster_than"]
        build = "" if side["build_seconds"] is None else f"{side['build_seconds']:,.0f}"
        print(
            f"| {name} ({side['settings']}) "
            f"| {recall['achieved']:.4f} ({recall['low']:.4f}–{recall['high']:.4f}) "
            f"| {single['milliseconds']:.2f} | {faster[FLAT]['median']:.1f} "
            f"| {faster[GRAPH]['median']:.2f} "
            f"| {record['batch'][name]['queries_per_second']:,.0f} "
            f"| {side['gigabytes']:.2f} | {build} |"
        )


def _draw(record: Mapping[str, Any], path: Path) -> None:
    from vecsmith.reporting.pictures.drawing import png_bytes
    from vecsmith.reporting.pictures.recall_cost import recall_cost_figure

    curves = record["curves"]
    by_time = {
        name: [(point["milliseconds"], point["recall"]) for point in points]
        for name, points in curves.items()
    }
    for name in (FLAT, PANORAMA):
        by_time[name] = [
            (record["single"][name]["milliseconds"], record["sides"][name]["recall"]["achieved"])
        ]
    by_bytes = {
        name: [(p["n_bytes"] / 1e6, p["recall"]) for p in points]
        for name, points in curves.items()
        if "n_bytes" in points[0]
    }
    by_bytes[FLAT] = [(record["rows"] * DIM * 4 / 1e6, 1.0)]
    figure = recall_cost_figure(
        {
            "milliseconds of a query, one thread": by_time,
            "megabytes of rows that a query reads": by_bytes,
        },
        title=f"Recall@{K} among {record['rows']:,} sentences of {DIM} dims",
        subtitle="against exact search; the dashed line is what the index was asked for",
        asked=RECALL,
    )
    path.write_bytes(png_bytes(figure))


if __name__ == "__main__":
    raise SystemExit(main())
