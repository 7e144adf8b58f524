"""Text that is made to hurt: how fast it is encoded beside normal text, and what memory it takes.

Every kind runs in a process of its own, in turn with normal text; first the vectors of some texts
are compared with `tokenizers` and numpy. Beside it, how long a model takes from its folder to its
first vector.

    python benchmarks/adversarial.py            # about three minutes
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks._encode_models import DIM, ENGLISH, MULTILINGUAL, model_folder, unknown_id
from benchmarks._encode_texts import DATA, all_kinds
from benchmarks._record import LOCAL_RESULTS, load_average, machine, write_record

CHUNK = 8192  # texts of a call; the output of one call is reused for the next
COMPARED = 200
TOLERANCE = 1e-5
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _distinct_words(n_bytes: int) -> Iterator[str]:
    """Texts of about 1 kB; no word is there twice."""
    random_words = random.Random(3)
    number, made = 0, 0
    while made < n_bytes:
        words = []
        for _ in range(100):
            number += 1
            tail = "".join(random_words.choices(LETTERS, k=random_words.randint(1, 6)))
            words.append(tail + _spelled(number))
        text = " ".join(words)
        made += len(text)
        yield text


def _spelled(number: int) -> str:
    letters = ""
    while number:
        number, digit = divmod(number, 26)
        letters += LETTERS[digit]
    return letters


def _one_word(n_bytes: int) -> Iterator[str]:
    yield "abcdefghij" * (n_bytes // 10)


def _one_character(count: int) -> Iterator[str]:
    characters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?漢字кирλд한é"
    for i in range(count):
        yield characters[i % len(characters)]


def _marks(n_bytes: int) -> Iterator[str]:
    """Letters under piles of accents."""
    for i in range(n_bytes // 1000):
        yield (LETTERS[i % 26] + "\u0301\u0323" * 50) * 5


def _ideographs(n_bytes: int) -> Iterator[str]:
    for i in range(n_bytes // 3000):
        yield "".join(chr(0x4E00 + (i * 1000 + k * 7) % 20_000) for k in range(1000))


MAKERS: dict[str, Callable[[bool], Iterator[str]]] = {
    "words that are all distinct": lambda quick: _distinct_words(
        2_000_000 if quick else 20_000_000
    ),
    "100 MB without a space": lambda quick: _one_word(10_000_000 if quick else 100_000_000),
    "one-character texts, 10 million": lambda quick: _one_character(
        500_000 if quick else 10_000_000
    ),
    "piles of accents": lambda quick: _marks(1_000_000 if quick else 10_000_000),
    "ideographs without a space": lambda quick: _ideographs(1_000_000 if quick else 10_000_000),
}
NORMAL = {
    "English paragraphs": "English paragraphs",
    "64-character strings": "64-character strings",
}


def main() -> int:
    """Exit code 0 when the vectors agree, else 1."""
    options = _parse_arguments()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if options.child is not None:
        print(json.dumps(_encode_all(options)))
        return 0
    kinds = all_kinds(options.data)
    folders = {name: model_folder(name, kinds, options.cache) for name in (ENGLISH, MULTILINGUAL)}
    worst = _worst_difference(folders[ENGLISH])
    print(f"largest difference from tokenizers and numpy: {worst:.1e}")
    if worst > TOLERANCE:
        print(f"more than {TOLERANCE}: not timed")
        return 1
    rounds = 1 if options.quick else 3
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in [*NORMAL, *MAKERS]}
    for _ in range(rounds):
        for name in found:
            found[name].append(_in_a_process(name, folders[ENGLISH], options))
    figures = {name: _median(runs) for name, runs in found.items()}
    _print(figures)
    cold = {name: _cold_start(folder) for name, folder in folders.items()}
    for name, seconds in cold.items():
        print(
            f"{name}: {seconds['open'] * 1e3:.0f} ms to open, first vector after "
            f"{seconds['first_vector'] * 1e3:.0f} ms"
        )
    payload = {"quick": options.quick, "worst": worst, "kinds": figures, "cold_start": cold}
    path = write_record("adversarial", payload, folder=options.out)
    print(f"{machine()['cpu']}, load {load_average():.2f}; written: {path}")
    return 0


def _worst_difference(folder: Path) -> float:
    """Of some adversarial texts' vectors, from ids of `tokenizers` and a mean of numpy."""
    import tokenizers
    from safetensors.numpy import load_file

    from vecsmith import StaticModel

    table = load_file(folder / "model.safetensors")["embeddings"]
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    settings = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    unknown = unknown_id(settings["model"])
    texts = [*_one_word(5000)]
    for maker in (_distinct_words(50_000), _one_character(99), _marks(9000), _ideographs(9000)):
        texts += [text for text, _ in zip(maker, range(COMPARED), strict=False)]
    ours = StaticModel.from_pretrained(folder).encode(texts, normalize=False, max_length=None)
    worst = 0.0
    for vector, text in zip(ours, texts, strict=True):
        ids = [i for i in tokenizer.encode(text, add_special_tokens=False).ids if i != unknown]
        mean = table[ids].mean(axis=0) if ids else np.zeros(DIM)
        worst = max(worst, float(np.abs(vector - mean).max()))
    return worst


