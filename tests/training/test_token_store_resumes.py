"""Building a token store that is killed, meets a full disk, or meets another process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.pair_sets import pairs_of, random_pairs, store_of
from vecsmith._files import lock_file, write_json
from vecsmith.errors import FormatError, RunFailed
from vecsmith.training import token_store
from vecsmith.training.token_store import TokenStore

ROOT = Path(__file__).resolve().parent.parent.parent

# Builds a store of two sets in many shards, once for each line "folder when argument" of its input;
# each time in a process of its own, forked, since loading the package takes seconds. It answers
# with the exit code, negative for a signal. argv: tokenizer.json.
BUILDER = """
import os, resource, signal, sys, traceback
from pathlib import Path
from tests.training.pair_sets import pairs_of, random_pairs, store_of
from vecsmith.training import token_store

token_store.SHARD_ROWS = 20
tokenizer_json = Path(sys.argv[1]).read_text()

def die_at(call, when):
    replace, calls = os.replace, 0
    def deadly(source, target):
        nonlocal calls
        calls += 1
        if calls == call and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if calls == call and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
    os.replace = deadly

def build(folder, when, argument):
    if when in ("before", "after"):
        die_at(int(argument), when)
    if when == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(argument), int(argument)))
    long = [(anchor, positive * 40) for anchor, positive in random_pairs(30, seed=1)]
    store_of(tokenizer_json, Path(folder), pairs_of(random_pairs(50)), pairs_of(long))

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            build(*line.split())
        except OSError as error:
            os._exit(error.errno)
        except BaseException:
            traceback.print_exc()
            os._exit(255)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Builder:
    """A process that builds stores and is killed while it does."""

    def __init__(self, tokenizer: Path) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "OMP_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", BUILDER, str(tokenizer)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def build(self, folder: Path, when: str = "never", argument: int = 0) -> int:
        """Exit code of a build, negative for a signal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder} {when} {argument}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def builder(
    tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_json: str
) -> Iterator[Builder]:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(tiny_tokenizer_json)
    builder = Builder(path)
    yield builder
    builder.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, builder: Builder) -> dict[str, bytes]:
    """Files of a store that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert builder.build(folder) == 0
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n_writes", range(1, 11))
def test_a_killed_build_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, builder: Builder, whole: dict[str, bytes], when: str, n_writes: int
) -> None:
    # three shards of the first set and two of the second, each followed by the record
    assert len(whole) == 6
    assert builder.build(tmp_path, when, n_writes) == -signal.SIGKILL
    if (when, n_writes) != ("after", 10):
        with pytest.raises(FormatError, match="no finished token store"):
            TokenStore(tmp_path)
    assert builder.build(tmp_path) == 0
    assert contents(tmp_path) == whole


def test_a_build_killed_again_and_again_ends_with_the_same_bytes(
    tmp_path: Path, builder: Builder, whole: dict[str, bytes]
) -> None:
    n_kills = 0
    while builder.build(tmp_path, "after", 2) == -signal.SIGKILL:
        n_kills += 1
    assert n_kills == 5
    assert contents(tmp_path) == whole


def test_a_full_disk_is_an_error_and_what_was_written_is_gone_on_with(
    tmp_path: Path, builder: Builder, whole: dict[str, bytes]
) -> None:
    # the first set's shards fit below the limit, the second's do not
    sizes = {name: len(raw) for name, raw in whole.items()}
    limit = max(size for name, size in sizes.items() if not name.startswith("set-001")) + 1
    assert sizes["set-001-00000.safetensors"] > limit
    assert builder.build(tmp_path, "full", limit) == errno.EFBIG
    assert sorted(contents(tmp_path)) == sorted(name for name in whole if "set-001" not in name)
    assert builder.build(tmp_path) == 0
    assert contents(tmp_path) == whole


def test_reading_goes_on_behind_the_last_shard(
    tmp_path: Path, tiny_tokenizer_json: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_store, "SHARD_ROWS", 20)
    pairs = pairs_of(random_pairs(50))

    def failing(path: Path, value: object) -> None:
        write_json(path, value)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vecsmith.training.token_store.write_json", failing)
        with pytest.raises(KeyboardInterrupt):
            store_of(tiny_tokenizer_json, tmp_path, pairs)
    store = store_of(tiny_tokenizer_json, tmp_path, pairs)
    # rows come seven at a time: the first shard has 21
    assert [start and start["row"] for start in pairs.starts] == [None, 21]
    assert store.sources[0].numbers().tolist() == list(range(50))


def test_two_cannot_build_in_one_folder(tmp_path: Path, tiny_tokenizer_json: str) -> None:
    with lock_file(tmp_path / ".lock"), pytest.raises(RunFailed, match="another process"):
        store_of(tiny_tokenizer_json, tmp_path, pairs_of(random_pairs(5)))


def test_any_number_can_read_a_store_that_is_finished(
    tmp_path: Path, tiny_tokenizer_json: str
) -> None:
    pairs = pairs_of(random_pairs(5))
    store_of(tiny_tokenizer_json, tmp_path, pairs)
    with lock_file(tmp_path / ".lock"):
        assert len(store_of(tiny_tokenizer_json, tmp_path, pairs)) == 5
