"""Cosines that losses are made of, at least in float32.

One rule: a vector of zeros, which an empty text has, has cosine 0 with all and gets gradient 0. It
has no direction to turn to, and the limit of its gradient is infinite.
"""

from __future__ import annotations

import torch
from torch import Tensor


def unit_rows(vectors: Tensor) -> Tensor:
    """Each row over its norm, rows of zeros as they are, shape [N, D]."""
    wide = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    norms = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    some = norms > 0
    # the inner one keeps 1 / 0 out of the gradient, the outer one the gradient out of zeros
    return wide * torch.where(some, torch.where(some, norms, 1.0).reciprocal(), 0.0)


def pair_cosines(left: Tensor, right: Tensor) -> Tensor:
    """Cosine of each row with its partner, shape [N]."""
    return (unit_rows(left) * unit_rows(right)).sum(-1)
