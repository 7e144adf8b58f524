"""Training losses: plain functions from embeddings to a scalar.

A loss takes unnormalised queries [B, D] and candidates [C, D], and by fixed names the further
tensors that `needs` lists; any of them nests in prefixes by `vecsmith.training.matryoshka`.
"""

from vecsmith.training.exclusion import Direction, MarginKind
from vecsmith.training.losses.contrastive import (
    BOTH_WAYS,
    FOUR_WAYS,
    ONE_WAY,
    guided_info_nce,
    info_nce,
    triplet,
)
from vecsmith.training.losses.graded import cosent, score_regression
from vecsmith.training.losses.imitation import (
    cosine_distance,
    mean_squared_error,
    similarity_distillation,
    similarity_mse,
)
from vecsmith.training.losses.signature import TENSORS, EmbeddingLoss, drawn, needs
from vecsmith.training.nested_info_nce import Partition
from vecsmith.training.precision import Precision

__all__ = [
    "BOTH_WAYS",
    "FOUR_WAYS",
    "ONE_WAY",
    "TENSORS",
    "Direction",
    "EmbeddingLoss",
    "MarginKind",
    "Partition",
    "Precision",
    "cosent",
    "cosine_distance",
    "drawn",
    "guided_info_nce",
    "info_nce",
    "mean_squared_error",
    "needs",
    "score_regression",
    "similarity_distillation",
    "similarity_mse",
    "triplet",
]
