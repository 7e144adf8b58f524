from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")

import torch

from tests.training.toy_runs import (
    ProbeScore,
    in_child,
    run_killed_in_a_step,
    run_killed_while_saving,
    run_killed_while_scoring,
    run_on_a_full_disk,
    run_to_the_end,
    same_bits,
    toy_run,
)
from vecsmith import StaticModel
from vecsmith.errors import FormatError, RunFailed
from vecsmith.formats import write_checkpoint
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.training import read_curve
from vecsmith.training.checkpointing import RunFolder, differences


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Checkpoint) -> Path:
    folder = tmp_path_factory.mktemp("start") / "tiny"
    write_checkpoint(folder, tiny_checkpoint)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, start: Path) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert in_child(run_to_the_end, folder, start) == 0
    return folder


def model_in(folder: Path) -> StaticModel:
    return StaticModel.from_pretrained(folder / "model")


def losses_in(folder: Path) -> list[tuple[int, object]]:
    return [(point.step, point.loss) for point in read_curve(folder / "curve.json").points]


def scores_in(folder: Path) -> list[tuple[int, float]]:
    return [(each.step, each.score) for each in read_curve(folder / "curve.json").evaluations]


def test_a_run_killed_at_three_points_ends_with_the_bits_of_one_that_was_not(
    tmp_path: Path, start: Path, uninterrupted: Path
) -> None:
    folder = tmp_path / "run"
    for killed_run in (run_killed_in_a_step, run_killed_while_scoring, run_killed_while_saving):
        assert in_child(killed_run, folder, start) == -9
        assert not (folder / "model").exists()
    assert in_child(run_to_the_end, folder, start) == 0
    assert same_bits(model_in(folder), model_in(uninterrupted))
    assert losses_in(folder) == losses_in(uninterrupted)
    assert scores_in(folder) == scores_in(uninterrupted)


def test_a_full_disk_is_said_and_the_run_goes_on_from_the_last_checkpoint(
    tmp_path: Path, start: Path, uninterrupted: Path
) -> None:
    folder = tmp_path / "run"
    assert in_child(run_on_a_full_disk, folder, start) == 3
    assert (folder / "checkpoint.safetensors").exists()
    assert [path.name for path in folder.iterdir() if ".part" in path.name] == []
    assert in_child(run_to_the_end, folder, start) == 0
    assert same_bits(model_in(folder), model_in(uninterrupted))


def test_how_often_a_run_is_saved_changes_nothing(
    tmp_path: Path, start: Path, uninterrupted: Path
) -> None:
    model = toy_run(tmp_path / "run", start, checkpoint_every=1)
    assert same_bits(model, model_in(uninterrupted))


def test_a_finished_run_gives_its_model_again_without_a_step(
    tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = toy_run(tmp_path / "run", start, steps=4)

    def no_step(*_: object) -> None:
        raise AssertionError("a step was done")

    monkeypatch.setattr("vecsmith.training.student.Student.step", no_step)
    assert same_bits(toy_run(tmp_path / "run", start, steps=4), first)


def test_a_run_with_other_settings_is_refused_and_may_be_restarted(
    tmp_path: Path, start: Path
) -> None:
    toy_run(tmp_path / "run", start, steps=2)
    with pytest.raises(ValueError, match=r"\(lr was 0\.05, is 0\.5\)"):
        toy_run(tmp_path / "run", start, steps=2, lr=0.5)
    again = toy_run(tmp_path / "run", start, steps=2, lr=0.5, restart=True)
    assert same_bits(again, toy_run(tmp_path / "other", start, steps=2, lr=0.5))


def test_two_runs_never_share_a_folder(tmp_path: Path, start: Path) -> None:
    with (
        RunFolder(tmp_path / "run").held(),
        pytest.raises(RunFailed, match="another process trains here"),
    ):
        toy_run(tmp_path / "run", start, steps=1)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, start: Path) -> None:
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary" / "monday.txt").write_text("rain")
    with pytest.raises(FileExistsError, match="holds something that is no training run"):
        toy_run(tmp_path / "diary", start, steps=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="is a file"):
        toy_run(tmp_path / "file", start, steps=1)
    assert [path.name for path in (tmp_path / "diary").iterdir()] == ["monday.txt"]


@pytest.mark.parametrize("n_bytes", [0, 7, 100, 5000])
def test_a_checkpoint_cut_short_is_an_error_that_says_what_to_do(
    tmp_path: Path, start: Path, n_bytes: int
) -> None:
    folder = tmp_path / "run"
    toy_run(folder, start, steps=2)
    path = folder / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(FormatError, match=r"checkpoint\.safetensors"):
        toy_run(folder, start, steps=2)


def test_tensors_and_numbers_come_back_from_a_file_bit_for_bit(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    generator = np.random.default_rng(0)
    tensors = {
        "a": torch.from_numpy(generator.standard_normal((3, 5)).astype(np.float32)),
        "n": torch.tensor(2**40 + 1),
        "empty": torch.zeros(0, 4),
    }
    record = {"score": 0.1 + 0.2, "state": generator.bit_generator.state, "none": None}
    folder.write_checkpoint(tensors, record)
    found = folder.read_checkpoint()
    assert found is not None
    assert {name: tensor.shape for name, tensor in found[0].items()} == {
        name: tensor.shape for name, tensor in tensors.items()
    }
    assert all(torch.equal(found[0][name], tensor) for name, tensor in tensors.items())
    assert {key: value for key, value in found[1].items() if key != "version"} == json.loads(
        json.dumps(record)
    )
    assert found[1]["state"] == record["state"]


def test_differences_name_what_changed() -> None:
    before = {
        "settings": {"lr": 1, "steps": None},
        "pairs": {"qa": {"fingerprint": "a" * 64, "loss": "cosent"}, "old": {"loss": "x"}},
        "start": {"tokenizer": {"family": "bpe", "vocabulary": 90}, "model": "0" * 64},
        "teacher": None,
    }
    now = {
        "settings": {"lr": 2, "steps": 5},
        "pairs": {"qa": {"fingerprint": "b" * 64, "loss": "info_nce"}},
        "start": {"tokenizer": {"family": "bpe", "vocabulary": 80}, "model": "1" * 64},
        "teacher": "mini",
    }
    assert differences(before, before) == []
    assert differences(before, now) == [
        "lr was 1, is 2",
        "steps was none, is 5",
        "the rows of qa: not the same",
        "the loss of qa was cosent, is info_nce",
        "the set old was {'loss': 'x'}, is none",
        "the vocabulary of the tokenizer was 90, is 80",
        "the model: not the same",
        "the teacher was none, is mini",
    ]


def test_the_weights_of_the_best_score_become_the_model(tmp_path: Path, start: Path) -> None:
    vectors: list[np.ndarray] = []

    class Rising(ProbeScore):
        def __call__(self, encoder: Any) -> float:
            vectors.append(encoder.encode(["hello cat"]))
            return [0.1, 0.2, 0.9, 0.3, 0.25, 0.2][len(vectors) - 1]

    for out in (tmp_path / "run", None):
        vectors.clear()
        model = toy_run(out, start, score=Rising())  # type: ignore[arg-type]
        assert len(vectors) == 6
        np.testing.assert_array_equal(model.encode(["hello cat"]), vectors[2])
    assert read_curve(tmp_path / "run" / "curve.json").evaluations[2].score == 0.9
    assert len(list((tmp_path / "run").glob("best-*"))) == 1
