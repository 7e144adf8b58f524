"""The tensors beside the vectors that a loss asks for: keys, scores, a teacher's vectors."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from vecsmith.training.bag import Keys
from vecsmith.training.batching import Batch
from vecsmith.training.losses import EmbeddingLoss, needs
from vecsmith.training.teacher_vectors import Side, TeacherVectors

QUERY: Final = "anchor"


def candidate_roles(batch: Batch) -> list[str]:
    """Roles whose texts are candidates, in the order in which a loss gets them."""
    return [role for role in batch.columns if role != QUERY]


def loss_tensors(
    batch: Batch, loss: EmbeddingLoss, vectors: TeacherVectors | None, device: torch.device
) -> dict[str, Tensor]:
    """What `loss` takes by name for `batch`, as far as there is such a thing.

    Args:
        batch: Whose texts and scores they are of.
        loss: What asks.
        vectors: A teacher's of all texts, or None.
        device: Where the tensors are to be.
    """
    wanted = needs(loss)
    tensors: dict[str, Tensor] = {}
    query_keys = batch.keys[QUERY]
    candidate_keys = np.concatenate([batch.keys[role] for role in candidate_roles(batch)])
    for name, keys in (("query", query_keys), ("candidate", candidate_keys)):
        if f"{name}_keys" in wanted:
            tensors[f"{name}_keys"] = torch.from_numpy(keys.view(np.int64)).to(device)
    if vectors is not None:
        tensors |= _taught(wanted, query_keys, candidate_keys, vectors, device)
    if "scores" in wanted and batch.scores is not None:
        tensors["scores"] = torch.from_numpy(np.array(batch.scores)).to(device)
    return tensors


def _taught(
    wanted: frozenset[str],
    query_keys: Keys,
    candidate_keys: Keys,
    vectors: TeacherVectors,
    device: torch.device,
) -> dict[str, Tensor]:
    """A teacher's vectors of the same texts, as guides or to be imitated."""
    tensors: dict[str, Tensor] = {}
    sides: tuple[tuple[str, Side, Keys], ...] = (
        ("queries", "query", query_keys),
        ("candidates", "document", candidate_keys),
    )
    for name, side, keys in sides:
        asked = [f"{kind}_{name}" for kind in ("guide", "teacher")]
        asked = [each for each in asked if each in wanted]
        if asked:
            found = torch.from_numpy(vectors.of(keys, side))
            tensors |= dict.fromkeys(asked, found.to(device))
    return tensors
