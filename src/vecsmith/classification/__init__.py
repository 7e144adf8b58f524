"""Classifiers on prefixes of embeddings."""

from vecsmith.classification.calibration import (
    Reliability,
    calibrate,
    calibration_error,
    reliability,
)
from vecsmith.classification.fitting import ClassWeight, fit_heads, halved_dims
from vecsmith.classification.heads import HeadKind, LinearHeads, Scaling

__all__ = [
    "ClassWeight",
    "HeadKind",
    "LinearHeads",
    "Reliability",
    "Scaling",
    "calibrate",
    "calibration_error",
    "fit_heads",
    "halved_dims",
    "reliability",
]
