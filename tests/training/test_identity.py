from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")

import torch

from tests.training.toy_runs import toy_model, word_pairs
from vecsmith.corpora import open_pairs
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.training import info_nce, matryoshka, train_static
from vecsmith.training.identity import identity_of, identity_of_teacher
from vecsmith.training.losses import guided_info_nce
from vecsmith.training.pair_sources import open_sources

SCALE = 20.0


def loss_at(scale: float) -> Any:
    def loss(queries: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return scale * (queries * candidates).sum()

    return loss


class Weighted:
    def __init__(self, weight: float) -> None:
        self.weight, self.n_calls = weight, 0

    def __call__(self, queries: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        self.n_calls += 1
        return self.weight * (queries * candidates).sum()


def of_a_global(queries: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    return SCALE * (queries * candidates).sum()


def test_functions_of_one_name_differ_by_what_they_hold() -> None:
    assert identity_of(loss_at(1.0)) == identity_of(loss_at(1.0)) != identity_of(loss_at(2.0))
    assert identity_of(Weighted(1.0)) == identity_of(Weighted(1.0)) != identity_of(Weighted(2.0))
    assert identity_of(partial(info_nce, temperature=0.1)) != identity_of(info_nce)
    first = matryoshka(loss_at(1.0), {4: 1, 8: 1})
    assert identity_of(first) == identity_of(matryoshka(loss_at(1.0), {4: 1, 8: 1}))
    assert identity_of(first) != identity_of(matryoshka(loss_at(1.5), {4: 1, 8: 1}))


def test_code_and_globals_of_a_function_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity_of(of_a_global)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 30.0)
    assert identity_of(of_a_global) != before
    spaces: list[dict[str, Any]] = [{}, {}, {}]
    for space, text in zip(spaces, ("x + 1", "x + 2", "x + 1"), strict=True):
        exec(f"def loss(x, scale=1): return {text}", space)
    first, second, third = (identity_of(space["loss"]) for space in spaces)
    assert first == third != second


def test_what_a_callable_counts_is_no_part_of_it() -> None:
    loss = Weighted(1.0)
    before = identity_of(loss)
    loss(torch.ones(1, 2), torch.ones(1, 2))
    assert identity_of(loss) == before


def test_an_identity_is_the_same_in_every_process() -> None:
    code = (
        "from tests.training.test_identity import *\n"
        "print(identity_of(loss_at(3.0)), identity_of(Weighted(2.0)), identity_of(of_a_global))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    }
    expected = (identity_of(loss_at(3.0)), identity_of(Weighted(2.0)), identity_of(of_a_global))
    assert len(outputs) == 1
    (output,) = outputs
    assert output.strip() == " ".join(expected)


class Letters:
    """A teacher without a fingerprint."""

    def __init__(self, letters: str) -> None:
        self._letters = letters

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[text.count(w) + 0.5 for w in self._letters] for text in texts])


def test_teachers_of_one_class_differ_by_their_vectors() -> None:
    sources = open_sources(word_pairs(20))
    first = identity_of_teacher(Letters("abcd"), sources)
    assert first == identity_of_teacher(Letters("abcd"), sources)
    assert first != identity_of_teacher(Letters("efgh"), sources)
    assert open_pairs(word_pairs(20)).fingerprint == sources[0].corpus.fingerprint


def test_a_run_that_is_gone_on_with_by_another_teacher_loss_score_or_tokenizer_is_refused(
    tmp_path: Path, tiny_checkpoint: Checkpoint
) -> None:
    options: dict[str, Any] = {
        "pairs": word_pairs(20),
        "init": toy_model(tiny_checkpoint),
        "steps": 1,
        "batch_size": 8,
        "loss": guided_info_nce,
    }
    train_static(**options, teacher=Letters("abcd"), out=tmp_path / "taught")
    with pytest.raises(ValueError, match="teacher"):
        train_static(**options, teacher=Letters("efgh"), out=tmp_path / "taught")
    options["loss"] = loss_at(0.1)
    train_static(**options, out=tmp_path / "run")
    with pytest.raises(ValueError, match="loss"):
        train_static(**{**options, "loss": loss_at(0.2)}, out=tmp_path / "run")
    for changes in ({"vocabulary": 90}, {"lowercase": False}, {"tokenizer": "bpe"}):
        own = {"init": None, "tokenizer": "wordpiece", "vocabulary": 100, "dim": 8, "loss": None}
        first = train_static(**{**options, **own}, out=tmp_path / "own")
        with pytest.raises(ValueError, match="tokenizer"):
            train_static(**{**options, **own, **changes}, out=tmp_path / "own")
        again = train_static(**{**options, **own}, out=tmp_path / "own")
        np.testing.assert_array_equal(first.checkpoint.rows, again.checkpoint.rows)
