"""Checks the tree as a whole: the stub is fresh, no file is big, no machine's path is named.

Run by `make check`, from the root of the repository.
"""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

STUB = Path("src/vecsmith/_core.pyi")
LARGEST_FILE = 1_000_000  # bytes
PRIVATE = re.compile(
    "|".join(
        (
            r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/",  # somebody's machine
            r"\bpypi" + r"\.org|pythonhosted" + r"\.org|download\.pytorch" + r"\.org",  # an index
        )
    )
)


def tracked_files() -> list[Path]:
    """Files git knows and that are still there."""
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := Path(name)).is_file()]


def stale_stub() -> list[str]:
    """The difference between the committed stub and the one the built engine gives."""
    with tempfile.TemporaryDirectory() as folder:
        generated = Path(folder) / STUB.name
        stubgen = [sys.executable, "-m", "nanobind.stubgen", "-q", "-m", "vecsmith._core"]
        subprocess.run([*stubgen, "-o", str(generated)], check=True)
        old = STUB.read_text(encoding="utf-8") if STUB.exists() else ""
        new = generated.read_text(encoding="utf-8")
    names = (f"{STUB} (committed)", f"{STUB} (generated)")
    difference = difflib.unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="")
    return [*difference, "the stub is stale: make stub"] if old != new else []


def big_files(paths: list[Path]) -> list[str]:
    """One line for each file over the limit."""
    sizes = ((path, path.stat().st_size) for path in paths)
    return [
        f"{path}: {size:,} bytes, at most {LARGEST_FILE:,}"
        for path, size in sizes
        if size > LARGEST_FILE
    ]


def private_names(paths: list[Path]) -> list[str]:
    """One line for each place that names a machine's path or a package index."""
    found = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            if match := PRIVATE.search(line):
                found.append(f"{path}:{number}: names {match[0]!r}, which only one machine has")
    return found


def main() -> int:
    """Prints every fault; the exit status is 1 if there is one."""
    paths = tracked_files()
    faults = [*big_files(paths), *private_names(paths), *stale_stub()]
    print("\n".join(faults) or f"tree: {len(paths)} files, stub fresh")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
