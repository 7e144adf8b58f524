"""Passes of more shards than a process may open files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.distillation.test_teacher_pass import N_TOKENS, LetterReader
from vecsmith.distillation import teacher_pass, tokenlearn
from vecsmith.distillation.open_shards import OpenShards, tokens_of
from vecsmith.distillation.settings import TextSettings, TokenlearnSettings
from vecsmith.distillation.teacher_pass import ReadTexts, TeacherPass, run_teacher_pass
from vecsmith.distillation.tokenlearn import learn_table
from vecsmith.errors import RunFailed

TEXTS = [f"{i} {'x' * (i % 7)}" for i in range(900)]

# Draws and batches take texts of all shards; a view that outlives its turn would keep a file open
FEW_FILES = """
import resource, sys
from pathlib import Path
import numpy as np
from vecsmith.distillation.polish import TargetTexts
from vecsmith.distillation.settings import TextSettings
from vecsmith.distillation.teacher_pass import TeacherPass
from vecsmith.distillation.tokenlearn import learn_table
import vecsmith.training.losses, vecsmith.training.optimizer, torch._dynamo
passed = TeacherPass(sys.argv[1])
assert len(passed.shard_sizes) == 300
resource.setrlimit(resource.RLIMIT_NOFILE, (180, 180))
texts = TargetTexts(passed, np.eye(passed.dim, dtype=np.float32))
assert len(texts.draw(900, 0)[1]) == 900
isolated = np.ones(passed.sums.shape, dtype=np.float32)
made = learn_table(passed, isolated, 2, TextSettings(), file=Path(sys.argv[2]))
assert made.rows.shape == (len(isolated), 2)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pass of three texts a shard."""
    folder = tmp_path_factory.mktemp("pass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teacher_pass, "SHARD_TEXTS", 3)
        run_teacher_pass(LetterReader(), iter(TEXTS), folder, n_tokens=N_TOKENS)
    return folder


def test_more_shards_than_files_can_be_open_are_drawn_from_and_learned_from(
    folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("resource", reason="this system has no limits of a process")
    command = [sys.executable, "-c", FEW_FILES, str(folder), str(tmp_path / "learning")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_texts_by_their_places_are_those_of_the_shards_in_order(folder: Path) -> None:
    passed = TeacherPass(folder)
    shards = list(passed.shards())
    vectors = np.concatenate([shard.vectors for shard in shards])
    lists = [shard.ids[b:e].tolist() for shard in shards for b, e in pairwise(shard.offsets)]
    opened = OpenShards(passed, most_open=2)
    assert opened.n_texts == len(vectors) == len(TEXTS)
    for places in ([0, 1, 2, 3, 899], [5], list(range(900)), []):
        found_lists, found_vectors = [], []
        for shard, rows in opened.groups(np.array(places, dtype=np.int64)):
            ids, lengths = tokens_of(shard, rows)
            ends = np.cumsum(lengths).tolist()
            found_lists += [ids[b:e].tolist() for b, e in pairwise([0, *ends])]
            found_vectors += shard.vectors[rows].tolist()
        assert found_lists == [lists[place] for place in places]
        assert found_vectors == vectors[places].tolist()


def test_texts_without_a_vector_are_no_part_of_the_mean(tmp_path: Path) -> None:
    class Half(LetterReader):
        def read(self, texts: Sequence[str]) -> Iterator[ReadTexts]:
            for part in super().read(texts):
                odd = torch.tensor([int(texts[i].split()[0]) % 2 == 1 for i in part.places])
                yield replace(part, vectors=part.vectors * odd[:, None])

    passed = run_teacher_pass(Half(), iter(TEXTS), tmp_path, n_tokens=N_TOKENS)
    shard = next(passed.shards())
    vectors = shard.vectors[1::2].astype(np.float64)
    read, mean, moment = tokenlearn._moments(passed, centered=True)
    np.testing.assert_array_equal(read, np.arange(len(TEXTS)) % 2 == 1)
    np.testing.assert_allclose(mean, vectors.mean(axis=0), atol=1e-9)
    centred = vectors - vectors.mean(axis=0)
    np.testing.assert_allclose(moment, centred.T @ centred, rtol=1e-4, atol=1e-3)


def test_a_gradient_that_is_not_finite_is_told_with_what_to_do(
    folder: Path, tmp_path: Path
) -> None:
    passed = TeacherPass(folder)
    isolated = np.full(passed.sums.shape, 1e-3, dtype=np.float32)
    how = TextSettings(
        objective="mse", tokenlearn=TokenlearnSettings(lr=1e30, start="isolated", epochs=40)
    )
    with (
        np.errstate(all="ignore"),
        pytest.raises(RunFailed, match=r"step \d+ of \d+: .*lower lr"),
    ):
        learn_table(passed, isolated, 2, how, file=tmp_path / "learning")
