"""Under the final name there is the old folder, the new one, or none."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.formats.builders import checkpoint_of, word_piece
from vecsmith.formats import folder as folder_module
from vecsmith.formats import open_checkpoint, write_checkpoint
from vecsmith.formats.folder import atomic_folder

OLD = checkpoint_of(word_piece(), dim=4)
NEW = checkpoint_of(word_piece(), dim=6)


class Crash(BaseException):
    """Stands for the end of the process."""


def crash(*_: Any, **__: Any) -> Any:
    raise Crash


def no_exchange(_new: Path, _target: Path) -> bool:
    """A system that cannot swap two folders in one step."""
    return False


STEPS = ["os.fsync", "Path.chmod", "Path.rename", "Path.write_text", "mkdtemp"]


def patch(monkeypatch: pytest.MonkeyPatch, step: str, replacement: Callable[..., Any]) -> None:
    owner, _, name = step.rpartition(".")
    target = {"os": os, "Path": Path, "": tempfile}[owner]
    monkeypatch.setattr(target, name, replacement)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_a_failure_at_any_step_leaves_the_old_model_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, exchange: bool, there: bool
) -> None:
    target = tmp_path / "m"
    if there:
        write_checkpoint(target, OLD)
    if not exchange:
        monkeypatch.setattr(folder_module, "_exchange", no_exchange)
    patch(monkeypatch, step, crash)
    if step == "Path.rename" and exchange and there:
        write_checkpoint(target, NEW)  # there is nothing to rename
        monkeypatch.undo()
        assert open_checkpoint(target).dim == 6
    else:
        with pytest.raises(Crash):
            write_checkpoint(target, NEW)
        monkeypatch.undo()
        if there:
            assert open_checkpoint(target).dim == 4
    assert [path.name for path in tmp_path.iterdir()] == (["m"] if there else [])


@pytest.mark.parametrize("exchange", [True, False])
def test_every_renaming_may_be_the_last_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    # a killed process cleans nothing up: look at the folders as they are at each step
    target = tmp_path / "m"
    write_checkpoint(target, OLD)
    seen: list[int | None] = []
    rename = Path.rename

    def look(*_: Any, **__: Any) -> None:
        seen.append(open_checkpoint(target).dim if target.exists() else None)

    def watched(path: Path, to: Path) -> Path:
        look()
        result = rename(path, to)
        look()
        return result

    monkeypatch.setattr(Path, "rename", watched)
    monkeypatch.setattr(shutil, "rmtree", look)
    if not exchange:
        monkeypatch.setattr(folder_module, "_exchange", no_exchange)
    write_checkpoint(target, NEW)
    assert seen == ([6] if exchange else [4, None, None, 6, 6, 6])


def test_a_failed_second_renaming_puts_the_old_model_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m"
    write_checkpoint(target, OLD)
    rename = Path.rename

    def failing(path: Path, to: Path) -> Path:
        if path.name.endswith(".part"):
            raise OSError(errno.EIO, "input/output error")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", failing)
    monkeypatch.setattr(folder_module, "_exchange", no_exchange)
    with pytest.raises(OSError, match="Input/output error, nothing was written"):
        write_checkpoint(target, NEW)
    monkeypatch.undo()
    assert open_checkpoint(target).dim == 4
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_killed_process_leaves_the_old_model(tmp_path: Path) -> None:
    target = tmp_path / "m"
    write_checkpoint(target, OLD)
    script = f"""
import os, signal
from tests.formats.builders import checkpoint_of, word_piece
from vecsmith.formats import saved_model
saved_model.render_card = lambda *a, **k: "card"
real = saved_model.write_tensors
def write(file, tensors, **options):
    real(file, tensors, **options)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
saved_model.write_tensors = write
saved_model.write_checkpoint({str(target)!r}, checkpoint_of(word_piece(), dim=6))
"""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == -9
    assert open_checkpoint(target).dim == 4
    write_checkpoint(target, NEW)  # what the dead process left is in nobody's way
    assert open_checkpoint(target).dim == 6


def test_a_full_disk_leaves_the_old_model_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m"
    write_checkpoint(target, OLD)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for step in ("os.fsync", "Path.write_text"):
        with monkeypatch.context() as patched:
            patch(patched, step, full)
            with pytest.raises(OSError, match="No space left on device") as caught:
                write_checkpoint(target, NEW)
            assert str(target) in str(caught.value)
            assert caught.value.errno == errno.ENOSPC
        assert open_checkpoint(target).dim == 4
        assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_limit_on_the_size_of_files_leaves_the_old_model(tmp_path: Path) -> None:
    target = tmp_path / "m"
    write_checkpoint(target, OLD)
    script = f"""
import resource, signal
from tests.formats.builders import checkpoint_of, word_piece
from vecsmith.formats import write_checkpoint
checkpoint = checkpoint_of(word_piece(), dim=4096)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    write_checkpoint({str(target)!r}, checkpoint)
except OSError as error:
    print(error)
