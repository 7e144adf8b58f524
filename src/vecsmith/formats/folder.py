"""A folder written whole or not at all.

One rule: under the final name there is always the old folder, the new one, or none; never a part.
A part is locked by who writes it: one that is not was left by a kill, and the next to write the
same folder takes it away.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vecsmith._files import UMASK, sync_folder
from vecsmith._typing import PathLike

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_RENAMEX_NP_SWAP = 2  # macOS renamex_np(2)
_NO_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


@contextmanager
def atomic_folder(path: PathLike, *, own: Collection[str]) -> Iterator[Path]:
    """An empty temporary sibling of `path` that takes its name when the block ends well.

    A symbolic link at `path` stays: the folder it names is replaced. An existing folder keeps its
    permissions. If the block fails, the temporary folder is removed and `path` is as it was; so are
    those of processes that were killed.

    Args:
        path: Final name. Its parent folders are made.
        own: Names that an existing folder may hold and still be replaced.

    Raises:
        FileExistsError: If `path` is a file, or a folder that holds something else.
        OSError: If the disk is full or the folder may not be written.
    """
    target = Path(os.path.realpath(path))
    try:
        check_target(target, own)
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_left(target)
        new, lock = _new_part(target)
        try:
            yield new
            _sync_tree(new)
            # mkdtemp gives 0700; a finished folder gets what it had, or what mkdir gives
            mode = stat.S_IMODE(target.stat().st_mode) if target.is_dir() else 0o777 & ~UMASK
            new.chmod(mode)
            check_target(target, own)  # it may have changed meanwhile
            _replace(new, target)
            sync_folder(target.parent)
        finally:
            # after an exchange the old folder lies here
            shutil.rmtree(new, ignore_errors=True)
            if lock is not None:
                os.close(lock)
    except OSError as error:
        if error.errno is None:  # a message of ours
            raise
        raise OSError(
            error.errno, f"{os.strerror(error.errno)}, nothing was written", str(target)
        ) from error


def check_target(target: Path, own: Collection[str]) -> None:
    """Refuses a target that is a file, or a folder that holds anything but `own` names.

    Raises:
        FileExistsError: If it would be lost.
    """
    if target.is_dir():
        foreign = sorted(path.name for path in target.iterdir() if path.name not in own)
        if foreign:
            raise FileExistsError(
                f"{target}: holds {', '.join(foreign[:3])}, which would be lost, expected an "
                "empty folder, a new one or a saved model and nothing else: choose another folder"
            )
    elif target.exists():
        raise FileExistsError(f"{target}: is a file, expected a folder or nothing there")


def _new_part(target: Path) -> tuple[Path, int | None]:
    """An empty sibling of `target`, and what holds its lock; None where there are no such locks."""
    while True:
        new = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
        with suppress(BlockingIOError):
            lock = _hold(new)
            if new.is_dir():
                return new, lock
            if lock is not None:
                os.close(lock)
        # another process took it for left behind, before it was locked


def _clear_left(target: Path) -> None:
    """Takes away the parts of `target` that nobody writes any more."""
    # as mkdtemp names them; a name with one part less is a run's, see the command's _resume.py
    for part in target.parent.glob(f"{glob.escape(f'.{target.name}.')}????????.part"):
        with suppress(OSError):
            lock = None if part.is_symlink() else _hold(part)
            if lock is not None:
                shutil.rmtree(part, ignore_errors=True)
                os.close(lock)


def _hold(folder: Path) -> int | None:
    """A descriptor that keeps `folder` locked until it is closed; None if it cannot be locked.

    Raises:
        BlockingIOError: If it is locked already.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None  # some network file systems: a part that is left there stays
    return descriptor


def _replace(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        # no system call swaps two folders here: between these two there is none under the name
        old = new.with_suffix(".old")
        target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _exchange(new: Path, target: Path) -> bool:
    """Swaps two folders in one step; False where the system has no such step."""
    libc = ctypes.CDLL(None, use_errno=True)
    a, b = os.fsencode(new), os.fsencode(target)
    if sys.platform == "linux" and hasattr(libc, "renameat2"):
        failed = libc.renameat2(_AT_FDCWD, a, _AT_FDCWD, b, _RENAME_EXCHANGE)
    elif sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        failed = libc.renamex_np(a, b, _RENAMEX_NP_SWAP)
    else:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(target))


def _sync_tree(folder: Path) -> None:
    """Brings every file of `folder` to the disk before its name changes."""
    for parent, _, names in os.walk(folder):
        for name in names:
            handle = os.open(Path(parent) / name, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_folder(parent)
