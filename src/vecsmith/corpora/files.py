"""A file of rows, as its name and the file system describe it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from vecsmith._files import ending_of, file_identity
from vecsmith._typing import PathLike

FileFormat = Literal["txt", "jsonl", "csv", "tsv", "parquet", "arrow"]
SUFFIXES: Final[dict[str, FileFormat]] = {
    ".txt": "txt",
    ".text": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
_ARROW: Final = frozenset({"parquet", "arrow"})


@dataclass(frozen=True, slots=True)
class DataFile:
    """An input as its name and the file system describe it.

    Attributes:
        path: Where it is; None for standard input.
        format: How rows lie in it.
        compressed: Whether it is gzip.
        n_bytes: Its size, or None where it has none (a pipe).
    """

    path: Path | None
    format: FileFormat
    compressed: bool
    n_bytes: int | None

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return "standard input" if self.path is None else str(self.path)

    @property
    def is_resumable(self) -> bool:
        """Whether reading can start again in the middle."""
        return self.n_bytes is not None

    def identity(self) -> dict[str, Any]:
        """What changes when the file does: its path, size, time and first and last bytes."""
        if self.path is None or self.n_bytes is None:
            return {}
        return file_identity(self.path)


def data_file(path: PathLike, *, file_format: FileFormat | None = None) -> DataFile:
    """The file at `path`.

    Args:
        path: Where it is.
        file_format: How rows lie in it; None if its name says.

    Raises:
        ValueError: If it is a folder, or its suffix does not tell its format.
        OSError: If it is missing or cannot be read.
    """
    path = Path(path)
    status = status_of(path)
    if stat.S_ISDIR(status.st_mode):
        raise ValueError(f"{path} is a folder, expected a file of texts")
    compressed = path.suffix.lower() == ".gz"
    found = file_format or format_of(path)
    if found is None:
        suffix = Path(path.stem if compressed else path.name).suffix.lower()
        raise ValueError(
            f"{path} {ending_of(suffix)}, expected {', '.join(SUFFIXES)} or these with "
            f".gz; name its format: {', '.join(get_args(FileFormat))}"
        )
    if compressed and found in _ARROW:
        raise ValueError(f"{path}: gzip around {found}, expected plain {found}: unpack it first")
    n_bytes = status.st_size if stat.S_ISREG(status.st_mode) else None
    return DataFile(path, found, compressed, n_bytes)


def status_of(path: Path) -> os.stat_result:
    """What the system knows of the file at `path`.

    Raises:
        FileNotFoundError: If there is none.
        OSError: If it cannot be reached.
    """
    try:
        return path.stat()
    except FileNotFoundError:
        absent = next((folder for folder in [*path.parents][::-1] if not folder.exists()), None)
        found = "no such file" if absent is None else f"no folder {absent}"
        where = "" if path.is_absolute() else " and the folder you are in"
        raise FileNotFoundError(
            f"{path}: {found}, expected a file; check its name{where}"
        ) from None


def format_of(path: Path) -> FileFormat | None:
    """How rows lie in a file, as its name says; None if it does not."""
    name = path.name.lower()
    return SUFFIXES.get(Path(name.removesuffix(".gz")).suffix)
