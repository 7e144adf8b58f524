"""What an evaluation found on all of its tasks, and what can be asked of it.

The one rule: a figure is never shown without its uncertainty and the number of its items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vecsmith._typing import PathLike
from vecsmith.results.records import SpeedResult, TaskResult
from vecsmith.results.store import RunStore, read_run


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvalResult:
    """How a model did on many tasks.

    Attributes:
        model: Its name, as shown.
        fingerprint: Hash of its weights and settings; "" where it has none.
        tasks: By task name, in the order they were run.
        groups: Names of tasks by named group, as in "STS". A group counts where all of its tasks
            are there; a baseline on words may lack some.
        settings: What was asked: "dims", "precisions", "split", "languages", "tasks" (the
            folders), "seed".
        speed: Beside the quality.
        machine: See `vecsmith._machine.machine`.
        versions: Of the packages that took part, by name.
        date: ISO 8601, UTC.
        baselines: Results of the baselines on the same tasks, by name.
    """

    model: str
    fingerprint: str
    tasks: Mapping[str, TaskResult]
    groups: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, Any]
    speed: SpeedResult = field(default_factory=SpeedResult)
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str | None] = field(default_factory=dict)
    date: str = ""
    baselines: Mapping[str, EvalResult] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: PathLike) -> EvalResult:
        """The finished run in `folder`.

        Raises:
            FormatError: If it is not a run, not finished, or a file of it is broken.
            OSError: If it cannot be read.
        """
        return read_run(folder, cls)

    def save(self, folder: PathLike) -> None:
        """Writes the run to `folder`, or over the run that is there.

        Raises:
            FileExistsError: If the folder holds something that is no run.
            FormatError: If the run that is there is broken.
            OSError: If it cannot be written.
        """
        RunStore(folder).finish(self)
