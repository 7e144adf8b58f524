"""Speed of teacher -> static model: vecsmith beside model2vec, each in a process of its own.

Both sides distil the same teacher folder with the same settings (256 dimensions, float32, the
compatible mode here), in turn, and the order turns from round to round. Before the figures the
results are compared: the same tokens, the tables, and vectors of 10,000 texts that each side
encodes with its own library. vecsmith's own default runs beside them and is only timed.

    python benchmarks/distill.py --peer-python .venv-distill/bin/python

The peer's environment is made from benchmarks/peers-distill.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._record import LOCAL_RESULTS, load_average, versions, write_record

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DIM = 256
N_TEXTS = 10_000
OURS, DEFAULT, PEER = "vecsmith, compatible", "vecsmith, default", "model2vec"
# model2vec cuts texts after 512 tokens times 6 characters, and then after 512 tokens
PEER_MAX_CHARACTERS, PEER_MAX_TOKENS = 512 * 6, 512
MIN_COSINE = 0.9999


def main() -> int:
    arguments = _arguments()
    if arguments.side:
        _run_side(arguments)
        return 0
    from vecsmith.transformer.source import describe, find_teacher

    source = find_teacher(arguments.teacher)
    print(describe(source))
    pythons = {OURS: sys.executable, DEFAULT: sys.executable, PEER: arguments.peer_python}
    with tempfile.TemporaryDirectory() as work:
        texts = Path(work) / "texts.json"
        texts.write_text(json.dumps(_texts()), encoding="utf-8")
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in pythons}
        for number in range(arguments.rounds):
            sides = list(pythons)
            turn = number % len(sides)
            for side in sides[turn:] + sides[:turn]:
                out = Path(work) / f"{side}.npz"
                run = _spawn(pythons[side], side, source.folder, out, texts if not number else None)
                run["load_average"] = load_average()
                runs[side].append(run)
                _print_run(number, side, run)
            if not number:
                agreement = _compare(Path(work))
                print(_sentence(agreement))
    ratios = {
        name: _ratios(runs, f"{name}_seconds", OURS) for name in ("in_process", "process")
    } | {f"{name}, default": _ratios(runs, f"{name}_seconds", DEFAULT)
         for name in ("in_process", "process")}  # fmt: skip
    _print_table(runs, ratios)
    record = {
        "teacher": source.name,
        "dim": DIM,
        "agreement": agreement,
        "runs": runs,
        "model2vec_over_vecsmith": ratios,
        "versions": versions(["vecsmith", "torch", "transformers", "tokenizers", "numpy"]),
        "peer_versions": runs[PEER][0]["versions"],
    }
    print(f"record: {write_record('distill', record, folder=arguments.out)}")
    agreed = agreement["same_tokens"] and agreement["lowest_cosine"] > MIN_COSINE
    return 0 if agreed else 1


def _print_run(number: int, side: str, run: dict[str, Any]) -> None:
    print(
        f"round {number + 1}, {side}: {run['in_process_seconds']:.1f} s with imports, "
        f"{run['process_seconds']:.1f} s in all, load {run['load_average']:.1f}",
        flush=True,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--teacher", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--peer-python", default=".venv-distill/bin/python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS)
    parser.add_argument("--side", choices=(OURS, DEFAULT, PEER), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    parser.add_argument("--texts", help=argparse.SUPPRESS)
    return parser.parse_args()


def _spawn(python: str, side: str, folder: Path, out: Path, texts: Path | None) -> dict[str, Any]:
    """One distillation in a fresh process; seconds and memory."""
    command = [python, __file__, "--side", side, "--folder", str(folder), "--result", str(out)]
    if texts is not None:
        command += ["--texts", str(texts)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    run: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    # torch is imported by one side with the package and by the other when it is needed
    run["in_process_seconds"] = run["import_seconds"] + run["distill_seconds"]
    # encoding the texts and writing the result are not part of what is timed
    run["process_seconds"] = seconds - run.pop("after_seconds")
    return run


def _run_side(arguments: argparse.Namespace) -> None:
    """Distils in this process, saves table, tokens and vectors, prints seconds as JSON."""
    started = time.perf_counter()
    model: Any
    if arguments.side == PEER:
        from model2vec.distill import distill as distill_peer

        imported = time.perf_counter()
        model = distill_peer(arguments.folder, pca_dims=DIM, quantize_to="float32", device="cpu")
    else:
        from vecsmith import distill

        imported = time.perf_counter()
        compatible: Literal["model2vec"] | None = "model2vec" if arguments.side == OURS else None
        model = distill(arguments.folder, dim=DIM, compatible=compatible)
    finished = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if arguments.side == PEER:
        table, tokenizer_json = model.embedding, model.tokenizer.to_str()
    else:
        table, tokenizer_json = model.checkpoint.table, model.checkpoint.tokenizer_json
    vocabulary = json.loads(tokenizer_json)["model"]["vocab"]
    vectors = np.empty((0, DIM))
    if arguments.texts:
        texts = json.loads(Path(arguments.texts).read_text(encoding="utf-8"))
        vectors = model.encode(texts)
    tokens = sorted(vocabulary, key=vocabulary.get)
    np.savez(arguments.result, table=table, vectors=vectors, tokens=np.array(tokens))
    print(
        json.dumps(
            {
                "import_seconds": imported - started,
                "distill_seconds": finished - imported,
                "after_seconds": time.perf_counter() - finished,
                "peak_mib": round(peak),
                "versions": versions(["model2vec", "torch", "transformers", "tokenizers"]),
            }
        )
    )


def _texts() -> list[str]:
    """English texts that neither side cuts: of the data sets, or of Python's own documentation."""
    texts = sorted({text for text in _all_texts() if 0 < len(text) < PEER_MAX_TOKENS})
    random.Random(0).shuffle(texts)
    return texts[:N_TEXTS]


