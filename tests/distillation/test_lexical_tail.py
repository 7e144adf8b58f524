"""The lexical tail against bags of tokens in float64, and what it leaves as it was."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.distillation.lexical_tail import lexical_tail, random_signs

Wide = NDArray[np.float64]
N_TOKENS, DIM = 40, 6


def made_table(seed: int = 1) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    sizes = random.uniform(0.2, 3.0, (N_TOKENS, 1))
    return (random.standard_normal((N_TOKENS, DIM)) * sizes).astype(np.float32)


def two_texts() -> tuple[Wide, Wide]:
    """Counts of the tokens of two texts that share some."""
    left, right = np.zeros(N_TOKENS), np.zeros(N_TOKENS)
    left[[1, 2, 3, 5, 8, 13]] = [1, 2, 1, 1, 3, 1]
    right[[2, 3, 8, 21, 34]] = [1, 1, 1, 2, 1]
    return left, right


def test_dot_products_of_tails_have_the_mean_and_the_variance_of_the_bag_of_tokens() -> None:
    table, dims, scale, n_seeds = made_table(), 16, 0.7, 4000
    left, right = two_texts()
    weights = scale * np.linalg.norm(table.astype(np.float64), axis=1)
    x, y = left / left.sum() * weights, right / right.sum() * weights
    mean = x @ y
    variance = ((x @ x) * (y @ y) + mean**2 - 2 * (x**2) @ (y**2)) / dims
    dots = np.empty(n_seeds)
    for seed in range(n_seeds):
        tails = lexical_tail(table, dims, scale=scale, seed=seed)[:, DIM:].astype(np.float64)
        dots[seed] = (left @ tails / left.sum()) @ (right @ tails / right.sum())
    assert abs(dots.mean() - mean) < 4 * np.sqrt(variance / n_seeds)
    fourth = np.mean((dots - dots.mean()) ** 4)
    spread = np.sqrt((fourth - variance**2) / n_seeds)
    assert abs(dots.var() - variance) < 4 * spread
    assert spread < 0.05 * variance  # or the comparison would say nothing


def test_one_tail_serves_many_texts_as_well_as_the_variance_says() -> None:
    random = np.random.default_rng(7)
    table = random.standard_normal((3000, 8)).astype(np.float32)
    counts = random.poisson(0.004, (200, 3000)).astype(np.float64) + np.eye(200, 3000)
    bags = counts / counts.sum(axis=1, keepdims=True)
    weighted = bags * 0.5 * np.linalg.norm(table.astype(np.float64), axis=1)
    tails = bags @ lexical_tail(table, 256)[:, 8:].astype(np.float64)
    upper = np.triu_indices(200, k=1)
    errors = (tails @ tails.T - weighted @ weighted.T)[upper]
    sizes = np.square(weighted).sum(axis=1)
    products = (weighted @ weighted.T) ** 2
    expected = (np.outer(sizes, sizes) + products - 2 * (weighted**2) @ (weighted**2).T) / 256
    ratio = np.mean(errors**2 / expected[upper])
    assert 0.9 < ratio < 1.1


def test_rows_before_the_tail_are_the_tables_and_the_tail_has_its_share_of_their_length() -> None:
    table = made_table()
    table[7] = 0
    longer = lexical_tail(table, 100, scale=0.25)
    assert longer.shape == (N_TOKENS, DIM + 100)
    assert longer.dtype == np.float32
    np.testing.assert_array_equal(longer[:, :DIM], table)
    lengths = np.linalg.norm(longer[:, DIM:].astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 0.25 * np.linalg.norm(table.astype(np.float64), axis=1))
    assert not longer[7].any()


def test_a_tokens_vector_depends_on_the_seed_and_its_id_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = made_table()
    whole = lexical_tail(table, 70, seed=3)
    np.testing.assert_array_equal(lexical_tail(table[:9], 70, seed=3), whole[:9])
    monkeypatch.setattr("vecsmith.distillation.lexical_tail._BLOCK", 7)
    np.testing.assert_array_equal(lexical_tail(table, 70, seed=3), whole)
    assert (np.sign(lexical_tail(table, 70, seed=4)) != np.sign(whole)).any()
    fewer = np.sign(lexical_tail(table, 30, seed=3)[:, DIM:])
    np.testing.assert_array_equal(fewer, np.sign(whole[:, DIM : DIM + 30]))


def test_the_signs_are_those_of_splitmix64() -> None:
    wrap, golden = 2**64 - 1, 0x9E3779B97F4A7C15

    def mixed(word: int) -> int:
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & wrap
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB & wrap
        return word ^ (word >> 31)

    assert mixed(golden) == 0xE220A8397B1DCDAF  # the first output of splitmix64 from 0
    for token, seed in ((0, 0), (29_524, 5), (2**31, 2**64 - 1)):
        state = mixed(mixed(seed + golden & wrap) + token * golden & wrap)
        words = [mixed(state + (i + 1) * golden & wrap) for i in range(2)]
        expected = [1 if words[j // 64] >> j % 64 & 1 else -1 for j in range(128)]
        found = random_signs(np.array([token], dtype=np.uint64), 128, seed)
        np.testing.assert_array_equal(found[0], expected)


@pytest.mark.parametrize("seed", [0, 1])
def test_signs_are_balanced_and_tokens_and_dimensions_unrelated(seed: int) -> None:
    signs = random_signs(np.arange(4096, dtype=np.uint64), 256, seed).astype(np.float64)
    for gram, n in ((signs @ signs.T, 256), (signs.T @ signs, 4096)):
        off = gram[np.triu_indices(len(gram), k=1)]
        assert abs(off.mean()) < 5 * np.sqrt(n / len(off))
        assert 0.97 < off.var() / n < 1.03
        assert np.abs(off).max() < 7 * np.sqrt(n)
    assert abs(signs.mean()) < 5 / np.sqrt(signs.size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": 0}, "a tail of 0 dimensions"),
        ({"dims": 4, "scale": 0.0}, r"scale 0\.0"),
        ({"dims": 4, "scale": float("nan")}, "scale nan"),
        ({"dims": 4, "seed": -1}, "seed -1"),
    ],
)
def test_tails_that_make_no_sense_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lexical_tail(made_table(), **options)  # type: ignore[arg-type]
