"""InfoNCE as its definition says, with whole matrices and torch's own gradients: the outside view.

Nothing of the package is used. Texts are compared pair by pair in Python.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def dense_info_nce(
    queries: Tensor,
    candidates: Tensor,
    *,
    temperature: float = 0.05,
    directions: Sequence[str] = ("query_to_candidate",),
    partition: str = "per_direction",
    query_keys: Tensor | None = None,
    candidate_keys: Tensor | None = None,
    guide_queries: Tensor | None = None,
    guide_candidates: Tensor | None = None,
    guide_margin: float = 0.0,
    guide_margin_kind: str = "absolute",
) -> Tensor:
    """One number from B x C matrices."""
    n_pairs = len(queries)
    sides = {"query": F.normalize(queries, dim=1), "candidate": F.normalize(candidates, dim=1)}
    sums, positives = [], (sides["query"] * sides["candidate"][:n_pairs]).sum(1) / temperature
    for direction in directions:
        anchors, bank = direction.split("_to_")
        n_seen = n_pairs if bank == "query" else len(candidates)
        logits = sides[anchors][:n_pairs] @ sides[bank][:n_seen].T / temperature
        out = torch.zeros(n_pairs, n_seen, dtype=torch.bool)
        for i in range(n_pairs):
            for j in range(n_seen):
                own = anchors == bank and j % n_pairs == i
                out[i, j] = own or (
                    (j != i or anchors == bank)
                    and (
                        _is_equal_text(i, j, query_keys, candidate_keys, bank)
                        or _is_too_alike(
                            i,
                            j,
                            guide_queries,
                            guide_candidates,
                            direction,
                            guide_margin,
                            guide_margin_kind,
                        )
                    )
                )
        sums.append(torch.logsumexp(logits.masked_fill(out, -torch.inf), dim=1))
    totals = torch.stack(sums)
    total = totals.logsumexp(0) if partition == "joint" else totals.mean(0)
    return (total - positives).mean()


def _is_equal_text(
    i: int, j: int, query_keys: Tensor | None, candidate_keys: Tensor | None, bank: str
) -> bool:
    if query_keys is None or candidate_keys is None:
        return False
    own = {int(query_keys[i]), int(candidate_keys[i])}
    if bank == "query" or j < len(query_keys):
        return bool(own & {int(query_keys[j]), int(candidate_keys[j])})
    return int(candidate_keys[j]) in own


def _is_too_alike(
    i: int,
    j: int,
    guide_queries: Tensor | None,
    guide_candidates: Tensor | None,
    direction: str,
    margin: float,
    kind: str,
) -> bool:
    if guide_queries is None or guide_candidates is None:
        return False
    sides = {"query": guide_queries, "candidate": guide_candidates}
    anchors, bank = direction.split("_to_")
    own = float(F.cosine_similarity(guide_queries[i], guide_candidates[i], dim=0))
    seen = float(F.cosine_similarity(sides[anchors][i], sides[bank][j], dim=0))
    return seen > own - (margin if kind == "absolute" else margin * abs(own))
