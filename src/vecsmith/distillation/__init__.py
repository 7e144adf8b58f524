"""Static models from transformer teachers (extra `distill`)."""

from vecsmith.distillation.distiller import DistillSettings, distill, distill_checkpoint
from vecsmith.distillation.regression import RegressionSettings
from vecsmith.distillation.settings import PolishSettings, TextSettings, TokenlearnSettings
from vecsmith.distillation.vocabulary import VocabularyReport

__all__ = [
    "DistillSettings",
    "PolishSettings",
    "RegressionSettings",
    "TextSettings",
    "TokenlearnSettings",
    "VocabularyReport",
    "distill",
    "distill_checkpoint",
]
