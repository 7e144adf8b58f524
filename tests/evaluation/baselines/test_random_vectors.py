"""Random vectors: the floor of every comparison."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from vecsmith._typing import Encoder
from vecsmith.evaluation.baselines import RandomVectors

TEXTS = [f"text {i}" for i in range(4000)]


def vector_by_hand(text: str, dim: int, seed: int) -> list[float]:
    """The definition in Python's own integers."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8, key=str(seed).encode())
    key = int.from_bytes(digest.digest(), "little")
    numbers = []
    for place in range(1, dim + 1):
        state = (key + place * 0x9E3779B97F4A7C15) % 2**64
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
        state ^= state >> 31
        numbers.append(sum(state.to_bytes(8, "little")) - 1020)
    length = math.sqrt(sum(number**2 for number in numbers))
    return [number / length for number in numbers]


@pytest.mark.parametrize("text", ["", "the cat", "고양이", "a" * 1000])
@pytest.mark.parametrize(("dim", "seed"), [(1, 0), (7, 3), (256, 0), (1024, 12345678901)])
def test_a_vector_is_its_definition_to_the_last_bit(text: str, dim: int, seed: int) -> None:
    expected = np.array(vector_by_hand(text, dim, seed), dtype=np.float32)
    assert np.array_equal(RandomVectors(dim, seed).encode([text])[0], expected)


def test_splitmix_is_the_published_one() -> None:
    # The first outputs of SplitMix64 for seed 1234567, as its reference implementation gives them.
    from vecsmith.evaluation.baselines.random_vectors import _STEP, _mixed

    states = np.uint64(1234567) + np.arange(1, 4, dtype=np.uint64) * _STEP
    assert _mixed(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_equal_texts_have_equal_vectors_wherever_they_stand() -> None:
    encoder = RandomVectors(64)
    vectors = encoder.encode(TEXTS)
    shuffled = np.random.default_rng(0).permutation(len(TEXTS))
    assert np.array_equal(encoder.encode([TEXTS[i] for i in shuffled]), vectors[shuffled])
    assert np.array_equal(encoder.encode(TEXTS[5]), vectors[5])


def test_different_texts_and_seeds_have_unrelated_vectors() -> None:
    vectors = RandomVectors(256).encode(TEXTS).astype(np.float64)
    others = RandomVectors(256, seed=1).encode(TEXTS).astype(np.float64)
    cosines = vectors[:2000] @ vectors[2000:].T
    # independent directions: mean 0, variance 1 / D
    assert abs(cosines.mean()) < 5 / 16 / 2000
    assert abs(cosines.std() * 16 - 1) < 0.01
    assert abs((vectors * others).sum(axis=1).mean()) < 5 / 16 / math.sqrt(len(TEXTS))


def test_vectors_have_unit_length_at_any_dim() -> None:
    for dim in (1, 2, 16, 100_000):
        lengths = np.linalg.norm(RandomVectors(dim).encode(TEXTS[:100]).astype("f8"), axis=1)
        assert np.allclose(lengths, 1, atol=1e-6)


def test_fewer_dims_are_the_prefix_at_unit_length() -> None:
    prefix = RandomVectors(256).encode(TEXTS)[:, :32]
    prefix = prefix / np.linalg.norm(prefix, axis=1, keepdims=True)
    assert np.allclose(RandomVectors(32).encode(TEXTS), prefix, atol=1e-6)


def test_a_fingerprint_tells_dim_and_seed_apart() -> None:
    prints = {RandomVectors(dim, seed).fingerprint for dim in (8, 16) for seed in (0, 1)}
    assert len(prints) == 4
    assert RandomVectors(8).fingerprint == RandomVectors(8, 0).fingerprint
    assert isinstance(RandomVectors(8), Encoder)


def test_odd_texts_are_no_trouble() -> None:
    vectors = RandomVectors(8).encode(["\ud800", "\x00", ""])
    assert np.isfinite(vectors).all()
    assert RandomVectors(8).encode([]).shape == (0, 8)
    with pytest.raises(ValueError, match="dim is 0, expected at least 1"):
        RandomVectors(0)
