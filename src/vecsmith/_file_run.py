"""One run over an input whose rows go into one file: journal, checkpoints, interrupts.

The one rule: an interrupted run gone on with gives the file of a run that was not interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vecsmith._progress import progress_bar
from vecsmith._resume import PartialFolder, differences
from vecsmith.errors import RunFailed

# A kill costs at most a tenth of the work done or this much: an fsync of many rows takes long,
# one of few rows does not. Assumed, not measured.
_MIN_SECONDS_AT_RISK, _MAX_SECONDS_AT_RISK = 0.25, 5.0


class RunInput(Protocol):
    """What a run reads."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
        ...

    @property
    def n_bytes(self) -> int | None:
        """Its size, None where it has none."""
        ...

    @property
    def is_resumable(self) -> bool:
        """Whether reading can start again in the middle."""
        ...

    def identity(self) -> dict[str, Any]:
        """What changes when its rows do; JSON."""
        ...


class RunFile(Protocol):
    """Where a run's rows go."""

    def sync(self) -> None:
        """Returns when all that was written is on the disk."""
        ...

    def finish(self) -> Path:
        """The finished file, whole and on the disk, still in the partial folder."""
        ...

    def close(self) -> None:
        """Closes what is open."""
        ...


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that have just been written.

    Attributes:
        n_rows: How many.
        position: Where the input goes on after them.
        n_bytes_read: Bytes of the input read so far.
    """

    n_rows: int
    position: dict[str, Any]
    n_bytes_read: int


@dataclass(frozen=True, slots=True)
class Done:
    """How far a run is; one value, so that an interrupt never sees half of a step.

    Attributes:
        rows: Rows written.
        parts: Blocks that had rows.
        position: Where the input goes on; None at its beginning.
    """

    rows: int = 0
    parts: int = 0
    position: dict[str, int] | None = None

    def with_block(self, block: Block) -> Done:
        """After `block` too has been written."""
        parts = self.parts + bool(block.n_rows)
        return Done(self.rows + block.n_rows, parts, block.position)


class FileRun:
    """One run over one input, new or gone on with.

    Args:
        source: What it reads.
        partial: The folder of unfinished work.
        work: Parts "input", "model" and "settings" of what is done with what; a run with others is
            another run.
        restart: What a user gives to discard an unfinished run.

    Raises:
        RunFailed: If the folder holds an unfinished run of other work.
    """

    def __init__(
        self, source: RunInput, partial: PartialFolder, work: dict[str, Any], *, restart: str
    ) -> None:
        self._source = source
        self._partial = partial
        self._work = work
        self._restart = restart
        journal = self._matching_journal()
        self.done = Done()
        if journal:
            self.done = Done(journal["rows"], journal["parts"], journal["position"])
        self.resumed_from = self.done.rows

    def finish(
        self, file: RunFile, blocks: Generator[Block], *, label: str, show_progress_bar: bool
    ) -> float:
        """Lets `blocks` write what is left to `file`, puts that in place; the seconds it took.

        Raises:
            RunFailed: If the input changed meanwhile.
        """
        started = time.perf_counter()
        try:
            with closing(blocks):
                self._follow(file, blocks, label, show_progress_bar=show_progress_bar)
            self._check_unchanged()
            finished = file.finish()
        except BaseException as error:
            self._stop(file, error)
            if isinstance(error, OSError) and error.errno and error.filename is None:
                # a write that finds the disk full does not know its file
                told = error.strerror or type(error).__name__
                if self._source.is_resumable:
                    told += "; what is done is kept, the same command goes on with it"
                raise OSError(error.errno, told, str(self._partial.target)) from error
            raise
        self._partial.finish(finished)
        return time.perf_counter() - started

    def _matching_journal(self) -> dict[str, Any] | None:
        journal = self._partial.journal()
        if journal is None:
            self._partial.clear()
            return None
        if changes := differences(journal, self._work):
            rows = journal["rows"]
            raise RunFailed(
                f"{self._partial.target}: an unfinished run of {rows:,} row{'s'[: rows != 1]} does "
                f"not fit this command: {'; '.join(changes)}; give the same command to go on with "
                f"it, or {self._restart} to discard it"
            )
        return journal

    def _follow(
        self, file: RunFile, blocks: Generator[Block], label: str, *, show_progress_bar: bool
    ) -> None:
        started = written = time.monotonic()
        n_bytes_read = 0
        total = self._source.n_bytes
        with progress_bar(label, total=total, show=show_progress_bar) as advance:
            for block in blocks:
                self.done = self.done.with_block(block)
                now = time.monotonic()
                rate = round((self.done.rows - self.resumed_from) / max(now - started, 1e-9))
                advance(block.n_bytes_read - n_bytes_read, f"{self.done.rows:,} rows, {rate:,}/s")
                n_bytes_read = block.n_bytes_read
                at_risk = (now - started) / 10
                if now - written > min(max(at_risk, _MIN_SECONDS_AT_RISK), _MAX_SECONDS_AT_RISK):
                    self._checkpoint(file)
                    written = time.monotonic()

    def _checkpoint(self, file: RunFile) -> None:
        done = self.done
        if not self._source.is_resumable or done.position is None:
            return
        file.sync()
        self._partial.write_journal(
            {**self._work, "parts": done.parts}, rows=done.rows, position=done.position
        )

    def _check_unchanged(self) -> None:
        if self._source.identity() != self._work["input"]:
            raise RunFailed(
                f"{self._source.name} changed while it was read, expected a file at rest; "
                "give the command again to encode it anew"
            )

    def _stop(self, file: RunFile, error: BaseException) -> None:
        """Leaves behind what the same command can go on with, and nothing else."""
        interrupted = isinstance(error, KeyboardInterrupt)
        # a broken input or a wrong setting will not be right the next time
        if isinstance(error, (KeyboardInterrupt, OSError, MemoryError)):
            # a full disk may have no room for the journal either: the one before stands
            with suppress(Exception):
                self._checkpoint(file)
        else:
            self._partial.discard_journal()
        with suppress(OSError):
            file.close()
        if interrupted and self._source.is_resumable:
            raise KeyboardInterrupt("the same command goes on from here") from None
        if interrupted:
            raise KeyboardInterrupt(
                f"{self._source.name} cannot be read twice, nothing is kept"
            ) from None
