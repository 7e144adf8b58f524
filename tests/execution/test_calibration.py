from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

import torch

from tests.transformer.teachers import save_teacher
from vecsmith.execution import calibrate
from vecsmith.execution import calibration as calibrating
from vecsmith.planning import ModelShape, count_flops
from vecsmith.results.tuning import Tuning


def test_a_folder_is_measured_and_its_flop_are_those_of_the_formulas(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path / "neox", "gpt-neox")
    found = calibrate(
        folder, batch_size=4, max_length=8, device="cpu", seconds=1e-3, peak_flops=1e9
    )
    assert found.steps >= 3
    assert found.tokens_per_second == pytest.approx(found.steps * 4 * 2 * 8 / found.seconds)
    shape = ModelShape.from_folder(folder)
    counted = count_flops(shape, Tuning(), tokens=found.tokens_per_second, length=8)
    assert found.counted_flops_per_second == pytest.approx(counted.counted)
    assert found.flops_per_second == pytest.approx(counted.hardware)
    assert found.mfu == pytest.approx(counted.hardware / 1e9)


def test_a_shape_is_measured_as_a_decoder_of_its_depth_and_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = ModelShape.from_folder(save_teacher(tmp_path / "llama", "llama", n_layers=3))
    made: list[ModelShape] = []
    from_folder = ModelShape.from_folder

    def keep(path: Path) -> ModelShape:
        made.append(from_folder(path))
        return made[-1]

    monkeypatch.setattr(ModelShape, "from_folder", keep)
    found = calibrate(shape, tuning=Tuning(method="bias"), batch_size=2, max_length=4,
                      device="cpu", seconds=1e-3)  # fmt: skip
    assert (made[0].n_layers, made[0].dim) == (3, 16)
    assert found.mfu is None  # nobody knows what this processor could do at best


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_no_time_to_measure_in_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds is"):
        calibrate(device="cpu", seconds=seconds)


@pytest.mark.parametrize(("name", "peak"), [
    ("NVIDIA A100-SXM4-40GB", 312e12),
    ("NVIDIA H100 80GB HBM3", 989e12),
    ("A device of tomorrow", None),
])  # fmt: skip
def test_the_peak_is_looked_up_by_the_name_the_driver_gives(
    monkeypatch: pytest.MonkeyPatch, name: str, peak: float | None
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    found = calibrating._known_peak("cuda:0", "bfloat16")
    assert found is None if peak is None else found == pytest.approx(peak, rel=0.01)
