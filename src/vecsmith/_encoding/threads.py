"""How many threads a call uses: all calls of a process together, no more than it has cores.

A server may encode in as many threads as it likes. A call that says how many it wants has them; one
that does not has the cores that no other call is at work on, and its own thread in any case.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vecsmith.tokenizer import default_threads

_lock = threading.Lock()
_n_busy = 0


@contextmanager
def granted_threads(n_threads: int | None) -> Iterator[int]:
    """How many threads to use while the block lasts, which are taken for busy as long.

    Args:
        n_threads: As many; None for the cores that are not busy, one at least.
    """
    global _n_busy
    with _lock:
        n = n_threads if n_threads is not None else max(1, default_threads() - _n_busy)
        _n_busy += n
    try:
        yield n
    finally:
        with _lock:
            _n_busy = max(0, _n_busy - n)  # below 0 in a child forked inside the block


def _forget() -> None:
    """In a forked child no call is at work, and nobody holds the lock."""
    global _lock, _n_busy
    _lock, _n_busy = threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
