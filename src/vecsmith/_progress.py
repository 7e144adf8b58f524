"""Progress bars: one look everywhere, none where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Moves a progress bar on."""

    def __call__(self, n: int, detail: str | None = None, /) -> None:
        """Shows that `n` more is done, and beside the bar `detail` or else how many are done."""
        ...


@contextmanager
def progress_bar(label: str, *, total: int | None, show: bool) -> Iterator[Advance]:
    """A function that moves the bar on by so much of the total.

    Args:
        label: What is being done.
        total: All there is to do, in any unit; None if unknown.
        show: Whether to show anything; nothing is shown either where stderr is no terminal.
    """
    if not show or not sys.stderr.isatty():
        yield _no_advance
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        # a label may quote a file's name: no markup in it is meant
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, detail="")

        of_total = "" if total is None else f" of {total:,}"
        done = 0

        def advance(n: int, detail: str | None = None, /) -> None:
            nonlocal done
            done += n
            bar.update(task, completed=done, detail=detail or f"{done:,}{of_total}")

        yield advance


def _no_advance(n: int, detail: str | None = None, /) -> None:
    pass
