"""The file of a table of four bits: written, read as a view, and refused where it is broken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.errors import FormatError
from vecsmith.formats import Checkpoint, open_checkpoint, write_checkpoint
from vecsmith.formats.int4_table import (
    Int4Table,
    bfloat16_bits,
    bfloat16_values,
    pack_codes,
)
from vecsmith.formats.safetensors import TensorFile, TensorStream, write_tensors

FILE = "model.int4.safetensors"
DIM = 40


def made(n_rows: int, dim: int = DIM, seed: int = 0) -> Int4Table:
    random = np.random.default_rng(seed)
    n_groups = -(-dim // 32)
    scales = random.uniform(-2, 2, (n_rows, n_groups)).astype(np.float32)
    return Int4Table(
        random.integers(0, 256, (n_rows, 16 * n_groups)).astype(np.uint8),
        bfloat16_bits(scales),
        np.sort(random.integers(-127, 128, 16)).astype(np.int8),
        dim,
    )


@pytest.fixture
def checkpoint(tiny_checkpoint: Checkpoint) -> Checkpoint:
    return replace(tiny_checkpoint, table=made(tiny_checkpoint.n_tokens))


def test_a_number_is_its_level_times_its_scale() -> None:
    table = made(3, dim=70)
    decoded = table[:]
    for row in range(3):
        for column in range(70):
            group, place = divmod(column, 32)
            byte = int(table.codes[row, 16 * group + place % 16])
            level = int(table.levels[byte & 15 if place < 16 else byte >> 4])
            scale = np.array(int(table.scales[row, group]) << 16, dtype=np.uint32).view(np.float32)
            assert decoded[row, column] == np.float32(level) * scale


def test_rows_are_decoded_by_slice_ids_and_flags() -> None:
    table = made(9)
    whole = np.asarray(table)
    assert whole.dtype == np.float32
    ids = np.array([8, 0, 8], dtype=np.uint32)
    np.testing.assert_array_equal(table[ids], whole[ids])
    np.testing.assert_array_equal(table[2:5], whole[2:5])
    np.testing.assert_array_equal(table[whole[:, 0] > 0], whole[whole[:, 0] > 0])
    np.testing.assert_array_equal(table[np.zeros(0, dtype=np.int64)], whole[:0])
    np.testing.assert_array_equal(table.rows(ids)[:], whole[ids])
    np.testing.assert_array_equal(table.prefix(33)[:], whole[:, :33])


@given(st.lists(st.integers(0, 15), min_size=64, max_size=64))
def test_packed_codes_are_the_codes(codes: list[int]) -> None:
    given_codes = np.array(codes, dtype=np.uint8).reshape(1, 2, 32)
    table = Int4Table(
        pack_codes(given_codes),
        bfloat16_bits(np.ones((1, 2), dtype=np.float32)),
        np.arange(16, dtype=np.int8),
        64,
    )
    np.testing.assert_array_equal(table[:].reshape(-1), codes)


@given(
    st.floats(
        width=32, allow_nan=False, allow_infinity=False, max_value=2.0**127, min_value=-(2.0**127)
    )
)
def test_bfloat16_is_the_nearest_there_is(number: float) -> None:
    bits = int(bfloat16_bits(np.array([number], dtype=np.float32))[0])
    near = [b for b in (bits - 1, bits, bits + 1) if 0 <= b <= 0xFFFF and b & 0x7F80 != 0x7F80]
    values = bfloat16_values(np.array(near, dtype=np.uint16)).astype(np.float64)
    found = bfloat16_values(np.array([bits], dtype=np.uint16)).astype(np.float64)[0]
    assert abs(found - number) == np.abs(values - number).min()


def test_bfloat16_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="compares with torch (extra distill)")
    numbers = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    expected = torch.from_numpy(numbers).to(torch.bfloat16).to(torch.float32).numpy()
    np.testing.assert_array_equal(bfloat16_values(bfloat16_bits(numbers)), expected)


@pytest.mark.parametrize("dim", [1, 31, 32, 40, 256])
def test_a_written_checkpoint_comes_back_as_a_view(
    tiny_checkpoint: Checkpoint, dim: int, tmp_path: Path
) -> None:
    n = tiny_checkpoint.n_tokens
    written = replace(
        tiny_checkpoint,
        table=made(7, dim),
        mapping=(np.arange(n) % 7).astype(np.uint32),
        weights=np.linspace(0, 2, n, dtype=np.float32),
        unknown="keep",
        max_length=12,
        prompts={"query": "q: ", "document": ""},
    )
    write_checkpoint(tmp_path / "model", written)
    found = open_checkpoint(tmp_path / "model")
    table = found.table
    assert isinstance(table, Int4Table)
    assert isinstance(written.table, Int4Table)
    for part, expected in zip(table.parts, written.table.parts, strict=True):
        np.testing.assert_array_equal(part, expected)
        assert not part.flags.writeable
        assert not part.flags.owndata
    assert (found.dim, found.table_dtype, found.layout) == (dim, "int4", "vecsmith")
    np.testing.assert_array_equal(found.mapping, written.mapping)
    np.testing.assert_array_equal(found.weights, written.weights)
    assert (found.unknown, found.max_length, dict(found.prompts)) == (
        "keep",
        12,
        {"query": "q: ", "document": ""},
    )


def test_torch_and_safetensors_read_scales_and_codes(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    torch_reader = pytest.importorskip("safetensors.torch", reason="compares with safetensors")
    write_checkpoint(tmp_path / "model", checkpoint)
    table = checkpoint.table
    assert isinstance(table, Int4Table)
    tensors = torch_reader.load_file(tmp_path / "model" / FILE)
    np.testing.assert_array_equal(tensors["codes"].numpy(), table.codes)
    np.testing.assert_array_equal(tensors["scales"].float().numpy(), bfloat16_values(table.scales))
    np.testing.assert_array_equal(tensors["levels"].numpy(), table.levels)


def test_a_model_of_another_type_takes_the_place_of_one_and_back(
    checkpoint: Checkpoint, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    for each in (checkpoint, tiny_checkpoint, checkpoint):
        write_checkpoint(folder, each)
        assert open_checkpoint(folder).table_dtype == each.table_dtype
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "README.md",
        "config.json",
        "config_sentence_transformers.json",
        FILE,
        "tokenizer.json",
    ]
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["embedding_dtype"]) == ("vecsmith", "int4")
    assert config["vecsmith"]["format"] == 2
    again = replace(tiny_checkpoint, config=open_checkpoint(folder).config)
    write_checkpoint(folder, again)
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["vecsmith"]["format"]) == ("model2vec", 1)


def test_the_card_says_who_can_open_it(checkpoint: Checkpoint, tmp_path: Path) -> None:
    card = {"tags": ["model2vec", "mine"]}
    write_checkpoint(tmp_path / "model", replace(checkpoint, card=card))
    text = (tmp_path / "model" / "README.md").read_text()
    assert "library_name: vecsmith" in text
    assert "model2vec and sentence-transformers know no table of four bits" in text
    assert "from model2vec" not in text
    front = text.split("---")[1]
    assert "- mine" in front
    assert "- model2vec" not in front


def test_other_libraries_say_that_there_is_no_model_of_theirs(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    model2vec = pytest.importorskip("model2vec", reason="compares with model2vec")
    write_checkpoint(tmp_path / "model", checkpoint)
    with pytest.raises(ValueError, match="Could not find expected model files"):
        model2vec.StaticModel.from_pretrained(tmp_path / "model")


def test_sentence_transformers_names_the_library_that_it_lacks(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    peer = pytest.importorskip("sentence_transformers", reason="compares with it")
    write_checkpoint(tmp_path / "model", checkpoint)
    with pytest.raises(ValueError, match="vecsmith"):
        peer.SentenceTransformer(str(tmp_path / "model"), device="cpu")


# broken files


def rewritten(folder: Path, *, dim: str | None = str(DIM), **tensors: Any) -> None:
    """The file of `folder` with other tensors (None for none) and another metadata."""
    file = TensorFile(folder / FILE)
    kept: dict[str, Any] = {
        "scales": file.bfloat16_bits("scales").copy(),
        "codes": file.tensor("codes").copy(),
        "levels": file.tensor("levels").copy(),
    }
    kept.update(tensors)
    streams = {
        name: TensorStream(
            dtype=tensor.dtype,
            shape=tensor.shape,
            blocks=[tensor],
            bfloat16=name == "scales" and tensor.dtype == np.uint16,
        )
        for name, tensor in kept.items()
        if tensor is not None
    }
    del file
    with (folder / FILE).open("wb") as out:
        write_tensors(out, streams, metadata={} if dim is None else {"dim": dim})


N = 94  # tokens of the tiny tokenizer, checked below


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": None}, "no tensor 'codes', found levels, scales"),
        ({"scales": None}, "no tensor 'scales'"),
        ({"levels": None}, "no tensor 'levels'"),
        ({"codes": np.zeros((N, 16), np.uint8)}, r"codes \[94, 16\].*expected \[rows, 32\]"),
        ({"codes": np.zeros((N - 1, 32), np.uint8)}, r"codes \[93, 32\]"),
        ({"codes": np.zeros((N, 32), np.int8)}, r"codes: shape \[94, 32\] of int8, expected"),
        ({"codes": np.zeros(N * 32, np.uint8)}, r"codes: shape \[3008\]"),
        ({"scales": np.zeros((N, 2), np.float32)}, "dtype F32, expected BF16"),
        ({"scales": np.zeros((N, 3), np.uint16)}, r"scales \[94, 3\]"),
        ({"scales": np.full((N, 2), 0x7FC0, np.uint16)}, "group 0 of row 0 is nan"),
        ({"scales": np.full((N, 2), 0xFF80, np.uint16)}, "group 0 of row 0 is -inf"),
        ({"levels": np.zeros(15, np.int8)}, r"levels \[15\]"),
        ({"levels": np.zeros(16, np.uint8)}, "levels: shape .* of uint8"),
        ({"levels": np.zeros((1, 16), np.int8)}, "levels: shape"),
        ({"dim": None}, "dim '', expected a whole number"),
        ({"dim": "0"}, "0 dimensions"),
        ({"dim": "-5"}, "dim '-5', expected a whole number"),
        ({"dim": "32"}, "for 32 dimensions"),
        ({"dim": "65"}, "for 65 dimensions"),
        ({"dim": "9" * 40}, "dim '9999"),
        ({"dim": "٣"}, "expected a whole number"),
        (
            {"codes": np.zeros((0, 32), np.uint8), "scales": np.zeros((0, 2), np.uint16)},
            "a table of 0 rows",
        ),
        (
            {"codes": np.zeros((5, 32), np.uint8), "scales": np.zeros((5, 2), np.uint16)},
            r"names token id 93, but the table .* has 5 rows",
        ),
        ({"mapping": np.full(N, N, np.int32)}, "row 94 for token id 0, expected 0 to 93"),
        ({"weights": np.full(N, np.nan, np.float32)}, "nan for token id 0"),
    ],
)
def test_broken_files_are_refused_with_what_is_wrong(
    checkpoint: Checkpoint, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    assert checkpoint.n_tokens == N
    folder = tmp_path / "model"
    write_checkpoint(folder, checkpoint)
    rewritten(folder, **change)
    with pytest.raises(FormatError, match=message):
        open_checkpoint(folder)


def test_a_file_cut_at_any_place_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_checkpoint(folder, checkpoint)
    content = (folder / FILE).read_bytes()
    for length in (*range(0, len(content), 211), len(content) - 1):
        (folder / FILE).write_bytes(content[:length])
        with pytest.raises(FormatError):
            open_checkpoint(folder)


def test_a_newer_format_is_refused_with_the_remedy(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_checkpoint(folder, checkpoint)
    config = json.loads((folder / "config.json").read_text())
    config["vecsmith"]["format"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(FormatError, match=r"format: 3, expected at most 2: .* upgrade vecsmith"):
        open_checkpoint(folder)
