"""Training static models on pairs (extra `train`): losses are plain functions, data is streamed.

Importing this package loads torch; `import vecsmith` does not.
"""

from vecsmith.training.curves import Curve, read_curve
from vecsmith.training.losses import EmbeddingLoss, cosent, info_nce, needs, score_regression
from vecsmith.training.prefixes import halved_prefixes, matryoshka
from vecsmith.training.presets import PRESETS
from vecsmith.training.settings import TrainSettings
from vecsmith.training.static import train_static
from vecsmith.training.tokenizer_training import (
    TokenizerReport,
    TrainedTokenizer,
    train_tokenizer,
)

__all__ = [
    "PRESETS",
    "Curve",
    "EmbeddingLoss",
    "TokenizerReport",
    "TrainSettings",
    "TrainedTokenizer",
    "cosent",
    "halved_prefixes",
    "info_nce",
    "matryoshka",
    "needs",
    "read_curve",
    "score_regression",
    "train_static",
    "train_tokenizer",
]
