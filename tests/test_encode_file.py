"""Files of lines become files of vectors, without a string on the way."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecsmith import StaticModel
from vecsmith._encoding import line_file
from vecsmith._encoding.text_encoder import TextEncoder
from vecsmith.corpora.files import data_file
from vecsmith.corpora.parts import read_file
from vecsmith.errors import FormatError, RunFailed
from vecsmith.formats import Checkpoint


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Checkpoint) -> StaticModel:
    return StaticModel(tiny_checkpoint)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a short file has many."""
    monkeypatch.setattr(line_file, "_MAX_LINES", 7)
    monkeypatch.setattr(line_file, "_MAX_BYTES", 150)


PIECES = [b"the cat", b" sat ", b"on", b",", b"\xc3\xa9", b"\xe7\x8c\xab", b"\xff", b"\xed\xa0\x80"]
PIECES += [b"\n", b"\r\n", b"\r", b"\n\n", b" ", b"\x00", b"hello world", b"\xe7\x8c"]


def some_lines(seed: int, n_pieces: int) -> bytes:
    return b"".join(random.Random(seed).choices(PIECES, k=n_pieces))


def texts_of(path: Path) -> list[str]:
    """The lines, as the reader of corpora gives them."""
    return [
        t for rows in read_file(data_file(path, file_format="txt")) for t in rows.columns["text"]
    ]


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.usefixtures("small_blocks")
def test_rows_are_the_vectors_of_the_lines_whatever_bytes_they_hold(
    tmp_path: Path, model: StaticModel, n_threads: int
) -> None:
    for seed, mark in enumerate([b"", b"\xef\xbb\xbf", b"", b""]):
        path = tmp_path / f"{seed}.txt"
        path.write_bytes(mark + some_lines(seed, 3000))
        vectors = model.encode_file(path, tmp_path / "v.npy", n_threads=n_threads)
        texts = texts_of(path)
        assert len(texts) > 500
        np.testing.assert_array_equal(vectors, model.encode(texts))