"""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
    )
    assert "File too large" in done.stdout
    assert str(target) in done.stdout
    assert open_checkpoint(target).dim == 4
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 65536


def test_a_folder_of_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds thesis\.txt, which would be lost"):
        write_checkpoint(tmp_path, NEW)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_model_with_other_files_beside_it_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "m"
    write_checkpoint(target, OLD)
    (target / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"thesis\.txt"):
        write_checkpoint(target, NEW)
    assert (target / "thesis.txt").read_text() == "years of work"
    (target / "thesis.txt").unlink()
    write_checkpoint(target, NEW)
    assert open_checkpoint(target).dim == 6


def test_a_transformer_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"years of training")
    with pytest.raises(FileExistsError, match="another model, which would be lost"):
        write_checkpoint(tmp_path, NEW)
    assert (tmp_path / "model.safetensors").read_bytes() == b"years of training"


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("a file")
    with pytest.raises(FileExistsError, match="is a file, expected a folder"):
        write_checkpoint(tmp_path / "m", NEW)
    assert (tmp_path / "m").read_text() == "a file"


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_checkpoint(tmp_path / "empty", NEW)
    write_checkpoint(tmp_path / "a" / "b" / "m", NEW)
    assert open_checkpoint(tmp_path / "empty").dim == 6
    assert open_checkpoint(tmp_path / "a" / "b" / "m").dim == 6


def test_a_symbolic_link_stays_and_its_target_changes(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "real", OLD)
    (tmp_path / "link").symlink_to("real")
    write_checkpoint(tmp_path / "link", NEW)
    assert (tmp_path / "link").is_symlink()
    assert open_checkpoint(tmp_path / "real").dim == 6


@pytest.mark.parametrize("exchange", [True, False])
def test_permissions_are_kept_and_new_ones_are_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(folder_module, "_exchange", no_exchange)
    write_checkpoint(tmp_path / "m", OLD)
    (tmp_path / "usual").mkdir()
    usual = stat.S_IMODE((tmp_path / "usual").stat().st_mode)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == usual
    (tmp_path / "m").chmod(0o750)
    write_checkpoint(tmp_path / "m", NEW)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o750


def test_the_swap_of_two_folders_is_one_step_where_the_system_has_it(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for path in (a, b):
        path.mkdir()
        (path / "name").write_text(path.name)
    if not folder_module._exchange(a, b):
        pytest.skip("this system cannot swap two folders in one step")
    assert ((a / "name").read_text(), (b / "name").read_text()) == ("b", "a")
    with pytest.raises(OSError, match="No such file"):
        folder_module._exchange(a, tmp_path / "nowhere")


def test_a_system_without_the_swap_is_told_from_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Library:
        @staticmethod
        def renameat2(*_: Any) -> int:
            ctypes.set_errno(errno.ENOSYS)
            return -1

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library)
    assert not folder_module._exchange(tmp_path / "a", tmp_path / "b")


def test_a_target_that_changes_meanwhile_is_not_lost(tmp_path: Path) -> None:
    def write_late() -> None:
        with atomic_folder(tmp_path / "m", own={"file"}) as new:
            (new / "file").write_text("new")
            (tmp_path / "m").mkdir()
            (tmp_path / "m" / "thesis.txt").write_text("years of work")

    with pytest.raises(FileExistsError, match=r"thesis\.txt"):
        write_late()
    assert (tmp_path / "m" / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    with atomic_folder(tmp_path / "m", own={"file", "thesis.txt"}) as new:
        (new / "file").write_text("new")
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of folders")
def test_what_a_kill_left_goes_with_the_next_write_and_what_is_being_written_stays(
    tmp_path: Path,
) -> None:
    code = (
        "import time\n"
        "from vecsmith.formats.folder import atomic_folder\n"
        f"with atomic_folder({str(tmp_path / 'm[1]')!r}, own=()) as new:\n"
        "    (new / 'weights').write_text('half')\n"
        "    print(new.name, flush=True)\n"
        "    time.sleep(120)\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        parts = [each.stdout.readline().strip() for each in running if each.stdout]
        running[0].terminate()
        running[0].wait(30)
        beside = [".m[1].part", ".m1.abcdefgh.part", ".m[1].abcdefgh.part"]
        for name in beside[:2]:
            (tmp_path / name).mkdir()
        (tmp_path / beside[2]).write_text("mine")  # a file, no part of ours
        assert {*parts, *beside} == set(os.listdir(tmp_path))
        with atomic_folder(tmp_path / "m[1]", own=()) as new:
            assert {parts[1], new.name} == set(os.listdir(tmp_path)) - set(beside)
        assert {parts[1], "m[1]", *beside} == set(os.listdir(tmp_path))
    finally:
        for each in running:
            each.kill()
            each.wait(30)
            if each.stdout:
                each.stdout.close()
