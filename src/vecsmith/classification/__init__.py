"""Classifiers on prefixes of embeddings."""

from vecsmith.classification.fitting import ClassWeight, fit_heads, halved_dims
from vecsmith.classification.heads import HeadKind, LinearHeads, Scaling

__all__ = ["ClassWeight", "HeadKind", "LinearHeads", "Scaling", "fit_heads", "halved_dims"]
