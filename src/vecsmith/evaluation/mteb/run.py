"""MTEB's benchmarks run on any encoder, as a record of scores.

The one rule: importing this file imports nothing of mteb; using it does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, Final, TypedDict

from vecsmith._extras import require
from vecsmith._progress import progress_bar
from vecsmith._typing import Encoder, PathLike
from vecsmith.errors import HubError
from vecsmith.evaluation.mteb.encoder import NO_REVISION, MtebEncoder

_PURPOSE: Final = "run its benchmarks"
# Whose errors, beside ConnectionError, say that data could not be fetched.
_HUB_LIBRARIES: Final = {"datasets", "httpx", "huggingface_hub", "requests"}


class MtebScores(TypedDict):
    """What came of a run, ready for JSON.

    Attributes:
        model: Name of the model, as in "org/name".
        revision: Fingerprint of the model.
        truncate_dim: Prefix length, None for all dims.
        benchmark: Its name, None for tasks of one's own choice.
        mteb: Version of mteb.
        date: ISO 8601, UTC.
        tasks: Main score of each task, as a fraction.
        types: Mean over the tasks of each type, as in "STS".
        averages: "tasks", the mean over tasks, and "types", the mean over types of task; None
            where no task gave a score.
        details: By task: its type, main metric, data revision, and all scores by split and subset.
        failed: Why a task gave no score, by task: private data that this user may not read, or
            a score that is no number. The means leave it out.
    """

    model: str
    revision: str
    truncate_dim: int | None
    benchmark: str | None
    mteb: str
    date: str
    tasks: dict[str, float]
    types: dict[str, float]
    averages: dict[str, float | None]
    details: dict[str, dict[str, Any]]
    failed: dict[str, str]


def run_mteb(
    model: Encoder,
    benchmark: Any,
    *,
    name: str | None = None,
    truncate_dim: int | None = None,
    prompts: Mapping[str, str] | None = None,
    cache: PathLike | None = None,
    show_progress_bar: bool = False,
) -> MtebScores:
    """Scores of a model on tasks of MTEB, whose data come from the Hub.

    mteb keeps the scores of finished tasks for a model with a fingerprint: run again, it goes on
    where it stopped.

    Args:
        model: Anything with `encode(texts) -> array`.
        benchmark: Name of a benchmark or task, as in "MTEB(eng, v2)"; a list of names of tasks;
            or mteb's own objects.
        name: Of the model, as in "org/name".
        truncate_dim: Prefix of the vectors to use; None for all dims.
        prompts: Text put before an input, by name; the model's own if None.
        cache: Folder for the scores; mteb's own if None (MTEB_CACHE, else ~/.cache/mteb).
        show_progress_bar: Whether to show a bar on a terminal.

    Raises:
        HubError: If the data of a task cannot be fetched.
        MissingExtraError: If mteb is not installed.
        ValueError: If there is no such benchmark or task.
    """
    mteb = require("mteb", extra="mteb", purpose=_PURPOSE)
    encoder = MtebEncoder(model, name=name, truncate_dim=truncate_dim, prompts=prompts)
    title, tasks = _choose(mteb, benchmark)
    kept = None
    if encoder.revision != NO_REVISION:  # else another model of that name would get its scores
        kept = mteb.ResultCache() if cache is None else mteb.ResultCache(str(cache))
    found: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    with progress_bar("MTEB", total=len(tasks), show=show_progress_bar) as advance:
        for task in tasks:
            advance(0, task.metadata.name)
            with _datasets_bars(show=show_progress_bar):
                result = _run_task(mteb, encoder, task, kept)
            for error in result.exceptions or ():
                failed[error.task_name] = error.exception
            for task_result in result.task_results:
                details = _details(task, task_result)
                if details["main_score"] is None:
                    failed[task_result.task_name] = f"its {details['metric']} is not a number"
                else:
                    found[task_result.task_name] = details
            advance(1, task.metadata.name)
    return _record(encoder, title, found, failed)


def _choose(mteb: Any, benchmark: Any) -> tuple[str | None, list[Any]]:
    """Name of the benchmark, if it is one, and its tasks."""
    if isinstance(benchmark, str):
        try:
            benchmark = mteb.get_benchmark(benchmark)
        except KeyError as no_benchmark:
            try:
                return None, [mteb.get_task(benchmark)]
            except KeyError as no_task:
                raise ValueError(
                    f"no benchmark and no task of mteb {_version()} is called {benchmark!r} "
                    f"(benchmarks: {_said(no_benchmark)}; tasks: {_said(no_task)}), expected a "
                    "name such as 'MTEB(eng, v2)' or 'STS12'"
                ) from None
    if hasattr(benchmark, "tasks") and not hasattr(benchmark, "metadata"):
        return benchmark.name, list(benchmark.tasks)
    if hasattr(benchmark, "metadata"):
        return None, [benchmark]
    tasks = [task for each in benchmark for task in _choose(mteb, each)[1]]
    if not tasks:
        raise ValueError("the list of tasks is empty, expected at least one")
    return None, tasks


def _said(error: KeyError) -> str:
    return str(error.args[0]).removeprefix("KeyError: ").rstrip(".")


def _run_task(mteb: Any, encoder: MtebEncoder, task: Any, cache: Any) -> Any:
    try:
        return mteb.evaluate(
            encoder,
            task,
            cache=cache,
            co2_tracker=False,
            show_progress_bar=False,
            # by default mteb goes on without the data of a public task that is not to be found
            public_only=False if task.metadata.is_public else None,
        )
    except Exception as error:
        if not _is_of_hub(error):
            raise
        raise HubError(
            f"the data of {task.metadata.name} ({task.metadata.dataset['path']}) could not be "
            f"fetched: {error}; mteb's tasks live on the Hub, so go online once (and unset "
            "HF_HUB_OFFLINE), set HF_TOKEN if the data is gated, or point HF_HOME at a cache that "
            "has it; tasks that were finished are kept"
        ) from error


@contextmanager
def _datasets_bars(*, show: bool) -> Iterator[None]:
    """Keeps the library `datasets`, which draws bars whatever mteb is asked, as it was or quiet."""
    datasets = require("datasets", extra="mteb", purpose=_PURPOSE)
    if show or datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


def _is_of_hub(error: BaseException | None) -> bool:
    while error is not None:
        library = type(error).__module__.split(".")[0]
        if isinstance(error, ConnectionError) or library in _HUB_LIBRARIES:
            return True
        error = error.__cause__
    return False


def _details(task: Any, result: Any) -> dict[str, Any]:
    return {
        "type": task.metadata.type,
        "metric": task.metadata.main_score,
        "main_score": _plain(float(result.get_score())),
        "data_revision": result.dataset_revision,
        "seconds": result.evaluation_time,
        "scores": {split: list(map(_plain, rows)) for split, rows in result.scores.items()},
    }


def _plain(scores: Any) -> Any:
    """Scores as JSON has them: what could not be computed is null."""
    if isinstance(scores, Mapping):
        return {name: _plain(value) for name, value in scores.items()}
    if isinstance(scores, list | tuple):
        return [_plain(value) for value in scores]
    return None if isinstance(scores, float) and not math.isfinite(scores) else scores


def _record(
    encoder: MtebEncoder,
    benchmark: str | None,
    found: dict[str, dict[str, Any]],
    failed: dict[str, str],
) -> MtebScores:
    by_type: dict[str, list[float]] = {}
    for details in found.values():
        by_type.setdefault(details["type"], []).append(details["main_score"])
    scores = {task: details["main_score"] for task, details in found.items()}
    types = {name: fmean(values) for name, values in by_type.items()}
    return MtebScores(
        model=encoder.name,
        revision=encoder.revision,
        truncate_dim=encoder.truncate_dim,
        benchmark=benchmark,
        mteb=_version(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        tasks=scores,
        types=types,
        averages={
            "tasks": fmean(scores.values()) if scores else None,
            "types": fmean(types.values()) if types else None,
        },
        details=found,
        failed=failed,
    )


def _version() -> str:
    from importlib.metadata import version

    return version("mteb")
