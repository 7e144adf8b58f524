"""How near encoding comes to what this machine's memory allows, on one thread and warm.

Three rates are measured in the same run and in turn with encoding itself: rows of the very tokens
the texts have, summed and nothing else; the scan of their bytes; writing of their vectors. The
seconds these take are the floor; printed is the floor's share of the seconds encoding takes.

    python benchmarks/roofline.py
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._encode_models import DIM, ENGLISH, model_folder
from benchmarks._encode_texts import DATA, all_kinds
from benchmarks._record import LOCAL_RESULTS, load_average, machine, write_record

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("English paragraphs", "64-character strings", "short English texts", "de")


def main() -> int:
    """Exit code 0."""
    options = _parse_arguments()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    kinds = all_kinds(options.data)
    folder = model_folder(ENGLISH, kinds, options.cache)
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    tokens = sorted(vocabulary["vocab"], key=vocabulary["vocab"].__getitem__)
    program = _built()
    found: dict[str, Any] = {}
    for name in (name for name in KINDS if name in kinds):
        texts = (" ".join(text.split()) for text in kinds[name].timed)
        found[name] = _measure(program, tokens, texts, options.rounds)
        _print(name, found[name])
    payload = {"settings": {"rounds": options.rounds, "dim": DIM}, "load_average": load_average()}
    path = write_record("roofline", {**payload, "kinds": found}, folder=options.out)
    print(f"{machine()['cpu']}, load {load_average():.2f}; written: {path}")
    return 0


def _built() -> Path:
    """The program that measures, built from cpp/bench."""
    build = ROOT / "build" / "bench"
    for command in (
        ["cmake", "-S", str(ROOT), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release"],
        ["cmake", "--build", str(build), "--target", "roofline", "-j2"],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return build / "roofline"


def _measure(program: Path, tokens: list[str], texts: Iterable[str], rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch) / name for name in ("tokens.txt", "texts.txt")]
        for file, lines in zip(files, (tokens, texts), strict=True):
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        command = [str(program), *map(str, files), str(DIM), str(rounds)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _print(name: str, found: dict[str, Any]) -> None:
    rows, n_bytes, texts = found["rows"], found["bytes"], found["texts"]
    print(
        f"{name}: {n_bytes / found['seconds'] / 1e6:.0f} MB/s, "
        f"{100 * found['share']:.0f} % of the roofline\n"
        f"  rows {found['row_seconds'] / rows * 1e9:.1f} ns each "
        f"({found['uniform_row_seconds'] / rows * 1e9:.1f} ns were all equally likely), "
        f"scan {n_bytes / found['scan_seconds'] / 1e9:.1f} GB/s, "
        f"vectors written {found['write_seconds'] / texts * 1e9:.0f} ns each; "
        f"encoding {found['seconds'] / texts * 1e9:.0f} ns a text",
        flush=True,
    )


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of text sets")
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS, help="folder of the record")
    parser.add_argument("--cache", type=Path, default=LOCAL_RESULTS / "encode-models")
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
