"""Indexes on disk: crashes, other writers and readers, broken files, more rows than memory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith._files import lock_file
from vecsmith.errors import FormatError, RunFailed
from vecsmith.retrieval import AdaptiveIndex, SearchPlan
from vecsmith.retrieval.storage import array_files, saving, segments

N, D = 400, 16
PLAN = SearchPlan.single_shot(8, D, shortlist=50, kind="int8")


def rows(n: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, D)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index with additions, deletions, packed prefixes and texts for ids."""
    index = AdaptiveIndex.build(rows(N), ids=[f"글 {i}" for i in range(N)])
    index.use(PLAN)
    index.save(tmp_path / "index")
    index.add(rows(50, 1), [f"새 글 {i}" for i in range(50)])
    index.delete([f"글 {i}" for i in range(40)])
    index.save(tmp_path / "index")
    return tmp_path / "index"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_opened_index_answers_as_the_one_that_was_saved(folder: Path) -> None:
    index = AdaptiveIndex.open(folder, verify=True)
    kept = np.concatenate([rows(N)[40:], rows(50, 1)])
    assert index.ids.tolist() == [f"글 {i}" for i in range(40, N)] + [
        f"새 글 {i}" for i in range(50)
    ]
    assert (index.vectors(index.ids) == kept).all()
    again = AdaptiveIndex.build(kept, ids=index.ids)
    found = [i.search(rows(20, 2), 5, exact=True) for i in (index, again)]
    assert (found[0].ids == found[1].ids).all()
    assert (found[0].scores == found[1].scores).all()
    assert index.plan == PLAN