def _in_a_process(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", name, "--folder", str(folder)]
    command += ["--data", str(options.data)] + (["--quick"] if options.quick else [])
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _encode_all(options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one kind, in this process."""
    from vecsmith import StaticModel

    model = StaticModel.from_pretrained(options.folder)
    if options.child in NORMAL:
        kind = all_kinds(options.data)[NORMAL[options.child]]
        texts: Iterator[str] = iter(kind.timed[:20_000] if options.quick else kind.timed)
    else:
        texts = MAKERS[options.child](options.quick)
    out = np.empty((CHUNK, DIM), dtype=np.float32)
    model.encode(["warm up"] * 8, out=out[:8], n_threads=1)
    seconds, n_bytes, n_texts, grown = 0.0, 0, 0, 0
    while chunk := [text for text, _ in zip(texts, range(CHUNK), strict=False)]:
        n_bytes += sum(map(_n_bytes, chunk))
        before = _forget_peak()
        start = time.perf_counter()
        model.encode(chunk, out=out[: len(chunk)], n_threads=1)
        seconds += time.perf_counter() - start
        grown = max(grown, _status("VmHWM") - before)
        n_texts += len(chunk)
    return {"seconds": seconds, "bytes": n_bytes, "texts": n_texts, "grown_bytes": grown}


def _n_bytes(text: str) -> int:
    # no copy of an ASCII text: it would hide what encoding takes
    return len(text) if text.isascii() else len(text.encode())


def _status(field: str) -> int:
    """Bytes that Linux tells of this process: VmRSS, or VmHWM, the peak since it was reset."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def _forget_peak() -> int:
    """Lets the peak begin anew and gives what is held now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = statistics.median(run["seconds"] for run in runs)
    first = runs[0]
    return {
        "texts": first["texts"],
        "bytes": first["bytes"],
        "megabytes_per_second": first["bytes"] / seconds / 1e6,
        "texts_per_second": first["texts"] / seconds,
        "grown_megabytes": max(run["grown_bytes"] for run in runs) / 1e6,
    }


def _print(figures: dict[str, dict[str, Any]]) -> None:
    paragraphs, strings = (figures[name] for name in NORMAL)
    print(f"{'':34}{'MB/s':>10}{'texts/s':>14}{'of normal':>11}{'grown MB':>10}")
    for name, found in figures.items():
        is_short = found["bytes"] < 64 * found["texts"]
        share = (
            found["texts_per_second"] / strings["texts_per_second"]
            if is_short
            else found["megabytes_per_second"] / paragraphs["megabytes_per_second"]
        )
        found["share_of_normal"] = share
        print(
            f"{name:34}{found['megabytes_per_second']:10.1f}{found['texts_per_second']:14,.0f}"
            f"{share:11.2f}{found['grown_megabytes']:10.1f}"
        )


_COLD = """
import time, sys
import vecsmith
start = time.perf_counter()
model = vecsmith.StaticModel.from_pretrained(sys.argv[1])
opened = time.perf_counter()
model.encode("It's dangerous to go alone!")
print(opened - start, time.perf_counter() - start)
"""


def _cold_start(folder: Path) -> dict[str, float]:
    """Medians of fresh processes that have imported vecsmith; files are in the system's cache."""
    command = [sys.executable, "-c", _COLD, str(folder)]
    runs = []
    for _ in range(6):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        runs.append([float(part) for part in done.stdout.split()])
    opened, first = (statistics.median(column) for column in zip(*runs[1:], strict=True))
    return {"open": opened, "first_vector": first}


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of text sets")
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS, help="folder of the record")
    parser.add_argument("--cache", type=Path, default=LOCAL_RESULTS / "encode-models")
    parser.add_argument("--quick", action="store_true", help="less text, one round")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
