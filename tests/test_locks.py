from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="this system has no flock")

from vecsmith import _files
from vecsmith._files import lock_file


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    with lock_file(tmp_path / "a"), pytest.raises(BlockingIOError), lock_file(tmp_path / "a"):
        pass
    with lock_file(tmp_path / "a"):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_told_once_and_worked_on(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def without_locks(descriptor: int, operation: int) -> None:
        raise OSError(code, "no locks")

    monkeypatch.setattr("fcntl.flock", without_locks)
    monkeypatch.setattr(_files, "_WITHOUT_LOCKS", set())
    with caplog.at_level(logging.WARNING), lock_file(tmp_path / "a"), lock_file(tmp_path / "b"):
        pass
    (told,) = caplog.messages
    assert str(tmp_path / "a") in told
    assert "run one at a time" in told


def test_another_trouble_with_a_lock_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr("fcntl.flock", broken)
    with pytest.raises(OSError, match="input/output"), lock_file(tmp_path / "a"):
        pass
