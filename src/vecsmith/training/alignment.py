"""What has shallow vectors repeat deep ones, and prefixes repeat whole vectors.

Legend: N texts, D dimensions, K of a prefix. Nothing here is rounded under autocast.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def soft_divergence(
    vectors: Tensor, targets: Tensor, *, temperature: float, detach: bool = True
) -> Tensor:
    """How far vectors are from targets as distributions over dimensions, a scalar.

    T times the mean over texts of KL(softmax(target / T) || softmax(vector / T)), of vectors as
    they are, which need not have unit length: the alignment of layers in 2DMSE (Li et al., arXiv
    2402.14776) as AnglE and sentence-transformers compute it.

    Args:
        vectors: Shape [N, D].
        targets: Shape [N, D].
        temperature: T.
        detach: Whether targets get no gradient. Where they do, deep layers are drawn to shallow
            ones too.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        wanted = _wide(targets.detach() if detach else targets) / temperature
        found = F.log_softmax(_wide(vectors) / temperature, dim=-1)
        if detach:
            divergence = F.kl_div(found, F.softmax(wanted, dim=-1), reduction="batchmean")
        else:
            log_wanted = F.log_softmax(wanted, dim=-1)
            divergence = F.kl_div(found, log_wanted, reduction="batchmean", log_target=True)
    return temperature * divergence


def compressed_divergence(vectors: Tensor, dim: int, *, temperature: float) -> Tensor:
    """How far the first `dim` dimensions are from the best so many of all, a scalar.

    Mean squared difference plus `soft_divergence` of the prefix and `principal_components`: the
    compression of ESE (Li et al., arXiv 2402.14776 version 2) as AnglE computes it.

    Args:
        vectors: Shape [N, D].
        dim: K.
        temperature: Of the divergence.
    """
    targets = principal_components(vectors, dim)
    prefixes = _wide(vectors[:, :dim])
    return F.mse_loss(prefixes, targets) + soft_divergence(
        prefixes, targets, temperature=temperature
    )


@torch.no_grad()
def principal_components(vectors: Tensor, dim: int) -> Tensor:
    """Vectors in the first principal directions of their dimensions' attention, shape [N, K].

    Z (U_K S_K), where U S V' are the singular values and vectors of softmax(Z' Z / sqrt(D)), as in
    ESE. Exact where AnglE draws `svd_lowrank`, so that two runs agree; and as signs of singular
    vectors mean nothing, the largest entry of each column of U is positive.

    Args:
        vectors: Shape [N, D]. No gradient flows back.
        dim: K.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        wide = _wide(vectors)
        attention = F.softmax(wide.T @ wide / wide.shape[1] ** 0.5, dim=-1)
        left, sizes, _ = torch.linalg.svd(attention, full_matrices=False)
        left, sizes = left[:, :dim], sizes[:dim]
        largest = left.gather(0, left.abs().argmax(dim=0, keepdim=True))
        components: Tensor = wide @ (left * torch.where(largest < 0, -sizes, sizes))
    return components


def _wide(vectors: Tensor) -> Tensor:
    """In float32 at least."""
    return vectors.to(torch.promote_types(vectors.dtype, torch.float32))
