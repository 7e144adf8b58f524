"""What is drawn is drawn alike everywhere, evenly, and each label with its share."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.evaluation.tasks import drawing
from vecsmith.evaluation.tasks.drawing import codes_of, draw, stratified_draw

LABELS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=200)


@given(LABELS, st.integers(0, 250), st.integers(0, 3))
def test_a_stratified_draw_gives_each_label_its_share_to_the_nearest(
    labels: list[str], n_drawn: int, seed: int
) -> None:
    drawn = stratified_draw(codes_of(labels), n_drawn, seed)
    assert len(drawn) == min(n_drawn, len(labels))
    assert (np.diff(drawn) > 0).all()
    for label, count in Counter(labels).items():
        exact = count * min(1.0, n_drawn / len(labels))
        assert abs(sum(labels[place] == label for place in drawn) - exact) < 1


@given(LABELS, st.integers(0, 250), st.integers(1, 3))
def test_no_label_is_left_out_where_each_must_have_some(
    labels: list[str], n_drawn: int, at_least: int
) -> None:
    drawn = stratified_draw(codes_of(labels), n_drawn, at_least=at_least)
    counts = Counter(labels)
    least = {label: min(count, at_least) for label, count in counts.items()}
    found = Counter(labels[place] for place in drawn)
    assert all(found[label] >= least[label] for label in counts)
    assert len(set(drawn.tolist())) == len(drawn)
    assert len(drawn) == max(min(n_drawn, len(labels)), sum(least.values()))


def test_draws_never_change() -> None:
    assert draw(20, 5).tolist() == [3, 4, 5, 6, 15]
    codes = codes_of("aabbbbbbbb")
    assert stratified_draw(codes, 5).tolist() == [0, 3, 4, 5, 6]
    assert stratified_draw(codes, 5, 1).tolist() == [0, 2, 3, 5, 7]
    assert stratified_draw(codes, 5, 2).tolist() == [1, 4, 5, 6, 9]


def test_the_numbers_are_those_of_splitmix64() -> None:
    # the first outputs of the reference implementation for the state 1234567
    places = np.arange(1, 4, dtype=np.uint64) * np.uint64(drawing._STEP) + np.uint64(1234567)
    assert drawing._mixed(places).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_draws_are_even() -> None:
    chosen = np.bincount(draw(100_000, 10_000) // 1000, minlength=100)
    assert chosen.std() < 1.3 * (100 * 0.9) ** 0.5  # about that of a binomial
    assert chosen.mean() == 100


def test_draws_of_different_seeds_share_no_more_than_chance() -> None:
    codes = np.arange(20_000) % 4
    first, second = (set(stratified_draw(codes, 2000, seed).tolist()) for seed in (0, 1))
    assert len(first & second) == pytest.approx(200, abs=4 * (200 * 0.9) ** 0.5)


def test_labels_are_numbered_in_order() -> None:
    assert codes_of(["b", "c", "a", "b"]).tolist() == [1, 2, 0, 1]
