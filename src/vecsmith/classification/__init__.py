"""Classifiers on prefixes of embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vecsmith._extras import require
from vecsmith.classification.calibration import (
    Reliability,
    calibrate,
    calibration_error,
    reliability,
)
from vecsmith.classification.fitting import ClassWeight, fit_heads, halved_dims
from vecsmith.classification.heads import HeadKind, LinearHeads, Scaling

if TYPE_CHECKING:
    from vecsmith.classification.adaptive import AdaptiveClassifier

__all__ = [
    "AdaptiveClassifier",
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


def __getattr__(name: str) -> Any:
    if name == "AdaptiveClassifier":  # inherits from scikit-learn, imported when it is asked for
        require("sklearn", extra="eval", purpose="be a classifier as scikit-learn has them")
        from vecsmith.classification.adaptive import AdaptiveClassifier

        return AdaptiveClassifier
    raise AttributeError(f"module 'vecsmith.classification' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
