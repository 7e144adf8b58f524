"""Instructions that encoding takes, a byte and a token: vecsmith beside model2vec, one thread.

A count does not depend on what else the machine does. Counted are whole processes, of hardware
counters by `perf stat` where there are any, else by valgrind; virtual machines mostly have none.
Both are optional (on Debian: `apt-get install linux-perf valgrind`); without them the record says
that nothing could be counted. valgrind knows no AVX-512, so there AVX2 is forced.

Processes that differ by one step are subtracted, and opening, warming and the making of strings
drop out: a model that has encoded the first half of the texts, and one that then encodes texts it
has not seen (or makes their ids alone, or encodes them once more). What each process answers is
compared with the ids of `tokenizers` and the mean of numpy.

    python benchmarks/instructions.py            # about ten minutes with valgrind
    python benchmarks/instructions.py --quick    # about three: English paragraphs alone
    python benchmarks/instructions.py --models "BPE, GPT-2"    # the record's others stay
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from benchmarks._encode_models import DIM, ENGLISH, GPT_2, UNIGRAM, model_folder, unknown_id
from benchmarks._encode_texts import DATA, Kind, all_kinds, share_of
from benchmarks._record import (
    LOCAL_RESULTS,
    commit,
    load_average,
    machine,
    versions,
    write_record,
)

ROOT = Path(__file__).resolve().parents[1]
CASES = (
    (ENGLISH, "English paragraphs"),
    (ENGLISH, "64-character strings"),
    (ENGLISH, "de"),
    (ENGLISH, "zh"),
    (GPT_2, "English paragraphs"),
    (UNIGRAM, "English paragraphs"),
)
WARM = 4_000_000  # bytes: past the tokens after which copies of frequent rows are made, once
TIMED = 1_000_000
PEER_WARM, PEER_TIMED = 20_000, 200_000
TOLERANCE = 1e-5
# by name: the library and the steps that follow on warming
RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "warm": ("vecsmith", ()),
    "once": ("vecsmith", ("encode",)),
    "twice": ("vecsmith", ("encode", "encode")),
    "ids": ("vecsmith", ("ids",)),
    "peer warm": ("model2vec", ()),
    "peer once": ("model2vec", ("encode",)),
}


@dataclass(frozen=True, slots=True)
class Counter:
    """A command that counts the instructions of another, and where its report has the count."""

    name: str
    command: tuple[str, ...]
    pattern: str

    def count(self, command: Sequence[str], environment: dict[str, str]) -> int | None:
        """Instructions of a process in user space; None where they cannot be counted.

        Raises:
            CalledProcessError: If the command itself fails.
        """
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch) / "report"
            prefix = [part.format(report=report) for part in self.command]
            try:
                done = subprocess.run(
                    [*prefix, *command], env=environment, capture_output=True, text=True
                )
            except FileNotFoundError:
                return None
            text = report.read_text(encoding="utf-8") if report.is_file() else ""
        found = self.read(text)
        if found is not None and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return found

    def read(self, report: str) -> int | None:
        """The count in a report; processors of two kinds of cores have one for each."""
        parts = re.findall(self.pattern, report, re.MULTILINE)
        return sum(int(part.replace(",", "")) for part in parts) if parts else None


COUNTERS = (
    Counter(
        name="hardware counters",
        command=("perf", "stat", "-x,", "-e", "instructions:u", "-o", "{report}", "--"),
        pattern=r"^(\d+),[^,]*,[^,]*instructions",
    ),
    Counter(
        name="valgrind",
        command=(
            "valgrind",
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
            "--log-file={report}",
        ),
        pattern=r"I +refs: +([\d,]+)",
    ),
)


def main() -> int:
    """Exit code 0 when the answers are right, or nothing can be counted, else 1."""
    options = _parse_arguments()
    counter = usable_counter()
    if counter is None:
        print("instructions cannot be counted: no hardware counters, and no valgrind")
        _write(None, "", [], options)
        return 0
    level = forced_level(counter)
    print(f"{machine()['cpu']}, counted by {counter.name}, kernels forced: {level or 'none'}")
    kinds = all_kinds(options.data)
    measured = kept_cases(options.out / "instructions.json", options.models, counter.name)
    for model, name in CASES[:1] if options.quick else CASES:
        if name not in kinds or (options.models is not None and model not in options.models):
            continue
        folder = model_folder(model, kinds, options.cache)
        row = {"model": model, "kind": name, **case(counter, level, folder, kinds[name])}
        if row["worst"] > TOLERANCE or row["other_ids"]:
            print(f"{model}, {name}: answers are wrong, {row['worst']:.1e}, {row['other_ids']} ids")
            return 1
        if not comparable(row["instructions"]):
            print(f"{model}, {name}: processes did not start alike, {row['processes']}")
            return 1
        measured.append(row)
        _print(row)
        _write(counter, level, measured, options)
    return 0


def usable_counter() -> Counter | None:
    """The first that counts on this machine."""
    for counter in COUNTERS:
        if counter.count(["true"], dict(os.environ)) is not None:
            return counter
    return None


def kept_cases(record: Path, models: Sequence[str] | None, counter: str) -> list[dict[str, Any]]:
    """Cases of a record that stay where only some models are counted anew.

    They were counted by the same counter, of the same commit.
    """
    if models is None or not record.is_file():
        return []
    found = json.loads(record.read_text(encoding="utf-8"))
    same = found["counter"] == counter and found["commit"] == commit()
    return [case for case in found["cases"] if same and case["model"] not in models]


def forced_level(counter: Counter) -> str:
    """The kernels that have to be forced: valgrind stops at AVX-512."""
    from vecsmith.tokenizer import cpu_level

    return "avx2" if counter.name == "valgrind" and cpu_level() in ("avx512", "amx") else ""


def case(counter: Counter, level: str, folder: Path, kind: Kind) -> dict[str, Any]:
    """Counts of one vocabulary on one kind of text, and how right the answers were."""
    from vecsmith import StaticModel

    StaticModel.from_pretrained(folder)  # what is kept of a tokenizer is there for all processes
    right = RightAnswers(folder)
    with tempfile.TemporaryDirectory() as scratch:
        ours = Job(Path(scratch) / "ours", kind, WARM, TIMED)
        theirs = Job(Path(scratch) / "theirs", kind, PEER_WARM, PEER_TIMED)
        jobs = {name: ours if RUNS[name][0] == "vecsmith" else theirs for name in RUNS}
        # side by side: a count is the same whatever else runs
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            done = pool.map(lambda name: jobs[name].count(counter, level, folder, name), list(RUNS))
            counts = dict(zip(RUNS, done, strict=True))
        checks = [right.check(jobs[name], name) for name in RUNS]
    return {
        "texts": len(ours.timed),
        "bytes": ours.n_bytes,
        "tokens": right.n_tokens(ours.timed),
        "instructions": {
            "unseen": counts["once"] - counts["warm"],
            "ids": counts["ids"] - counts["warm"],
            "seen": counts["twice"] - counts["once"],
        },
        "model2vec": {
            "bytes": theirs.n_bytes,
            "tokens": right.n_tokens(theirs.timed),
            "instructions": counts["peer once"] - counts["peer warm"],
        },
        "processes": counts,
        "worst": max(worst for worst, _ in checks),
        "other_ids": sum(other for _, other in checks),
    }


def comparable(counts: Mapping[str, int]) -> bool:
    """Whether counts can be of processes that differ by their steps alone.

    Ids are a part of encoding, and a text that was seen costs no more, but for some noise.
    """
    most = 1.1 * counts["unseen"]
    return all(0 < counts[name] < most for name in ("ids", "seen"))


class Job:
    """Texts for counted processes, and the files they read and write."""

    def __init__(self, folder: Path, kind: Kind, warm: int, timed: int) -> None:
        """Chooses so many bytes of texts; the halves have none in common."""
        folder.mkdir()
        self.folder = folder
        warm_bytes = share_of([text.encode() for text in kind.warm], warm)
        timed_bytes = share_of([text.encode() for text in kind.timed], timed)
        self.n_bytes = sum(map(len, timed_bytes))
        self.warm, self.timed = ([t.decode() for t in each] for each in (warm_bytes, timed_bytes))
        material = {
            "warm": self.warm,
            "warm_rounds": -(-warm // sum(map(len, warm_bytes))),  # a small set more than once
            "timed": self.timed,
        }
        (folder / "texts.json").write_text(json.dumps(material), encoding="utf-8")

    def count(self, counter: Counter, level: str, model: Path, name: str) -> int:
        """Instructions of the process that a run's name stands for.

        Raises:
            RuntimeError: If the counter, which counted before, gives no count.
        """
        library, steps = RUNS[name]
        script = str(ROOT / "benchmarks" / "_counted.py")
        texts = str(self.folder / "texts.json")
        command = [sys.executable, script, library, str(model), texts, str(self.answer(name))]
        found = counter.count([*command, *steps], _environment(level))
        if found is None:
            raise RuntimeError(f"{counter.name} gave no count for {name!r}, expected a number")
        return found

    def answer(self, name: str) -> Path:
        """Where the process of a run writes what its last step gave."""
        return self.folder / name


def _environment(level: str) -> dict[str, str]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    # the same start in every process: Python's hashes are not to change from one to the next
    fixed = {"TOKENIZERS_PARALLELISM": "false", "PYTHONHASHSEED": "0", "VECSMITH_CPU": level}
    return {**os.environ, **one, **fixed}


class RightAnswers:
    """Ids of `tokenizers` and means of numpy, of one folder."""

    def __init__(self, folder: Path) -> None:
        """Opens the folder without vecsmith."""
        import tokenizers
        from safetensors.numpy import load_file

        self._table = load_file(folder / "model.safetensors")["embeddings"].astype(np.float64)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        settings = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        self._unknown = unknown_id(settings["model"])

    def n_tokens(self, texts: list[str]) -> int:
        """How many ids the texts have."""
        return sum(map(len, self._ids(texts)))

    def check(self, job: Job, name: str) -> tuple[float, int]:
        """Largest difference of a run's vectors, and how many of its ids are others."""
        steps = RUNS[name][1]
        ids = self._ids(job.timed if steps else job.warm)
        path = job.answer(name)
        if steps[-1:] == ("ids",):
            expected = np.array([i for each in ids for i in each], dtype=np.uint32)
            found = np.fromfile(path, dtype=np.uint32)
            same = found.shape == expected.shape
            return 0.0, int((found != expected).sum()) if same else max(len(found), len(expected))
        vectors = np.fromfile(path, dtype=np.float32).reshape(-1, DIM)
        return float(np.abs(vectors - np.array([self._vector(each) for each in ids])).max()), 0

    def _ids(self, texts: list[str]) -> list[list[int]]:
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def _vector(self, ids: list[int]) -> NDArray[np.float64]:
        known = [i for i in ids if i != self._unknown]
        if not known:
            return np.zeros(DIM)
        mean: NDArray[np.float64] = self._table[known].mean(axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-32)


