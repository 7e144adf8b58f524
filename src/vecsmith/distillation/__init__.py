"""Static models from transformer teachers (extra `distill`)."""

from vecsmith.distillation.distiller import DistillSettings, distill, distill_checkpoint
from vecsmith.distillation.vocabulary import VocabularyReport

__all__ = ["DistillSettings", "VocabularyReport", "distill", "distill_checkpoint"]
