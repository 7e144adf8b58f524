"""Losses for pairs that carry a score: how alike somebody judged the two texts to be.

Legend: B pairs, D dimensions. Row i of the candidates is the other half of pair i.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vecsmith.training.losses.cosines import pair_cosines


def cosent(queries: Tensor, candidates: Tensor, *, scores: Tensor, scale: float = 20.0) -> Tensor:
    """Log of one plus all the wrong orders of pairs, a scalar: only the order of scores counts.

    log(1 + sum over pairs i, j with scores_i > scores_j of exp(scale (cos_j - cos_i))), the CoSENT
    loss (Huang et al., "CoSENT: Consistent Sentence Embedding via Similarity Ranking", IEEE/ACM
    TASLP 2024). Sorted and cumulated, so B pairs take memory for B figures, not for B x B.

    Args:
        queries: Unnormalised embeddings, shape [B, D].
        candidates: The other half of each pair, shape [B, D].
        scores: Judged similarities on any scale, shape [B]; without NaN.
        scale: Multiplies the cosines; larger is sharper.

    Raises:
        ValueError: If the three lengths differ, or the scale is not positive.
    """
    _check_pairs(queries, candidates, scores)
    if not scale > 0:
        raise ValueError(f"scale {scale} of cosent, expected a positive number")
    ranked, order = torch.sort(scores)
    cosines = scale * pair_cosines(queries, candidates)[order]
    # sum over all pairs from place i on of exp(-cos), in logs, then empty past the end
    from_here = torch.logcumsumexp(-cosines.flip(0), dim=0).flip(0)
    from_here = torch.cat([from_here, from_here.new_full((1,), -torch.inf)])
    first_better = torch.searchsorted(ranked, ranked, right=True)
    wrong_orders = cosines + from_here[first_better]
    return torch.logsumexp(torch.cat([wrong_orders.new_zeros(1), wrong_orders]), dim=0)


def score_regression(queries: Tensor, candidates: Tensor, *, scores: Tensor) -> Tensor:
    """Mean squared difference between cosines and scores, a scalar.

    Args:
        queries: Unnormalised embeddings, shape [B, D].
        candidates: The other half of each pair, shape [B, D].
        scores: What the cosines should be, so within -1 and 1, shape [B].

    Raises:
        ValueError: If the three lengths differ.
    """
    _check_pairs(queries, candidates, scores)
    cosines = pair_cosines(queries, candidates)
    return F.mse_loss(cosines, scores.to(cosines.dtype))


def _check_pairs(queries: Tensor, candidates: Tensor, scores: Tensor) -> None:
    if not (len(queries) == len(candidates) and scores.shape == (len(queries),)):
        raise ValueError(
            f"{len(queries)} queries, {len(candidates)} candidates and scores of shape "
            f"{tuple(scores.shape)}, expected one candidate and one score for each query: graded "
            "pairs have no hard negatives"
        )
