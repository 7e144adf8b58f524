"""Tables of sixteen bits a number: what they mean, and the vectors the engine makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith._typing import TableDtype
from vecsmith.compression import prune, with_dtype
from vecsmith.formats import Checkpoint
from vecsmith.formats.short_tables import Bfloat16Table, Int16Table, quantize_int16
from vecsmith.model import StaticModel

TEXTS = ["The cat sat!", "hello, WORLD hello zzz", "", "cat cat dog", "¿날씨?"]
LEVELS = ["baseline", "neon", "sse4", "avx2", "avx512"]


def wide(checkpoint: Checkpoint, dim: int, **changes: Any) -> Checkpoint:
    table = np.random.default_rng(3).standard_normal((checkpoint.n_tokens, dim))
    return replace(checkpoint, table=table.astype(np.float32), **changes)


def on_level(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from vecsmith import _core

    if level not in _core.cpu_levels():
        pytest.skip(f"this machine has no {level}")
    monkeypatch.setenv("VECSMITH_CPU", level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dim", [1, 7, 31, 100, 256])
@pytest.mark.parametrize("kind", ["plain", "weighted", "mapped"])
def test_a_bfloat16_table_gives_the_vectors_of_its_float32_one_bit_for_bit(
    tiny_checkpoint: Checkpoint, level: str, dim: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_level(level, monkeypatch)
    n = tiny_checkpoint.n_tokens
    packed = with_dtype(wide(tiny_checkpoint, dim), "bfloat16")
    if kind != "plain":
        packed = replace(packed, weights=np.linspace(-1, 2, n, dtype=np.float32))
    if kind == "mapped":
        mapping = np.random.default_rng(1).integers(0, n, n).astype(np.uint32)
        packed = replace(packed, mapping=mapping)
    plain = replace(packed, table=packed.rows)
    np.testing.assert_array_equal(
        StaticModel(packed).encode(TEXTS), StaticModel(plain).encode(TEXTS)
    )


def test_bfloat16_numbers_are_those_that_torch_rounds_to() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    rows = (rng.standard_normal((50, 64)) * 10.0 ** rng.integers(-30, 30, (50, 1))).astype(
        np.float32
    )
    rows[0, :2] = 1 + 2**-8, 1 + 3 * 2**-8  # half way between two: to the even one
    expected = torch.from_numpy(rows).to(torch.bfloat16).float().numpy()
    checkpoint = Checkpoint(table=rows, tokenizer_json="{}")
    np.testing.assert_array_equal(with_dtype(checkpoint, "bfloat16").rows, expected)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dim", [1, 7, 31, 100, 256])
def test_int16_vectors_are_whole_sums_times_their_columns_scales(
    tiny_checkpoint: Checkpoint, level: str, dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_level(level, monkeypatch)
    checkpoint = with_dtype(wide(tiny_checkpoint, dim, normalize=False, unknown="keep"), "int16")
    model = StaticModel(checkpoint)
    table = checkpoint.table
    assert isinstance(table, Int16Table)
    for text, vector in zip(TEXTS, model.encode(TEXTS), strict=True):
        ids = model.tokenize(text)
        sums = table.codes[ids].sum(axis=0, dtype=np.int64).astype(np.float32) * table.scales
        np.testing.assert_array_equal(vector, sums / np.float32(max(len(ids), 1)))


def test_an_int16_mean_is_off_by_half_a_step_of_its_column_at_most(
    tiny_checkpoint: Checkpoint,
) -> None:
    exact = wide(tiny_checkpoint, 256, normalize=False, unknown="keep")
    largest = np.abs(exact.rows).max(axis=0).astype(np.float64)
    model = StaticModel(exact)
    rows = exact.rows.astype(np.float64)
    found = StaticModel(with_dtype(exact, "int16")).encode(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        ids = model.tokenize(text)
        mean = rows[ids].mean(axis=0) if ids else np.zeros(256)
        assert (np.abs(vector - mean) <= largest * (0.5 / 32767 + 1e-6)).all()
        if ids:
            cosine = vector @ mean / np.linalg.norm(vector) / np.linalg.norm(mean)
            assert cosine > 1 - 1e-7


def test_weights_of_tokens_are_multiplied_into_the_codes(tiny_checkpoint: Checkpoint) -> None:
    weights = np.linspace(0.1, 2, tiny_checkpoint.n_tokens, dtype=np.float32)
    weighted = wide(tiny_checkpoint, 40, weights=weights)
    packed = with_dtype(weighted, "int16")
    assert packed.weights is None
    np.testing.assert_allclose(
        StaticModel(packed).encode(TEXTS), StaticModel(weighted).encode(TEXTS), atol=2e-4
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "int16"])
def test_short_tables_are_cut_pruned_opened_and_told_apart(
    tiny_checkpoint: Checkpoint, dtype: TableDtype, tmp_path: Path
) -> None:
    StaticModel(tiny_checkpoint).save_pretrained(tmp_path / "model")
    model = StaticModel.from_pretrained(tmp_path / "model", dtype=dtype)
    exact = StaticModel.from_pretrained(tmp_path / "model")
    assert model.checkpoint.table_dtype == dtype
    assert model.n_bytes < exact.n_bytes
    assert model.fingerprint != exact.fingerprint
    np.testing.assert_allclose(model.encode(TEXTS), exact.encode(TEXTS), atol=1e-2)
    short = StaticModel(model.checkpoint.truncated(5))
    np.testing.assert_array_equal(short.encode(TEXTS), model.encode(TEXTS, truncate_dim=5))
    assert with_dtype(model.checkpoint, "float32").table_dtype == "float32"
    assert prune(model.checkpoint, 20).table_dtype == dtype
    ids = model.tokenize("cat dog")
    expected = model.checkpoint.vectors_of(np.array(ids)).mean(axis=0)
    found = model.encode("cat dog", normalize=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=f"the table is {dtype}, which is for memory alone"):
        model.save_pretrained(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_parts_that_do_not_fit_are_refused() -> None:
    codes = np.zeros((3, 4), np.int16)
    bad: list[tuple[Any, Any, str]] = [
        (codes.astype(np.int32), np.ones(4, np.float32), "codes: shape .* of int32"),
        (codes[0], np.ones(4, np.float32), "codes: shape"),
        (codes, np.ones(3, np.float32), r"scales: shape \[3\] of float32, expected \[4\]"),
        (codes, np.ones(4), "scales: shape .* of float64"),
        (codes, np.full(4, np.inf, np.float32), "scale of column 0 is inf"),
    ]
    for wrong, scales, message in bad:
        with pytest.raises(ValueError, match=message):
            Int16Table(wrong, scales)
    with pytest.raises(ValueError, match="bits: shape"):
        Bfloat16Table(np.zeros((3, 4), np.float16))


def test_rows_that_cannot_be_rounded_are_refused(tiny_checkpoint: Checkpoint) -> None:
    table: NDArray[np.float32] = np.full_like(tiny_checkpoint.rows, 3.4e38)
    with pytest.raises(ValueError, match="too large for bfloat16"):
        with_dtype(replace(tiny_checkpoint, table=table), "bfloat16")
    with pytest.raises(ValueError, match="finite ones for int16"):
        quantize_int16(np.full((2, 2), np.nan, np.float32))


def test_columns_of_zeros_and_of_the_smallest_numbers_have_codes() -> None:
    rows = np.zeros((3, 3), np.float32)
    rows[:, 1] = 1e-45
    rows[:, 2] = -3e38, 1, 3e38
    table = quantize_int16(rows)
    assert np.isfinite(table[:]).all()
    np.testing.assert_array_equal(table[:][:, 0], 0)
    np.testing.assert_allclose(table[:][:, 2], rows[:, 2], atol=3e38 / 65534)
