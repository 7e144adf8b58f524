"""Pieces of work given to processes, and the table of what they found."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from tests.parity.comparison import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One piece of work for a process: which texts, under which tokenizers."""

    name: str
    kind: str
    arguments: tuple[Any, ...]


def run(
    tasks: list[Task], work: Callable[[Task], dict[str, Tally]], *, n_processes: int
) -> list[tuple[str, Tally]]:
    """Tally of each kind of text under each setting, the tasks done by several processes."""
    # each process tokenizes on one core; the work is split by processes instead
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tallies: dict[tuple[str, str], Tally] = {}
    done, told = 0, time.monotonic()
    waiting: dict[Future[dict[str, Tally]], Task] = {}
    queue = iter(tasks)
    with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
        while True:
            # a bounded number in flight: results are small, but so stays the queue
            for task in queue:
                waiting[pool.submit(work, task)] = task
                if len(waiting) >= 2 * n_processes:
                    break
            if not waiting:
                break
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                task = waiting.pop(future)
                done += 1
                for setting, tally in future.result().items():
                    tallies.setdefault((task.name, setting), Tally()).add(tally)
            if time.monotonic() - told > 10 or done == len(tasks):
                told = time.monotonic()
                wrong = sum(tally.differences for tally in tallies.values())
                print(f"{done}/{len(tasks)} pieces, {wrong} differences", flush=True)
    return [(f"{name} | {setting}", tally) for (name, setting), tally in sorted(tallies.items())]


def print_table(tallies: list[tuple[str, Tally]]) -> None:
    """One line for each kind of text, and one for each setting where something differs."""
    sets: dict[str, dict[str, Tally]] = defaultdict(dict)
    for label, tally in tallies:
        name, _, setting = label.partition(" | ")
        sets[name][setting] = tally
    print(f"{'set':24} {'settings':>8} {'texts':>10} {'MB':>9} {'tokens':>13} {'wrong':>7}")
    total = Tally()
    for name, by_setting in sets.items():
        subtotal = Tally()
        for tally in by_setting.values():
            subtotal.add(tally)
        _print_row(name, len(by_setting), subtotal)
        for setting, tally in by_setting.items():
            if tally.differences:
                _print_row(f"  {setting}", 1, tally)
        total.add(subtotal)
    _print_row("all", len(tallies), total)


def _print_row(name: str, settings: int, tally: Tally) -> None:
    print(
        f"{name:24} {settings:8d} {tally.documents:10d} {tally.n_bytes / 1e6:9.1f} "
        f"{tally.tokens:13d} {tally.differences:7d}"
    )
