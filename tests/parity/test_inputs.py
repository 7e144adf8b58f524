"""Every kind of input and output gives the one result, and mistakes are named."""

from __future__ import annotations

import re
from collections import UserList
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.parity import hostile_text as hostile
from tests.parity.vectors import VectorCase, case_checkpoint
from vecsmith.model import StaticModel

DIM = 100


@pytest.fixture(scope="module")
def model() -> StaticModel:
    return StaticModel(case_checkpoint(VectorCase(dim=DIM)))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    # numpy's fixed-width strings lose trailing NULs, which is numpy's doing
    return [text.rstrip("\x00") for text in hostile.generated_texts(seed=2, count=500)]


class Shout(str):
    """A str that would upper-case itself if it were asked."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


def test_a_str_gives_a_vector_and_a_list_gives_rows(model: StaticModel) -> None:
    assert model.encode("one text").shape == (DIM,)
    assert model.encode(["one text"]).shape == (1, DIM)
    np.testing.assert_array_equal(model.encode("one text"), model.encode(["one text"])[0])


@pytest.mark.parametrize(
    "empty",
    [[], (), np.array([], dtype="U1"), iter(())],
    ids=["a list", "a tuple", "an array", "an iterator"],
)
def test_no_texts_give_no_rows(model: StaticModel, empty: Any) -> None:
    assert model.encode(empty).shape == (0, DIM)
    assert model.encode([], truncate_dim=8).shape == (0, 8)


def test_iterables_of_str_give_what_a_list_gives(model: StaticModel, texts: list[str]) -> None:
    expected = model.encode(texts)

    def one_at_a_time() -> Iterator[str]:
        yield from texts

    for same in (
        tuple(texts),
        one_at_a_time(),
        dict.fromkeys(texts) and map(str, texts),
        UserList(texts),
        np.array(texts),
        np.array(texts, dtype=object),
        np.array(texts, dtype=np.dtypes.StringDType()),
        [Shout(text) for text in texts],
        [np.str_(text) for text in texts],
    ):
        np.testing.assert_array_equal(model.encode(same), expected)


def test_strided_and_sliced_numpy_arrays_give_what_a_list_gives(
    model: StaticModel, texts: list[str]
) -> None:
    for array in (np.array(texts), np.array(texts, dtype=object)):
        np.testing.assert_array_equal(model.encode(array[5:400:3]), model.encode(texts[5:400:3]))
        np.testing.assert_array_equal(model.encode(array[::-1]), model.encode(texts[::-1]))


def test_arrow_arrays_give_what_a_list_gives(model: StaticModel, texts: list[str]) -> None:
    arrow = pytest.importorskip("pyarrow")
    expected = model.encode(texts)
    kinds = [arrow.string(), arrow.large_string(), arrow.string_view()]
    for kind in kinds:
        array = arrow.array(texts, type=kind)
        np.testing.assert_array_equal(model.encode(array), expected)
        np.testing.assert_array_equal(model.encode(array[7:99]), expected[7:99])
        np.testing.assert_array_equal(model.encode(array[:0]), expected[:0])
        chunked = arrow.chunked_array([array[:3], array[3:3], array[3:]])
        np.testing.assert_array_equal(model.encode(chunked), expected)
    column = arrow.table({"text": texts}).column("text")
    np.testing.assert_array_equal(model.encode(column), expected)
    encoded = arrow.array(texts).dictionary_encode()
    np.testing.assert_array_equal(model.encode(encoded), expected)


def test_a_null_in_an_arrow_array_is_named(model: StaticModel) -> None:
    arrow = pytest.importorskip("pyarrow")
    for kind in (arrow.string(), arrow.large_string()):
        array = arrow.array(["a", "b", None, "d"], type=kind)
        with pytest.raises((TypeError, ValueError), match=r"(?i)2|null|none"):
            model.encode(array)


@pytest.mark.parametrize("wrong", [None, 3, 2.5, b"bytes", ["nested"], np.nan])
@pytest.mark.parametrize("position", [0, 5])
def test_what_is_not_a_str_is_named_with_its_place_and_type(
    model: StaticModel, wrong: Any, position: int
) -> None:
    texts: list[Any] = ["text"] * 8
    texts[position] = wrong
    pattern = rf"(?s)(?=.*\b{position}\b)(?=.*{re.escape(type(wrong).__name__)})"
    with pytest.raises(TypeError, match=pattern):
        model.encode(texts)
    with pytest.raises(TypeError, match=pattern):
        model.encode(iter(texts))
    with pytest.raises(TypeError, match=pattern):
        model.encode(np.array([*texts, object()], dtype=object)[:-1])


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", {"a": 1}.keys, object()])
def test_what_is_no_collection_of_str_is_refused(model: StaticModel, wrong: Any) -> None:
    with pytest.raises(TypeError):
        model.encode(wrong)


def test_numbers_and_bytes_in_arrays_are_refused(model: StaticModel) -> None:
    for wrong in (np.arange(3), np.array([b"a", b"b"]), np.array([["a"], ["b"]])):
        with pytest.raises((TypeError, ValueError)):
            model.encode(wrong)


def test_lone_surrogates_count_as_replacement_characters(model: StaticModel) -> None:
    for text in ("\ud800", "a\udfffb", "\udc80 the \ud83d", "x" * 99 + "\ud800"):
        replaced = re.sub("[\ud800-\udfff]", "\ufffd", text)
        np.testing.assert_array_equal(model.encode(text), model.encode(replaced))
        np.testing.assert_array_equal(model.encode(["q", text])[1], model.encode(replaced))
        assert model.tokenize([text]) == model.tokenize([replaced])
        assert model.tokenizer.encode(text).ids == model.tokenizer.encode(replaced).ids


def test_nul_and_empty_texts_are_zero_vectors(model: StaticModel) -> None:
    found = model.encode(["", " ", "\x00", "\x00" * 100, "\n\t\r", "\u200b", "\u0301"])
    assert not found.any()


def test_a_million_empty_texts_are_a_million_zero_rows(model: StaticModel) -> None:
    found = model.encode([""] * 1_000_000, truncate_dim=4)
    assert found.shape == (1_000_000, 4)
    assert not found.any()


def test_a_text_of_a_hundred_megabytes_is_encoded(model: StaticModel) -> None:
    text = "the cat sat on the mat " * 4_500_000
    short = model.encode("the cat sat on the mat")
    found = model.encode([text, "", text[:0], "the cat sat on the mat"])
    # rows are added one by one in single precision, as numpy does: over 27 million it drifts
    assert float(found[0] @ short) > 0.95
    assert not found[1:3].any()
    np.testing.assert_array_equal(found[3], short)
    n_tokens = len(model.tokenize(["the cat sat on the mat"])[0])
    np.testing.assert_array_equal(model.encode(text, max_length=n_tokens), short)


@pytest.mark.parametrize("character", ["a", "\u00e9", "\u0301", "\x00", "\U0001f600", "."])
def test_twenty_megabytes_without_a_place_to_cut_are_encoded(
    model: StaticModel, character: str
) -> None:
    found = model.encode([character * (20_000_000 // len(character.encode())), "the"])
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[1], model.encode("the"))


# ---- out= --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_out_is_filled_and_given_back(model: StaticModel, texts: list[str], dtype: Any) -> None:
    out = np.full((len(texts), DIM), 99, dtype=dtype)
    assert model.encode(texts, out=out, dtype=dtype) is out
    np.testing.assert_array_equal(out, model.encode(texts, dtype=dtype))


def test_out_may_be_a_row_range_of_a_larger_array(model: StaticModel, texts: list[str]) -> None:
    large = np.zeros((len(texts) + 10, DIM), dtype=np.float32)
    model.encode(texts, out=large[5:-5])
    np.testing.assert_array_equal(large[5:-5], model.encode(texts))
    assert not large[:5].any()
    assert not large[-5:].any()


def test_an_out_of_another_shape_dtype_or_layout_is_refused(model: StaticModel) -> None:
    texts = ["a", "b", "c"]
    readonly = np.zeros((3, DIM), dtype=np.float32)
    readonly.flags.writeable = False
    wrong: list[Any] = [
        np.zeros((2, DIM), dtype=np.float32),
        np.zeros((3, DIM + 1), dtype=np.float32),
        np.zeros(3 * DIM, dtype=np.float32),
        np.zeros((3, DIM), dtype=np.float64),
        np.zeros((3, DIM), dtype=np.float16),
        np.zeros((3, DIM), dtype=">f4"),
        np.zeros((DIM, 3), dtype=np.float32).T,
        np.zeros((6, DIM), dtype=np.float32)[::2],
        np.zeros((3, 2 * DIM), dtype=np.float32)[:, ::2],
        readonly,
        [[0.0] * DIM] * 3,
        "out",
    ]
    for out in wrong:
        with pytest.raises((TypeError, ValueError), match=r"out|shape|dtype|writ|contig|order"):
            model.encode(texts, out=out)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": -1},
        {"max_length": -1},
        {"max_length": 2.5},
        {"truncate_dim": 0},
        {"truncate_dim": -3},
        {"truncate_dim": DIM + 1},
        {"n_threads": -1},
        {"dtype": "float8"},
        {"nonsense": True},
    ],
    ids=repr,
)
def test_a_senseless_option_is_refused(model: StaticModel, options: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        model.encode(["text"], **options)


def test_a_prefix_is_cut_before_it_is_scaled(model: StaticModel, texts: list[str]) -> None:
    whole = model.encode(texts, normalize=False)
    for prefix in (1, 5, 64, DIM):
        plain = model.encode(texts, normalize=False, truncate_dim=prefix)
        np.testing.assert_array_equal(plain, whole[:, :prefix])
        lengths = np.linalg.norm(model.encode(texts, truncate_dim=prefix), axis=1)
        assert np.all((np.abs(lengths - 1) < 1e-5) | (lengths == 0))


def test_tokenize_gives_the_unknown_token_too(model: StaticModel) -> None:
    unk_id = model.tokenizer.unk_id
    assert unk_id is not None
    assert model.tokenize(["a " + "\u4dff" * 3]) == [[*model.tokenize(["a"])[0], unk_id]]
    assert model.tokenize([]) == []
    assert model.tokenize(["a b c d"], max_length=2) == [model.tokenize(["a b"])[0]]
