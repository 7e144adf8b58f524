from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")

from tests.training.toy_runs import in_child
from vecsmith.training.checkpointing import RunFolder

FACTS = {"settings": {"lr": 0.1}}


def killed_while_claiming(folder: Path) -> None:
    """A process that is killed with its record written and not yet named."""

    def fatal(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with RunFolder(folder).held() as run:
        os.replace = fatal  # type: ignore[assignment]
        run.claim(FACTS)


def killed_while_discarding(folder: Path) -> None:
    """A process that is killed when it comes to the second folder of a run."""
    remove, n_calls = shutil.rmtree, 0

    def fatal(*arguments: Any, **options: Any) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        remove(*arguments, **options)

    with RunFolder(folder).held() as run:
        shutil.rmtree = fatal  # type: ignore[assignment]
        run.discard()


def a_whole_run(folder: Path) -> RunFolder:
    run = RunFolder(folder)
    with run.held():
        run.claim(FACTS)
    for name in ("checkpoint.safetensors", "best-00000002.safetensors", "tokenizer.json"):
        (folder / name).write_text("of the first run")
    for name in ("store", "teacher", "model", "mining"):
        (folder / name).mkdir()
        (folder / name / "file").touch()
    return run


def test_a_folder_whose_first_record_was_cut_short_is_gone_on_with(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert in_child(killed_while_claiming, folder) == -9
    assert [path.suffix for path in folder.iterdir() if path.name != "lock"] == [".part"]
    with RunFolder(folder).held() as run:
        run.claim(FACTS)
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "run.json"]


def test_a_half_written_tokenizer_is_no_stranger_and_a_diary_is(tmp_path: Path) -> None:
    (tmp_path / ".tokenizer.json.abc.part").touch()
    with RunFolder(tmp_path).held():
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    (tmp_path / ".diary.txt.abc.part").touch()
    with (
        pytest.raises(FileExistsError, match="no training run"),
        RunFolder(tmp_path).held(),
    ):
        pass
    assert (tmp_path / ".diary.txt.abc.part").exists()


def test_a_run_whose_removal_was_cut_short_can_be_begun_anew(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    a_whole_run(folder)
    assert in_child(killed_while_discarding, folder) == -9
    with RunFolder(folder).held() as run:
        run.claim({"settings": {"lr": 0.5}})
    assert {path.name for path in folder.iterdir()} <= {"lock", "run.json", "mining"}
    with RunFolder(folder).held() as run:
        run.discard()
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_what_a_finished_run_left_is_gone_before_the_next_one_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_whole_run(tmp_path / "run")
    with monkeypatch.context() as patch:
        # as if it were killed after it said that the run is done
        patch.setattr(RunFolder, "_remove_working_files", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.close_run()
    assert (run.path / "checkpoint.safetensors").exists()
    with run.held():
        run.claim({"settings": {"lr": 0.5}})
    assert {path.name for path in run.path.iterdir()} == {"lock", "run.json", "mining"}


def _interrupted(_: RunFolder) -> None:
    raise KeyboardInterrupt
