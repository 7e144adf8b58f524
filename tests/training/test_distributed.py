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
import torch.distributed as dist
from safetensors.torch import load_file

from tests.training.toy_transformers import in_group, run_in_parts, write_gradients
from tests.transformer.teachers import save_teacher
from vecsmith.training import read_curve
from vecsmith.training.distributed import processes
from vecsmith.training.transformer_base import chosen_device


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


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The second of two processes on a machine of two CUDA devices; what it asks of torch."""
    for name, value in (("RANK", 1), ("LOCAL_RANK", 1), ("WORLD_SIZE", 2)):
        monkeypatch.setenv(name, str(value))
    asked: dict[str, Any] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda *values, **named: asked.update({name: (values, named)})

    for name in ("init_process_group", "destroy_process_group", "barrier", "broadcast_object_list"):
        monkeypatch.setattr(dist, name, keep(name))
    monkeypatch.setattr(dist, "get_backend", lambda: asked["init_process_group"][0][0])
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", keep("set_device"))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: asked["set_device"][0][0].index)
    return asked


@pytest.mark.parametrize(("asked", "own"), [
    (None, "cuda:1"),
    ("cuda", "cuda:1"),
    ("cuda:0", "cuda:0"),
    ("cpu", "cpu"),
])  # fmt: skip
def test_each_process_has_a_cuda_device_of_its_own_unless_a_number_is_asked_for(
    asked: str | None, own: str, second_of_two: dict[str, Any]
) -> None:
    assert chosen_device(asked) == own


def test_all_that_nccl_sends_goes_by_way_of_the_own_device(second_of_two: dict[str, Any]) -> None:
    own = torch.device("cuda", 1)
    with processes("cuda") as group:
        group.wait()
        group.from_first("said")
    assert second_of_two["set_device"][0] == (own,)
    values, named = second_of_two["init_process_group"]
    assert (values, named["device_id"]) == (("nccl",), own)
    assert second_of_two["barrier"][1] == {"device_ids": [1]}
    assert second_of_two["broadcast_object_list"][1]["device"] == own
    assert "destroy_process_group" in second_of_two


def test_more_processes_than_cuda_devices_are_refused(
    second_of_two: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"1 CUDA devices, expected .* --nproc-per-node 1"):
        chosen_device("cuda")
