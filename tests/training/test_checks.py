from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")

import torch
from torch import Tensor

from tests.training.toy_runs import same_bits, toy_model, word_pairs
from vecsmith import StaticModel
from vecsmith.errors import FormatError
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.training import (
    TrainSettings,
    cosent,
    info_nce,
    matryoshka,
    train_static,
    triplet,
)
from vecsmith.training.checkpointing import RunFolder
from vecsmith.training.loop import warmup_steps
from vecsmith.training.start import Start
from vecsmith.training.static import run_training


@pytest.fixture
def model(tiny_checkpoint: Checkpoint) -> StaticModel:
    return toy_model(tiny_checkpoint)


def columns(rows: list[tuple[str, ...]]) -> list[dict[str, str]]:
    names = ("anchor", "positive", "negative_1", "negative_2")
    return [dict(zip(names, row, strict=False)) for row in rows]


def no_scalar(queries: Tensor, candidates: Tensor) -> Tensor:
    return (queries * candidates).sum(-1)


def no_tensor(queries: Tensor, candidates: Tensor) -> float:
    return float((queries * candidates).detach().sum())


def no_gradient(queries: Tensor, candidates: Tensor) -> Tensor:
    return (queries * candidates).detach().sum()


def test_short_runs_are_told_with_what_would_help(model: StaticModel) -> None:
    told: list[str] = []
    rows = word_pairs(300)
    settings = TrainSettings(batch_size=100, lr=0.01)
    done = run_training(rows, Start(init=model), settings, tell=told.append)
    assert told == list(done.notes)
    assert told == [
        "300 pairs, 100 in a batch, in 1 epoch make 3 steps, expected 50 or more to learn from: "
        "try epochs=17"
    ]
    assert 17 * 3 >= 50
    settings = TrainSettings(batch_size=2048, lr=0.01)
    (told_of_many,) = run_training(
        word_pairs(1000), Start(init=model), settings, tell=told.append
    ).notes
    assert told_of_many.endswith("try epochs=50 or batch_size=16")
    assert math.ceil(1000 / 16) >= 50
    # who asks for so many steps knows
    assert not run_training(rows, Start(init=model), TrainSettings(steps=3)).notes


def test_a_pair_alone_in_its_batch_is_refused_where_it_has_no_negatives(
    model: StaticModel,
) -> None:
    options: dict[str, Any] = {"init": model, "steps": 1}
    with pytest.raises(ValueError, match="batch_size 1, and info_nce tells a pair from the others"):
        train_static(pairs=word_pairs(8), batch_size=1, **options)
    with pytest.raises(ValueError, match="one pair of 2 can be trained on"):
        train_static(pairs=[("hello", "world"), ("cat", "cat")], **options)
    rows = columns([(*pair, "mat") for pair in word_pairs(8)])
    train_static(pairs=rows, batch_size=1, **options)


def test_mined_negatives_that_repeat_do_not_stand_in_the_way(model: StaticModel) -> None:
    pairs = enumerate(word_pairs(90))
    rows = columns([(*pair, f"the cat {i % 3}", "hello mat") for i, pair in pairs])
    settings = TrainSettings(batch_size=30, steps=3)
    done = run_training(rows, Start(init=model), settings)
    assert done.fitted.state.n_examples == 90
    assert done.n_left_out == {next(iter(done.n_left_out)): 0}
    assert any("hard negatives repeat so often" in line for line in done.notes)
    with pytest.raises(ValueError, match="texts repeat so often"):  # nothing masks them here
        run_training(rows, Start(init=model), settings, loss=triplet)