def test_what_was_not_changed_is_not_written_again(folder: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.vectors.*")}
    assert len(before) == 2
    index = AdaptiveIndex.open(folder)
    index.delete("글 50")
    index.save(folder)
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.vectors.*")}
    assert after == before
    assert len(AdaptiveIndex.open(folder, verify=True)) == N + 9


def test_rows_are_written_anew_once_many_are_gone(folder: Path) -> None:
    index = AdaptiveIndex.open(folder)
    index.delete([f"글 {i}" for i in range(40, 300)])
    index.save(folder)
    assert sum(len(segment.arrays) for segment in index._held[0].segments) == len(index) == 150
    opened = AdaptiveIndex.open(folder, verify=True)
    assert opened.info["n_deleted"] == 0
    assert (opened.vectors(["글 300", "새 글 7"]) == [rows(N)[300], rows(50, 1)[7]]).all()


CRASH = """
import os, signal, sys
import numpy as np
from vecsmith.retrieval import AdaptiveIndex

folder = sys.argv[1]
n_renames = int(sys.argv[2])
index = AdaptiveIndex.open(folder)
index.add(np.ones((3, 16)), ["a", "b", "c"])
index.delete([f"글 {i}" for i in range(40, 300)])
left = n_renames
replace = os.replace

def killing(*paths):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)

os.replace = killing
index.save(folder)
print("saved")
"""


def test_a_process_killed_while_it_saves_leaves_the_old_index(folder: Path, tmp_path: Path) -> None:
    expected = AdaptiveIndex.open(folder).ids.tolist()
    n_renames, was_saved = 0, False
    while not was_saved:
        copy = tmp_path / f"copy {n_renames}"
        shutil.copytree(folder, copy)
        done = subprocess.run(
            [sys.executable, "-c", CRASH, str(copy), str(n_renames)],
            capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        was_saved = done.stdout == "saved\n"
        assert was_saved or done.returncode == -signal.SIGKILL, done.stderr
        index = AdaptiveIndex.open(copy, verify=True)
        if not was_saved:
            assert index.ids.tolist() == expected
            assert names(copy) > names(folder)  # what the crash left behind ...
        index.add(rows(1, 3), "next")
        index.save(copy)
        assert "next" in AdaptiveIndex.open(copy, verify=True).ids
        # ... the next save takes away
        assert names(copy) == {".lock", "index.json", *index_files(copy)}
        n_renames += 3
    assert n_renames > 6


def index_files(folder: Path) -> set[str]:
    """Files that the manifest names."""
    manifest = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    found = set()
    for segment in manifest["segments"]:
        found |= {file["name"] for file in segment["arrays"].values()}
        found |= {file["name"] for file in (segment["alive"], segment["near"]) if file}
    return found


def test_a_full_disk_leaves_the_old_index_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(folder)
    index = AdaptiveIndex.open(folder)
    index.add(rows(3, 5), ["a", "b", "c"])
    n_written = 0

    def full(self: Any, block: Any) -> None:
        nonlocal n_written
        n_written += 1
        if n_written == 4:
            raise OSError(28, "No space left on device")
        write(self, block)

    write = array_files.ArrayWriter.write
    monkeypatch.setattr(array_files.ArrayWriter, "write", full)
    with pytest.raises(OSError, match="No space left"):
        index.save(folder)
    n_written = 0
    with pytest.raises(OSError, match="No space left"):
        AdaptiveIndex.build(rows(N), out=folder)
    assert names(folder) == before
    monkeypatch.undo()
    index.save(folder)  # with room again, nothing was lost
    assert (AdaptiveIndex.open(folder, verify=True).vectors(["b"]) == rows(3, 5)[1]).all()


def test_the_second_of_two_writers_is_told_so(folder: Path) -> None:
    first, second = AdaptiveIndex.open(folder), AdaptiveIndex.open(folder)
    first.add(rows(1, 6), "first")
    second.add(rows(1, 7), "second")
    first.save(folder)
    with pytest.raises(
        RunFailed, match=r"generation 3 of the index, saved by another process, expected .* 2 as"
    ):
        second.save(folder)
    assert "second" not in AdaptiveIndex.open(folder).ids
    with (
        lock_file(folder / ".lock"),
        pytest.raises(RunFailed, match="another process is writing this index"),
    ):
        first.save(folder)


def test_an_index_that_took_the_place_of_another_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    AdaptiveIndex.build(rows(60), out=folder)
    stale = AdaptiveIndex.open(folder)
    shutil.rmtree(folder)
    AdaptiveIndex.build(rows(60, 1), out=folder)  # of as many rows, counted from one again
    stale.add(rows(1, 2))
    with pytest.raises(RunFailed, match="generation 1 of the index, saved by another process"):
        stale.save(folder)
    kept = AdaptiveIndex.open(folder, verify=True)
    assert (kept.vectors(kept.ids) == rows(60, 1)).all()


def test_an_index_is_saved_whole_where_its_folder_was_taken_away(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    index = AdaptiveIndex.build(rows(60), out=folder)
    shutil.rmtree(folder)
    index.add(rows(1, 2))
    index.save(folder)
    opened = AdaptiveIndex.open(folder, verify=True)
    assert (opened.vectors(opened.ids) == np.concatenate([rows(60), rows(1, 2)])).all()


def test_an_index_is_built_over_one_that_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    AdaptiveIndex.build(rows(60), out=folder)
    manifest = folder / "index.json"
    manifest.write_text(manifest.read_text(encoding="utf-8")[:100], encoding="utf-8")
    AdaptiveIndex.build(rows(50, 1), out=folder)
    opened = AdaptiveIndex.open(folder, verify=True)
    assert (opened.vectors(opened.ids) == rows(50, 1)).all()
    assert names(folder) == {".lock", "index.json", *index_files(folder)}


def test_a_save_that_is_interrupted_when_all_is_written_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = AdaptiveIndex.open(folder)
    index.add(rows(1, 6), "one")

    def interrupted(folder: Path, names: set[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(saving, "clear", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index.save(folder)
    monkeypatch.undo()
    index.add(rows(1, 7), "two")
    index.save(folder)  # nobody else has saved since
    opened = AdaptiveIndex.open(folder, verify=True)
    assert (opened.vectors(["one", "two"]) == [rows(1, 6)[0], rows(1, 7)[0]]).all()
    assert names(folder) == {".lock", "index.json", *index_files(folder)}


def test_readers_go_on_while_a_writer_saves(folder: Path) -> None:
    writer, early = AdaptiveIndex.open(folder), AdaptiveIndex.open(folder)
    expected = early.search(rows(5, 2), 9, exact=True)
    problems: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                index = AdaptiveIndex.open(folder, verify=True)
                assert len(index.ids) == len(index)
                index.search(rows(2, 3), 5)
            except BaseException as error:
                problems.append(error)
                return

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(12):
        writer.delete(writer.ids[:9].tolist())
        writer.add(rows(4, i), [f"{i}/{j}" for j in range(4)])
        writer.save(folder)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems
    # files of the generation it was opened from are gone from the folder, not from the reader
    again = early.search(rows(5, 2), 9, exact=True)
    assert (again.ids == expected.ids).all()
    assert (again.scores == expected.scores).all()


def test_a_file_cut_short_or_missing_is_refused_by_name(folder: Path) -> None:
    for name in sorted(index_files(folder)):
        path = folder / name
        whole = path.read_bytes()
        for n_bytes in (0, 100, len(whole) - 1):
            path.write_bytes(whole[:n_bytes])
            with pytest.raises(
                FormatError, match=f"{name}: {n_bytes} bytes, expected {len(whole)}"
            ):
                AdaptiveIndex.open(folder)
        path.unlink()
        with pytest.raises(FormatError, match=f"{name}: there is no such file"):
            AdaptiveIndex.open(folder)
        path.write_bytes(whole)
    AdaptiveIndex.open(folder, verify=True)


def test_an_altered_file_is_found_when_asked(folder: Path) -> None:
    for name in sorted(index_files(folder)):
        path = folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(FormatError, match=f"{name}: values with sha256"):
            AdaptiveIndex.open(folder, verify=True)
        path.write_bytes(whole[:9] + b"x" + whole[10:])
        with pytest.raises(FormatError, match=f"{name}: the header does not say"):
            AdaptiveIndex.open(folder)
        path.write_bytes(whole)


def test_altered_values_never_crash_a_search(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for name in sorted(index_files(folder)):
        path = folder / name
        whole = path.read_bytes()
        noise = generator.integers(0, 256, len(whole) - 256, dtype=np.uint8).tobytes()
        path.write_bytes(whole[:256] + noise)
        calls: list[Callable[[AdaptiveIndex], Any]] = [
            lambda index: index.search(rows(5, 2), 20),
            lambda index: index.search(rows(5, 2), 20, exact=True),
            lambda index: index.ids,
            lambda index: index.vectors(["글 60", "새 글 1"]),
            lambda index: index.delete(["글 60"]),
        ]
        for call in calls:
            # wrong answers or an error that says what to do, and nothing else
            with suppress(FormatError, ValueError):
                call(AdaptiveIndex.open(folder))
        path.write_bytes(whole)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _paths(item, (*path, key))


def test_a_broken_manifest_is_a_clear_error_whatever_is_wrong_in_it(folder: Path) -> None:
    path = folder / "index.json"
    good = path.read_text(encoding="utf-8")
    n_refused = 0
    wrong: list[Any] = [None, -1, 2**60, "../../etc/passwd", [], {}, [[]], 1.5, True]
    for place in _paths(json.loads(good)):
        for bad in wrong:
            values = json.loads(good)
            holder = values
            for key in place[:-1]:
                holder = holder[key]
            if place:
                holder[place[-1]] = bad
            else:
                values = bad
            path.write_text(json.dumps(values), encoding="utf-8")
            messages: list[str] = []
            try:
                AdaptiveIndex.open(folder).search(rows(2, 2), 5)
            except FormatError as error:
                messages.append(str(error))
            assert all("index.json" in text or ".safetensors" in text for text in messages)
            n_refused += len(messages)
    assert n_refused > 500
    for text in ("", good[: len(good) // 2], "[" * 100_000, "\0"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(FormatError, match=r"index\.json"):
            AdaptiveIndex.open(folder)
    path.unlink()
    with pytest.raises(FormatError, match=r"no index\.json, expected the folder of an index"):
        AdaptiveIndex.open(folder)


def test_a_newer_format_is_named(folder: Path) -> None:
    path = folder / "index.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, "version": 3}), encoding="utf-8")
    with pytest.raises(FormatError, match="written by a newer vecsmith"):
        AdaptiveIndex.open(folder)
    path.write_text(json.dumps({**values, "version": 1}), encoding="utf-8")
    with pytest.raises(FormatError, match="an older vecsmith, build the index again"):
        AdaptiveIndex.open(folder)


def test_files_of_an_index_are_plain_safetensors(folder: Path) -> None:
    from safetensors.numpy import load_file

    file = min(folder.glob("*.vectors.safetensors"))
    assert (load_file(file)["values"] == rows(N)).all()


def test_an_index_is_built_in_less_memory_than_its_vectors_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "_BLOCK_VALUES", 2**16)
    monkeypatch.setattr(array_files, "_COPY_BYTES", 2**18)
    n, dim = 40_000, 128

    def blocks() -> Iterator[NDArray[np.float32]]:
        generator = np.random.default_rng(0)
        for _ in range(n // 500):
            yield generator.normal(size=(500, dim)).astype(np.float32)

    queries = np.random.default_rng(1).normal(size=(20, dim))
    tracemalloc.start()
    index = AdaptiveIndex.build(
        blocks(), out=tmp_path / "index", queries=queries, recall=0.9, n_threads=1
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    n_bytes = 4 * n * dim
    assert index.info["n_bytes"] > n_bytes
    assert peak < n_bytes / 2
    opened = AdaptiveIndex.open(tmp_path / "index", verify=True)
    rebuilt = AdaptiveIndex.build(
        np.concatenate(list(blocks())), queries=queries, recall=0.9, n_threads=1
    )
    assert opened.plans == rebuilt.plans
    assert (opened.search(queries).ids == rebuilt.search(queries).ids).all()
    assert names(tmp_path / "index") == {".lock", "index.json", *index_files(tmp_path / "index")}


def test_a_place_that_is_somebody_elses_is_refused_and_not_touched(tmp_path: Path) -> None:
    index = AdaptiveIndex.build(rows(20))
    file, foreign = tmp_path / "notes.txt", tmp_path / "model"
    file.write_text("mine")
    foreign.mkdir()
    for name in ("config.json", "model.json", "notes", "texts", "tokenizer.json"):
        (foreign / name).write_text(name)
    for write in (index.save, lambda place: AdaptiveIndex.build(rows(20), out=place)):
        for place in (file, file / "index"):
            with pytest.raises(FileExistsError, match=r"notes\.txt: is a file, expected a folder"):
                write(place)
        with pytest.raises(
            FileExistsError, match=r"holds config\.json, notes, tokenizer\.json and no index"
        ):
            write(foreign)
    assert file.read_text() == "mine"
    assert all(path.read_text() == path.name for path in foreign.iterdir())
    assert len(names(foreign)) == 5  # no lock either


def test_what_a_kill_before_the_first_manifest_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "g000001-0.vectors.safetensors").write_bytes(b"cut")
    (tmp_path / ".lock").touch()
    AdaptiveIndex.build(rows(20)).save(tmp_path)
    assert len(AdaptiveIndex.open(tmp_path, verify=True)) == 20
    assert "g000001-0.vectors.safetensors" not in names(tmp_path)
