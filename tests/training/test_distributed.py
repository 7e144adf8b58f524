from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

import torch
from safetensors.torch import load_file

from tests.training.toy_transformers import in_group, run_in_parts, write_gradients
from tests.transformer.teachers import save_teacher
from vecsmith.training import read_curve


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("base") / "bert", "bert")


def in_two_processes(work: Callable[..., None], *arguments: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.toy_transformers"])
    ranks = [
        context.Process(target=in_group, args=(work, rank, 2, port, *arguments)) for rank in (0, 1)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
    codes = [process.exitcode for process in ranks]
    for process in ranks:
        process.kill()
    assert codes == [0, 0]


@pytest.mark.parametrize("mini_batch", [0, 8])
def test_two_processes_find_the_gradients_of_one_with_the_joined_batch(
    tmp_path: Path, base: Path, mini_batch: int
) -> None:
    in_two_processes(write_gradients, tmp_path, base, mini_batch)
    write_gradients(tmp_path, base, mini_batch)
    alone, first, second = (
        load_file(tmp_path / f"gradients-{mini_batch}-{n}-{rank}.safetensors")
        for n, rank in ((1, 0), (2, 0), (2, 1))
    )
    assert alone.keys() == first.keys() == second.keys()
    for name, gradient in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], gradient, atol=1e-6, rtol=1e-6)


def test_a_run_of_two_processes_is_written_once_and_is_that_of_one(
    tmp_path: Path, base: Path
) -> None:
    in_two_processes(run_in_parts, tmp_path / "two", base, 4)
    run_in_parts(tmp_path / "one", base, 4)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    # where a gradient is all but 0 AdamW makes a whole step of what rounding left of it
    moved = torch.cat([(one[name] - two[name]).abs().flatten() for name in one])
    assert float(moved.median()) < 1e-6
    assert float((moved > 1e-5).float().mean()) < 0.05
    curves = [read_curve(tmp_path / f"{name}.run" / "curve.json") for name in ("one", "two")]
    for own, other in zip(curves[0].evaluations, curves[1].evaluations, strict=True):
        assert own.step == other.step
        assert abs(own.score - other.score) < 1e-3
