"""Bags of token ids and the keys of their texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.training.bag import Bag, TextKeys, offsets_of

N_IDS = 50
texts_of_ids = st.lists(st.lists(st.integers(0, N_IDS - 1), max_size=6), max_size=12)


def bag_of(texts: list[list[int]]) -> Bag:
    ids = np.array([i for text in texts for i in text], dtype=np.uint32)
    return Bag(ids, offsets_of([len(text) for text in texts]))


def lists_of(bag: Bag) -> list[list[int]]:
    return [part.tolist() for part in np.split(bag.ids, bag.offsets[1:-1])] if len(bag) else []


def mixed_by_hand(number: int) -> int:
    """splitmix64 in whole numbers of any size."""
    z = number * 0x9E3779B97F4A7C15 % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def key_by_hand(text: list[int]) -> int:
    terms = (mixed_by_hand(t + 1) * 6364136223846793005**i for i, t in enumerate(text))
    return mixed_by_hand(sum(terms) % 2**64) if text else 0


@given(texts_of_ids)
def test_a_key_is_the_polynomial_it_is_said_to_be(texts: list[list[int]]) -> None:
    keys = TextKeys(N_IDS).of(bag_of(texts))
    assert keys.tolist() == [key_by_hand(text) for text in texts]


def test_the_mixing_function_is_splitmix64() -> None:
    # first numbers of the reference implementation (Vigna, splitmix64.c) from seed 0
    assert mixed_by_hand(1) == 0xE220A8397B1DCDAF
    assert mixed_by_hand(2) == 0x6E789E6AA1B965F4


def test_a_key_depends_neither_on_the_text_before_nor_on_how_long_it_is() -> None:
    long = list(range(N_IDS)) * 3000  # more tokens than are hashed at a time
    texts = [[1, 2, 3], [], long, [1, 2, 3], long, [4]]
    keys = TextKeys(N_IDS).of(bag_of(texts))
    alone = [int(TextKeys(N_IDS).of(bag_of([text]))[0]) for text in texts]
    assert keys.tolist() == alone
    assert keys[0] == keys[3]
    assert keys[2] == keys[4]
    assert keys[1] == 0


def test_texts_as_alike_as_they_can_be_have_different_keys() -> None:
    # all 230,763 texts of one to three of 61 tokens
    lengths = np.concatenate([np.full(61**n, n) for n in range(1, 4)])
    digits = [np.arange(61**n)[:, None] // 61 ** np.arange(n) % 61 for n in range(1, 4)]
    ids = np.concatenate([part.ravel() for part in digits]).astype(np.uint32)
    keys = TextKeys(61).of(Bag(ids, offsets_of(lengths)))
    assert len(np.unique(keys)) == len(keys) == 230_763
    # and are spread evenly: of 64 bits each is set in half of them, give or take 5 sigma
    n_set = np.unpackbits(keys.view(np.uint8).reshape(-1, 8), axis=1).sum(axis=0)
    assert (abs(n_set - len(keys) / 2) < 5 * np.sqrt(len(keys)) / 2).all()


def test_the_same_tokens_in_another_order_are_another_text() -> None:
    keys = TextKeys(N_IDS).of(bag_of([[1, 2, 3], [3, 2, 1], [2, 1, 3]]))
    assert len(set(keys.tolist())) == 3


@given(texts_of_ids, st.integers(0, N_IDS - 1))
def test_leaving_out_a_token_is_leaving_it_out_of_each_list(
    texts: list[list[int]], dropped: int
) -> None:
    left = bag_of(texts).without(dropped)
    assert lists_of(left) == [[i for i in text if i != dropped] for text in texts]
    assert bag_of(texts).without(None).ids is not None


@given(texts_of_ids, st.data())
def test_chosen_texts_are_those_of_the_mask(texts: list[list[int]], draw: st.DataObject) -> None:
    mask = draw.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    chosen = bag_of(texts).chosen(np.array(mask, dtype=np.bool_))
    assert lists_of(chosen) == [text for text, kept in zip(texts, mask, strict=True) if kept]


@pytest.mark.parametrize("lengths", [[], [0], [3, 0, 2]])
def test_offsets_are_running_sums(lengths: list[int]) -> None:
    assert offsets_of(lengths).tolist() == [sum(lengths[:i]) for i in range(len(lengths) + 1)]
