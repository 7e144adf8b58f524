"""Vectors kept on disk: the same bits, once encoded, whatever happens to the files."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.evaluation import segments
from vecsmith.evaluation.embedding_cache import EmbeddingCache, default_cache_folder

DIM = 8
KOREAN = "오늘 날씨가 좋다"


class SlowEncoder:
    """Vectors that a text alone decides, and a record of what was asked."""

    def __init__(self, *, dim: int = DIM, seconds: float = 2e-4) -> None:
        self.dim = dim
        self.seconds = seconds
        self.calls: list[str] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += texts
        time.sleep(self.seconds * len(texts))
        return np.array([self._vector(text) for text in texts], dtype=np.float32).reshape(
            len(texts), self.dim
        )

    def _vector(self, text: str) -> NDArray[np.float64]:
        seed = int.from_bytes(text.encode("utf-8", "surrogatepass")[:64] or b"0", "little")
        return np.random.default_rng(seed).normal(size=self.dim)


class AskingEncoder(SlowEncoder):
    def encode_query(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return -self.encode(texts)


def texts_of(n: int) -> list[str]:
    return [f"text {i} " + "word " * (i % 7) for i in range(n)]


def segment_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.vectors"))


def test_a_second_run_reads_the_same_bits_and_encodes_nothing(tmp_path: Path) -> None:
    texts = [*texts_of(700), "", KOREAN, "lone \ud800 half", "text 1 word "]
    first, second = SlowEncoder(), SlowEncoder()
    written = EmbeddingCache(tmp_path).encode(first, texts, fingerprint="a")
    read = EmbeddingCache(tmp_path).encode(second, texts, fingerprint="a")
    np.testing.assert_array_equal(written, SlowEncoder().encode(texts))
    np.testing.assert_array_equal(read, written)
    assert read.dtype == np.float32
    assert len(first.calls) == len(set(texts))
    assert second.calls == []


def test_only_texts_that_are_new_are_encoded(tmp_path: Path) -> None:
    cache, encoder = EmbeddingCache(tmp_path), SlowEncoder()
    cache.encode(encoder, texts_of(10), fingerprint="a")
    encoder.calls.clear()
    vectors = cache.encode(encoder, texts_of(13), fingerprint="a")
    assert sorted(encoder.calls) == sorted(texts_of(13)[10:])
    np.testing.assert_array_equal(vectors, SlowEncoder().encode(texts_of(13)))


def test_encoders_and_roles_do_not_share_vectors(tmp_path: Path) -> None:
    cache, encoder = EmbeddingCache(tmp_path), AskingEncoder()
    plain = cache.encode(encoder, ["a"], fingerprint="one")
    asked = cache.encode(encoder, ["a"], "query", fingerprint="one")
    other = cache.encode(SlowEncoder(dim=3), ["a"], fingerprint="../two / of: any * name")
    np.testing.assert_array_equal(asked, -plain)
    assert other.shape == (1, 3)
    assert all(path.parent.parent == tmp_path for path in segment_files(tmp_path))


def test_an_encoder_without_roles_reads_a_text_once_for_all_of_them(tmp_path: Path) -> None:
    cache, encoder = EmbeddingCache(tmp_path), SlowEncoder()
    cache.encode(encoder, ["a"], "document", fingerprint="one")
    cache.encode(encoder, ["a"], "query", fingerprint="one")
    cache.encode(encoder, ["a"], fingerprint="one")
    assert encoder.calls == ["a"]


def test_without_a_fingerprint_nothing_is_kept(tmp_path: Path) -> None:
    cache, encoder = EmbeddingCache(tmp_path / "cache"), SlowEncoder()
    for _ in range(2):
        assert cache.encode(encoder, ["a", "b", "a"], fingerprint="").shape == (3, DIM)
    assert encoder.calls == ["a", "b", "a", "b"]
    assert not (tmp_path / "cache").exists()


def test_no_texts_have_no_vectors_and_one_of_them_is_all_it_takes(tmp_path: Path) -> None:
    cache, encoder = EmbeddingCache(tmp_path), SlowEncoder()
    assert cache.encode(encoder, [], fingerprint="a").shape == (0, DIM)
    assert cache.encode(encoder, [""], fingerprint="a").shape == (1, DIM)


@pytest.mark.parametrize("fault", ["cut", "vectors", "keys", "header", "emptied", "foreign"])
def test_a_broken_file_is_deleted_and_its_texts_are_encoded_again(
    tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    texts = texts_of(40)
    EmbeddingCache(tmp_path).encode(SlowEncoder(), texts, fingerprint="a")
    (path,) = segment_files(tmp_path)
    content = bytearray(path.read_bytes())
    if fault == "cut":
        content = content[:-5]
    elif fault == "emptied":
        content = bytearray()
    elif fault == "foreign":
        content = bytearray(os.urandom(len(content)))
    else:
        content[{"vectors": -1, "keys": 70, "header": 13}[fault]] ^= 0x40
    path.write_bytes(content)
    encoder = SlowEncoder()
    with caplog.at_level(logging.WARNING):
        vectors = EmbeddingCache(tmp_path).encode(encoder, texts, fingerprint="a")
    np.testing.assert_array_equal(vectors, SlowEncoder().encode(texts))
    assert len(encoder.calls) == len(texts)
    assert not path.exists()
    assert "broken file" in caplog.text


def test_what_was_used_least_recently_goes_first(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, max_bytes=3 * (64 + 50 * (16 + 4 * DIM)))
    encoder = SlowEncoder()
    parts = [[f"{name} {i}" for i in range(50)] for name in "abcd"]
    for age, part in zip((40, 30, 20), parts, strict=False):
        cache.encode(encoder, part, fingerprint="a")
        newest = max(segment_files(tmp_path), key=lambda path: path.name)
        os.utime(newest, (time.time() - age,) * 2)
    cache.encode(encoder, parts[0], fingerprint="a")  # the oldest, and now just used
    cache.encode(encoder, parts[3], fingerprint="a")
    assert sum(path.stat().st_size for path in segment_files(tmp_path)) <= cache.max_bytes
    encoder.calls.clear()
    for part in (parts[0], parts[2], parts[3]):
        EmbeddingCache(tmp_path, cache.max_bytes).encode(encoder, part, fingerprint="a")
    assert encoder.calls == []
    EmbeddingCache(tmp_path, cache.max_bytes).encode(encoder, parts[1], fingerprint="a")
    assert len(encoder.calls) == 50


def test_no_room_at_all_means_nothing_is_written(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, max_bytes=0)
    assert cache.encode(SlowEncoder(), texts_of(3), fingerprint="a").shape == (3, DIM)
    assert segment_files(tmp_path) == []


def test_a_full_disk_is_said_once_and_the_vectors_come_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vecsmith._files.os.fsync", full)
    cache = EmbeddingCache(tmp_path)
    with caplog.at_level(logging.WARNING):
        for part in (texts_of(20), texts_of(40)):
            vectors = cache.encode(SlowEncoder(), part, fingerprint="a")
            np.testing.assert_array_equal(vectors, SlowEncoder().encode(part))
    assert caplog.text.count("No space left") == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_fast_encoder_leaves_no_files(tmp_path: Path) -> None:
    cache, texts = EmbeddingCache(tmp_path), [str(i) for i in range(5000)]

    class Fast:
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.zeros((len(texts), 4), np.float32)

    assert cache.encode(Fast(), texts, fingerprint="a").shape == (5000, 4)
    assert segment_files(tmp_path) == []


def test_an_interrupted_run_keeps_what_it_has_and_goes_on_there(tmp_path: Path) -> None:
    class Interrupted(SlowEncoder):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            if len(self.calls) >= 256:
                raise KeyboardInterrupt
            return super().encode(texts)

    texts = texts_of(1000)
    with pytest.raises(KeyboardInterrupt):
        EmbeddingCache(tmp_path).encode(Interrupted(), texts, fingerprint="a")
    encoder = SlowEncoder()
    vectors = EmbeddingCache(tmp_path).encode(encoder, texts, fingerprint="a")
    assert len(encoder.calls) == 1000 - 256
    np.testing.assert_array_equal(vectors, SlowEncoder().encode(texts))


_FILL = """
import sys
sys.path[:0] = sys.argv[3:]
from test_embedding_cache import SlowEncoder, texts_of
from vecsmith.evaluation.embedding_cache import EmbeddingCache
begin = int(sys.argv[2])
EmbeddingCache(sys.argv[1]).encode(
    SlowEncoder(seconds=1e-3), texts_of(900)[begin:begin + 600], fingerprint="a"
)
"""


def test_two_processes_fill_one_folder_and_each_reads_what_the_other_wrote(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", _FILL, str(tmp_path)]
    here = str(Path(__file__).parent)
    running = [subprocess.Popen([*arguments, str(begin), here]) for begin in (0, 300)]
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    encoder = SlowEncoder()
    vectors = EmbeddingCache(tmp_path).encode(encoder, texts_of(900), fingerprint="a")
    assert encoder.calls == []
    np.testing.assert_array_equal(vectors, SlowEncoder().encode(texts_of(900)))


def test_a_file_that_another_process_deletes_is_encoded_again(tmp_path: Path) -> None:
    cache, encoder = EmbeddingCache(tmp_path), SlowEncoder()
    cache.encode(encoder, texts_of(5), fingerprint="a")
    for path in segment_files(tmp_path):
        path.unlink()
    vectors = cache.encode(encoder, texts_of(5), fingerprint="a")
    np.testing.assert_array_equal(vectors, SlowEncoder().encode(texts_of(5)))
    assert len(encoder.calls) == 10


def test_vectors_of_another_length_under_one_fingerprint_are_refused(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.encode(SlowEncoder(), ["a"], fingerprint="a")
    with pytest.raises(ValueError, match=r"vectors of 3 dims.*have 8.*delete the folder"):
        cache.encode(SlowEncoder(dim=3), ["a", "b"], fingerprint="a")


def test_two_keys_with_one_first_half_are_told_apart(tmp_path: Path) -> None:
    keys = np.array([[7, 1], [7, 2], [9, 1]], dtype=np.uint64)
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    path = segments.write_segment(tmp_path, keys, vectors)
    segment = segments.Segment(path)
    np.testing.assert_array_equal(segment.keys, keys)
    np.testing.assert_array_equal(segment.rows(np.array([2, 0])), vectors[[2, 0]])


def test_progress_adds_up_to_the_number_of_texts(tmp_path: Path) -> None:
    texts = [*texts_of(600), *texts_of(100)]
    EmbeddingCache(tmp_path).encode(SlowEncoder(), texts[:50], fingerprint="a")
    steps: list[int] = []
    EmbeddingCache(tmp_path).encode(SlowEncoder(), texts, fingerprint="a", advance=steps.append)
    assert sum(steps) == len(texts)


def test_the_folder_is_the_platforms_or_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("VECSMITH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / "vecsmith" / "embeddings"
    monkeypatch.setenv("VECSMITH_CACHE", str(tmp_path / "own"))
    assert EmbeddingCache().folder == tmp_path / "own" / "embeddings"
    monkeypatch.setenv("VECSMITH_CACHE", "own")
    assert EmbeddingCache().folder == tmp_path / "vecsmith" / "embeddings"
    monkeypatch.setenv("VECSMITH_CACHE", "")
    with pytest.raises(ValueError, match="VECSMITH_CACHE is empty, expected a folder"):
        EmbeddingCache()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="expected a folder for the cache"):
        EmbeddingCache(tmp_path / "file")
    with pytest.raises(ValueError, match="max_bytes is -1"):
        EmbeddingCache(tmp_path, max_bytes=-1)