# ---- telling -----------------------------------------------------------------------------------


def _print(row: dict[str, Any]) -> None:
    counts, n_bytes, peer = row["instructions"], row["bytes"], row["model2vec"]
    print(
        f"{row['model']}: {row['kind']}: {counts['unseen'] / n_bytes:.1f} instructions a byte, "
        f"{counts['unseen'] / row['tokens']:.0f} a token, of them ids {counts['ids'] / n_bytes:.1f}"
        f" a byte, seen text {counts['seen'] / n_bytes:.1f} a byte; "
        f"model2vec {peer['instructions'] / peer['bytes']:.0f} a byte",
        flush=True,
    )


def _write(
    counter: Counter | None, level: str, measured: list[dict[str, Any]], options: argparse.Namespace
) -> None:
    payload = {
        "counter": None if counter is None else counter.name,
        "forced_kernels": level or None,
        "load_average": load_average(),
        "versions": versions(("vecsmith", "model2vec", "tokenizers", "numpy")),
        "cases": measured,
    }
    write_record("instructions", payload, folder=options.out)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of text sets")
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS, help="folder of the record")
    parser.add_argument("--cache", type=Path, default=LOCAL_RESULTS / "encode-models")
    parser.add_argument("--models", nargs="*", help="vocabularies to count anew; all if left out")
    parser.add_argument("--quick", action="store_true", help="English paragraphs alone")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
