"""Folders of model2vec mean here what they mean to model2vec."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.builders import (
    TEXTS,
    TOKENS,
    added,
    unigram,
    vectors_by_hand,
    vectors_of_model2vec,
    word_piece,
)
from vecsmith import StaticModel
from vecsmith.errors import FormatError
from vecsmith.formats import open_checkpoint
from vecsmith.formats.safetensors import write_tensors

RANDOM = np.random.default_rng(11)


def write_folder(
    folder: Path,
    tensors: dict[str, Any],
    config: Any = None,
    tokenizer: dict[str, Any] | None = None,
) -> Path:
    """A folder as old and new versions of model2vec wrote it."""
    folder.mkdir(exist_ok=True)
    with (folder / "model.safetensors").open("wb") as file:
        write_tensors(file, tensors)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer or word_piece()), encoding="utf-8")
    config = {"model_type": "model2vec", "normalize": True} if config is None else config
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def table(dtype: str = "float32", n_rows: int = len(TOKENS), dim: int = 6) -> Any:
    values = RANDOM.standard_normal((n_rows, dim))
    return (values * 40).astype(dtype)


def factors(dtype: str = "float64") -> Any:
    return RANDOM.uniform(0.1, 2, len(TOKENS)).astype(dtype)


def layouts() -> dict[str, dict[str, Any]]:
    mapping = RANDOM.integers(0, 5, len(TOKENS))
    legacy = {"tokenizer_name": "x", "apply_pca": 256, "apply_zipf": True, "hidden_dim": 6}
    cut = {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Left"}
    padding = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    return {
        "float32": {"tensors": {"embeddings": table()}},
        "float16": {"tensors": {"embeddings": table("float16") / 8}},
        "float64": {"tensors": {"embeddings": table("float64")}},
        "int8 with one scale that is not stored": {"tensors": {"embeddings": table("int8")}},
        "weights in float64": {"tensors": {"weights": factors(), "embeddings": table()}},
        "weights in float16": {"tensors": {"weights": factors("float16"), "embeddings": table()}},
        "int8 with weights": {"tensors": {"weights": factors(), "embeddings": table("int8")}},
        "quantised vocabulary": {
            "tensors": {
                "weights": factors(),
                "mapping": mapping.astype(np.int32),
                "embeddings": table("float16", 5),
            },
            "config": {"model_type": "model2vec", "normalize": True, "vocabulary_quantization": 5},
        },
        "mapping in int64 without weights": {
            "tensors": {"mapping": mapping.astype(np.int64), "embeddings": table("float32", 5)}
        },
        "normalize missing": {"tensors": {"embeddings": table()}, "config": {}},
        "normalize null": {"tensors": {"embeddings": table()}, "config": {"normalize": None}},
        "legacy keys": {"tensors": {"embeddings": table()}, "config": legacy},
        "no limit": {"tensors": {"embeddings": table()}, "config": {"max_length": None}},
        "ten tokens": {"tensors": {"embeddings": table()}, "config": {"max_length": 10}},
        "truncation and padding in the tokenizer": {
            "tensors": {"embeddings": table()},
            "tokenizer": word_piece(truncation=cut, padding=padding),
        },
        "special tokens added by the post-processor": {
            "tensors": {"embeddings": table()},
            "tokenizer": word_piece(
                post_processor={"type": "BertProcessing", "sep": ["[PAD]", 0], "cls": ["[UNK]", 1]}
            ),
        },
        "added words of several words": {
            "tensors": {"embeddings": table("float32", len(TOKENS) + 1)},
            "tokenizer": word_piece(added_tokens=[added(len(TOKENS), "the cat")]),
        },
        "unigram": {"tensors": {"embeddings": table("float32", 12)}, "tokenizer": unigram()},
        "supertokenizer": {
            "tensors": {"embeddings": table("float32", 12)},
            "tokenizer": supertokenizer(),
        },
        "words only": {
            "tensors": {"embeddings": table("float32", 4)},
            "tokenizer": word_piece(
                model={
                    "type": "WordLevel",
                    "unk_token": "[UNK]",
                    "vocab": {"[PAD]": 0, "[UNK]": 1, "hello": 2, "world": 3},
                }
            ),
        },
    }


def supertokenizer() -> dict[str, Any]:
    """A Unigram of log lengths with the normalizer of model2vec 0.6 and 0.7."""
    root = unigram()
    marks = [
        {"type": "Replace", "pattern": {"String": mark}, "content": f" {mark} "} for mark in "!,."
    ]
    root["normalizer"] = {
        "type": "Sequence",
        "normalizers": [
            word_piece()["normalizer"],
            *marks,
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Strip", "strip_left": True, "strip_right": True},
        ],
    }
    root["pre_tokenizer"] = {
        "type": "Metaspace",
        "replacement": "▁",
        "prepend_scheme": "always",
        "split": False,
    }
    return root


@pytest.mark.parametrize("name", layouts())
def test_vectors_of_every_layout_are_those_of_model2vec(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "m", **layouts()[name])
    theirs = vectors_of_model2vec(folder)
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.layout, checkpoint.unknown) == ("model2vec", "drop")
    # model2vec rounds float16 models to float16 and cuts long texts by characters first
    tolerance = 2e-3 if checkpoint.rows.dtype == np.float16 else 1e-5
    short = [i for i, text in enumerate(TEXTS) if len(text) < 60]
    by_hand = vectors_by_hand(checkpoint)
    scale = np.abs(by_hand).max()
    np.testing.assert_allclose(theirs[short] / scale, by_hand[short] / scale, atol=tolerance)
    ours = StaticModel.from_pretrained(folder).encode(list(TEXTS))
    np.testing.assert_allclose(ours / scale, by_hand / scale, atol=1e-5)


def test_folders_that_model2vec_itself_saves_are_read(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model2vec = pytest.importorskip("model2vec")
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(word_piece()))
    model = model2vec.StaticModel(
        table(), tokenizer, normalize=True, base_model_name="org/teacher", language=["en"]
    )
    for quantize_to in ("float16", "float32", "float64", "int8"):
        smaller = model2vec.model.quantize_model(model, quantize_to=quantize_to)
        smaller.save_pretrained(tmp_path / quantize_to)
        checkpoint = open_checkpoint(tmp_path / quantize_to)
        expected = "float32" if quantize_to == "float64" else quantize_to
        assert checkpoint.rows.dtype == expected
        assert checkpoint.normalize
        assert checkpoint.max_length == 512
        assert checkpoint.card["base_model"] == "org/teacher"
        assert checkpoint.card["language"] in ("en", ["en"])
        np.testing.assert_allclose(
            vectors_by_hand(checkpoint, TEXTS[:-1]), smaller.encode(list(TEXTS[:-1])), atol=2e-3
        )


def test_the_table_of_a_folder_is_mapped_and_not_copied(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", {"embeddings": table()})
    checkpoint = open_checkpoint(folder)
    base: Any = checkpoint.rows
    while isinstance(base, np.ndarray):
        base = base.base
    assert type(base).__name__ in ("memoryview", "mmap")
    assert not checkpoint.rows.flags.writeable


def test_keys_that_are_not_ours_are_kept(tmp_path: Path) -> None:
    config = {"normalize": True, "apply_zipf": None, "extra": {"a": [1]}}
    folder = write_folder(tmp_path / "m", {"embeddings": table()}, config)
    checkpoint = open_checkpoint(folder)
    assert dict(checkpoint.config) == config
    assert checkpoint.max_length == 512  # model2vec's default


def test_a_subfolder_is_opened(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    write_folder(tmp_path / "all" / "small", {"embeddings": table()})
    assert open_checkpoint(tmp_path / "all", subfolder="small").dim == 6
    with pytest.raises(ValueError, match="subfolder"):
        open_checkpoint(tmp_path / "all", subfolder="../all/small")
    with pytest.raises(FormatError, match="no such folder"):
        open_checkpoint(tmp_path / "all", subfolder="large")


@pytest.mark.parametrize(
    ("tensors", "config", "message"),
    [
        (
            {"embedding": table()},
            None,
            "no tensor 'embeddings', found embedding",
        ),
        ({"embeddings": table()[0]}, None, r"'embeddings': shape \[6\], expected \[rows, dim\]"),
        ({"embeddings": table()[:0]}, None, r"'embeddings': shape \[0, 6\]"),
        ({"embeddings": table()[:, :0]}, None, r"'embeddings': shape \[21, 0\]"),
        ({"embeddings": table("int16")}, None, "'embeddings': dtype int16, expected float64"),
        ({"embeddings": table()[:9]}, None, "names token id 20, but the table .* has 9 rows"),
        ({"embeddings": table(), "weights": factors()[:9]}, None, "'weights' has 9 entries"),
        ({"embeddings": table(), "weights": table()}, None, r"'weights': shape \[21, 6\]"),
        ({"embeddings": table(), "weights": table("int8")[:, 0]}, None, "'weights': .*int8"),
        (
            {"embeddings": table(), "weights": np.full(21, np.nan)},
            None,
            "'weights': nan for token id 0",
        ),
        (
            {"embeddings": table(), "mapping": np.arange(21) + 1},
            None,
            "'mapping': row 21 for token id 20, expected 0 to 20",
        ),
        ({"embeddings": table(), "mapping": np.arange(21) - 1}, None, "'mapping': row -1"),
        ({"embeddings": table(), "mapping": np.arange(21.0)}, None, "'mapping': .*float64"),
        ({"embeddings": table(), "mapping": np.arange(9)}, None, "'mapping' .* has 9 rows"),
        ({"embeddings": table()}, {"normalize": 1}, "config.json.normalize: 1"),
        ({"embeddings": table()}, {"max_length": 0}, "config.json.max_length: 0"),
        ({"embeddings": table()}, {"max_length": "a"}, "config.json.max_length: 'a'"),
        ({"embeddings": table()}, {"max_length": True}, "config.json.max_length: True"),
        ({"embeddings": table()}, {"vecsmith": 1}, "config.json.vecsmith: 1"),
        ({"embeddings": table()}, {"vecsmith": {"unknown": "x"}}, "vecsmith.unknown: 'x'"),
        ({"embeddings": table()}, {"vecsmith": {"format": 99}}, "format: 99.*upgrade vecsmith"),
        ({"embeddings": table()}, [], "config.json: holds an array, expected an object"),
        ({"embeddings": table()}, {"model_type": "bert"}, "model_type: 'bert'.*distill"),
    ],
)
def test_what_does_not_fit_is_refused_with_file_and_field(
    tmp_path: Path, tensors: dict[str, Any], config: Any, message: str
) -> None:
    folder = write_folder(tmp_path / "m", tensors, config)
    with pytest.raises(FormatError, match=message) as caught:
        open_checkpoint(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "m", {"embeddings": table()})
    (folder / name).unlink()
    with pytest.raises(FormatError, match=name):
        open_checkpoint(folder)


def test_a_place_without_a_model_is_refused_with_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="the folder is empty"):
        open_checkpoint(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FormatError, match=r"holds notes\.txt, expected a static model"):
        open_checkpoint(tmp_path)
    with pytest.raises(FormatError, match="no such file or folder"):
        open_checkpoint(tmp_path / "nowhere")
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(FormatError, match="a file of tensors, expected its folder"):
        open_checkpoint(file)


def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", {"embeddings": table()})
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "model.safetensors")
    with pytest.raises(FormatError, match=r"model\.safetensors"):
        open_checkpoint(folder)
