"""Several processes on one machine that run the cells of one sweep.

The one rule: they share nothing but the folder, so a process that is killed takes nothing with it:
its locks go with it and another goes on with its cell.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

import torch

from vecsmith.errors import RunFailed
from vecsmith.execution.causes import told
from vecsmith.execution.running import Tell
from vecsmith.execution.sweeping import SweepPlan, run_tasks
from vecsmith.execution.telling import named
from vecsmith.training.transformer_base import chosen_device

_KILLED_WITH_PARENT: Final = 3
_VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
_UNGUARDED: Final = (
    "the script asks for several workers outside of `if __name__ == '__main__':`, expected the "
    "call inside of it: each worker imports the script"
)


def run_in_processes(plan: SweepPlan, *, workers: int, threads: int, tell: Tell) -> None:
    """Runs the tasks of `plan` in `workers` processes.

    Raises:
        RunFailed: If tasks are left without a record when all processes have ended.
        KeyboardInterrupt: After the processes have been stopped.
    """
    n_open = len(plan.open_tasks)
    started = [_start(plan, number, threads) for number in range(min(workers, max(1, n_open)))]
    troubles: list[str] = []
    n_begun = 0
    try:
        n_begun = _follow(started, tell, troubles)
    finally:
        for process, _ in started:
            process.terminate()
        for process, _ in started:
            process.join()
    left = plan.open_tasks
    if left:
        codes = [process.exitcode for process, _ in started]
        unsaid = f"{named(left[0])}: the processes ended with codes {codes}"
        if not n_begun:
            unsaid += f" before they began; if this is a script: {_UNGUARDED}"
        raise RunFailed(
            f"{len(left)} of {len(plan.tasks)} cells have no record, the others do: "
            f"{troubles[0] if troubles else unsaid}; mend that and run the same again"
        )


def check_guard() -> None:
    """Refuses to start processes while this one is being started itself, which never ends.

    Each new process imports the script that asked for it.

    Raises:
        RunFailed: If a script starts workers whenever it is imported.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RunFailed(_UNGUARDED)


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Torch with so many CPU threads while the block lasts; None for as many as it has."""
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(before)


def gpu_of(device: str, number: int) -> str | None:
    """What worker `number` is to see as its only CUDA device: of several one in turn.

    None where there are not several, or one of them was asked for. Every worker calls its own
    "cuda", so that a cell begun on one can go on on another.
    """
    if device != "cuda" or torch.cuda.device_count() < 2:
        return None
    seen = os.environ.get(_VISIBLE)
    names = seen.split(",") if seen else [str(i) for i in range(torch.cuda.device_count())]
    return names[number % len(names)]


def _start(plan: SweepPlan, number: int, threads: int) -> tuple[BaseProcess, Connection]:
    context = _context()
    ours, theirs = context.Pipe(duplex=False)
    device = chosen_device(plan.manner.device)
    own = replace(plan, manner=replace(plan.manner, device=device))
    process = context.Process(
        target=_work,
        args=(own, threads, gpu_of(device, number), theirs),
        name=f"sweep-{number}",
        daemon=True,
    )
    process.start()
    theirs.close()
    return process, ours


def _context() -> Any:
    """Processes that inherit neither torch's threads nor a CUDA context, which no fork survives.

    Where there is a fork server it imports torch once for all of them.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _follow(started: list[tuple[BaseProcess, Connection]], tell: Tell, troubles: list[str]) -> int:
    """Passes on what the processes say until all have ended; how many of them have begun."""
    speaking, n_begun = [connection for _, connection in started], 0
    while speaking:
        for connection in wait(speaking):
            assert isinstance(connection, Connection)
            try:
                kind, line = connection.recv()
            except (EOFError, OSError):
                speaking.remove(connection)
                continue
            if kind == "begun":
                n_begun += 1
            elif kind == "trouble":
                troubles.append(line)
            else:
                tell(line)
    return n_begun


def _work(plan: SweepPlan, threads: int, gpu: str | None, connection: Any) -> None:
    """What one process does."""
    _end_with_parent()
    if gpu is not None:
        os.environ[_VISIBLE] = gpu  # before anything asks CUDA for its devices
    torch.set_num_threads(threads)
    try:
        connection.send(("begun", ""))
        run_tasks(plan, tell=lambda line: connection.send(("line", line)))
    except KeyboardInterrupt:
        os._exit(_KILLED_WITH_PARENT)
    except Exception as error:
        first = error.__cause__ if isinstance(error.__cause__, RunFailed) else error
        connection.send(("trouble", told(first)))
    finally:
        connection.close()


def _end_with_parent() -> None:
    """Ends this process as soon as the one that started it is gone, killed or not."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        wait([parent.sentinel])
        os._exit(_KILLED_WITH_PARENT)

    threading.Thread(target=follow, daemon=True).start()
