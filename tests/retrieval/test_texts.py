"""Texts by number and name, in mapped files."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.errors import FormatError
from vecsmith.retrieval.texts import TextStore, TextStoreWriter
from vecsmith.retrieval.texts.mapped import TextWriter
from vecsmith.retrieval.texts.parts import link_part

TEXTS = ["파이썬에서 예외를 던지는 법", "", "line one\nline two", "null \0 inside", "é", "a" * 5000]


def written(folder: Path, texts: list[str], names: list[str] | None = None) -> TextStore:
    writer = TextStoreWriter(folder, name_kind=None if names is None else "str")
    writer.append(texts, names)
    return writer.commit()


def test_texts_come_back_letter_by_letter(tmp_path: Path) -> None:
    written(tmp_path / "texts", TEXTS)
    store = TextStore.open(tmp_path / "texts", verify=True)
    assert list(store) == TEXTS
    assert store.texts([5, 0]) == [TEXTS[5], TEXTS[0]]
    assert store.n_bytes == sum(len(text.encode()) for text in TEXTS)


def test_the_files_are_offsets_and_utf8_that_numpy_reads(tmp_path: Path) -> None:
    written(tmp_path, TEXTS)
    offsets = np.fromfile(tmp_path / "part-000000.offsets", "<u8")
    data = (tmp_path / "part-000000.utf8").read_bytes()
    found = [data[a:b].decode() for a, b in pairwise(offsets)]
    assert found == TEXTS


@settings(max_examples=20, deadline=None)
@given(parts=st.lists(st.lists(st.text(max_size=8), max_size=6), min_size=1, max_size=4))
def test_texts_added_in_any_parts_are_one_list(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = written(folder, parts[0])
    for part in parts[1:]:
        writer = store.add()
        for text in part:
            writer.append([text])
        store = writer.commit()
    expected = [text for part in parts for text in part]
    assert list(TextStore.open(folder, verify=True)) == expected
    assert [store[i] for i in range(len(expected))] == expected


def test_half_characters_become_the_replacement_character(tmp_path: Path) -> None:
    assert list(written(tmp_path, ["a\ud83d b", "\ud83d\ude00"])) == ["a\ufffd b", "\U0001f600"]


def test_a_name_leads_to_its_texts_in_every_part(tmp_path: Path) -> None:
    store = written(tmp_path, ["old", "other"], ["문서/1", "b"])
    writer = store.add()
    writer.append(["new"], ["문서/1"])
    store = writer.commit()
    assert store.find(["문서/1", "b", "absent"]) == [[0, 2], [1], []]
    assert store.names([2, 1]) == ["문서/1", "b"]


def test_ten_thousand_names_are_found_as_in_a_dict(tmp_path: Path) -> None:
    names = [f"doc-{i * 7919 % 10007}" for i in range(10_000)]
    written(tmp_path, [""] * len(names), names)
    place = {name: i for i, name in enumerate(names)}
    asked = [f"doc-{i}" for i in range(0, 10_007, 11)]
    expected = [[place[name]] if name in place else [] for name in asked]
    assert TextStore.open(tmp_path, verify=True).find(asked) == expected


def test_numbers_as_names_come_back_as_numbers(tmp_path: Path) -> None:
    writer = TextStoreWriter(tmp_path, name_kind="int")
    writer.append(["a", "b"], [10**18, -3])
    writer.commit()
    store = TextStore.open(tmp_path)
    assert store.names([0, 1]) == [10**18, -3]
    assert store.find([-3]) == [[1]]


def test_texts_without_names_are_called_by_their_numbers(tmp_path: Path) -> None:
    store = written(tmp_path, ["a", "b"])
    assert store.names([1]) == [1]
    assert store.find([1, "0", "x", 2, -1]) == [[1], [0], [], [], []]


def test_a_name_given_twice_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="texts 1 and 2 are both called 'b'"):
        written(tmp_path, ["x", "y", "z"], ["a", "b", "b"])
    assert list(tmp_path.iterdir()) == []


def test_empty_or_missing_names_are_refused(tmp_path: Path) -> None:
    with TextStoreWriter(tmp_path, name_kind="str") as writer:
        with pytest.raises(ValueError, match="name of text 0 is empty"):
            writer.append(["x", "y"], ["", "b"])
        with pytest.raises(ValueError, match="1 names for 2 texts"):
            writer.append(["x", "y"], ["a"])
        with pytest.raises(ValueError, match="none given for texts of a store with names"):
            writer.append(["x"])
        writer.append(["x"], ["a"])
        assert writer.commit().find(["a"]) == [[0]]


def test_a_store_that_is_open_does_not_see_what_is_added(tmp_path: Path) -> None:
    before = written(tmp_path, ["a"])
    writer = TextStore.open(tmp_path).add()
    writer.append(["b"])
    assert list(TextStore.open(tmp_path)) == ["a"]  # not committed
    writer.commit()
    assert list(before) == ["a"]
    assert list(TextStore.open(tmp_path)) == ["a", "b"]


def test_forgotten_texts_are_in_no_file_and_others_keep_their_numbers(tmp_path: Path) -> None:
    store = written(tmp_path, ["keep", "secret-text", "also"], ["n0", "secret-name", "n2"])
    reader = TextStore.open(tmp_path)
    after = store.forget([1])
    assert list(after) == ["keep", "", "also"]
    assert after.find(["secret-name", "n2"]) == [[], [2]]
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.iterdir())
    assert reader[1] == "secret-text"  # who had it open goes on
    assert list(TextStore.open(tmp_path, verify=True)) == ["keep", "", "also"]


def test_a_thousand_forgotten_texts_leave_the_others_as_a_list_says(tmp_path: Path) -> None:
    texts = [f"text {i} " + "é" * (i % 7) for i in range(70_000)]  # more than a block
    gone = set(np.random.default_rng(0).choice(70_000, 1000, replace=False).tolist())
    names = [f"n{i}" for i in range(70_000)]
    written(tmp_path, texts, names).forget(gone)
    after = TextStore.open(tmp_path, verify=True)
    assert list(after) == ["" if i in gone else text for i, text in enumerate(texts)]
    asked = list(range(0, 70_000, 37))
    expected = [[] if i in gone else [i] for i in asked]
    assert after.find([names[i] for i in asked]) == expected


def test_the_parts_of_another_store_are_adopted(tmp_path: Path) -> None:
    store = written(tmp_path / "a", ["x"], ["n0"])
    other = written(tmp_path / "b", ["y", "z"], ["n1", "n0"])
    both = store.adopt(other)
    assert list(TextStore.open(tmp_path / "a", verify=True)) == ["x", "y", "z"]
    assert both.find(["n0"]) == [[0, 2]]
    assert list(TextStore.open(tmp_path / "b", verify=True)) == ["y", "z"]
    with pytest.raises(ValueError, match="names of kind None for a store with 'str'"):
        both.adopt(written(tmp_path / "c", ["w"]))


def test_a_file_that_two_stores_share_is_never_written_to(tmp_path: Path) -> None:
    store = written(tmp_path / "a", ["x"])
    other = written(tmp_path / "b", ["theirs"])
    link_part(tmp_path / "b", "part-000000", tmp_path / "a", "part-000001")  # and then killed
    with pytest.raises(FileExistsError):
        link_part(
            written(tmp_path / "c", ["others"]).folder, "part-000000",
            tmp_path / "a", "part-000001",
        )  # fmt: skip
    assert list(store.forget([0])) == [""]
    assert list(TextStore.open(other.folder, verify=True)) == ["theirs"]


def test_parts_are_copied_where_there_are_no_links_and_never_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", no_links)
    store, other = written(tmp_path / "a", ["x"]), written(tmp_path / "b", ["y"])
    assert list(store.adopt(other)) == ["x", "y"]
    assert not os.path.samefile(
        tmp_path / "b" / "part-000000.utf8", tmp_path / "a" / "part-000001.utf8"
    )
    with pytest.raises(FileExistsError):
        link_part(tmp_path / "b", "part-000000", tmp_path / "a", "part-000001")


def test_many_small_additions_become_few_parts_and_stay_one_list(tmp_path: Path) -> None:
    store = written(tmp_path / "store", ["first"] * 40, [f"f{i}" for i in range(40)])
    expected = ["first"] * 40
    for i in range(25):
        store = store.adopt(written(tmp_path / f"{i}", [f"텍스트 {i}", ""], [f"a{i}", f"b{i}"]))
        expected += [f"텍스트 {i}", ""]
        if i == 10:
            store = store.forget([3, 42])
            expected[3] = expected[42] = ""
    store = TextStore.open(tmp_path / "store", verify=True)
    assert list(store) == expected
    assert len(list((tmp_path / "store").glob("part-??????.utf8"))) <= 6  # log2 of 90
    assert store.find(["f7", "a0", "a1", "b24", "f3"]) == [[7], [40], [], [89], []]


def test_a_killed_writer_goes_on_where_it_synced(tmp_path: Path) -> None:
    writer = TextStoreWriter(tmp_path, name_kind="str")
    writer.append(TEXTS, [f"n{i}" for i in range(6)])
    writer.sync()
    writer.append(["lost"], ["lost"])
    writer.close()
    writer = TextStoreWriter(tmp_path, name_kind="str", n_texts=6)
    writer.append(["went on"], ["n6"])
    store = writer.commit()
    assert list(store) == [*TEXTS, "went on"]
    fresh = written(tmp_path / "fresh", [*TEXTS, "went on"], [f"n{i}" for i in range(7)])
    for path in fresh.folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_going_on_after_more_texts_than_there_are_is_refused(tmp_path: Path) -> None:
    writer = TextWriter(tmp_path / "part")
    writer.append(["a", "b"])
    writer.close()
    with pytest.raises(FormatError, match="2 texts, expected at least the 5"):
        TextWriter(tmp_path / "part", n_texts=5)
    os.truncate(tmp_path / "part.utf8", 1)
    with pytest.raises(FormatError, match="1 bytes, expected at least 2"):
        TextWriter(tmp_path / "part", n_texts=2)


def test_a_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    store = written(tmp_path, ["a"])
    left = store.add()
    left.append(["half"])
    left.close()
    writer = TextStore.open(tmp_path).add()
    writer.append(["b"])
    writer.commit()
    assert list(TextStore.open(tmp_path, verify=True)) == ["a", "b"]
    (tmp_path / "part-000009.utf8").write_bytes(b"half")
    (tmp_path / "mine.txt").write_bytes(b"of the user")
    TextStore.open(tmp_path).add().discard()
    assert not (tmp_path / "part-000009.utf8").exists()
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.parametrize(
    "name", ["part-000000.utf8", "part-000000.offsets", "part-000000-names.keys",
             "part-000000-names.places", "part-000000-names.utf8"],
)  # fmt: skip
@pytest.mark.parametrize("harm", ["short", "long", "gone"])
def test_a_file_of_another_size_is_refused_by_name(tmp_path: Path, name: str, harm: str) -> None:
    written(tmp_path, TEXTS, [f"n{i}" for i in range(6)])
    path = tmp_path / name
    if harm == "gone":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size + (1 if harm == "long" else -1))
    with pytest.raises(FormatError, match=name):
        TextStore.open(tmp_path)


@pytest.mark.parametrize("name", ["part-000000.utf8", "part-000000-names.keys"])
def test_an_altered_byte_is_found_when_everything_is_read(tmp_path: Path, name: str) -> None:
    written(tmp_path, ["hello"], ["n"])
    data = bytearray((tmp_path / name).read_bytes())
    data[0] ^= 1
    (tmp_path / name).write_bytes(data)
    TextStore.open(tmp_path)
    with pytest.raises(FormatError, match="altered"):
        TextStore.open(tmp_path, verify=True)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_altered_bytes_give_texts_or_a_format_error_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("store")
    written(folder, TEXTS, [f"n{i}" for i in range(6)])
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        store = TextStore.open(folder)
        list(store)
        store.names(range(len(store)))
        store.find(["n0", "n5", "absent"])
    except FormatError:
        pass


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", "other", "not a store of texts"),
        ("version", 2, "another version"),
        ("parts", {}, "broken"),
        ("parts", [{"stem": "../../etc/passwd"}], "stem"),
        ("parts", [{"stem": "part-000000", "texts": {"n_texts": True}}], "n_texts"),
        ("parts", [{"stem": "part-000000", "texts": {"n_texts": -1, "n_bytes": 0, "digest": ""}}],
         "n_texts"),
        ("names", "str", "some parts have names"),
    ],
)  # fmt: skip
def test_a_broken_manifest_is_refused(
    tmp_path: Path, field: str, value: object, message: str
) -> None:
    written(tmp_path, ["a"])
    path = tmp_path / "texts.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, field: value}))
    with pytest.raises(FormatError, match=message):
        TextStore.open(tmp_path)


def test_a_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"texts\.json: missing"):
        TextStore.open(tmp_path)


def test_a_number_that_is_not_there_is_an_index_error(tmp_path: Path) -> None:
    store = written(tmp_path, ["a"])
    for number in (1, -1):
        with pytest.raises(IndexError, match=f"text {number} of 1"):
            store[number]
    with pytest.raises(IndexError):
        store.forget([4])


def test_reading_one_text_of_many_takes_no_memory_of_theirs(tmp_path: Path) -> None:
    """Of 108 MB of texts two are read; what is not read does not come into memory."""
    writer = TextStoreWriter(tmp_path)
    for _ in range(40):
        writer.append(["가" * 900_000])
    writer.commit()
    program = (
        "import resource, sys\n"
        "from vecsmith.retrieval.texts import TextStore\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "store = TextStore.open(sys.argv[1])\n"
        "assert store[39][-1] == '가' and len(store[20]) == 900_000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < 40e6


def test_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    written(tmp_path, ["a"])
    program = (
        "import resource, signal, sys\n"
        "from vecsmith.retrieval.texts import TextStore\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "writer = TextStore.open(sys.argv[1]).add()\n"
        "try:\n"
        "    for _ in range(100):\n"
        "        writer.append(['x' * 5000])\n"
        "    writer.commit()\n"
        "except OSError as error:\n"
        "    writer.discard()\n"
        "    print(error.errno)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == 27  # EFBIG, this test's full disk
    assert list(TextStore.open(tmp_path, verify=True)) == ["a"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "part-000000.offsets", "part-000000.utf8", "texts.json",
    ]  # fmt: skip
