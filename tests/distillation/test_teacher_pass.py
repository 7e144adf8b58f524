"""A teacher's pass over texts: what it writes, where it stops, what it refuses."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vecsmith.distillation import teacher_pass
from vecsmith.distillation.teacher_pass import ReadTexts, TeacherPass, run_teacher_pass
from vecsmith.errors import FormatError

DIM, N_TOKENS = 4, 30
TEXTS = [f"{i} {'x' * (i % 5)}" for i in range(23)]


class LetterReader:
    """Reads a text as its letters; batches come longest first, as a teacher's do."""

    dim = DIM
    fingerprint = "letters"

    def __init__(self, *, fails_at: str | None = None, gives: float = 1.0) -> None:
        self.n_read = 0
        self._fails_at = fails_at
        self._gives = gives

    def read(self, texts: Sequence[str]) -> Iterator[ReadTexts]:
        order = np.argsort([-len(text) for text in texts], kind="stable")
        for places in np.array_split(order, 3):
            batch = [texts[i] for i in places]
            if self._fails_at in batch:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.n_read += len(batch)
            ids = np.array([ord(c) % N_TOKENS for text in batch for c in text], dtype=np.uint32)
            lengths = np.array([len(text) for text in batch], dtype=np.int64)
            angles = torch.tensor([float(ord(text[0])) for text in batch])
            vectors = torch.stack([angles.cos(), angles.sin(), 0 * angles, 0 * angles], dim=1)
            yield ReadTexts(
                places=places,
                vectors=vectors * self._gives,
                ids=ids,
                lengths=lengths,
                states=torch.from_numpy(ids)[:, None].float() * torch.arange(1.0, DIM + 1),
            )


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_pass, "SHARD_TEXTS", 5)
    monkeypatch.setattr(teacher_pass, "SAVE_SECONDS", 0.0)


def run(folder: Path, texts: Sequence[str] = TEXTS, reader: LetterReader | None = None
        ) -> TeacherPass:  # fmt: skip
    return run_teacher_pass(reader or LetterReader(), iter(texts), folder, n_tokens=N_TOKENS)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_sums_counts_and_vectors_are_those_of_all_texts(tmp_path: Path) -> None:
    found = run(tmp_path)
    ids = [ord(c) % N_TOKENS for text in TEXTS for c in text]
    np.testing.assert_array_equal(found.counts, np.bincount(ids, minlength=N_TOKENS))
    np.testing.assert_allclose(
        found.sums, (found.counts * np.arange(N_TOKENS))[:, None] * np.arange(1, DIM + 1)
    )
    shards = list(found.shards())
    assert [len(shard.vectors) for shard in shards] == [5, 5, 5, 5, 3]
    np.testing.assert_array_equal(np.concatenate([shard.ids for shard in shards]), ids)
    np.testing.assert_allclose(
        np.concatenate([shard.vectors for shard in shards])[:, 0],
        np.cos([float(ord(text[0])) for text in TEXTS]),
        atol=1e-3,
    )
    assert (found.n_texts, found.n_tokens, found.n_unread) == (len(TEXTS), len(ids), 0)


@pytest.mark.parametrize("fails_at", [TEXTS[0], TEXTS[6], TEXTS[14], TEXTS[22]])
@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_pass_that_ran_out_of_disk_ends_with_the_bytes_of_one_that_did_not(
    tmp_path: Path, fails_at: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole")
    monkeypatch.setattr(teacher_pass, "SAVE_SECONDS", seconds)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path / "stopped", reader=LetterReader(fails_at=fails_at))
    monkeypatch.setattr(teacher_pass, "SAVE_SECONDS", 0.0)
    reader = LetterReader()
    run(tmp_path / "stopped", reader=reader)
    kept = TEXTS.index(fails_at) // 5 * 5 if seconds == 0 else 0
    assert reader.n_read == len(TEXTS) - kept
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_a_finished_pass_is_not_run_again(tmp_path: Path) -> None:
    run(tmp_path)
    before = contents(tmp_path)
    reader = LetterReader()
    run(tmp_path, reader=reader)
    assert reader.n_read == 0
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([*TEXTS[:7], "another", *TEXTS[8:]], "shard 1 is of other texts"),
        (TEXTS[:10], "5 shards are there and the texts end after 2"),
        ([*TEXTS[:20], "a", "b", "c"], "shard 4 is of other texts"),
    ],
)
def test_other_texts_are_refused(tmp_path: Path, texts: list[str], message: str) -> None:
    run(tmp_path)
    with pytest.raises(FormatError, match=message):
        run(tmp_path, texts)


