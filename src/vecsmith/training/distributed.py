"""Several processes that share each step: who does what, and how the parts come together.

One rule: every process holds the same weights and sees the same batch; only which texts it runs
through the transformer is its own. The vectors are added up, so that each computes the loss over
the joined batch, and the gradients of the weights are added up, so that each does the same step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vecsmith.training.checkpointing import RunFolder
from vecsmith.training.loop import Score

# As long as an evaluation or a teacher's pass of one process may let the others wait
_PATIENCE: Final = timedelta(days=7)
_BUCKET: Final = 2**25  # numbers of one message, 128 MB


class Processes:
    """The processes of a run; alone, a group of one that sends nothing.

    Attributes:
        rank: Number of this one, from 0.
        n: How many there are.
        device: Where its messages lie; None for the CPU, whatever tensors are on.
    """

    def __init__(self, rank: int = 0, n: int = 1, device: torch.device | None = None) -> None:
        """Takes this process's number and how many there are, joined to a group if more than 1."""
        self.rank, self.n, self.device = rank, n, device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that reads, writes and scores."""
        return self.rank == 0

    def wait(self) -> None:
        """Returns when all processes have come here."""
        if self.n > 1:
            # without its number nccl guesses a device, which others may guess too
            dist.barrier(device_ids=None if self.device is None else [self.device.index])

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes of `values`, which is changed; the same bits in each."""
        if self.n > 1:
            dist.all_reduce(values)
        return values

    def from_first(self, value: Any) -> Any:
        """The first process's `value`, JSON, in every process."""
        if self.n == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Adds up the gradients of `parameters` over all processes.

        One that no process has a gradient of keeps none.
        """
        if self.n == 1:
            return
        device = parameters[0].device
        has = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32).to(device)
        touched = self.sum(has).tolist()
        moved = [p for p, n in zip(parameters, touched, strict=True) if n]
        for parameter in moved:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets(moved):
            gradients = [p.grad for p in bucket if p.grad is not None]
            joined = self.sum(torch.cat([each.reshape(-1) for each in gradients]))
            parts = torch.split(joined, [each.numel() for each in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """The processes that torchrun started, joined while the block lasts; else this one alone.

    A group that is there already is used and left.

    Args:
        device: Where tensors are; of several CUDA devices each process takes its own.
    """
    if dist.is_available() and dist.is_initialized():
        yield _joined()
        return
    n = int(os.environ.get("WORLD_SIZE", "1"))
    if n == 1 or "RANK" not in os.environ:
        yield Processes()
        return
    own = torch.device(own_device(device))
    if own.type == "cuda":
        # libraries that say "cuda" without a number mean this one from now on
        torch.cuda.set_device(own)
        dist.init_process_group("nccl", timeout=_PATIENCE, device_id=own)
    else:
        dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield _joined()
    finally:
        dist.destroy_process_group()


def _joined() -> Processes:
    """This process in the group that is there, whose nccl sends by way of the current device."""
    is_nccl = dist.get_backend() == "nccl"
    device = torch.device("cuda", torch.cuda.current_device()) if is_nccl else None
    return Processes(dist.get_rank(), dist.get_world_size(), device)


def own_device(device: str) -> str:
    """`device`, with the number of this process's own where torchrun started several on CUDA.

    Raises:
        ValueError: If this machine has fewer CUDA devices than processes.
    """
    if device != "cuda" or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    own, n_devices = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if 0 < n_devices <= own:
        raise ValueError(
            f"process {own} of this machine, counted from 0, and {n_devices} CUDA devices, "
            f"expected one for each process: torchrun --nproc-per-node {n_devices}"
        )
    return f"cuda:{own}"


def score_of_first(score: Score | None, group: Processes) -> Score | None:
    """`score` as the first process finds it, told to all: what a run decides by is the same."""
    if score is None or group.n == 1:
        return score

    def shared(encoder: Any) -> float:
        return float(group.from_first(float(score(encoder)) if group.is_first else None))

    return shared


class FollowingFolder(RunFolder):
    """The folder of a run for the processes that write nothing there.

    They go on from the first process's checkpoint; best weights they keep in memory.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Takes the folder that the first process writes."""
        super().__init__(folder.path)
        self._best: dict[str, tuple[dict[str, Tensor], dict[str, Any]]] = {}

    def claim(self, facts: Mapping[str, Any]) -> None:
        """Does nothing."""

    def write_checkpoint(self, state: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Does nothing."""

    def write_json(self, name: str, value: Any) -> None:
        """Does nothing."""

    def write_tensors(
        self, name: str, tensors: Mapping[str, Tensor], record: Mapping[str, Any]
    ) -> None:
        """Keeps them in memory instead of those before."""
        kept = {key: tensor.detach().cpu().clone() for key, tensor in tensors.items()}
        self._best = {name: (kept, dict(record))}

    def read_tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What was kept, or what the first process wrote before this run went on."""
        return self._best.get(name) or super().read_tensors(name)


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """`parameters` in lists of few enough numbers to send at once."""
    bucket: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        if bucket and size + parameter.numel() > _BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.numel()
    if bucket:
        yield bucket
