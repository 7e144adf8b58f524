"""The folder of a run that several processes share: one writes there, the others wait and read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vecsmith._typing import PathLike
from vecsmith.training.checkpointing import RunFolder
from vecsmith.training.distributed import FollowingFolder, Processes
from vecsmith.training.pair_run import run_folder


@contextmanager
def shared_folder(place: PathLike, group: Processes, *, restart: bool) -> Iterator[RunFolder]:
    """The folder of the run, which the first process has and the others read."""
    if group.is_first:
        with run_folder(place, restart=restart) as (folder, _):
            yield folder
        return
    yield FollowingFolder(RunFolder(place))


@contextmanager
def first_goes_ahead(group: Processes) -> Iterator[None]:
    """Lets the other processes into the block once the first one is through it."""
    if not group.is_first:
        group.wait()
    yield
    if group.is_first:
        group.wait()
