from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.errors import FormatError
from vecsmith.results.tuning import TUNING_METHODS, Tuning

EVERY_KIND = [
    Tuning(),
    Tuning(method="freeze", frozen_blocks=3),
    Tuning(method="bias"),
    Tuning(method="lora", rank=32),
    Tuning(method="lora", rank=8, alpha=8),
]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("tuning", EVERY_KIND, ids=str)
def test_a_tuning_comes_back_from_json(tuning: Tuning) -> None:
    assert Tuning.from_plain(json.loads(json.dumps(tuning.plain()))) == tuning


def test_a_tuning_is_named_as_people_name_it() -> None:
    assert [str(tuning) for tuning in EVERY_KIND] == [
        "full",
        "freeze 3",
        "bias",
        "lora 32",
        "lora 8 alpha 8",
    ]


def test_alpha_is_twice_the_rank_unless_it_is_given_so_the_scale_is_the_same_at_all_ranks() -> None:
    for rank in (1, 8, 2048):
        tuning = Tuning(method="lora", rank=rank)
        assert (tuning.alpha, tuning.scale) == (2.0 * rank, 2.0)
        assert tuning.plain()["alpha"] == 2.0 * rank
    # as peft leaves it, and with it Ziarko et al. 2024: 8 / r
    assert Tuning(method="lora", rank=2048, alpha=8).scale == 8 / 2048
    assert Tuning(method="bias").scale == 0.0


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"method": "prefix"}, ValueError, "expected one of"),
        ({"method": "lora"}, ValueError, "rank 0, expected a rank of 1 or more"),
        ({"method": "full", "rank": 8}, ValueError, "expected it with 'lora' alone"),
        ({"method": "lora", "rank": 8, "frozen_blocks": 1}, ValueError, "with 'freeze' alone"),
        ({"method": "freeze", "frozen_blocks": -1}, ValueError, "-1, expected 0 or more"),
        ({"method": "lora", "rank": 8.5}, TypeError, "8.5, expected a whole number"),
        ({"method": "lora", "rank": True}, TypeError, "True, expected a whole number"),
        ({"method": "lora", "rank": 8, "alpha": float("nan")}, ValueError, "expected 0 or more"),
        ({"method": "lora", "rank": 8, "alpha": "16"}, TypeError, "'16', expected a number"),
    ],
)
def test_what_is_no_tuning_is_refused_with_what_was_found(
    values: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Tuning(**values)


@given(
    st.dictionaries(st.sampled_from(["method", "frozen_blocks", "rank", "alpha"]), ANY_JSON)
    | st.fixed_dictionaries(
        {
            "method": st.sampled_from(TUNING_METHODS) | ANY_JSON,
            "frozen_blocks": st.integers() | ANY_JSON,
            "rank": st.integers() | ANY_JSON,
            "alpha": st.floats() | ANY_JSON,
        }
    )
    | ANY_JSON
)
def test_whatever_a_file_holds_is_a_tuning_or_an_error_that_names_the_file(values: Any) -> None:
    found = None
    with suppress_error_that_names("run.json"):
        found = Tuning.from_plain(values, source="run.json")
    if found is not None:
        assert Tuning.from_plain(found.plain()) == found


@contextmanager
def suppress_error_that_names(source: str) -> Iterator[None]:
    try:
        yield
    except FormatError as error:
        if source not in str(error):
            raise
