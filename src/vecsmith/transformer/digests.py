"""Hashes of large files, computed once while the files stay as they are.

The one rule: a file whose change could go unseen is read again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

# The coarsest clock of a file system in use ticks that often
_SETTLED_SECONDS: Final = 2.0
_BLOCK: Final = 2**20


def digest_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 of files one after another, as hexadecimal text."""
    whole = tuple(path.resolve() for path in paths)
    found = [path.stat() for path in whole]
    if any(time.time() - each.st_ctime < _SETTLED_SECONDS for each in found):
        return _read(whole)  # a change within one tick of the clock could not be seen
    stamps = tuple((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in found)
    return _known(whole, stamps)


@lru_cache(maxsize=64)
def _known(paths: tuple[Path, ...], stamps: tuple[tuple[int, ...], ...]) -> str:
    """The hash of files as long as their stamps stay."""
    return _read(paths)


def _read(paths: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
