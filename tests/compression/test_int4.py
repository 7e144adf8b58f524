"""Tables of four bits: what rounding costs, and that the engine gives the decoded table's bits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith import StaticModel
from vecsmith.compression import with_dtype
from vecsmith.compression.int4 import quantize_int4
from vecsmith.formats import Checkpoint
from vecsmith.formats.int4_table import Int4Table

TEXTS = ["the cat sat on the mat", "Hello, world!", "", "playing dogs 2026", "猫 cat", "€"]


def relative_error(table: NDArray[Any], rounded: NDArray[Any]) -> float:
    difference = np.asarray(rounded, dtype=np.float64) - table
    return float((difference**2).sum() / (np.asarray(table, dtype=np.float64) ** 2).sum())


def plainly_rounded(table: NDArray[Any]) -> NDArray[Any]:
    """The usual way: levels -7 to 7, the largest number of a group of 32 on the last one."""
    groups = table.astype(np.float64).reshape(len(table), -1, 32)
    scales = np.abs(groups).max(axis=2, keepdims=True) / 7
    rounded: NDArray[Any] = np.rint(groups / scales) * scales
    return rounded.reshape(table.shape)


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "skewed", "uniform"])
def test_the_squared_error_is_far_below_that_of_plain_rounding(kind: str) -> None:
    random = np.random.default_rng(3)
    shape = (600, 96)
    table = {
        "normal": lambda: random.standard_normal(shape),
        "heavy tails": lambda: random.standard_t(3, shape),
        "skewed": lambda: random.exponential(size=shape) - 0.5,
        "uniform": lambda: random.uniform(-1, 1, shape),
    }[kind]().astype(np.float32)
    share = relative_error(table, quantize_int4(table)[:]) / relative_error(
        table, plainly_rounded(table)
    )
    assert share < (0.9 if kind == "uniform" else 0.7)


def test_no_single_level_and_no_scale_of_the_float_line_improves_a_group() -> None:
    """Each code is the nearest level, and the scale is near the codes' own least-squares one."""
    table = np.random.default_rng(4).standard_normal((50, 64)).astype(np.float32)
    rounded = quantize_int4(table)
    levels = rounded.levels.astype(np.float64)
    for group in range(2):
        numbers = table[:, 32 * group : 32 * group + 32].astype(np.float64)
        bits = rounded.scales[:, group].astype(np.uint32) << 16
        scales = bits.view(np.float32).astype(np.float64)[:, None]
        found = rounded[:][:, 32 * group : 32 * group + 32]
        every = np.abs(numbers[:, :, None] - levels * scales[:, :, None])
        np.testing.assert_allclose(
            np.abs(found - numbers), every.min(axis=2), atol=np.abs(scales).max() * 0.51
        )
        chosen = found / scales
        best = (numbers * chosen).sum(1) / (chosen**2).sum(1)
        np.testing.assert_allclose(scales[:, 0], best, rtol=0.02)


