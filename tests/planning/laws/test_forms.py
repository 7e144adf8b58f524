"""Laws as values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.planning.laws.synthetic import CHINCHILLA, LORA
from vecsmith.planning.laws import LossLaw


def test_a_hoffmann_law_is_the_sum_of_its_floor_and_two_powers() -> None:
    expected = 1.69 + 406.4 / 70e9**0.34 + 410.7 / 1.4e12**0.28
    assert float(CHINCHILLA.loss(70e9, 1.4e12)) == pytest.approx(expected, rel=1e-14)


def test_an_nds_law_is_the_papers_formula_with_natural_logarithms() -> None:
    c = LORA.coefficients
    n, tokens, share = 3e8, 2e9, 0.1
    of_size = (c["a_d"] * math.log(tokens) + c["b_d"]) / n ** c["alpha"]
    of_data = (c["a_s"] * (1 - share) ** c["b_s"] + c["c_s"]) / tokens ** c["beta"]
    expected = c["C"] + of_size + of_data
    assert float(LORA.loss(n, tokens, share)) == pytest.approx(expected, rel=1e-14)


def test_where_all_is_trained_the_share_terms_say_nothing() -> None:
    changed = LossLaw(form="nds", coefficients={**LORA.coefficients, "a_s": 9e9, "b_s": 0.1})
    assert float(changed.loss(1e8, 1e9, 1.0)) == float(LORA.loss(1e8, 1e9, 1.0))


def test_losses_broadcast() -> None:
    losses = CHINCHILLA.loss(np.array([1e8, 1e9])[:, None], np.array([1e9, 1e10, 1e11]))
    assert losses.shape == (2, 3)
    assert losses[1, 2] == float(CHINCHILLA.loss(1e9, 1e11))


def test_coefficients_of_the_other_form_are_refused() -> None:
    with pytest.raises(ValueError, match="expected those of hoffmann: E, A, B, alpha, beta"):
        LossLaw(form="hoffmann", coefficients=LORA.coefficients)


@pytest.mark.parametrize(("name", "value"), [("alpha", 0.0), ("beta", -1.0), ("E", math.nan)])
def test_a_coefficient_that_makes_no_law_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"coefficient {name} is"):
        LossLaw(form="hoffmann", coefficients={**CHINCHILLA.coefficients, name: value})


@pytest.mark.parametrize(
    ("n", "tokens", "share"), [(0, 1e9, 1), (1e8, -1, 1), (1e8, 1e9, 0), (1e8, 1e9, 1.1)]
)
def test_a_point_outside_of_any_run_is_refused(n: float, tokens: float, share: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        LORA.loss(n, tokens, share)


def test_an_unknown_form_is_refused_with_those_known() -> None:
    with pytest.raises(ValueError, match="form is 'kaplan', expected one of hoffmann, nds"):
        LossLaw(form="kaplan", coefficients={})  # type: ignore[arg-type]
