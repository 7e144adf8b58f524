"""Components, whitening and removal against numpy's singular values in float64."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.distillation.reduction import reduce


def rows(n_rows: int = 300, n_columns: int = 20) -> NDArray[np.float32]:
    random = np.random.default_rng(3)
    spread = np.linspace(4, 0.2, n_columns)
    mixed = (random.standard_normal((n_rows, n_columns)) * spread) @ np.linalg.qr(
        random.standard_normal((n_columns, n_columns))
    )[0]
    table: NDArray[np.float32] = (mixed + 2).astype(np.float32)
    return table


def components_by_svd(
    table: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores with the largest value of each column positive, and standard deviations."""
    centered = table.astype(np.float64) - table.astype(np.float64).mean(axis=0)
    left, sizes, _ = np.linalg.svd(centered, full_matrices=False)
    scores = left * sizes
    signs = np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])])
    return scores * signs, sizes / np.sqrt(len(table) - 1)


def test_components_are_those_of_the_singular_values() -> None:
    table = rows()
    scores, _ = components_by_svd(table)
    np.testing.assert_allclose(reduce(table, 8).table, scores[:, :8], atol=2e-5)


def test_blocks_give_what_one_product_gives() -> None:
    table = rows(20_000, 6)
    scores, _ = components_by_svd(table)
    np.testing.assert_allclose(reduce(table, 6).table, scores, atol=1e-4)


def test_full_whitening_gives_every_component_unit_variance() -> None:
    whitened = reduce(rows(), 20, whitening=1.0).table
    np.testing.assert_allclose(whitened.std(axis=0, ddof=1), 1, atol=1e-4)


def test_half_whitening_divides_by_the_root_of_the_standard_deviation() -> None:
    table = rows()
    scores, deviations = components_by_svd(table)
    expected = scores[:, :5] / np.sqrt(deviations[:5])
    np.testing.assert_allclose(reduce(table, 5, whitening=0.5).table, expected, atol=2e-5)


def test_removing_components_leaves_out_the_strongest() -> None:
    table = rows()
    scores, _ = components_by_svd(table)
    found = reduce(table, 4, remove_components=2).table
    np.testing.assert_allclose(found, scores[:, 2:6], atol=2e-5)


def test_a_share_of_variance_takes_just_enough_components() -> None:
    table = rows()
    _, deviations = components_by_svd(table)
    shares = np.cumsum(deviations**2) / (deviations**2).sum()
    reduction = reduce(table, 0.9)
    n_kept = reduction.table.shape[1]
    assert shares[n_kept - 1] >= 0.9 > shares[n_kept - 2]
    assert reduction.explained == pytest.approx(shares[n_kept - 1], abs=1e-6)


def test_no_dim_leaves_the_rows_as_they_are() -> None:
    table = rows()
    np.testing.assert_array_equal(reduce(table, None).table, table)


def test_rows_left_out_of_the_fit_are_projected_too() -> None:
    table = rows()
    table[0] = 1000
    fit = np.ones(len(table), dtype=np.bool_)
    fit[0] = False
    others, _ = components_by_svd(table[1:])
    found = reduce(table, 3, fit_rows=fit).table[1:]
    # the sign is chosen over all rows, the far one included
    np.testing.assert_allclose(np.abs(found), np.abs(others[:, :3]), atol=2e-5)


def test_equal_rows_give_zeros_not_nan() -> None:
    table = np.ones((10, 4), dtype=np.float32)
    assert (reduce(table, 2, whitening=1.0).table == 0).all()


@pytest.mark.parametrize(
    ("dim", "message"),
    [
        (21, "more than the 20 dimensions"),
        (0, "1 or more"),
        (1.5, "between 0 and 1"),
        (0.0, "between 0 and 1"),
    ],
)
def test_a_dim_that_does_not_fit_is_refused(dim: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reduce(rows(), dim)


def test_more_dimensions_than_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="the vocabulary has 5"):
        reduce(rows(5), 5)


def test_whitening_without_components_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a dim"):
        reduce(rows(), None, whitening=0.5)
