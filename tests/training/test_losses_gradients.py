"""Gradients of every loss, plain and nested, against finite differences in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from vecsmith.training.losses import (
    BOTH_WAYS,
    FOUR_WAYS,
    EmbeddingLoss,
    cosent,
    cosine_distance,
    guided_info_nce,
    info_nce,
    mean_squared_error,
    needs,
    score_regression,
    similarity_distillation,
    similarity_mse,
    triplet,
)
from vecsmith.training.prefixes import matryoshka

N_QUERIES, DIM = 5, 6
TENSORS = {
    "query_keys": torch.tensor([0, 1, 2, 3, 0]),
    "candidate_keys": torch.tensor([5, 6, 7, 8, 9, 5, 1, 12, 13, 14]),
    "scores": torch.tensor([0.1, 0.9, 0.1, 0.5, -0.3], dtype=torch.float64),
}
# at a sharp temperature differences drown in rounding
SOFT = 0.7
LOSSES: dict[str, tuple[EmbeddingLoss, int]] = {
    "info_nce": (partial(info_nce, temperature=SOFT), 10),
    "info_nce both ways": (partial(info_nce, temperature=SOFT, directions=BOTH_WAYS), 10),
    "info_nce four ways": (
        partial(info_nce, temperature=SOFT, directions=FOUR_WAYS, partition="joint"),
        10,
    ),
    "guided_info_nce": (partial(guided_info_nce, temperature=SOFT, directions=BOTH_WAYS), 10),
    "triplet": (partial(triplet, margin=1.5), 10),
    "cosent": (partial(cosent, scale=2.0), 5),
    "score_regression": (score_regression, 5),
    "similarity_distillation": (partial(similarity_distillation, temperature=SOFT), 10),
    "similarity_mse": (similarity_mse, 10),
    "cosine_distance": (cosine_distance, 5),
    "mean_squared_error": (mean_squared_error, 5),
}


def further_tensors(loss: EmbeddingLoss, n_candidates: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    drawn = {
        f"{model}_{side}": torch.randn(n, 3, generator=generator, dtype=torch.float64)
        for model in ("guide", "teacher")
        for side, n in (("queries", N_QUERIES), ("candidates", n_candidates))
    }
    return {name: (TENSORS | drawn)[name] for name in needs(loss)}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("nested", [False, True])
def test_gradients_are_finite_differences(name: str, nested: bool) -> None:
    loss, n_candidates = LOSSES[name]
    if nested:
        loss = matryoshka(loss, {2: 0.5, 4: 1.5})  # two dims are in no prefix
    tensors = further_tensors(loss, n_candidates)
    generator = torch.Generator().manual_seed(2)
    queries = torch.randn(N_QUERIES, DIM, generator=generator, dtype=torch.float64)
    candidates = torch.randn(n_candidates, DIM, generator=generator, dtype=torch.float64)
    learns_candidates = name not in ("cosine_distance", "mean_squared_error")
    leaves = queries.requires_grad_(), candidates.requires_grad_(learns_candidates)
    assert torch.autograd.gradcheck(lambda q, c: loss(q, c, **tensors), leaves)


@pytest.mark.parametrize("name", LOSSES)
def test_zero_vectors_have_finite_gradients(name: str) -> None:
    loss, n_candidates = LOSSES[name]
    queries = torch.randn(N_QUERIES, DIM, dtype=torch.float64)
    candidates = torch.randn(n_candidates, DIM, dtype=torch.float64)
    queries[1] = 0
    candidates[2] = 0
    leaves = queries.requires_grad_(), candidates.requires_grad_()
    value = matryoshka(loss, {2: 1.0, 6: 1.0})(*leaves, **further_tensors(loss, n_candidates))
    value.backward()  # type: ignore[no-untyped-call]
    for leaf in leaves:
        assert leaf.grad is None or leaf.grad.abs().max() < 100