def test_the_file_is_the_one_numpy_saves_and_is_mapped(tmp_path: Path, model: StaticModel) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(b"the cat\nsat\n\non the mat")
    vectors = model.encode_file(str(path), str(tmp_path / "v.npy"))
    assert isinstance(vectors, np.memmap)
    np.save(tmp_path / "expected.npy", model.encode(["the cat", "sat", "", "on the mat"]))
    assert (tmp_path / "v.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["expected.npy", "texts.txt", "v.npy"]


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_a_file_without_lines_gives_no_rows(
    tmp_path: Path, model: StaticModel, content: bytes
) -> None:
    (tmp_path / "t.txt").write_bytes(content)
    assert model.encode_file(tmp_path / "t.txt", tmp_path / "v.npy").shape == (0, model.dim)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_options_are_those_of_encode(tmp_path: Path, model: StaticModel, dtype: Any) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(some_lines(5, 2000))
    options: dict[str, Any] = {"truncate_dim": 5, "max_length": 3, "normalize": False}
    vectors = model.encode_file(path, tmp_path / "v.npy", dtype=dtype, **options)
    np.testing.assert_array_equal(vectors, model.encode(texts_of(path), dtype=dtype, **options))
    assert vectors.dtype == np.dtype(dtype)


@pytest.mark.usefixtures("small_blocks")
def test_prompts_and_tokenizers_that_are_not_native_give_what_encode_gives(
    tmp_path: Path, tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(some_lines(6, 1000).replace(b"\xed\xa0\x80", b""))
    prompted = StaticModel(
        replace(tiny_checkpoint, prompts={"query": "the dog "}, default_prompt_name="query")
    )
    vectors = prompted.encode_file(path, tmp_path / "v.npy", n_threads=2)
    np.testing.assert_array_equal(vectors, prompted.encode(texts_of(path)))
    pytest.importorskip("tokenizers")
    plain = StaticModel(tiny_checkpoint)
    expected = plain.encode(texts_of(path))
    monkeypatch.setattr(plain._tokenizer, "_native", None)
    monkeypatch.setattr(plain._tokenizer, "_fallback", _their_tokenizer(tiny_checkpoint))
    fallen_back = TextEncoder(tiny_checkpoint, plain.tokenizer)
    assert not fallen_back.is_native
    monkeypatch.setattr(plain, "_encoder", fallen_back)
    vectors = plain.encode_file(path, tmp_path / "v.npy", n_threads=2)
    np.testing.assert_array_equal(vectors, expected)


def _their_tokenizer(checkpoint: Checkpoint) -> Any:
    import tokenizers

    return tokenizers.Tokenizer.from_str(checkpoint.tokenizer_json)


class Interrupting:
    """Counts the blocks that an encoder writes, and interrupts at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.n_blocks = 0
        self._write = TextEncoder.write_lines

    def __call__(self, encoder: TextEncoder, *args: Any) -> None:
        self.n_blocks += 1
        if self.n_blocks == self.at:
            raise KeyboardInterrupt
        self._write(encoder, *args)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.usefixtures("small_blocks")
def test_an_interrupted_run_goes_on_where_it_stopped(
    tmp_path: Path, model: StaticModel, monkeypatch: pytest.MonkeyPatch, n_threads: int
) -> None:
    path, out = tmp_path / "t.txt", tmp_path / "v.npy"
    path.write_bytes(some_lines(7, 3000))
    whole = Interrupting(at=0)
    monkeypatch.setattr(TextEncoder, "write_lines", lambda *a: whole(*a))
    expected = model.encode_file(path, tmp_path / "whole.npy").copy()
    first = Interrupting(at=whole.n_blocks // 2)
    monkeypatch.setattr(TextEncoder, "write_lines", lambda *a: first(*a))
    with pytest.raises(KeyboardInterrupt):
        model.encode_file(path, out, n_threads=n_threads)
    assert not out.exists()
    with pytest.raises(RunFailed, match=r"settings dim was 16, is 4.*restart=True to discard"):
        model.encode_file(path, out, truncate_dim=4)
    with pytest.raises(RunFailed, match="model normalize was"):
        model.encode_file(path, out, normalize=not model.normalize)
    second = Interrupting(at=0)
    monkeypatch.setattr(TextEncoder, "write_lines", lambda *a: second(*a))
    np.testing.assert_array_equal(model.encode_file(path, out, n_threads=n_threads), expected)
    assert second.n_blocks < whole.n_blocks - first.at + 10
    assert (tmp_path / "whole.npy").read_bytes() == out.read_bytes()


@pytest.mark.usefixtures("small_blocks")
def test_a_file_that_changes_is_refused_and_restart_begins_anew(
    tmp_path: Path, model: StaticModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "t.txt", tmp_path / "v.npy"
    path.write_bytes(b"the cat\n" * 100)
    stop = Interrupting(at=5)
    monkeypatch.setattr(TextEncoder, "write_lines", lambda *a: stop(*a))
    with pytest.raises(KeyboardInterrupt):
        model.encode_file(path, out)
    path.write_bytes(b"the dog\n" * 50)
    with pytest.raises(RunFailed, match="input bytes was 800, is 400"):
        model.encode_file(path, out)
    vectors = model.encode_file(path, out, restart=True)
    np.testing.assert_array_equal(vectors, model.encode(["the dog"] * 50))


@pytest.mark.usefixtures("small_blocks")
def test_a_file_that_gets_shorter_ends_the_run_and_not_the_process(
    tmp_path: Path, model: StaticModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"the cat\n" * 5000)
    write = TextEncoder.write_lines

    def cutting(*args: Any) -> None:
        write(*args)
        path.write_bytes(b"")

    monkeypatch.setattr(TextEncoder, "write_lines", cutting)
    with pytest.raises(FormatError, match="0 bytes but 40000 when it was opened"):
        model.encode_file(path, tmp_path / "v.npy", n_threads=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.txt"]


def test_files_that_are_no_text_and_targets_that_cannot_be_are_refused(
    tmp_path: Path, model: StaticModel
) -> None:
    text, out = tmp_path / "t.txt", tmp_path / "v.npy"
    text.write_bytes(b"the cat\n")
    (tmp_path / "t.gz").write_bytes(gzip.compress(b"the cat\n"))
    (tmp_path / "wide.txt").write_bytes("the cat\n".encode("utf-16"))
    with pytest.raises(FormatError, match="the mark of gzip, expected text; unpack it"):
        model.encode_file(tmp_path / "t.gz", out)
    with pytest.raises(FormatError, match="UTF-16 mark, expected UTF-8"):
        model.encode_file(tmp_path / "wide.txt", out)
    with pytest.raises(FileNotFoundError):
        model.encode_file(tmp_path / "none.txt", out)
    with pytest.raises(ValueError, match=r"expected \.npy"):
        model.encode_file(text, tmp_path / "v.bin")
    with pytest.raises(FileNotFoundError, match="no folder"):
        model.encode_file(text, tmp_path / "none" / "v.npy")
    (tmp_path / "d.npy").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        model.encode_file(text, tmp_path / "d.npy")
    with pytest.raises(ValueError, match=r"v has no ending, expected \.npy"):
        model.encode_file(text, tmp_path / "v")
    with pytest.raises(ValueError, match=r"d\.npy is a folder, expected a file of lines"):
        model.encode_file(tmp_path / "d.npy", out)
    text.rename(tmp_path / "t.npy")
    with pytest.raises(ValueError, match="is the input itself"):
        model.encode_file(tmp_path / "t.npy", tmp_path / "t.npy")


@pytest.mark.parametrize("kind", [".csv", ".TSV", ".json", ".jsonl", ".parquet"])
def test_tables_are_refused_by_name_whatever_they_hold(
    tmp_path: Path, model: StaticModel, kind: str
) -> None:
    path = tmp_path / f"t{kind}"
    path.write_bytes(b"the cat\n")
    with pytest.raises(ValueError, match=f"ends in '{kind.lower()}', expected a file with a text"):
        model.encode_file(path, tmp_path / "v.npy")
    assert list(tmp_path.iterdir()) == [path]


def test_errors_name_the_output_and_nothing_hidden(tmp_path: Path, model: StaticModel) -> None:
    path, out = tmp_path / "t.txt", tmp_path / f"{'v' * 248}.npy"  # and too long with .part
    path.write_bytes(b"the cat\n")
    with pytest.raises(OSError, match=f"'{out}'$"):
        model.encode_file(path, out)
    hidden = tmp_path / ".v.npy.part"
    hidden.mkdir()
    (hidden / "journal.json").write_text("{")
    with pytest.raises(FormatError, match=f"^{tmp_path}/v.npy: the journal of its unfinished run"):
        model.encode_file(path, tmp_path / "v.npy")
    assert len(model.encode_file(path, tmp_path / "v.npy", restart=True)) == 1


def test_memory_does_not_grow_with_the_file(tmp_path: Path, model: StaticModel) -> None:
    peaks = []
    for n_lines in (20_000, 400_000):
        path = tmp_path / "t.txt"
        path.write_bytes(b"the cat sat on the mat\n" * n_lines)
        tracemalloc.start()
        model.encode_file(path, tmp_path / "v.npy", n_threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] < 10 * 2**20
