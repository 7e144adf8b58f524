"""The work folder: what it takes away, whose files it leaves, one run at a time in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.transformer.teachers import save_teacher
from vecsmith import distill
from vecsmith.distillation.work_folder import WorkFolder
from vecsmith.errors import FormatError

TEXTS = ["the quick brown fox", "a dog is small", "take it alone", "the dog is quick"]


def fitted_folder(path: Path) -> WorkFolder:
    folder = WorkFolder(path)
    folder.isolated("same", lambda: np.ones((3, 2), dtype=np.float32))
    return folder


def test_removing_takes_away_our_files_alone(tmp_path: Path) -> None:
    folder = fitted_folder(tmp_path / "work")
    for name in ("isolated.safetensors", "fitted.safetensors", ".isolated.safetensors.x.part",
                 "pass/pass.json", "pass/shard-00000.safetensors"):  # fmt: skip
        path = folder.path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    others = ("model.safetensors", "README.md", ".notes.part", "pass/notes.txt")
    for name in others:
        (folder.path / name).write_text("mine")
    folder.remove()
    left = [p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*") if p.is_file()]
    assert sorted(left) == sorted(others)
    empty = fitted_folder(tmp_path / "other")
    empty.remove()
    assert not empty.path.exists()


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("a model")
    with pytest.raises(FormatError, match=r"holds model\.safetensors and nothing of a distill"):
        WorkFolder(tmp_path)
    assert (tmp_path / "model.safetensors").read_text() == "a model"


def test_a_second_run_in_a_folder_is_refused_and_takes_nothing_away(tmp_path: Path) -> None:
    teacher = save_teacher(tmp_path / "teacher", "bert")
    work = fitted_folder(tmp_path / "work")
    with work.held():
        before = sorted(path.name for path in work.path.iterdir())
        with pytest.raises(FormatError, match="another distillation is at work in it"):
            distill(teacher, texts=TEXTS, dim=2, work=work.path)
        with pytest.raises(FormatError, match="another distillation is at work in it"):
            WorkFolder(work.path).remove()
        assert sorted(path.name for path in work.path.iterdir()) == before
    assert distill(teacher, texts=TEXTS, dim=2, work=work.path).dim == 2
