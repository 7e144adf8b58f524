"""The regression against dense algebra in float64, step by step as its formulas say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.sparse.linalg
from numpy.typing import NDArray

from vecsmith._directions import principal_directions
from vecsmith._typing import FloatArray
from vecsmith.distillation.regression import (
    CountRows,
    RegressionSettings,
    count_rows,
    fit_table,
    gather,
)
from vecsmith.distillation.regression.prior import mix_states, weigh_rows
from vecsmith.distillation.regression.ridge import penalties, solve_ridge
from vecsmith.distillation.regression.whitening import whitening
from vecsmith.distillation.teacher_pass import Shard

N_TOKENS, DIM = 40, 12
Wide = NDArray[np.float64]


@dataclass
class Texts:
    """Made texts with made vectors, in shards."""

    sums: FloatArray
    counts: NDArray[np.int64]
    lists: list[NDArray[np.uint32]]
    vectors: NDArray[np.float16]
    shard_texts: int = 50

    def shards(self) -> Iterator[Shard]:
        for start in range(0, len(self.lists), self.shard_texts):
            some = self.lists[start : start + self.shard_texts]
            offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in some])]).astype(np.int64)
            yield Shard(
                vectors=self.vectors[start : start + self.shard_texts],
                ids=np.concatenate(some),
                offsets=offsets,
            )

    def token_lists(self) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.int64]]]:
        return ((shard.ids, shard.offsets) for shard in self.shards())

    def dense(self, power: float = 0.7) -> Wide:
        rows = np.zeros((len(self.lists), N_TOKENS))
        for row, ids in zip(rows, self.lists, strict=True):
            np.add.at(row, ids, 1.0)
            row /= max(1, len(ids)) ** power
        return rows


def made_texts(n_texts: int = 220) -> Texts:
    """Frequent and rare tokens, one never seen, repeated ones, and a text without tokens."""
    random = np.random.default_rng(5)
    shares = 1 / np.arange(1, N_TOKENS)
    lists = [
        random.choice(N_TOKENS - 1, size=random.integers(1, 12), p=shares / shares.sum())
        for _ in range(n_texts)
    ]
    lists[7] = np.empty(0, dtype=np.int64)
    meanings = random.standard_normal((N_TOKENS, DIM)) + 0.5
    vectors = np.stack([meanings[ids].sum(axis=0) for ids in lists])
    vectors += 0.3 * random.standard_normal(vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    counts = np.bincount(np.concatenate(lists), minlength=N_TOKENS)
    sums = meanings * counts[:, None] + random.standard_normal(meanings.shape)
    sums[counts == 0] = 0
    return Texts(
        sums=sums.astype(np.float32),
        counts=counts,
        lists=[ids.astype(np.uint32) for ids in lists],
        vectors=vectors.astype(np.float16),
    )


def made_isolated() -> FloatArray:
    found = np.random.default_rng(8).standard_normal((N_TOKENS, DIM)).astype(np.float32)
    return found


def plain_prior(texts: Texts, isolated: FloatArray) -> Wide:
    """The prior as its formulas say, token by token."""
    sums, counts, alone = texts.sums.astype(float), texts.counts, isolated.astype(float)
    common = [t for t in range(N_TOKENS) if counts[t] > 20]
    scale = np.mean([np.linalg.norm(sums[t] / counts[t]) for t in common]) / np.mean(
        [np.linalg.norm(row) for row in alone]
    )
    probability = (counts + 1) / (counts.sum() + N_TOKENS)
    rows = [
        1e-3 / (1e-3 + probability[t]) * (sums[t] + 5 * scale * alone[t]) / (counts[t] + 5)
        for t in range(N_TOKENS)
    ]
    return np.stack(rows)


def plain_fit(texts: Texts, isolated: FloatArray, dim: int) -> Wide:
    """The minimum itself, by a dense solver."""
    rows, targets = texts.dense(), texts.vectors.astype(float)
    directions = np.linalg.svd(targets, full_matrices=False)[2].T
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(DIM)]
    directions = (directions * np.sign(largest))[:, :dim]
    wanted = targets @ directions
    prior = plain_prior(texts, isolated) @ directions
    reached = rows @ prior
    prior = prior * (reached * wanted).sum() / (reached * reached).sum()
    lam = 0.1 + 0.1 * np.sqrt((rows**2).sum(axis=0))
    solved: Wide = np.linalg.solve(
        rows.T @ rows + np.diag(lam), rows.T @ wanted + lam[:, None] * prior
    )
    return solved


def test_the_fitted_table_is_the_minimum_that_a_dense_solver_finds() -> None:
    texts, isolated = made_texts(), made_isolated()
    fit = fit_table(texts, isolated, 6, RegressionSettings(n_steps=60))
    np.testing.assert_allclose(fit.table, plain_fit(texts, isolated, 6), atol=2e-5)
    assert fit.residuals[-1] < 1e-5


def test_without_steps_the_table_is_the_scaled_prior() -> None:
    texts, isolated = made_texts(), made_isolated()
    prior, rows, targets = plain_prior(texts, isolated), texts.dense(), texts.vectors.astype(float)
    reached = rows @ prior
    scale = (reached * targets).sum() / (reached * reached).sum()
    found = fit_table(texts, isolated, None, RegressionSettings(n_steps=0)).table
    np.testing.assert_allclose(found, scale * prior, rtol=1e-4, atol=1e-6)


def test_each_column_goes_the_way_of_scipys_conjugate_gradients() -> None:
    texts = made_texts()
    rows = texts.dense()
    random = np.random.default_rng(2)
    prior = random.standard_normal((N_TOKENS, 5)).astype(np.float32)
    wanted = random.standard_normal((len(rows), 5))
    sparse = CountRows(texts.token_lists, N_TOKENS, length_power=0.7)
    lam = penalties(sparse.column_squares, ridge=0.1, growth=0.1)
    found, _ = solve_ridge(
        sparse.gram,
        (rows.T @ wanted).astype(np.float32),
        prior,
        lam,
        sparse.column_squares,
        n_steps=4,
    )
    matrix = rows.T @ rows + np.diag(lam)
    jacobi = np.diag(1 / np.diag(matrix))
    for k in range(5):
        right = rows.T @ (wanted[:, k] - rows @ prior[:, k])
        moved, _ = scipy.sparse.linalg.cg(matrix, right, rtol=0, maxiter=4, M=jacobi)
        np.testing.assert_allclose(found[:, k], prior[:, k] + moved, atol=2e-5)


def test_a_solved_column_stays_where_it_is() -> None:
    texts = made_texts()
    sparse = CountRows(texts.token_lists, N_TOKENS, length_power=0.7)
    prior = np.zeros((N_TOKENS, 2), dtype=np.float32)
    lam = penalties(sparse.column_squares, ridge=0.1, growth=0.1)
    found, residuals = solve_ridge(
        sparse.gram, np.zeros_like(prior), prior, lam, sparse.column_squares, n_steps=3
    )
    assert not found.any()
    assert residuals == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("power", [0.0, 0.7, 1.0])
def test_rows_are_counts_over_a_power_of_the_length(power: float) -> None:
    texts = made_texts()
    rows = CountRows(texts.token_lists, N_TOKENS, length_power=power)
    found = np.concatenate([group.toarray() for group in rows.groups()])
    np.testing.assert_allclose(found, texts.dense(power), rtol=1e-6)
    np.testing.assert_allclose(
        rows.column_squares, (texts.dense(power) ** 2).sum(axis=0), rtol=1e-6
    )
    assert rows.n_texts == len(texts.lists)


def test_a_product_is_the_same_for_any_number_of_threads_and_any_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = made_texts()
    table = np.random.default_rng(1).standard_normal((N_TOKENS, 150)).astype(np.float32)
    monkeypatch.setattr(count_rows, "_GROUP_TOKENS", 500)
    first, *others = (
        CountRows(
            texts.token_lists, N_TOKENS, length_power=0.7, threads=threads, kept_bytes=kept
        ).gram(table)
        for threads, kept in [(1, 2**30), (3, 2**30), (2, 0), (2, 5000)]
    )
    dense = texts.dense()
    np.testing.assert_allclose(first, dense.T @ (dense @ table), atol=1e-3)
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_the_normal_equations_are_those_of_the_dense_matrix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = made_texts()
    monkeypatch.setattr(count_rows, "_GROUP_TOKENS", 500)
    found = gather(texts, length_power=0.7)
    targets = texts.vectors.astype(float)
    np.testing.assert_allclose(found.correlations, texts.dense().T @ targets, atol=1e-4)
    np.testing.assert_allclose(found.moment, targets.T @ targets, rtol=1e-5, atol=1e-4)


def test_ids_beyond_the_table_are_refused() -> None:
    texts = made_texts()
    with pytest.raises(ValueError, match="tokenized for another table"):
        CountRows(texts.token_lists, 10, length_power=0.7)


def test_isolated_vectors_of_another_tokenizer_are_refused() -> None:
    with pytest.raises(ValueError, match="of different teachers or tokenizers"):
        fit_table(made_texts(), made_isolated()[:-1], 4, RegressionSettings())


def mixed(sums: FloatArray, counts: NDArray[np.int64], isolated: FloatArray) -> FloatArray:
    blocks = mix_states(sums, counts, isolated, shrinkage=5.0, common_count=20)
    return np.concatenate([block for _, block in blocks])


def test_a_token_no_text_holds_has_its_own_vector_at_the_scale_of_the_others() -> None:
    texts, isolated = made_texts(), made_isolated()
    found = mixed(texts.sums, texts.counts, isolated)
    ratio = found[N_TOKENS - 1] / isolated[N_TOKENS - 1]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    common = texts.counts > 20
    lengths = np.linalg.norm(texts.sums[common] / texts.counts[common, None], axis=1)
    assert np.isclose(ratio[0], lengths.mean() / np.linalg.norm(isolated, axis=1).mean(), rtol=1e-4)


def test_without_texts_the_prior_is_the_isolated_vectors() -> None:
    isolated = made_isolated()
    nothing = np.zeros(N_TOKENS, dtype=np.int64)
    found = mixed(np.zeros_like(isolated), nothing, isolated)
    np.testing.assert_allclose(found, isolated, rtol=1e-6)


def test_rare_tokens_weigh_more_and_without_a_coefficient_all_weigh_alike() -> None:
    counts, rows = np.array([3, 0]), np.full((2, 2), 2.0, dtype=np.float32)
    np.testing.assert_array_equal(weigh_rows(rows.copy(), counts, None), rows)
    expected = np.array([[0.5 / (0.5 + 4 / 5)], [0.5 / (0.5 + 1 / 5)]]) * [[2.0, 2.0]]
    np.testing.assert_allclose(weigh_rows(rows, counts, 0.5), expected, rtol=1e-6)


def test_directions_are_the_right_singular_vectors_of_uncentred_targets() -> None:
    targets = made_texts().vectors.astype(float)
    directions, kept = principal_directions(targets.T @ targets, 5)
    _, sizes, right = np.linalg.svd(targets, full_matrices=False)
    np.testing.assert_allclose(np.abs(directions.T @ right[:5].T), np.eye(5), atol=1e-8)
    assert np.isclose(kept, (sizes[:5] ** 2).sum() / (sizes**2).sum())


def test_a_share_takes_as_many_directions_as_keep_it() -> None:
    moment = np.diag([1.0, 6.0, 2.0, 1.0])
    assert principal_directions(moment, 0.59)[0].shape == (4, 1)
    assert principal_directions(moment, 0.61)[0].shape == (4, 2)
    assert principal_directions(moment, 0.999)[0].shape == (4, 4)
    np.testing.assert_array_equal(principal_directions(moment, None)[0], np.eye(4))


@pytest.mark.parametrize("n_texts", [1000, 60])
def test_whitening_is_that_of_the_unit_vectors_of_texts(n_texts: int) -> None:
    texts = made_texts()
    table = made_isolated() * np.linspace(3, 0.5, DIM, dtype=np.float32)
    rows = CountRows(texts.token_lists, N_TOKENS, length_power=0.7)
    step = -(-len(texts.lists) // n_texts)
    vectors = texts.dense()[::step] @ table.astype(float)
    vectors = vectors[np.linalg.norm(vectors, axis=1) > 0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    variances, directions = np.linalg.eigh(np.cov(vectors.T, bias=True))
    expected = table @ (directions[:, ::-1] * variances[::-1] ** -0.25)
    expected *= np.sqrt((table**2).mean() / (expected**2).mean())
    found = table @ whitening(table, rows, power=0.5, n_texts=n_texts)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=2e-3, atol=2e-4)


def test_whitening_takes_the_same_texts_from_groups_of_any_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts, table = made_texts(), made_isolated()
    found = []
    for size in (10**6, 300):
        monkeypatch.setattr(count_rows, "_GROUP_TOKENS", size)
        rows = CountRows(texts.token_lists, N_TOKENS, length_power=0.7)
        found.append(whitening(table, rows, power=0.5, n_texts=70))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_the_rotation_takes_targets_to_where_the_table_puts_texts(power: float) -> None:
    texts, isolated = made_texts(), made_isolated()
    fit = fit_table(texts, isolated, 6, RegressionSettings(n_steps=60, whitening=power))
    reached = texts.dense() @ fit.table
    wanted = texts.vectors.astype(float) @ fit.rotation
    # least squares leave nothing that a scale could mend
    assert np.isclose((reached * wanted).sum() / (reached * reached).sum(), 1.0, atol=0.1)
    assert np.corrcoef(reached.ravel(), wanted.ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ridge": -1.0}, "ridge -1.0, expected a number of 0 or more"),
        ({"ridge": 0.0, "ridge_growth": 0.0}, "rows are undecided"),
        ({"length_power": float("nan")}, "length_power nan"),
        ({"sif_coefficient": 1.0}, "sif_coefficient 1.0"),
        ({"n_steps": -1}, "n_steps -1"),
        ({"whitening": 1.5}, "whitening 1.5"),
        ({"whitening_texts": 1}, "whitening_texts 1"),
    ],
)
def test_settings_that_no_regression_could_follow_are_refused(
    change: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RegressionSettings(), **change)  # type: ignore[arg-type]
