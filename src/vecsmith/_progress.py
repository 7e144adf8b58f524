"""Progress bars: one look everywhere, none where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    label: str, *, total: int | None, show: bool, in_bytes: bool = False
) -> Iterator[Callable[[int], None]]:
    """A function that moves the bar on by so many steps.

    Args:
        label: What is being done.
        total: Steps in all, None if unknown.
        show: Whether to show anything; nothing is shown either where stderr is no terminal.
        in_bytes: Whether steps are bytes.
    """
    if not show or not sys.stderr.isatty():
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if in_bytes else MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(label, total=total)
        yield lambda n: bar.update(task, advance=n)
