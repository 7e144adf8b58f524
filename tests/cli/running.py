"""What the tests of the command share: texts, files, what a run leaves behind."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
from numpy.typing import NDArray

COMMAND = (sys.executable, "-m", "vecsmith")
Run = Callable[..., CompletedProcess[str]]

_WORDS = ["the", "a", "cat", "dogs", "sat", "on", "mat", "play", "playing", "played", "hello"]
_WORDS += [",", ".", "!", "zebra", "x9", "猫", "é"]


def random_texts(n_texts: int, seed: int = 0) -> list[str]:
    """Short texts of known, unknown and no words."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(_WORDS, k=draw.randrange(9))) for _ in range(n_texts)]


def write_lines(path: Path, texts: Sequence[str]) -> Path:
    """One text a line."""
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8", newline="")
    return path


def leftovers(folder: Path) -> list[str]:
    """Hidden entries of a folder: what an unfinished run leaves."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def load(path: Path) -> NDArray[np.float32]:
    """Vectors of a .npy file."""
    vectors: NDArray[np.float32] = np.load(path, allow_pickle=False)
    return vectors