def test_more_texts_than_a_finished_pass_has_are_refused(tmp_path: Path) -> None:
    run(tmp_path, TEXTS[:20])
    with pytest.raises(FormatError, match="ended after 4 shards and there are more texts"):
        run(tmp_path, TEXTS)


def test_a_pass_of_another_teacher_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    other = LetterReader()
    other.fingerprint = "digits"
    with pytest.raises(FormatError, match="pass of another teacher or student"):
        run(tmp_path, reader=other)


def test_no_text_at_all_is_a_mistake_and_texts_without_tokens_are_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is not one text"):
        run(tmp_path / "none", [])


def test_a_teacher_that_gives_nothing_finite_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not one finite vector for 5 texts"):
        run(tmp_path, reader=LetterReader(gives=0.0))


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    from vecsmith._files import lock_file

    with (
        lock_file(tmp_path / "lock"),
        pytest.raises(FormatError, match="another process is at work in it"),
    ):
        run(tmp_path)


@pytest.mark.parametrize(
    "record",
    ["{", "[]", "{}", '{"settings": {}, "shards": [3], "finished": true}',
     '{"settings": {}, "shards": [{"texts": 1}], "finished": true}'],
)  # fmt: skip
def test_a_broken_record_is_named(tmp_path: Path, record: str) -> None:
    (tmp_path / "pass.json").write_text(record)
    with pytest.raises(FormatError, match=r"pass\.json"):
        TeacherPass(tmp_path)


def test_an_unfinished_pass_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no finished pass"):
        TeacherPass(tmp_path)


def test_files_that_do_not_fit_the_record_are_named(tmp_path: Path) -> None:
    run(tmp_path / "pass")
    shutil.copy(tmp_path / "pass/shard-00004.safetensors", tmp_path / "small")
    shutil.copy(tmp_path / "small", tmp_path / "pass/shard-00001.safetensors")
    with pytest.raises(FormatError, match=r"shard-00001.*arrays of shapes"):
        list(TeacherPass(tmp_path / "pass").shards())
    (tmp_path / "pass/shard-00001.safetensors").unlink()
    with pytest.raises(FormatError, match=r"shard-00001.*missing"):
        list(TeacherPass(tmp_path / "pass").shards())
    (tmp_path / "pass/totals-00005.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(FormatError, match="totals-00005"):
        TeacherPass(tmp_path / "pass")


def test_records_from_before_unread_texts_were_counted_are_read(tmp_path: Path) -> None:
    run(tmp_path)
    record = json.loads((tmp_path / "pass.json").read_text())
    for shard in record["shards"]:
        del shard["n_unread"]
    (tmp_path / "pass.json").write_text(json.dumps(record))
    assert TeacherPass(tmp_path).n_unread == 0


class OneTokenReader(LetterReader):
    """Reads every text as one token; the state of the first is 2^24, of all others 1."""

    def read(self, texts: Sequence[str]) -> Iterator[ReadTexts]:
        for part in super().read(texts):
            n = len(part.places)
            states = torch.ones(n, DIM)
            states[[texts[i] == TEXTS[0] for i in part.places]] = 2.0**24
            ids = np.zeros(n, dtype=np.uint32)
            lengths = np.ones(n, dtype=np.int64)
            yield replace(part, ids=ids, lengths=lengths, states=states)


def test_sums_of_a_frequent_token_go_on_growing(tmp_path: Path) -> None:
    found = run(tmp_path, reader=OneTokenReader())  # in float32, 2^24 + 1 is 2^24
    np.testing.assert_array_equal(found.sums[0], np.full(DIM, 2**24 + len(TEXTS) - 1))
    assert found.sums.dtype == np.float64


def test_sums_of_passes_from_before_are_read(tmp_path: Path) -> None:
    plain = run(tmp_path)
    counts, sums = np.array(plain.counts), np.array(plain.sums, dtype=np.float32)
    teacher_pass.write_file(tmp_path / "totals-00005.safetensors", {"counts": counts, "sums": sums})
    again = run(tmp_path)
    assert again.sums.dtype == np.float32
    np.testing.assert_array_equal(again.sums, sums)
    assert again.content == plain.content


def test_files_that_no_record_lists_are_taken_away(tmp_path: Path) -> None:
    run(tmp_path)
    before = contents(tmp_path)
    orphans = ("shard-00005.safetensors", "totals-00004.safetensors", "totals-00007.safetensors")
    for name in orphans:
        (tmp_path / name).write_bytes(b"left by a kill")
    (tmp_path / "notes.safetensors").write_bytes(b"not ours")
    run(tmp_path)
    assert contents(tmp_path) == before | {"notes.safetensors": b"not ours"}
