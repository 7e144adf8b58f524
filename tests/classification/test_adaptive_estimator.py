"""What scikit-learn asks of its estimators."""

from __future__ import annotations

from typing import Any

from sklearn.utils.estimator_checks import parametrize_with_checks

from vecsmith.classification.adaptive import AdaptiveClassifier


@parametrize_with_checks([AdaptiveClassifier(C=1.0)])  # type: ignore[untyped-decorator]
def test_it_is_an_estimator(estimator: AdaptiveClassifier, check: Any) -> None:
    check(estimator)
