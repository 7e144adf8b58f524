"""What scikit-learn asks of its estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
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


@pytest.mark.parametrize(("value", "told"), [(np.nan, "NaN"), (-np.inf, "infinity")])
def test_a_number_that_is_not_finite_is_told_its_row(value: float, told: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 40)
    good = rng.normal(size=(40, 4)) + y[:, None]
    fitted = AdaptiveClassifier(dims=[2, 4], C=1.0).fit(good, y)
    x = good.copy()
    x[7, 3] = value
    expected = rf"^row 7 of X is not finite, it holds {told}, expected finite numbers: encode"
    for refuses in (lambda: AdaptiveClassifier().fit(x, y), lambda: fitted.predict(x)):
        with pytest.raises(ValueError, match=expected):
            refuses()
    with pytest.raises(ValueError, match=expected):
        fitted.predict_proba(np.concatenate([x, x]).astype(np.float16))


@pytest.mark.parametrize("label", ["greeting", 3, True])
def test_one_class_alone_is_refused_by_its_name(label: str | int) -> None:
    x = np.random.default_rng(0).normal(size=(20, 4))
    with pytest.raises(ValueError, match=rf"y has one class, {label!r}, in all 20 rows"):
        AdaptiveClassifier().fit(x, [label] * 20)
    y = np.arange(20) % 2
    with pytest.raises(ValueError, match=r"y has one class, 1, in all 10 rows that count"):
        AdaptiveClassifier().fit(x, y, sample_weight=y)
