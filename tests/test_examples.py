"""The examples and the pages run as they stand: a user's first paste works.

In Markdown, a fenced `python` block is run when the comment `<!-- run -->` stands on the line
above the fence; the blocks so marked on one page share one interpreter, in order. A `console` block
so marked has its `$ ` lines run by the shell, in the same folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKED = re.compile(r"^<!-- run -->\n```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def marked_blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block of a page that is marked to be run."""
    return [(m[1], m[2]) for m in MARKED.finditer(page.read_text(encoding="utf-8"))]


def run(command: list[str] | str, folder: Path) -> None:
    """Runs a command in a folder, this interpreter's scripts first on the path."""
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([scripts, os.environ["PATH"]])}
    done = subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,  # a slow machine takes minutes to distil
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path, tmp_path: Path, teacher_folder: Path) -> None:
    run([sys.executable, "-W", "error::DeprecationWarning:vecsmith", str(example)], tmp_path)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.exists() and marked_blocks(page)], ids=lambda p: p.stem
)
def test_the_marked_blocks_of_a_page_run(page: Path, tmp_path: Path, teacher_folder: Path) -> None:
    blocks = marked_blocks(page)
    python = "\n".join(text for language, text in blocks if language == "python")
    if python:
        run([sys.executable, "-c", python], tmp_path)
    for language, text in blocks:
        if language == "console":
            for line in text.splitlines():
                if line.startswith("$ "):
                    run(line.removeprefix("$ "), tmp_path)
