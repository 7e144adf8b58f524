"""Losses that pick each query's own candidate out of a batch.

Legend: B queries, C >= B candidates (row i belongs to query i, hard negatives come after), D
dimensions, G dimensions of a guide. All of them compare by cosine, so they nest in prefixes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Direction = Literal[
    "query_to_candidate", "candidate_to_query", "query_to_query", "candidate_to_candidate"
]
Partition = Literal["joint", "per_direction"]
Precision = Literal["auto", "float32", "bfloat16"]


def info_nce(
    queries: Tensor,
    candidates: Tensor,
    *,
    temperature: float = 0.05,
    directions: Sequence[Direction] = ("query_to_candidate",),
    partition: Partition = "joint",
    query_keys: Tensor | None = None,
    candidate_keys: Tensor | None = None,
    precision: Precision = "auto",
) -> Tensor:
    """Cross-entropy of picking each query's own candidate out of the batch, a scalar."""
    n_queries, n_candidates = len(queries), len(candidates)
    if n_candidates < n_queries:
        raise ValueError(
            f"need a positive for each query: {n_queries} queries, {n_candidates} candidates"
        )
    scores = F.normalize(queries, dim=-1) @ F.normalize(candidates, dim=-1).T / temperature
    return F.cross_entropy(scores, torch.arange(n_queries, device=scores.device))
