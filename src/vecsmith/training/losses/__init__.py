"""Training losses: plain functions from embeddings to a scalar.

A loss takes unnormalised queries [B, D] and candidates [C, D], and by fixed names the further
tensors that `needs` lists; any of them nests in prefixes by `vecsmith.training.matryoshka`.
"""

from vecsmith.training.losses.contrastive import Direction, Partition, Precision, info_nce
from vecsmith.training.losses.graded import cosent, score_regression
from vecsmith.training.losses.signature import TENSORS, EmbeddingLoss, needs

__all__ = [
    "TENSORS",
    "Direction",
    "EmbeddingLoss",
    "Partition",
    "Precision",
    "cosent",
    "info_nce",
    "needs",
    "score_regression",
]
