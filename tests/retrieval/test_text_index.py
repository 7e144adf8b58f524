"""Texts with their vectors, changed and opened again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.errors import FormatError, RunFailed
from vecsmith.retrieval import AdaptiveIndex, TextIndex
from vecsmith.retrieval.storage.saving import writing
from vecsmith.retrieval.text_index import MODEL_FILE, ModelRecord
from vecsmith.retrieval.texts import TextStore, TextStoreWriter

DIM = 12
MODEL = ModelRecord(name="made", fingerprint="f", dim=DIM)


def vectors_of(texts: list[str]) -> NDArray[np.float32]:
    """A vector for each text, always the same."""
    rows = [np.random.default_rng(list(text.encode())).standard_normal(DIM) for text in texts]
    return np.array(rows, np.float32).reshape(-1, DIM)


def stored(folder: Path, texts: list[str], names: list[str]) -> TextStore:
    with TextStoreWriter(folder, name_kind="str") as writer:
        writer.append(texts, names)
        return writer.commit()


def made(folder: Path, content: dict[str, str]) -> TextIndex:
    folder.mkdir()
    stored(folder / "texts", list(content.values()), list(content))
    return TextIndex.make(
        folder, vectors_of(list(content.values())), np.arange(len(content)), MODEL
    )


def content_of(index: TextIndex) -> dict[object, str]:
    numbers = index.vectors.ids
    texts = index.texts.texts(numbers)
    np.testing.assert_allclose(index.vectors.vectors(numbers), vectors_of(texts), rtol=1e-6)
    return dict(zip(index.texts.names(numbers), texts, strict=True))


def test_random_changes_are_those_of_a_dict(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    expected = {f"id{i}": f"text {i}" for i in range(80)}
    index = made(tmp_path / "index", expected)
    for step in range(24):
        if draw.random() < 0.6 or not expected:
            ids = [f"id{i}" for i in draw.choice(150, draw.integers(1, 6), replace=False)]
            texts = [f"text {name} of step {step} 한국어" for name in ids]
            new = stored(tmp_path / f"new-{step}", texts, ids)
            n_replaced = index.add(new, vectors_of(texts), np.arange(len(ids)))
            assert n_replaced == len(expected.keys() & set(ids))
            expected.update(zip(ids, texts, strict=True))
        else:
            ids = draw.choice(list(expected), min(3, len(expected)), replace=False).tolist()
            index.delete([number for numbers in index.find(ids) for number in numbers])
            for name in ids:
                del expected[name]
        if step % 4 == 3:
            index = TextIndex.open(tmp_path / "index", verify=True)
        assert content_of(index) == expected
    query = vectors_of(["asked"])
    _, (hits,) = index.search(query, 3, exact=True)
    rows = vectors_of(list(expected.values())).astype(np.float64)
    cosines = rows @ query[0] / np.linalg.norm(rows, axis=1) / np.linalg.norm(query[0])
    best = np.argsort(-cosines)[:3]
    assert [hit.text for hit in hits] == [list(expected.values())[i] for i in best]
    on_disk = sum(path.stat().st_size for path in (tmp_path / "index").rglob("*") if path.is_file())
    assert index.n_bytes == on_disk


def test_whoever_opened_an_index_before_a_change_goes_on_with_it(tmp_path: Path) -> None:
    index = made(tmp_path / "index", {"a": "one", "b": "two"})
    reader = TextIndex.open(tmp_path / "index")
    index.delete([0])
    index.add(stored(tmp_path / "new", ["three"], ["b"]), vectors_of(["three"]), np.array([0]))
    assert content_of(reader) == {"a": "one", "b": "two"}
    assert content_of(TextIndex.open(tmp_path / "index")) == {"b": "three"}


def test_two_writers_do_not_overwrite_each_other(tmp_path: Path) -> None:
    made(tmp_path / "index", {"a": "one", "b": "two", "c": "three"})
    first, second = (TextIndex.open(tmp_path / "index") for _ in range(2))
    first.delete([0])
    with pytest.raises(RunFailed, match="another process has saved since"):
        second.delete([1])
    assert content_of(TextIndex.open(tmp_path / "index", verify=True)) == {
        "b": "two", "c": "three",
    }  # fmt: skip


def test_an_addition_that_is_refused_leaves_the_texts_as_they_are(tmp_path: Path) -> None:
    made(tmp_path / "index", {"a": "one", "b": "two", "c": "three"})
    first, second = (TextIndex.open(tmp_path / "index") for _ in range(2))
    new, other = (stored(tmp_path / name, [f"of {name}"], [name]) for name in ("new", "other"))
    first.add(new, vectors_of(["of new"]), np.array([0]))
    for _ in range(2):
        with pytest.raises(RunFailed, match="another process has saved since"):
            second.add(other, vectors_of(["of other"]), np.array([0]))
    expected = {"a": "one", "b": "two", "c": "three", "new": "of new"}
    assert content_of(first) == expected
    assert content_of(TextIndex.open(tmp_path / "index", verify=True)) == expected
    assert list(TextStore.open(tmp_path / "new", verify=True)) == ["of new"]
    assert list(TextStore.open(tmp_path / "other", verify=True)) == ["of other"]


def test_a_change_waits_for_no_other_writer_and_spoils_nothing_of_it(tmp_path: Path) -> None:
    index = made(tmp_path / "index", {"a": "one", "b": "two"})
    before = {path: path.read_bytes() for path in (tmp_path / "index" / "texts").iterdir()}
    with writing(tmp_path / "index" / "texts"):
        with pytest.raises(RunFailed, match="another process is writing"):
            index.add(stored(tmp_path / "n", ["x"], ["x"]), vectors_of(["x"]), np.array([0]))
        with pytest.raises(RunFailed, match="another process is writing"):
            index.delete([0])
    assert {path: path.read_bytes() for path in before} == before
    assert content_of(TextIndex.open(tmp_path / "index")) == {"a": "one", "b": "two"}


def test_texts_that_a_killed_writer_left_do_not_shift_the_numbers(tmp_path: Path) -> None:
    index = made(tmp_path / "index", {"a": "one", "b": "two"})
    TextStore.open(tmp_path / "index" / "texts").adopt(stored(tmp_path / "n", ["lost"], ["n"]))
    index.add(stored(tmp_path / "m", ["new"], ["m"]), vectors_of(["new"]), np.array([0]))
    assert content_of(index) == {"a": "one", "b": "two", "m": "new"}


def test_a_reader_never_sees_texts_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "index", {"a": "one", "b": "two", "c": "three"})
    writer, opened = TextIndex.open(tmp_path / "index"), TextStore.open
    numbers = iter([0, 2])

    def deleted_meanwhile(folder: Path, *, verify: bool = False) -> TextStore:
        monkeypatch.setattr(TextStore, "open", opened)  # the writer's own look is no reader's
        number = next(numbers, None)
        if number is not None:
            writer.delete([number])
            monkeypatch.setattr(TextStore, "open", deleted_meanwhile)
        return opened(folder, verify=verify)

    monkeypatch.setattr(TextStore, "open", deleted_meanwhile)
    reader = TextIndex.open(tmp_path / "index")
    assert content_of(reader) == {"b": "two"}
    _, (hits,) = reader.search(vectors_of(["one"]), 3, exact=True)
    assert [hit.text for hit in hits] == ["two"]


@pytest.mark.parametrize("names", [["a", "b", "c"], None])
def test_hits_whose_text_was_forgotten_are_left_out(
    tmp_path: Path, names: list[str] | None
) -> None:
    texts = ["one", "two", "three"]
    (tmp_path / "index").mkdir()
    with TextStoreWriter(
        tmp_path / "index" / "texts", name_kind="str" if names else None
    ) as writer:
        writer.append(texts, names)
        writer.commit()
    index = TextIndex.make(tmp_path / "index", vectors_of(texts), np.arange(3), MODEL)
    index.texts = index.texts.forget([1])
    _, (hits,) = index.search(vectors_of(["two"]), 3, exact=True)
    assert {hit.text for hit in hits} == {"one", "three"}


def test_texts_that_the_vectors_do_not_name_are_not_there(tmp_path: Path) -> None:
    index = made(tmp_path / "index", {"a": "one", "b": "two"})
    index.texts.adopt(stored(tmp_path / "new", ["new a"], ["a"]))  # and no vector: killed here
    opened = TextIndex.open(tmp_path / "index", verify=True)
    assert opened.find(["a", "b"]) == [[0], [1]]
    assert content_of(opened) == {"a": "one", "b": "two"}


def test_the_files_of_two_indexes_are_not_taken_for_one(tmp_path: Path) -> None:
    made(tmp_path / "index", {"a": "one", "b": "two"})
    (tmp_path / "index" / "texts" / "texts.json").unlink()
    stored(tmp_path / "index" / "texts", ["only"], ["a"])
    opened = TextIndex.open(tmp_path / "index")
    with pytest.raises(FormatError, match="text 1 is not among 1 texts"):
        opened.search(vectors_of(["two"]), 2, exact=True)
    AdaptiveIndex.build(np.eye(5), out=tmp_path / "index")
    with pytest.raises(FormatError, match="vectors of 5 dims, expected 12"):
        TextIndex.open(tmp_path / "index")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], "other", "not of an index"),
        (["version"], 9, "another version of vecsmith"),
        (["model"], [], "expected dim"),
        (["model", "dim"], 0, "expected dim"),
        (["model", "dim"], True, "expected dim"),
        (["model", "name"], None, "expected dim"),
    ],
)
def test_a_broken_record_of_the_model_is_refused(
    tmp_path: Path, path: list[str], value: object, message: str
) -> None:
    made(tmp_path / "index", {"a": "one", "b": "two"})
    file = tmp_path / "index" / MODEL_FILE
    record = json.loads(file.read_text())
    target = record
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    file.write_text(json.dumps(record))
    with pytest.raises(FormatError, match=message):
        TextIndex.open(tmp_path / "index")
