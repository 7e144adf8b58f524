"""Training static models and transformers on pairs (extra `train`): data is streamed.

Losses are plain functions.

Importing this package loads torch; `import vecsmith` does not.
"""

from vecsmith.training.curves import Curve, read_curve
from vecsmith.training.heads import (
    PrefixHeads,
    prefix_binary_cross_entropy,
    prefix_cross_entropy,
)
from vecsmith.training.layer_plans import LAYER_VARIANTS, LayerVariant
from vecsmith.training.layers import layered
from vecsmith.training.losses import (
    EmbeddingLoss,
    cosent,
    guided_info_nce,
    info_nce,
    needs,
    score_regression,
    similarity_distillation,
    similarity_mse,
    triplet,
)
from vecsmith.training.mining import mine_hard_negatives
from vecsmith.training.prefixes import halved_prefixes, matryoshka
from vecsmith.training.presets import PRESETS
from vecsmith.training.settings import TrainSettings, TransformerSettings
from vecsmith.training.static import train_static
from vecsmith.training.tokenizer_training import (
    TokenizerReport,
    TrainedTokenizer,
    train_tokenizer,
)
from vecsmith.training.transformer import train_transformer

__all__ = [
    "LAYER_VARIANTS",
    "PRESETS",
    "Curve",
    "EmbeddingLoss",
    "LayerVariant",
    "PrefixHeads",
    "TokenizerReport",
    "TrainSettings",
    "TrainedTokenizer",
    "TransformerSettings",
    "cosent",
    "guided_info_nce",
    "halved_prefixes",
    "info_nce",
    "layered",
    "matryoshka",
    "mine_hard_negatives",
    "needs",
    "prefix_binary_cross_entropy",
    "prefix_cross_entropy",
    "read_curve",
    "score_regression",
    "similarity_distillation",
    "similarity_mse",
    "train_static",
    "train_tokenizer",
    "train_transformer",
    "triplet",
]
