"""The last touch to a fitted table, against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from vecsmith.distillation.regression.finishing import finish, text_shares
from vecsmith.distillation.teacher_pass import Shard


def shard_of(*texts: list[int]) -> Shard:
    offsets = np.cumsum([0, *map(len, texts)])
    return Shard(
        vectors=np.zeros((len(texts), 2), dtype=np.float16),
        ids=np.array([i for text in texts for i in text], dtype=np.uint32),
        offsets=offsets.astype(np.int64),
    )


def test_the_shares_times_a_table_are_the_mean_of_the_vectors_of_texts() -> None:
    dice = np.random.default_rng(0)
    texts = [dice.integers(0, 9, n).tolist() for n in (3, 1, 0, 7, 2)]
    table = dice.standard_normal((9, 4))
    expected = np.mean([table[text].mean(axis=0) for text in texts if text], axis=0)
    shares = text_shares(iter([shard_of(*texts[:2]), shard_of(*texts[2:])]), 9)
    np.testing.assert_allclose(shares @ table, expected, rtol=1e-12)
    assert shares.sum() == pytest.approx(1.0)


def test_a_shift_adds_the_mean_text_to_every_text() -> None:
    dice = np.random.default_rng(1)
    table = dice.standard_normal((9, 4)).astype(np.float32)
    texts = shard_of([0, 1, 2], [3, 3], [8])
    shares = text_shares(iter([texts]), 9)
    finished = finish(table, shares, power=1.0, shift=1.5)
    for text in ([0, 1, 2], [5, 6]):
        np.testing.assert_allclose(
            finished[text].mean(axis=0),
            table[text].mean(axis=0) + 1.5 * (shares @ table),
            rtol=1e-5,
            atol=1e-6,
        )


def test_a_power_pulls_large_numbers_in_and_keeps_signs_and_size() -> None:
    table = np.array([[4.0, -1.0], [0.0, 16.0]], dtype=np.float32)
    finished = finish(table, np.zeros(2), power=0.5, shift=0.0)
    scale = np.sqrt(np.square(table).mean() / np.mean([4.0, 1.0, 0.0, 16.0]))
    np.testing.assert_allclose(finished, scale * np.array([[2, -1], [0, 4]]), rtol=1e-6)


def test_power_1_and_no_shift_change_nothing() -> None:
    table = np.random.default_rng(2).standard_normal((5, 3)).astype(np.float32)
    assert finish(table, np.full(5, 0.2), power=1.0, shift=0.0).tobytes() == table.tobytes()


def test_a_table_of_zeros_stays_so() -> None:
    zeros = np.zeros((4, 2), dtype=np.float32)
    assert not finish(zeros, np.full(4, 0.25), power=0.7, shift=1.0).any()
