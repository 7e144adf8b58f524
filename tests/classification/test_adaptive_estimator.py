"""What scikit-learn asks of its estimators."""

from __future__ import annotations

from typing import Any

from sklearn.utils.estimator_checks import parametrize_with_checks

from vecsmith.classification.adaptive import AdaptiveClassifier

# It compares to 1e-7 what float32 weights give to 4e-7; test_heads.py doubles rows to a tolerance
# that float32 can keep.
_TOO_STRICT = {"check_sample_weight_equivalence_on_dense_data": "asks for more than float32 has"}


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [AdaptiveClassifier(C=1.0)], expected_failed_checks=lambda _: _TOO_STRICT, xfail_strict=False
)
def test_it_is_an_estimator(estimator: AdaptiveClassifier, check: Any) -> None:
    check(estimator)
