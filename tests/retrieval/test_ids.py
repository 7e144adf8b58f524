"""Ids and the way back to rows, against a dict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.errors import FormatError
from vecsmith.retrieval.storage import ids as ids_module
from vecsmith.retrieval.storage.ids import Ids, one_kind

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NUMBERS = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None, max_examples=100)
@given(
    st.one_of(st.lists(NUMBERS, unique=True), st.lists(TEXTS, unique=True, min_size=1)), st.data()
)
def test_every_id_leads_to_its_row_and_no_other_does(ids: list[Any], data: st.DataObject) -> None:
    kept = Ids.of(one_kind(ids))
    rows = {id_: row for row, id_ in enumerate(ids)}
    other = NUMBERS if kept.kind == "int" else TEXTS
    asked = data.draw(
        st.lists(st.one_of(st.sampled_from(ids), other) if ids else other, min_size=1)
    )
    found = kept.rows_of(one_kind(asked))
    assert found.tolist() == [rows.get(id_, -1) for id_ in asked]
    none = -1 if kept.kind == "int" else None
    expected = [none if row < 0 else ids[row] for row in found.tolist()]
    assert kept.take(found).tolist() == expected


def test_texts_of_one_key_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    # 64 bits hardly ever meet: here they always do
    monkeypatch.setattr(
        ids_module, "_text_keys", lambda texts: np.zeros(len(texts), dtype=np.int64)
    )
    texts = [f"글 {i}" for i in range(30)]
    kept = Ids.of(texts)
    assert kept.rows_of(["글 7", "글 30", "글 0", "글 29"]).tolist() == [7, -1, 0, 29]


def test_keys_that_are_all_the_same_are_a_broken_file() -> None:
    kept = Ids.of([f"{i}" for i in range(1000)])
    arrays = {**kept.arrays, "id-keys": np.full(1000, ids_module._text_keys(["no"])[0])}
    with pytest.raises(FormatError, match="there: a key is there more than 64 times"):
        Ids("str", arrays, source="there").rows_of(["no"])


@pytest.mark.parametrize("kind", [int, str])
def test_keys_that_lead_nowhere_are_a_broken_file(kind: type) -> None:
    kept = Ids.of(one_kind([kind(5), kind(6)]))
    for row in (2, -1, 2**40):
        arrays = {**kept.arrays, "id-rows": np.array([row, row])}
        with pytest.raises(FormatError, match="there: a key leads to row"):
            Ids(kept.kind, arrays, source="there").rows_of(one_kind([kind(5)]))
    with pytest.raises(FormatError, match="expected them to fit"):
        Ids(kept.kind, {**kept.arrays, "id-rows": np.zeros(3, np.int64)}, source="there")


def test_ids_may_come_in_many_forms() -> None:
    assert one_kind(np.array([3, 4], dtype=np.uint8)).tolist() == [3, 4]  # type: ignore[union-attr]
    assert one_kind((np.int32(3), 4)).tolist() == [3, 4]  # type: ignore[union-attr]
    assert one_kind(np.array(["a", "나"])) == ["a", "나"]
    assert len(one_kind([])) == 0
    for wrong, error, message in (
        ("abc", TypeError, "ids are 'abc', expected a list"),
        ([True, False], TypeError, "an id is True"),
        ([1.0], TypeError, "an id is 1.0"),
        ([b"a"], TypeError, "an id is b'a'"),
        ([2**64], ValueError, "beyond 64 bits"),
        (np.array([2**63], dtype=np.uint64), ValueError, "beyond 63 bits"),
    ):
        with pytest.raises(error, match=message):
            one_kind(wrong)