@pytest.mark.parametrize("dim", [1, 2, 31, 32, 33, 40, 63, 64, 100, 257])
def test_rows_of_any_width_are_rounded_alike(dim: int) -> None:
    table = np.random.default_rng(5).standard_normal((300, dim)).astype(np.float32)
    rounded = quantize_int4(table)
    assert rounded.shape == table.shape
    assert rounded.codes.shape == (300, 16 * -(-dim // 32))
    assert relative_error(table, rounded[:]) < 0.009
    np.testing.assert_array_equal(np.asarray(rounded), rounded[:])


@pytest.mark.parametrize("size", [1e-44, 1e-38, 1e-20, 1e-3, 1.0, 1e20, 3e38])
def test_numbers_of_any_size_keep_their_shape(size: float) -> None:
    row = np.sin(np.arange(64, dtype=np.float64) + 1)
    table = np.stack((row * size, row, np.zeros(64))).astype(np.float32)
    decoded = quantize_int4(table)[:]
    assert np.isfinite(decoded).all()
    assert relative_error(table[1], decoded[1]) < 0.01
    if size > 1e-36:  # smaller numbers are fewer bits themselves
        assert relative_error(table[0].astype(np.float64) / size, decoded[0] / size) < 0.01
    np.testing.assert_array_equal(decoded[2], 0)


def test_equal_tables_are_rounded_to_equal_bits() -> None:
    table = np.random.default_rng(6).standard_normal((2000, 48)).astype(np.float32)
    first, second = quantize_int4(table), quantize_int4(table.copy())
    for one, other in zip(first.parts, second.parts, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(wrong: float) -> None:
    table = np.ones((3, 40), dtype=np.float32)
    table[2, 39] = wrong
    with pytest.raises(ValueError, match="infinity or NaN"):
        quantize_int4(table)


def test_a_table_of_zeros_stays_one() -> None:
    np.testing.assert_array_equal(quantize_int4(np.zeros((4, 50), dtype=np.float32))[:], 0)


# through the model


def wide(checkpoint: Checkpoint, dim: int, **changes: Any) -> Checkpoint:
    table = np.random.default_rng(8).standard_normal((checkpoint.n_tokens, dim))
    return replace(checkpoint, table=table.astype(np.float32), **changes)


@pytest.mark.parametrize("level", ["baseline", "neon", "sse4", "avx2", "avx512"])
@pytest.mark.parametrize("kind", ["plain", "weighted", "mapped"])
@pytest.mark.parametrize("dim", [7, 32, 100, 256, 300])
def test_the_engine_gives_the_vectors_of_the_decoded_table_bit_for_bit(
    tiny_checkpoint: Checkpoint,
    level: str,
    kind: str,
    dim: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VECSMITH_CPU", level)
    n = tiny_checkpoint.n_tokens
    packed = with_dtype(wide(tiny_checkpoint, dim), "int4")
    if kind != "plain":
        packed = replace(packed, weights=np.linspace(-1, 2, n, dtype=np.float32))
    if kind == "mapped":
        mapping = np.random.default_rng(1).integers(0, n, n).astype(np.uint32)
        packed = replace(packed, mapping=mapping)
    try:
        model = StaticModel(packed)
    except ValueError:
        pytest.skip(f"this machine does not run {level}")
    decoded = StaticModel(replace(packed, table=packed.rows))
    for truncate_dim in {1, dim // 2 + 1, dim}:
        for normalize in (True, False):
            np.testing.assert_array_equal(
                model.encode(TEXTS, truncate_dim=truncate_dim, normalize=normalize),
                decoded.encode(TEXTS, truncate_dim=truncate_dim, normalize=normalize),
            )
    assert len(model.encode_tokens("hello world")) == 2
    np.testing.assert_array_equal(
        model.encode_tokens("hello world"), decoded.encode_tokens("hello world")
    )


@pytest.mark.parametrize("dim", [1, 31, 32, 33, 64, 99])
def test_a_prefix_of_the_table_gives_the_prefix_of_its_vectors(
    tiny_checkpoint: Checkpoint, dim: int
) -> None:
    whole = with_dtype(wide(tiny_checkpoint, 100), "int4")
    cut = whole.truncated(dim)
    assert isinstance(cut.table, Int4Table)
    assert cut.dim == dim
    np.testing.assert_array_equal(cut.rows, whole.rows[:, :dim])
    np.testing.assert_array_equal(
        StaticModel(cut).encode(TEXTS), StaticModel(whole).encode(TEXTS, truncate_dim=dim)
    )


def test_weights_are_multiplied_in_where_rows_are_not_shared(tiny_checkpoint: Checkpoint) -> None:
    weights = np.linspace(0.1, 3, tiny_checkpoint.n_tokens, dtype=np.float32)
    weighted = wide(tiny_checkpoint, 64, weights=weights)
    packed = with_dtype(weighted, "int4")
    assert packed.weights is None
    expected = weighted.rows * weights[:, None]
    assert relative_error(expected, packed.rows) < 0.009
    shared = replace(weighted, mapping=np.arange(len(weights), dtype=np.uint32)[::-1].copy())
    packed = with_dtype(shared, "int4")
    np.testing.assert_array_equal(packed.weights, weights)


def test_other_types_are_made_of_the_decoded_rows(tiny_checkpoint: Checkpoint) -> None:
    packed = with_dtype(wide(tiny_checkpoint, 40), "int4")
    assert with_dtype(packed, "int4") is packed
    np.testing.assert_array_equal(with_dtype(packed, "float32").table, packed.rows)
    model = StaticModel(with_dtype(packed, "float16"))
    np.testing.assert_allclose(model.encode(TEXTS), StaticModel(packed).encode(TEXTS), atol=2e-3)


def test_int4_vectors_are_near_those_of_float32(tiny_checkpoint: Checkpoint) -> None:
    checkpoint = wide(tiny_checkpoint, 256)
    exact, packed = (StaticModel(c) for c in (checkpoint, with_dtype(checkpoint, "int4")))
    cosines = (exact.encode(TEXTS[:2]) * packed.encode(TEXTS[:2])).sum(axis=1)
    assert (cosines > 0.995).all()
    assert packed.n_bytes == exact.n_bytes * 4.5 / 32 + 16
    assert "256 dimensions, int4" in repr(packed)
    assert packed.fingerprint != exact.fingerprint
    assert packed.fingerprint == StaticModel(with_dtype(checkpoint, "int4")).fingerprint
    short = StaticModel(packed.checkpoint.truncated(255))
    assert short.fingerprint != packed.fingerprint  # though their arrays are equal
