"""Runs every fuzzer for some seconds: the engine's under sanitizers, then the readers of files.

    python scripts/fuzz.py [--seconds 20] [--jobs 1] [--only NAME ...] [--record FOLDER]

The engine's are those of cpp/fuzz, built into build/asan by `cmake --preset asan`; the readers' are
of scripts/fuzz_readers.py and need the package `atheris`, without which they are passed over. What
each one says is kept in build/fuzz, what it found new in build/corpus for the next run. Ends with 1
if one of them found a fault.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "build" / "corpus"
READERS = ("tokenizer", "tensors", "config")
LAST_LINES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuzzer:
    """A fuzzer and how it is started."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run of a fuzzer came to; processor seconds and edges say how deep it went."""

    name: str
    exit_status: int
    seconds: float
    processor_seconds: float
    executions: int
    edges_covered: int
    peak_mb: int

    @property
    def is_clean(self) -> bool:
        """Whether it ran, and found nothing."""
        return self.exit_status == 0 and self.executions > 0


def main() -> int:
    """Runs what the command line asks for; 1 if a fault was found."""
    arguments = _arguments()
    known = list(_fuzzers())
    fuzzers = [f for f in known if not arguments.only or f.name in arguments.only]
    if unknown := set(arguments.only) - {fuzzer.name for fuzzer in fuzzers}:
        names = ", ".join(fuzzer.name for fuzzer in known)
        sys.exit(f"fuzz: no fuzzer {', '.join(sorted(unknown))}, expected some of {names}")
    if absent := [f.command[0] for f in fuzzers if not Path(f.command[0]).is_file()]:
        sys.exit(f"fuzz: {absent[0]} is not there, expected it from: cmake --build --preset asan")
    arguments.log.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        runs = []
        for run in pool.map(lambda fuzzer: _run(fuzzer, arguments), fuzzers):
            _report(run, arguments.log)
            runs.append(run)
    if arguments.record is not None:
        _write_record(arguments.record, runs, arguments)
    return int(not all(run.is_clean for run in runs))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}, expected 1 or more")
    return number


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs every fuzzer for some seconds.")
    parser.add_argument("--seconds", type=_positive, default=20, help="how long each one runs (20)")
    parser.add_argument("--jobs", type=_positive, default=1, help="how many run at once (1)")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="these, not all")
    parser.add_argument("--log", type=Path, default=ROOT / "build" / "fuzz", metavar="FOLDER")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="where fuzz.json goes")
    parser.add_argument(
        "--timeout", type=_positive, default=10, help="seconds one input may take (10)"
    )
    return parser.parse_args()


def _fuzzers() -> Iterator[Fuzzer]:
    for source in sorted((ROOT / "cpp" / "fuzz").glob("fuzz_*.cpp")):
        yield Fuzzer(
            name=source.stem,
            command=(str(ROOT / "build" / "asan" / source.stem), "-max_len=4096"),
        )
    # not among the development tools: it is built for few versions of Python
    if importlib.util.find_spec("atheris") is None:
        print(f"readers of model files: not fuzzed, {sys.executable} has no package atheris")
        return
    script = str(ROOT / "scripts" / "fuzz_readers.py")
    for reader in READERS:
        yield Fuzzer(name=f"readers_{reader}", command=(sys.executable, script, reader))


def _run(fuzzer: Fuzzer, arguments: argparse.Namespace) -> Run:
    corpus = CORPUS / fuzzer.name
    corpus.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (arguments.log / f"{fuzzer.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *fuzzer.command,
                f"-max_total_time={arguments.seconds}",
                f"-timeout={arguments.timeout}",
                "-rss_limit_mb=2048",
                f"-artifact_prefix={CORPUS}/{fuzzer.name}-",
                "-print_final_stats=1",
                str(corpus),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
    said = Path(log.name).read_text(encoding="utf-8", errors="replace")
    return Run(
        name=fuzzer.name,
        exit_status=os.waitstatus_to_exitcode(status),
        seconds=round(time.monotonic() - began, 1),
        processor_seconds=round(usage.ru_utime + usage.ru_stime, 1),
        executions=_last_number(r"stat::number_of_executed_units:\s+(\d+)", said),
        edges_covered=_last_number(r"\bcov: (\d+)", said),
        peak_mb=_last_number(r"stat::peak_rss_mb:\s+(\d+)", said),
    )


def _last_number(pattern: str, text: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def _report(run: Run, log: Path) -> None:
    print(
        f"{run.name}: {run.executions:,} inputs in {run.seconds:.0f} s "
        f"({run.processor_seconds:.0f} s of processor), {run.edges_covered:,} edges, "
        f"peak {run.peak_mb} MB: {'clean' if run.is_clean else 'FAULT'}",
        flush=True,
    )
    if not run.is_clean:
        path = log / f"{run.name}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        print(*lines[-LAST_LINES:], f"fuzz: all it said is in {path}", sep="\n", flush=True)


def _write_record(folder: Path, runs: list[Run], arguments: argparse.Namespace) -> None:
    """Puts the runs into fuzz.json; of a fuzzer that did not run now the last one stays."""
    sys.path.insert(0, str(ROOT))
    from benchmarks._record import commit, write_record

    path = folder / "fuzz.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else []
    of = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit(), "at_once": arguments.jobs}
    by_name = {run["name"]: run for run in kept} | {run.name: asdict(run) | of for run in runs}
    print(write_record("fuzz", {"runs": sorted(by_name.values(), key=_name)}, folder=folder))


def _name(run: dict[str, Any]) -> str:
    return str(run["name"])


if __name__ == "__main__":
    sys.exit(main())
