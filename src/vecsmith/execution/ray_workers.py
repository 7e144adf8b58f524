"""Ray tasks, on the nodes of a cluster, that run the cells of one sweep.

The one rule: a task does what a process of `--workers` does, on the folder that all share. It hands
back no result: the driver reads the records, so they are those of any other way to run the sweep.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import vecsmith
from vecsmith._extras import require
from vecsmith._files import lock_file
from vecsmith.errors import RunFailed, VecsmithError
from vecsmith.execution.running import Tell
from vecsmith.execution.sweeping import SweepPlan, run_tasks
from vecsmith.execution.telling import summary
from vecsmith.execution.workers import using_threads
from vecsmith.planning.cells import Precision
from vecsmith.results.tuning_runs import TuningRun, record_path
from vecsmith.training.transformer_base import chosen_precision

HERE: Final = ("auto", "local")
_POLL_SECONDS: Final = 1.0
# For tasks to tidy up after the last cell, or to end when cancelled
_GRACE_SECONDS: Final = 5.0
# A network file system may show a new file of another machine as late as that
_LATE_SECONDS: Final = 60.0
# Tasks begun anew, for each worker, after their process or machine went away
_LIVES: Final = 3
# Nothing is handed over but the plan; by default Ray would take a third of the memory
_STORE_BYTES: Final = 256 * 2**20

# What a task says when it ends: one of "done", "trouble", "unfit" or "lost", and what was wrong
_Outcome = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedToken:
    """A file that the driver holds a lock on, to be found so by every task.

    Attributes:
        path: Absolute, in the folder of the sweep.
        content: What no other file says.
        folder: The driver's working folder, for paths that are relative to it.
        version: Of the driver's vecsmith.
    """

    path: Path
    content: str
    folder: str
    version: str

    def check(self) -> None:
        """Raises what is wrong with this node.

        Raises:
            RunFailed: If it does not see the driver's folder or lock, or has another vecsmith.
        """
        node = os.uname().nodename
        if vecsmith.__version__ != self.version:
            raise RunFailed(
                f"node {node} has vecsmith {vecsmith.__version__}, expected {self.version} as the "
                "driver has: install the same on every node"
            )
        try:
            found = self.path.read_text(encoding="utf-8")
        except OSError as error:
            raise RunFailed(
                f"node {node} does not see {self.path} ({error.strerror}), expected --out on "
                "storage that every node sees under the same path"
            ) from error
        if found != self.content:
            raise RunFailed(f"node {node}: {self.path} is not the driver's; run the same again")
        with suppress(BlockingIOError), lock_file(self.path):
            raise RunFailed(
                f"node {node} does not see the driver's lock on {self.path}, expected storage "
                "whose locks hold between machines (NFS 4, Lustre mounted with -o flock): two "
                "nodes could run one cell at a time"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RayWorkers:
    """Tasks on a cluster that this process is connected to.

    Attributes:
        ray: The module.
        n: How many tasks.
        threads: CPU threads of one.
        device: Torch device of one: each sees its own GPU as "cuda".
    """

    ray: Any
    n: int
    threads: int
    device: str

    @property
    def needs(self) -> dict[str, float]:
        """What a task takes of its node, as Ray calls it."""
        return {"CPU": self.threads, "GPU": float(self.device == "cuda")}

    def precision(self, asked: Precision, out: Path) -> Any:
        """What `asked` means on the device of a task, which the driver need not have.

        Raises:
            RunFailed: If the node of the task does not see `out`.
        """
        with shared_token(out) as token:
            task = self._start(_look, token, asked, self.device)
            try:
                state, found = self._outcome(task)
            finally:
                self.ray.cancel(task, force=True)
        if state != "done":
            raise RunFailed(found)
        return found

    def run(self, plan: SweepPlan, tell: Tell) -> None:
        """Runs the tasks of `plan`, which is to be about an absolute folder.

        Raises:
            RunFailed: If a node does not fit, or no task could run all cells that were left.
            KeyboardInterrupt: After the tasks have been cancelled.
        """
        watch = RecordWatch(plan, tell)
        own = replace(plan, manner=replace(plan.manner, device=self.device))
        with shared_token(plan.out) as token:
            handle = self.ray.put(own)
            started: list[Any] = []

            def start() -> Any:
                started.append(self._start(_work, handle, token, self.threads))
                return started[-1]

            try:
                self._follow(start, watch, tell)
            finally:
                # At once: a checkpoint is all that a cell needs to go on, and a lock goes with
                # its process
                for task in started:
                    self.ray.cancel(task, force=True)
                self.ray.wait(started, num_returns=len(started), timeout=_GRACE_SECONDS)
        watch.wait_for_all(_LATE_SECONDS)

    def _follow(self, start: Callable[[], Any], watch: RecordWatch, tell: Tell) -> None:
        """Until one task has seen a record of every cell, or none is left."""
        running = [start() for _ in range(min(self.n, max(1, len(watch.plan.open_tasks))))]
        lives, troubles = _LIVES * len(running), []
        while running:
            ended, running = self.ray.wait(running, timeout=_POLL_SECONDS)
            watch.look()
            for task in ended:
                state, what = self._outcome(task)
                if state == "done":
                    # of the others some tidy up, and some may never have found room to start
                    self.ray.wait(running, num_returns=len(running), timeout=_GRACE_SECONDS)
                    watch.look()
                    return
                if state == "unfit":
                    raise RunFailed(what)
                if state == "lost" and lives:
                    lives -= 1
                    tell(f"a task was lost, another is started: {what}")
                    running.append(start())
                else:
                    troubles.append(what)
        raise RunFailed(f"the Ray tasks ended before all cells had a record: {troubles[0]}")

    def _start(self, function: Callable[..., _Outcome], *arguments: Any) -> Any:
        # no retries by Ray itself: it would begin one anew for ever that runs out of memory
        task = self.ray.remote(function).options(
            num_cpus=self.needs["CPU"], num_gpus=self.needs["GPU"], max_retries=0
        )
        return task.remote(*arguments)

    def _outcome(self, task: Any) -> _Outcome:
        try:
            state, what = self.ray.get(task)
            return str(state), str(what)
        except self.ray.exceptions.RayTaskError as error:
            return "trouble", str(error)
        except self.ray.exceptions.RayError as error:
            return "lost", str(error).splitlines()[0]


class RecordWatch:
    """Tells of each record that is new since the watch was set."""

    def __init__(self, plan: SweepPlan, tell: Tell) -> None:
        """Takes those that are there already."""
        self.plan = plan
        self._tell = tell
        self._paths = [record_path(plan.out, task.key) for task in plan.tasks]
        self._seen = {path: _stamp(path) for path in self._paths}

    def look(self) -> None:
        """Tells of those that came since the last look."""
        for path in self._paths:
            stamp = _stamp(path)
            if stamp != self._seen[path]:
                self._seen[path] = stamp
                self._tell(summary(TuningRun.open(path)))

    def wait_for_all(self, seconds: float) -> None:
        """Waits until this machine sees all records, which other machines have written.

        Raises:
            RunFailed: If it does not in that time.
        """
        end = time.monotonic() + seconds
        while absent := [path for path in self._paths if not path.is_file()]:
            if time.monotonic() > end:
                raise RunFailed(
                    f"{absent[0]} is not to be seen {seconds:g} s after its cell ended, expected "
                    "--out on storage that every node sees; run the same again"
                )
            time.sleep(_POLL_SECONDS)
        self.look()


@contextmanager
def ray_workers(
    address: str, *, workers: int, threads: int, device: str | None
) -> Iterator[RayWorkers]:
    """Tasks on the cluster at `address`, connected to while the block lasts.

    A connection that this process has already is used and left.

    Args:
        address: "auto" for the cluster that this machine is a node of, "local" for one that lives
            on this machine as long as the block, or HOST:PORT.
        workers: How many tasks.
        threads: CPU threads of each.
        device: Torch device of each, None for a GPU where the cluster has some.

    Raises:
        ValueError: If no node has room for such a task, or an argument makes no sense.
        RunFailed: If no cluster answers.
        MissingExtraError: If Ray is not installed.
    """
    address = parse_address(address)
    if device is not None and device.startswith("cuda:"):
        raise ValueError(
            f"device {device!r} with Ray, expected 'cuda': each task has one of its own"
        )
    ray = require("ray", extra="ray", purpose="run a sweep on a Ray cluster")
    is_own = not ray.is_initialized()
    if is_own:
        _connect(ray, address, n_cpus=workers * threads)
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if device is None:
            device = "cuda" if any(node.get("GPU", 0) >= 1 for node in nodes) else "cpu"
        found = RayWorkers(ray=ray, n=workers, threads=threads, device=device)
        check_room(found.needs, nodes)
        yield found
    finally:
        if is_own:
            ray.shutdown()


def parse_address(text: str) -> str:
    """`text` if it is "auto", "local" or HOST:PORT.

    Raises:
        ValueError: If it is something else.
    """
    if text in HERE:
        return text
    if text.startswith("ray://"):
        raise ValueError(
            f"Ray address {text!r} is that of a client, expected HOST:PORT, 'auto' or 'local': run "
            "the command on a node of the cluster, or give it to `ray job submit`"
        )
    host, _, port = text.rpartition(":")
    if not host or "/" in text or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"Ray address {text!r}, expected 'auto', 'local' or HOST:PORT")
    return text


def check_room(needs: dict[str, float], nodes: list[dict[str, float]]) -> None:
    """Raises where a task would wait for ever.

    Raises:
        ValueError: If no node has all that one task needs.
    """
    if any(all(node.get(name, 0) >= n for name, n in needs.items()) for node in nodes):
        return
    have = "; ".join(f"{n.get('CPU', 0):g} CPUs, {n.get('GPU', 0):g} GPUs" for n in nodes)
    raise ValueError(
        f"no node of the Ray cluster has {needs['CPU']:g} CPUs and {needs['GPU']:g} GPUs for a "
        f"task: it has {have or 'no nodes'}; ask for fewer threads or another device"
    )


@contextmanager
def shared_token(out: Path) -> Iterator[SharedToken]:
    """A token in `out` whose lock is held while the block lasts."""
    out = out.resolve()
    path = out / f".ray-{uuid.uuid4().hex}"
    token = SharedToken(
        path=path, content=uuid.uuid4().hex, folder=os.getcwd(), version=vecsmith.__version__
    )
    try:
        path.write_text(token.content, encoding="utf-8")
        with lock_file(path):
            yield token
    finally:
        path.unlink(missing_ok=True)


def _connect(ray: Any, address: str, *, n_cpus: int) -> None:
    options: dict[str, Any] = {}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options = {
            "num_cpus": max(n_cpus, os.cpu_count() or 1),
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
        }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on future versions of Ray
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError) as error:
        raise RunFailed(
            f"no Ray cluster answers at {address!r}: {str(error).splitlines()[0]}; start one with "
            "`ray start --head`, or take 'local'"
        ) from error


def _look(token: SharedToken, asked: Precision, device: str) -> _Outcome:
    """What a task does to tell what a precision means on its device."""
    try:
        token.check()
        return "done", chosen_precision(asked, device)
    except (VecsmithError, ValueError) as error:
        return "unfit", str(error)


def _work(plan: SweepPlan, token: SharedToken, threads: int) -> _Outcome:
    """What one task does."""
    with suppress(OSError):  # relative paths are found or missed by the check below
        os.chdir(token.folder)
    try:
        token.check()
        _check_inputs(plan)
    except VecsmithError as error:
        return "unfit", str(error)
    try:
        with using_threads(threads):
            run_tasks(plan, tell=_hush)
    except (VecsmithError, ValueError, OSError) as error:
        return "trouble", str(error)
    return "done", ""


def _check_inputs(plan: SweepPlan) -> None:
    """Raises where this node does not see what cells are made of.

    Raises:
        RunFailed: If a folder of a model is not there, or the pairs cannot be read.
    """
    node = os.uname().nodename
    for reference in {task.model.reference for task in plan.tasks}:
        if Path(reference).is_absolute() and not Path(reference).is_dir():
            raise RunFailed(
                f"node {node} does not see the model {reference}, expected it on storage that "
                "every node sees under the same path"
            )
    try:
        plan.pairs.corpus.corpus.head()
    except (VecsmithError, ValueError, OSError) as error:
        raise RunFailed(
            f"node {node} cannot read the pairs, expected them on storage that every node sees "
            f"under the same path: {error}"
        ) from error


def _stamp(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _hush(line: str) -> None:
    """The driver tells of cells by their records."""