def _all_texts() -> Iterator[str]:
    if not DATA.is_dir():
        from pydoc_data.topics import topics

        for topic in topics.values():
            yield from topic.split("\n")
        return
    import pyarrow.parquet as pq

    columns = {"stsb/data": "sentence1", "scifact/corpus": "text", "plain_en/corpus": "text",
               "banking77/data": "text", "ag_news/data": "text"}  # fmt: skip
    for name, column in columns.items():
        yield from pq.read_table(DATA / f"{name}.parquet", columns=[column])[column].to_pylist()


def _compare(work: Path) -> dict[str, Any]:
    """How far the two sides' tokens, tables and vectors agree."""
    ours, peer = (np.load(work / f"{side}.npz") for side in (OURS, PEER))
    same_tokens = ours["tokens"].tolist() == peer["tokens"].tolist()
    norms = [np.linalg.norm(side["vectors"], axis=1) for side in (ours, peer)]
    filled = (norms[0] > 0) & (norms[1] > 0)
    cosines = (ours["vectors"] * peer["vectors"]).sum(axis=1)[filled] / (
        norms[0][filled] * norms[1][filled]
    )
    alike = same_tokens and ours["table"].shape == peer["table"].shape
    return {
        "same_tokens": same_tokens,
        "tokens": len(ours["tokens"]),
        "texts": len(ours["vectors"]),
        "empty": int((~filled).sum()),
        "lowest_cosine": float(cosines.min()),
        "table_max_abs_difference": (
            float(np.abs(ours["table"] - peer["table"]).max()) if alike else None
        ),
        "table_max_abs": float(np.abs(peer["table"]).max()),
    }


def _sentence(agreement: dict[str, Any]) -> str:
    return (
        f"{agreement['tokens']:,} tokens, {'the same' if agreement['same_tokens'] else 'DIFFERENT'}"
        f"; lowest cosine of {agreement['texts']:,} texts {agreement['lowest_cosine']:.7f}; "
        f"tables differ by at most {agreement['table_max_abs_difference']} "
        f"(largest value {agreement['table_max_abs']:.2f})"
    )


def _ratios(runs: dict[str, list[dict[str, Any]]], name: str, side: str) -> dict[str, float]:
    """How many times the peer's seconds are ours: smallest, median and largest of the rounds."""
    pairs = zip(runs[PEER], runs[side], strict=True)
    ratios = sorted(peer[name] / ours[name] for peer, ours in pairs)
    # other work on the machine only ever adds: the fastest rounds are the least disturbed
    fastest = min(run[name] for run in runs[PEER]) / min(run[name] for run in runs[side])
    return {
        "min": ratios[0],
        "median": statistics.median(ratios),
        "max": ratios[-1],
        "fastest": fastest,
    }


def _print_table(
    runs: dict[str, list[dict[str, Any]]], ratios: dict[str, dict[str, float]]
) -> None:
    print(f"\n{'':24}{'import':>9}{'distil':>9}{'both':>9}{'process':>9}{'peak MiB':>10}")
    for side, of_side in runs.items():
        seconds = [
            statistics.median(run[f"{part}_seconds"] for run in of_side)
            for part in ("import", "distill", "in_process", "process")
        ]
        peak = max(run["peak_mib"] for run in of_side)
        print(f"{side:24}" + "".join(f"{s:>8.1f}s" for s in seconds) + f"{peak:>10}")
    for name, ratio in ratios.items():
        print(
            f"model2vec / vecsmith, {name}: {ratio['median']:.2f} "
            f"({ratio['min']:.2f} to {ratio['max']:.2f}), fastest rounds {ratio['fastest']:.2f}"
        )


if __name__ == "__main__":
    sys.exit(main())