def test_pairs_that_a_pass_leaves_out_are_told_and_in_the_card(model: StaticModel) -> None:
    rows = [*word_pairs(60), *((f"the dog {i}", "hello world") for i in range(8))]
    settings = TrainSettings(batch_size=17, epochs=20)
    done = run_training(rows, Start(init=model), settings)
    (left_out,) = done.n_left_out.values()
    assert left_out == 4  # eight pairs share a text, and a pass has four batches
    assert any("each pass leaves out 4 of 68 pairs" in line for line in done.notes)
    (facts,) = done.model.checkpoint.config["vecsmith"]["data"]
    assert facts["left_out"] == {"repeated text, other ones in each pass": 4}


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (triplet, "triplet of vectors with 16 dims fails on two pairs with the columns anchor"),
        (matryoshka(info_nce, {32: 1}), r"\[32\] do not fit"),
        (no_scalar, r"gives \[2\], expected a tensor of one number"),
        (no_tensor, "gives float, expected a tensor"),
        (no_gradient, "does not depend on them"),
    ],
)
def test_a_loss_that_cannot_work_is_refused_before_a_text_is_tokenised(
    tmp_path: Path, model: StaticModel, loss: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train_static(init=model, pairs=word_pairs(8), loss=loss, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_trying_a_loss_leaves_the_dice_of_torch_alone(model: StaticModel) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    train_static(init=model, pairs=word_pairs(8), loss=partial(info_nce, temperature=0.1), steps=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    graded = [("hello", "world", 0.5), ("cat", "dog", 0.1)]
    train_static(init=model, pairs=graded, loss=cosent, steps=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 2.5}, "batch_size 2.5, expected a whole number"),
        ({"seed": 1.5}, "seed 1.5, expected a whole number"),
        ({"steps": 1.5}, "steps 1.5, expected a whole number"),
        ({"steps": True}, "steps True, expected a whole number"),
        ({"lr": "0.1"}, "lr '0.1', expected a number above 0"),
        ({"betas": (0.9,)}, "betas .*, expected two numbers"),
        ({"betas": (0.9, 0.99, 0.999)}, "betas .*, expected two numbers"),
        ({"eps": 0.0}, "eps 0.0, expected a number above 0"),
        ({"dims": (2.5,)}, "dims .*, expected prefix lengths"),
    ],
)
def test_settings_of_the_wrong_kind_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainSettings(**changes)


def test_numbers_of_numpy_are_numbers() -> None:
    settings = TrainSettings(batch_size=np.int64(8), lr=np.float32(0.5), dims=(np.int32(4),))  # type: ignore[arg-type]
    assert settings == TrainSettings(batch_size=8, lr=0.5, dims=(4,))
    assert type(settings.plain()["batch_size"]) is int


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"student": None}, "delete the run folder"),
        ({"step": "two"}, "step is 'two'"),
        ({"stream": {}}, "lacks 'settings'"),
        ({"curve": 3}, "delete the run folder|expected"),
    ],
)
def test_a_checkpoint_whose_record_is_broken_is_an_error_that_says_what_to_do(
    tmp_path: Path, model: StaticModel, changes: dict[str, Any], message: str
) -> None:
    options: dict[str, Any] = {"init": model, "pairs": word_pairs(20), "steps": 2}
    train_static(**options, out=tmp_path)
    folder = RunFolder(tmp_path)
    found = folder.read_checkpoint()
    assert found is not None
    tensors, record = found
    folder.write_checkpoint(tensors, {**record, **changes})
    with pytest.raises(FormatError, match=message):
        train_static(**options, out=tmp_path)
    folder.write_checkpoint({**tensors, "table.rows": torch.zeros(3, 2)}, record)
    with pytest.raises(FormatError, match="delete the run folder"):
        train_static(**options, out=tmp_path)


def test_a_run_says_from_which_step_it_goes_on(tmp_path: Path, model: StaticModel) -> None:
    settings = TrainSettings(steps=4, batch_size=8, checkpoint_every=2)
    first = run_training(word_pairs(20), Start(init=model), settings, out=tmp_path)
    again = run_training(word_pairs(20), Start(init=model), settings, out=tmp_path)
    assert (first.notes, again.notes) == ((), ("going on from step 4 of 4",))
    assert same_bits(first.model, again.model)


@pytest.mark.parametrize(
    ("share", "n_steps"), [(0.1, 15), (0.1, 3), (0.0, 9), (0.99, 7), (0.3, 10)]
)
def test_warm_up_has_the_steps_of_the_trainer(share: float, n_steps: int) -> None:
    transformers = pytest.importorskip("transformers")
    arguments = SimpleNamespace(warmup_steps=share)  # making one whole takes accelerate
    expected = transformers.TrainingArguments.get_warmup_steps(arguments, n_steps)
    assert warmup_steps(TrainSettings(warmup=share), n_steps) == expected
