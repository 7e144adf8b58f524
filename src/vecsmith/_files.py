"""Files written whole or not at all, and files read within bounds.

The one rule: nothing unfinished is ever seen under its final name.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from vecsmith._typing import PathLike
from vecsmith.errors import FormatError

logger = logging.getLogger(__name__)

# A tokenizer.json of 500k Unigram tokens is 30-40 MB; larger text is a mistake or an attack.
MAX_JSON_BYTES = 512 * 2**20
_IDENTITY_BYTES = 2**16


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# Read once, at import: asking means setting it for an instant, for all threads.
UMASK = _read_umask()


def cache_folder() -> Path | None:
    """The folder VECSMITH_CACHE, else the platform's cache of vecsmith; it need not exist.

    None where VECSMITH_CACHE is empty: nothing is to be kept. Paths that are not absolute count for
    nothing, as the XDG specification has it: they would leave folders wherever a program runs.

    Raises:
        RuntimeError: If it lies in a home that cannot be found.
    """
    own = os.environ.get("VECSMITH_CACHE")
    if own is not None and not own.strip():
        return None
    if own is not None and (folder := Path(own).expanduser()).is_absolute():
        return folder
    shared = Path(os.environ.get("XDG_CACHE_HOME", "")).expanduser()
    return (shared if shared.is_absolute() else Path("~/.cache").expanduser()) / "vecsmith"


def ending_of(suffix: str) -> str:
    """What an error says of a name with this suffix."""
    return f"ends in {suffix!r}" if suffix else "has no ending"


@contextmanager
def atomic_file(
    path: PathLike, mode: str = "wb", *, durable: bool = True, **open_options: Any
) -> Iterator[IO[Any]]:
    """Opens a temporary sibling of `path` that takes its name when the block ends well.

    It is on the disk then, unless it need not be `durable`: what a cache loses is made again.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        # mkstemp gives 0600; a finished file gets what open() would have given it
        os.chmod(name, 0o666 & ~UMASK)
        with open(handle, mode, **open_options) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(name, path)
        if durable:
            sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def read_text(path: PathLike, *, max_bytes: int = MAX_JSON_BYTES) -> str:
    """Text of a UTF-8 file of at most `max_bytes`.

    Raises:
        FormatError: If it is longer or is not UTF-8.
    """
    path = Path(path)
    n_bytes = path.stat().st_size
    if n_bytes > max_bytes:
        raise FormatError(f"{path}: {n_bytes} bytes, expected at most {max_bytes}")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path}: byte {error.start} is not UTF-8, expected a UTF-8 text file"
        ) from error


def read_json(
    path: PathLike, *, max_bytes: int = MAX_JSON_BYTES, remedy: str = "fetch it again"
) -> Any:
    """Value of a JSON file; `remedy` is what to do about one that is cut short.

    Raises:
        FormatError: If it is too long, not UTF-8 or not JSON; the message gives line and column.
    """
    return parse_json(read_text(path, max_bytes=max_bytes), source=str(path), remedy=remedy)


def parse_json(
    text: str,
    *,
    source: str,
    remedy: str = "fetch it again",
    parse_float: Callable[[str], float] | None = None,
) -> Any:
    """Value of JSON `text`; `source` names it in errors, `remedy` says what to do about it.

    Numbers with a point or an exponent are what `parse_float` makes of them, else the nearest
    float64.

    Raises:
        FormatError: If it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text, parse_float=parse_float)
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{source}: line {error.lineno} column {error.colno}: {error.msg.lower()}, "
            f"expected JSON; the file may be cut short, {remedy}"
        ) from error
    except ValueError as error:  # a number of thousands of digits
        raise FormatError(f"{source}: {error!s:.100}, expected plain JSON") from error
    except RecursionError as error:
        raise FormatError(f"{source}: nested too deeply, expected a plain settings file") from error


def write_json(path: PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    with atomic_file(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def file_identity(path: PathLike) -> dict[str, Any]:
    """What changes when the file does: its path, size, time and first and last bytes; JSON."""
    path = Path(path)
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        head = file.read(_IDENTITY_BYTES)
        file.seek(max(0, status.st_size - _IDENTITY_BYTES))
        ends = hashlib.sha256(head + file.read(_IDENTITY_BYTES)).hexdigest()
    return {
        "path": str(path.resolve()),
        "bytes": status.st_size,
        "modified": status.st_mtime_ns,
        "ends": ends,
    }


def sync_folder(folder: PathLike) -> None:
    """Makes renames inside `folder` survive a power cut, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def lock_file(path: PathLike) -> Iterator[None]:
    """Holds the lock file at `path`, made if need be, while the block lasts.

    Raises:
        BlockingIOError: If another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        take_lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def take_lock(descriptor: int, path: PathLike = "a lock file") -> None:
    """Locks an open file until it is closed, where the system can.

    Where a file system cannot, that is told once: better no guard there than no work, but nobody
    should take the guard for one that is there. `path` names the file in that warning.

    Raises:
        BlockingIOError: If another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows: two runs at once are the user's care
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
        _tell_no_locks(descriptor, path, error)


# File systems that were told to have no locks
_WITHOUT_LOCKS: set[int] = set()


def _tell_no_locks(descriptor: int, path: PathLike, error: OSError) -> None:
    device = os.fstat(descriptor).st_dev
    if device not in _WITHOUT_LOCKS:
        _WITHOUT_LOCKS.add(device)
        logger.warning(
            "%s: its file system has no locks (%s), so nothing keeps two processes from doing the "
            "same there: run one at a time, or use a file system with locks (a local one, NFS 4, "
            "Lustre mounted with -o flock)",
            path,
            os.strerror(error.errno or 0).lower(),
        )
