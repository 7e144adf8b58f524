"""What every benchmark shares: the machine, the versions, fair timing in turns, the record.

A record is one JSON file: what was measured, when, on which commit, machine and versions.
"""

from __future__ import annotations

import gc
import json
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vecsmith._machine import load_average, machine, versions

__all__ = [
    "LOCAL_RESULTS",
    "PairedTimes",
    "commit",
    "load_average",
    "machine",
    "paired",
    "paired_when_ready",
    "versions",
    "write_record",
]

RESULTS = Path(__file__).resolve().parent / "results"
# records of one's own machine stay out of the repository; committed ones are chosen by hand
LOCAL_RESULTS = RESULTS / "local"

# An array of numbers takes one line, not one for each; no text in JSON holds a line's end.
_NUMBERS = re.compile(r"\[\n\s*[-+.\deE]+(,\n\s*[-+.\deE]+)*\n\s*\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTimes:
    """Seconds of each side in each round; the sides ran in turn, so a round is comparable.

    Processor seconds count all threads of the process; on a busy machine they say more.
    """

    seconds: Mapping[str, list[float]]
    processor_seconds: Mapping[str, list[float]]
    load_averages: list[float]

    def median(self, side: str) -> float:
        """Median seconds of a side over the rounds."""
        return statistics.median(self.seconds[side])

    def ratio(self, slow: str, fast: str) -> dict[str, float]:
        """How many times `fast` is faster than `slow`: min, median and max over the rounds."""
        return _ratio(self.seconds[slow], self.seconds[fast])

    def processor_ratio(self, slow: str, fast: str) -> dict[str, float]:
        """The same of processor seconds: how many times less work `fast` is."""
        return _ratio(self.processor_seconds[slow], self.processor_seconds[fast])


def _ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    # a clock's smallest step must not make a zero
    ratios = sorted(a / max(b, 1e-9) for a, b in zip(slow, fast, strict=True))
    return {"min": ratios[0], "median": statistics.median(ratios), "max": ratios[-1]}


def paired(
    sides: Mapping[str, Callable[[Any], object]],
    *,
    rounds: int,
    material: Callable[[int], Any],
) -> PairedTimes:
    """Times of all sides in turn, the order turning round by round.

    Args:
        sides: What is timed, by name; each gets the round's material.
        rounds: How many rounds.
        material: Makes the material of a round, given its number. It is made anew for each side,
            outside the timed part, so that nothing one side leaves in it helps the next.
    """

    def ready(side: Callable[[Any], object]) -> Callable[[int], Callable[[], object]]:
        def make(number: int) -> Callable[[], object]:
            given = material(number)
            return lambda: side(given)

        return make

    return paired_when_ready({name: ready(side) for name, side in sides.items()}, rounds=rounds)


def paired_when_ready(
    sides: Mapping[str, Callable[[int], Callable[[], object]]], *, rounds: int
) -> PairedTimes:
    """The same where each side has more to make ready than its material.

    Args:
        sides: By name; each, given the number of the round, makes ready and gives what is timed.
        rounds: How many rounds.
    """
    names = list(sides)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    processor: dict[str, list[float]] = {name: [] for name in names}
    loads = []
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            work = sides[name](number)
            gc.collect()
            start, processor_start = time.perf_counter(), time.process_time()
            kept = work()
            seconds[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - processor_start)
            del kept, work
        loads.append(load_average())
    return PairedTimes(seconds=seconds, processor_seconds=processor, load_averages=loads)


def write_record(name: str, payload: Mapping[str, Any], *, folder: Path = LOCAL_RESULTS) -> Path:
    """Writes one benchmark's record and gives its path.

    Args:
        name: The benchmark; the file is `name`.json.
        payload: Settings and figures.
        folder: Where to; benchmarks/results/local when left out.
    """
    record = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        **payload,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    part = path.with_suffix(".json.part")
    text = json.dumps(record, indent=2, ensure_ascii=False)
    text = _NUMBERS.sub(lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)
    return path


def commit() -> str | None:
    """Hash of the checked-out commit, "+changes" when files differ from it; None without git."""
    root = Path(__file__).resolve().parents[1]
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+changes" if changed else head


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
