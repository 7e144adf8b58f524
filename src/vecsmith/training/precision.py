"""Products of matrices whose factors may be rounded to bfloat16, summed in float32 all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["auto", "float32", "bfloat16"]


def rounds_factors(precision: Precision, vectors: Tensor) -> bool:
    """Whether products of `vectors` are to be made of bfloat16 factors.

    "auto" says so under bfloat16 autocast and for vectors that are bfloat16; float64 is never
    rounded.
    """
    if vectors.dtype == torch.float64:
        return False
    if precision != "auto":
        return precision == "bfloat16"
    device = vectors.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device) == torch.bfloat16
    return vectors.dtype == torch.bfloat16


def add_product(base: Tensor, left: Tensor, right: Tensor, *, bfloat16: bool, out: Tensor) -> None:
    """Writes `base` + `left` @ `right` into `out`, which may be `base`: [M, N], [M, S], [S, N]."""
    if not bfloat16:
        torch.addmm(base, left, right, out=out)
    elif left.device.type == "cpu":
        with _cpu_factors_of_bfloat16():
            torch.addmm(base, left, right, out=out)
    else:
        halves = left.to(torch.bfloat16), right.to(torch.bfloat16)
        if left.is_cuda:
            product = torch.mm(*halves, out_dtype=torch.float32)
        else:  # elsewhere sums of bfloat16 would be bfloat16
            product = halves[0].float() @ halves[1].float()
        torch.add(base, product, out=out)


@contextmanager
def _cpu_factors_of_bfloat16() -> Iterator[None]:
    """Lets float32 products on CPU round their factors, where the processor gains by it.

    A product of bfloat16 tensors would round its sums as well: cosines near 1 then lie 1/256
    apart, 0.08 as logits at a temperature of 0.05. The setting is the process's; whatever else
    multiplies in another thread meanwhile is rounded alike.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
