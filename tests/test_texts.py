"""Texts of every kind that users pass, in chunks of what the engine takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vecsmith._texts import (
    PromptedTexts,
    Utf8Texts,
    ViewTexts,
    check_strings,
    chunks_of,
    count_of,
    strings_of,
    with_prompt,
)

TEXTS = ["one", "", "two words", "déjà vu", "猫", "\x00", "end"]


def strings(texts: Any, size: int = 3) -> list[str]:
    chunks = list(chunks_of(texts, size))
    assert all(0 < len(chunk) <= size for chunk in chunks)
    return [text for chunk in chunks for text in strings_of(chunk)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_every_kind_of_iterable_comes_out_as_it_went_in(size: int) -> None:
    kinds: list[Any] = [
        TEXTS,
        tuple(TEXTS),
        iter(TEXTS),
        (t for t in TEXTS),
        dict.fromkeys(TEXTS).keys(),
    ]
    kinds.append(np.array(TEXTS, dtype=object))
    kinds.append(np.array(TEXTS, dtype=np.dtypes.StringDType()))
    for texts in kinds:
        assert strings(texts, size) == TEXTS


def test_chunks_of_a_list_are_lists_of_their_own() -> None:
    texts = ["a", "b"]
    (chunk,) = chunks_of(texts, 10)
    texts[0] = "changed"
    assert chunk == ["a", "b"]


def test_an_iterator_is_read_no_further_than_needed() -> None:
    numbers = iter(str(i) for i in range(10))
    assert next(chunks_of(numbers, 4)) == ["0", "1", "2", "3"]
    assert next(numbers) == "4"


@pytest.mark.parametrize(
    "wrong", [b"x", bytearray(b"x"), memoryview(b"x"), {"a": 1}, {"a"}, frozenset({"a"}), 5, None]
)
def test_what_holds_no_strings_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"texts are of type {type(wrong).__name__}"):
        list(chunks_of(wrong, 3))


def test_arrays_of_other_things_are_refused() -> None:
    with pytest.raises(TypeError, match="an array of int64"):
        list(chunks_of(np.array([1, 2]), 3))
    with pytest.raises(TypeError, match=r"array of bytes \(\|S1\), .*: decode them first"):
        list(chunks_of(np.array([b"x"]), 3))
    with pytest.raises(ValueError, match=r"shape \[1, 2\]"):
        list(chunks_of(np.array([["a", "b"]]), 3))
    with pytest.raises(ValueError, match=r"shape \[\]"):
        list(chunks_of(np.array("a"), 3))


def test_counts_are_known_but_for_iterators() -> None:
    assert count_of(TEXTS) == 7
    assert count_of(np.array(TEXTS)) == 7
    assert count_of(iter(TEXTS)) is None


def test_what_is_no_string_is_named_by_its_place_in_the_whole() -> None:
    with pytest.raises(TypeError, match="text 102 is of type float, expected str"):
        check_strings(["a", "b", 1.5], 100)
    check_strings(["a"], 0)


def test_a_prompt_goes_before_every_text() -> None:
    assert with_prompt("text", "query: ") == "query: text"
    assert with_prompt(["a", "b"], "q ") == ["q a", "q b"]
    assert with_prompt(TEXTS, "") is TEXTS
    prompted = with_prompt(iter(["a", None]), "q ")
    assert iter(prompted) is prompted
    assert list(prompted) == ["q a", None]  # for the engine to name
    assert PromptedTexts(["a"]).texts == ["a"]


def arrow() -> Any:
    return pytest.importorskip("pyarrow", reason="Arrow arrays need pyarrow (extra data)")


def test_arrow_arrays_of_every_string_type_come_out_as_they_went_in() -> None:
    pa = arrow()
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        array = pa.array(TEXTS, kind)
        assert strings(array) == TEXTS
        assert strings(array.slice(2, 3)) == TEXTS[2:5]
        assert (
            strings(pa.chunked_array([array, array.slice(0, 0), array.slice(1)]))
            == TEXTS + TEXTS[1:]
        )
    assert strings(pa.array(TEXTS).dictionary_encode()) == TEXTS
    assert strings(pa.table({"text": TEXTS})["text"]) == TEXTS
    assert strings(pa.array([], pa.string())) == []
    assert strings(pa.chunked_array([], pa.string())) == []
    assert strings(pa.array(["", ""])) == ["", ""]


def test_arrow_memory_is_looked_at_where_it_is() -> None:
    pa = arrow()
    for kind in (pa.string(), pa.large_string()):
        array = pa.array(TEXTS, kind)
        (chunk,) = chunks_of(array, 100)
        assert isinstance(chunk, Utf8Texts)
        assert chunk.bytes.ctypes.data == array.buffers()[2].address
        assert chunk.offsets.ctypes.data == array.buffers()[1].address
    array = pa.array([*TEXTS, "longer than a view"], pa.string_view())
    (chunk,) = chunks_of(array, 100)
    assert isinstance(chunk, ViewTexts)
    assert chunk.views.ctypes.data == array.buffers()[1].address
    assert [b.ctypes.data for b in chunk.buffers] == [array.buffers()[2].address]


def test_no_arrow_type_but_a_dictionary_takes_new_memory() -> None:
    pa = arrow()
    texts = [f"text number {i} of many" for i in range(5000)]
    arrays = [pa.array(texts, kind) for kind in (pa.string(), pa.large_string(), pa.string_view())]
    coded = pa.array(texts).dictionary_encode()
    before = pa.total_allocated_bytes()
    for array in arrays:
        held = list(chunks_of(array, 100))
        assert pa.total_allocated_bytes() == before
        assert len(held) == 50
    # of a dictionary one chunk at a time
    for _ in chunks_of(coded, 100):
        assert pa.total_allocated_bytes() - before < 100_000


def test_offsets_and_views_begin_where_a_slice_does() -> None:
    pa = arrow()
    texts = [f"{i} is a text of some length" if i % 2 else str(i) for i in range(50)]
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        for begin, size in ((0, 50), (1, 49), (17, 3), (49, 1), (50, 0)):
            array = pa.array(texts, kind).slice(begin, size)
            assert strings(array, 7) == texts[begin : begin + size]


def test_series_of_polars_and_pandas_are_looked_at_as_arrow() -> None:
    arrow()
    texts = [*TEXTS, "a text that is longer than a view"]
    polars = pytest.importorskip("polars", reason="its series need polars")
    assert all(isinstance(c, ViewTexts) for c in chunks_of(polars.Series(texts), 3))
    assert strings(polars.Series(texts)) == texts
    pandas = pytest.importorskip("pandas", reason="its series need pandas")
    for dtype in ("string[pyarrow]", object):
        series = pandas.Series(texts, dtype=dtype)
        assert strings(series) == texts
        assert strings(series[3:]) == texts[3:]
    column = pandas.Series(texts, dtype="string[pyarrow]")
    assert all(isinstance(c, Utf8Texts | ViewTexts) for c in chunks_of(column, 3))


def test_arrow_nulls_are_named_by_their_place() -> None:
    pa = arrow()
    array = pa.chunked_array([["a", "b"], ["c", None, None]])
    with pytest.raises(ValueError, match=r"text 3 is null \(2 nulls in all\)"):
        list(chunks_of(array, 10))
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", None]))
    with pytest.raises(ValueError, match="text 1 is null"):
        list(chunks_of(codes, 10))


def test_arrow_columns_of_other_things_are_refused() -> None:
    pa = arrow()
    with pytest.raises(TypeError, match="Arrow array of int64"):
        list(chunks_of(pa.array([1]), 10))
    with pytest.raises(TypeError, match="Arrow array of binary"):
        list(chunks_of(pa.array([b"x"]), 10))
    for whole in (pa.table({"text": ["a"]}), pa.record_batch({"text": ["a"]}), pa.scalar("a")):
        with pytest.raises(TypeError, match=r"expected a column: use table\['text'\]"):
            list(chunks_of(whole, 10))
