"""Runs that are killed, interrupted, or meet another run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.running import COMMAND, Run, leftovers, load, random_texts, write_lines
from vecsmith._resume import PartialFolder

N_TEXTS = 300_000


@pytest.fixture(scope="module")
def long_input(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts enough for half a second of work and more."""
    texts = random_texts(3000)
    return write_lines(tmp_path_factory.mktemp("input") / "texts.txt", texts * (N_TEXTS // 3000))


def journal_of(out: Path) -> Path:
    return out.parent / f".{out.name}.part" / "journal.json"


@contextmanager
def started(
    command: list[str], folder: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts what it puts in the background deaf to SIGINT, and that is inherited
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def slow_command(model: Path, texts: Path, out: Path, *options: str) -> list[str]:
    """A command that writes its journal after every chunk, of which there are many."""
    return ["encode", str(model), str(texts), "--out", str(out), "--threads", "1", *options]


@pytest.fixture
def often(tmp_path: Path, environment: dict[str, str]) -> dict[str, str]:
    """An environment in which chunks are small and each is followed by a checkpoint."""
    (tmp_path / "sitecustomize.py").write_text(
        "import vecsmith._encoding.line_file as lines\n"
        "import vecsmith._file_run as run\n"
        "import vecsmith.cli.encode as encode\n"
        "encode._MAX_ROWS = lines._MAX_LINES = 2000\n"
        "run._MIN_SECONDS_AT_RISK = run._MAX_SECONDS_AT_RISK = 0.0\n"
    )
    path = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
    return {**environment, "PYTHONPATH": path}


@pytest.mark.parametrize("out_name", ["vectors.npy", "vectors.parquet"])
def test_a_killed_run_goes_on_and_gives_the_same_file(
    tmp_path: Path, model_folder: Path, long_input: Path, often: dict[str, str], out_name: str
) -> None:
    if out_name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    out, whole = tmp_path / out_name, tmp_path / f"whole-{out_name}"
    options = ("--keep-text",) if out_name.endswith("parquet") else ()
    with started(slow_command(model_folder, long_input, whole, *options), tmp_path, often) as one:
        assert one.wait(300) == 0

    command = slow_command(model_folder, long_input, out, *options)
    rows = [0]
    for _ in range(4):
        with started(command, tmp_path, often) as process:
            # killed as soon as it has got on, anywhere in its work
            while process.poll() is None and rows_done(out) < rows[-1] + 30_000:
                time.sleep(0.001)
            process.kill()
            assert process.wait() == -signal.SIGKILL
        assert not out.exists()
        rows.append(rows_done(out))
    assert rows == sorted(set(rows))
    assert rows[-1] < N_TEXTS

    with started(command, tmp_path, often) as process:
        assert process.wait(300) == 0
        assert process.stderr is not None
        assert "going on after" in process.stderr.read()
    assert out.read_bytes() == whole.read_bytes()
    assert leftovers(tmp_path) == []


def rows_done(out: Path) -> int:
    try:
        return int(json.loads(journal_of(out).read_text())["rows"])
    except FileNotFoundError:
        return 0


@pytest.fixture
def unfinished(
    tmp_path: Path, model_folder: Path, long_input: Path, often: dict[str, str]
) -> tuple[Path, Path]:
    """An input of this test's own and the output of a run over it that was killed."""
    texts, out = tmp_path / "texts.txt", tmp_path / "vectors.npy"
    texts.write_bytes(long_input.read_bytes())
    with started(slow_command(model_folder, texts, out), tmp_path, often) as process:
        while process.poll() is None and rows_done(out) < 10_000:
            time.sleep(0.001)
    assert 0 < rows_done(out) < N_TEXTS
    return texts, out


def test_a_changed_input_is_refused_until_restart(
    run: Run, model_folder: Path, unfinished: tuple[Path, Path]
) -> None:
    texts, out = unfinished
    with texts.open("a") as file:
        file.write("one more\n")
    before = rows_done(out)
    done = run("encode", model_folder, texts, "--out", out)
    assert done.returncode == 1
    assert "input bytes was" in done.stderr
    assert "--restart" in done.stderr
    assert done.stderr.count("\n") == 1
    assert rows_done(out) == before
    done = run("encode", model_folder, texts, "--out", out, "--restart")
    assert done.returncode == 0, done.stderr
    assert len(load(out)) == N_TEXTS + 1


@pytest.mark.parametrize("options", [("--dim", "8"), ("--dtype", "float16"), ("--max-length", "2")])
def test_other_settings_are_refused(
    run: Run, model_folder: Path, unfinished: tuple[Path, Path], options: tuple[str, str]
) -> None:
    texts, out = unfinished
    done = run("encode", model_folder, texts, "--out", out, *options)
    assert done.returncode == 1
    name = options[0].removeprefix("--").replace("-", "_")
    assert f"settings {name} was" in done.stderr


def test_another_model_is_refused(
    run: Run, tmp_path: Path, model_folder: Path, unfinished: tuple[Path, Path]
) -> None:
    from vecsmith import StaticModel

    texts, out = unfinished
    StaticModel.from_pretrained(model_folder, truncate_dim=12).save_pretrained(tmp_path / "other")
    done = run("encode", tmp_path / "other", texts, "--out", out)
    assert done.returncode == 1
    assert "model sha256 was" in done.stderr


@pytest.mark.parametrize("damage", ["{", "[]", '{"version": 1, "rows": -4}', '{"version": 99}'])
def test_a_broken_journal_is_told_with_the_remedy(
    run: Run, model_folder: Path, unfinished: tuple[Path, Path], damage: str
) -> None:
    texts, out = unfinished
    journal_of(out).write_text(damage)
    done = run("encode", model_folder, texts, "--out", out)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{out}: the journal of its unfinished run" in done.stderr
    assert "--restart" in done.stderr
    assert run("encode", model_folder, texts, "--out", out, "--restart").returncode == 0


def test_rows_that_were_lost_from_the_partial_file_are_noticed(
    run: Run, model_folder: Path, unfinished: tuple[Path, Path]
) -> None:
    texts, out = unfinished
    partial = journal_of(out).parent / "vectors.npy"
    os.truncate(partial, 1000)
    done = run("encode", model_folder, texts, "--out", out)
    assert done.returncode == 1
    assert "shorter than the" in done.stderr


def test_two_runs_cannot_write_one_file(
    run: Run, tmp_path: Path, model_folder: Path, environment: dict[str, str]
) -> None:
    out = tmp_path / "vectors.npy"
    with started(
        ["encode", str(model_folder), "-", "--out", str(out)], tmp_path, environment
    ) as one:
        while not leftovers(tmp_path):
            assert one.poll() is None
            time.sleep(0.005)
        (tmp_path / "texts.txt").write_text("hello\n")
        second = run("encode", model_folder, "texts.txt", "--out", out)
        assert second.returncode == 1
        assert "another process is writing it" in second.stderr
        one.communicate("hello\nworld\n")
        assert one.returncode == 0
    assert load(out).shape == (2, 16)
    assert leftovers(tmp_path) == []


def test_an_interrupt_keeps_what_is_done_and_leaves_no_result(
    run: Run, tmp_path: Path, model_folder: Path, long_input: Path, often: dict[str, str]
) -> None:
    out = tmp_path / "vectors.npy"
    with started(slow_command(model_folder, long_input, out), tmp_path, often) as process:
        while process.poll() is None and rows_done(out) < 10_000:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 130
        assert process.stderr is not None
        assert process.stderr.read() == (
            "vecsmith: interrupted: the same command goes on from here\n"
        )
    assert not out.exists()
    assert run("encode", model_folder, long_input, "--out", out, "--threads", "1").returncode == 0
    assert len(load(out)) == N_TEXTS


def test_an_interrupted_pipe_leaves_nothing_and_says_so(
    tmp_path: Path, model_folder: Path, environment: dict[str, str]
) -> None:
    out = tmp_path / "vectors.npy"
    command = ["encode", str(model_folder), "-", "--out", str(out)]
    with started(command, tmp_path, environment) as process:
        while not leftovers(tmp_path):
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(0.2)  # until it reads
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 130
        assert process.stderr is not None
        assert process.stderr.read() == (
            "vecsmith: interrupted: standard input cannot be read twice, nothing is kept\n"
        )
    assert leftovers(tmp_path) == []
    assert not out.exists()


def test_an_input_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, model_folder: Path, long_input: Path, often: dict[str, str]
) -> None:
    texts, out = tmp_path / "texts.txt", tmp_path / "vectors.npy"
    texts.write_bytes(long_input.read_bytes())
    with started(slow_command(model_folder, texts, out), tmp_path, often) as process:
        while process.poll() is None and rows_done(out) < 10_000:
            time.sleep(0.001)
        with texts.open("a") as file:
            file.write("one more\n")
        assert process.wait(300) == 1
        assert process.stderr is not None
        assert "changed while it was read" in process.stderr.read()
    assert not out.exists()
    assert leftovers(tmp_path) == []


def test_a_kill_after_the_final_rename_leaves_nothing_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "vectors.npy"
    work = {"input": {}, "model": {}, "settings": {}, "parts": 1}
    with PartialFolder(target) as partial:
        rows = partial.path / "vectors.npy"
        rows.write_bytes(b"rows")
        partial.write_journal(work, rows=1, position={"offset": 1})
        # a killed process never gets to remove the folder
        monkeypatch.setattr(PartialFolder, "remove", lambda self: None)
        partial.finish(rows)
        assert target.read_bytes() == b"rows"
    with PartialFolder(target) as partial:
        assert partial.journal() is None
