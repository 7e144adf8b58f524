"""One folder, three libraries, the same vectors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.formats.builders import (
    TEXTS,
    TOKENS,
    checkpoint_of,
    sentence_transformer,
    unigram,
    vectors_by_hand,
    vectors_of_model2vec,
    vectors_of_sentence_transformers,
    word_piece,
)
from vecsmith import StaticModel
from vecsmith.formats import Checkpoint, open_checkpoint, write_checkpoint
from vecsmith.formats.safetensors import TensorFile

TOLERANCE = {"float32": 1e-5, "int8": 1e-5, "float16": 1e-3}


def check_same_vectors(ours: NDArray[Any], theirs: NDArray[Any], dtype: str) -> None:
    assert ours.shape == theirs.shape
    assert not np.isnan(theirs).any()
    # the libraries add up the 700 tokens of the long text in float32
    assert np.abs(ours - theirs.astype(np.float64)).max() <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("mapping", [False, True])
@pytest.mark.parametrize("tokenizer", ["wordpiece", "unigram"])
def test_both_libraries_compute_our_vectors(
    tmp_path: Path, dtype: str, weights: bool, mapping: bool, tokenizer: str
) -> None:
    root = word_piece() if tokenizer == "wordpiece" else unigram()
    checkpoint = checkpoint_of(root, dtype=dtype, weights=weights, mapping=mapping)
    folder = tmp_path / "m"
    write_checkpoint(folder, checkpoint)
    by_hand = vectors_by_hand(checkpoint)
    ours = StaticModel(checkpoint).encode(list(TEXTS))
    again = StaticModel.from_pretrained(folder).encode(list(TEXTS))
    check_same_vectors(by_hand, ours, "float32")
    check_same_vectors(by_hand, again, "float32")
    check_same_vectors(by_hand, vectors_of_model2vec(folder), dtype)
    check_same_vectors(by_hand, vectors_of_sentence_transformers(folder), "float32")


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_tables_that_do_not_match_the_tokenizer_are_made_to(tmp_path: Path, dtype: str) -> None:
    gaps = word_piece(added_tokens=[])
    gaps["model"]["vocab"] = {token: 3 * i for i, token in enumerate(TOKENS)}
    for name, root, n_rows in (("gaps", gaps, 70), ("spare", word_piece(), len(TOKENS) + 9)):
        for weights in (False, True):
            checkpoint = checkpoint_of(root, dtype=dtype, n_rows=n_rows)
            if weights:
                factors = np.linspace(0.5, 2, n_rows, dtype=np.float32)
                checkpoint = replace(checkpoint, weights=factors)
            folder = tmp_path / f"{name}-{weights}"
            write_checkpoint(folder, checkpoint)
            by_hand = vectors_by_hand(checkpoint)
            check_same_vectors(by_hand, vectors_by_hand(open_checkpoint(folder)), "float32")
            check_same_vectors(by_hand, vectors_of_model2vec(folder), dtype)
            check_same_vectors(by_hand, vectors_of_sentence_transformers(folder), "float32")


@pytest.mark.parametrize("direction", ["Right", "Left"])
def test_a_limit_is_kept_by_both_libraries(tmp_path: Path, direction: str) -> None:
    cut = {"max_length": 99, "strategy": "LongestFirst", "stride": 0, "direction": direction}
    checkpoint = checkpoint_of(word_piece(truncation=cut), max_length=5)
    write_checkpoint(tmp_path / "m", checkpoint)
    by_hand = vectors_by_hand(checkpoint)
    reopened = open_checkpoint(tmp_path / "m")
    assert reopened.max_length == 5
    check_same_vectors(by_hand, vectors_by_hand(reopened), "float32")
    ours = StaticModel(reopened).encode(list(TEXTS))
    check_same_vectors(by_hand, ours, "float32")
    check_same_vectors(by_hand, vectors_of_sentence_transformers(tmp_path / "m"), "float32")
    if direction == "Right":
        # characters are cut too, at 5 times the median length of a token, 3
        short = [i for i, text in enumerate(TEXTS) if len(text) <= 15]
        theirs = vectors_of_model2vec(tmp_path / "m")
        np.testing.assert_allclose(by_hand[short], theirs[short], atol=1e-5)
    assert "cut at 5 tokens" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")


def test_without_a_limit_no_library_cuts(tmp_path: Path) -> None:
    cut = {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    checkpoint = checkpoint_of(word_piece(truncation=cut))
    write_checkpoint(tmp_path / "m", checkpoint)
    texts = ["the cat " * 600 + "sat", "the cat"]
    by_hand = vectors_by_hand(checkpoint, texts)
    assert np.abs(by_hand[0] - by_hand[1]).max() > 1e-4  # the last of 1201 tokens counts
    for vectors in (
        vectors_of_model2vec(tmp_path / "m", texts),
        vectors_of_sentence_transformers(tmp_path / "m", texts),
    ):
        np.testing.assert_allclose(by_hand, vectors, atol=1e-5)


def test_what_cannot_be_made_equal_is_told_in_the_card(tmp_path: Path) -> None:
    kept = checkpoint_of(word_piece(), unknown="keep")
    write_checkpoint(tmp_path / "kept", kept)
    by_hand = vectors_by_hand(kept)
    check_same_vectors(by_hand, vectors_of_sentence_transformers(tmp_path / "kept"), "float32")
    unknown = [i for i, text in enumerate(TEXTS) if "\U0001f600" in text]
    theirs = vectors_of_model2vec(tmp_path / "kept")
    assert np.abs(by_hand[unknown] - theirs[unknown]).max() > 0.01
    card = (tmp_path / "kept" / "README.md").read_text(encoding="utf-8")
    assert "model2vec leaves the unknown token out" in card

    free = checkpoint_of(word_piece(), normalize=False)
    write_checkpoint(tmp_path / "free", free)
    by_hand = vectors_by_hand(free)
    check_same_vectors(by_hand, vectors_of_model2vec(tmp_path / "free"), "float32")
    theirs = vectors_of_sentence_transformers(tmp_path / "free")
    known = [i for i in range(len(TEXTS)) if i not in unknown and "[UNK]" not in TEXTS[i]]
    np.testing.assert_allclose(by_hand[known], theirs[known], atol=1e-5)
    card = (tmp_path / "free" / "README.md").read_text(encoding="utf-8")
    assert "shorter vectors" in card


def test_the_real_vocabulary_gives_the_same_vectors_in_all_three(
    tmp_path: Path, minilm_tokenizer_json: str
) -> None:
    table = np.random.default_rng(5).standard_normal((30522, 32)).astype(np.float32)
    checkpoint = Checkpoint(table=table, tokenizer_json=minilm_tokenizer_json)
    write_checkpoint(tmp_path / "m", checkpoint)
    by_hand = vectors_by_hand(checkpoint)
    ours = StaticModel.from_pretrained(tmp_path / "m").encode(list(TEXTS))
    check_same_vectors(by_hand, ours, "float32")
    check_same_vectors(by_hand, vectors_of_model2vec(tmp_path / "m"), "float32")
    check_same_vectors(by_hand, vectors_of_sentence_transformers(tmp_path / "m"), "float32")


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(
        word_piece(),
        dtype="float16",
        weights=True,
        mapping=True,
        max_length=40,
        unknown="keep",
        normalize=False,
        prompts={"query": "the ", "document": "a "},
        default_prompt_name="query",
        similarity="dot",
        config={"apply_pca": 8, "vecsmith": {"dims": [4, 8], "recipe": {"teacher": "org/x"}}},
        card={"license": "mit", "base_model": "org/x", "language": ["en", "de"]},
    )
    write_checkpoint(tmp_path / "m", checkpoint)
    found = open_checkpoint(tmp_path / "m")
    np.testing.assert_array_equal(found.table, checkpoint.table)
    np.testing.assert_array_equal(found.weights, checkpoint.weights)
    np.testing.assert_array_equal(found.mapping, checkpoint.mapping)
    for name in ("max_length", "unknown", "normalize", "default_prompt_name", "similarity"):
        assert getattr(found, name) == getattr(checkpoint, name)
    assert found.prompts == checkpoint.prompts
    assert found.config["apply_pca"] == 8
    ours = {"dims": [4, 8], "recipe": {"teacher": "org/x"}, "format": 1, "unknown": "keep"}
    assert found.config["vecsmith"] == ours
    assert (found.layout, found.source) == ("vecsmith", str(tmp_path / "m"))
    for key, value in checkpoint.card.items():
        assert found.card[key] == value


def test_saving_again_changes_nothing(tmp_path: Path) -> None:
    for i, dtype in enumerate(("float32", "float16", "int8")):
        checkpoint = checkpoint_of(word_piece(), dtype=dtype, weights=True, mapping=i % 2 == 1)
        folder = tmp_path / dtype
        write_checkpoint(folder, checkpoint)
        first = {path.name: path.read_bytes() for path in folder.iterdir()}
        write_checkpoint(folder, open_checkpoint(folder))  # in place, over the mapped file
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_files_are_as_the_libraries_document_them(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(word_piece(), dtype="int8", mapping=True)
    write_checkpoint(tmp_path / "m", checkpoint)
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [
        "README.md",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "tokenizer.json",
    ]
    tensors = TensorFile(tmp_path / "m" / "model.safetensors")
    dtypes = {name: tensors.tensor(name).dtype.name for name in tensors.names()}
    assert dtypes == {"embeddings": "int8", "mapping": "int32", "weights": "float32"}
    config = json.loads((tmp_path / "m" / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "model2vec"
    assert config["max_length"] is None
    assert config["hidden_dim"] == 8
    assert config["embedding_dtype"] == "int8"
    assert config["vocabulary_quantization"] == len(tensors.tensor("embeddings"))
    modules = json.loads((tmp_path / "m" / "modules.json").read_text(encoding="utf-8"))
    assert [module["type"] for module in modules] == [
        "sentence_transformers.models.StaticEmbedding",
        "sentence_transformers.models.Normalize",
    ]
    tokenizer = json.loads((tmp_path / "m" / "tokenizer.json").read_text(encoding="utf-8"))
    for key in ("post_processor", "padding", "truncation"):
        assert tokenizer[key] is None


def test_weights_of_float32_tables_are_folded_into_the_rows(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(word_piece(), weights=True)
    write_checkpoint(tmp_path / "m", checkpoint)
    found = open_checkpoint(tmp_path / "m")
    assert found.weights is None
    assert checkpoint.weights is not None
    expected = checkpoint.table * checkpoint.weights[:, None]
    expected[1] = 0  # the unknown token
    np.testing.assert_array_equal(found.table, expected)


def test_prompts_work_in_sentence_transformers(tmp_path: Path) -> None:
    for i, (prompts, default) in enumerate(
        [
            ({"query": "the ", "document": "a "}, None),
            ({"query": "the ", "passage": "a "}, None),
            ({"title": "the "}, "title"),
        ]
    ):
        checkpoint = checkpoint_of(word_piece(), prompts=prompts, default_prompt_name=default)
        folder = tmp_path / str(i)
        write_checkpoint(folder, checkpoint)
        ours, theirs = StaticModel(checkpoint), sentence_transformer(folder)
        text = "cat sat"
        np.testing.assert_allclose(ours.encode(text), theirs.encode(text), atol=1e-5)
        np.testing.assert_allclose(ours.encode_query(text), theirs.encode_query(text), atol=1e-5)
        np.testing.assert_allclose(
            ours.encode_document(text), theirs.encode_document(text), atol=1e-5
        )


def test_a_big_table_is_written_without_a_copy_of_it(tmp_path: Path) -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    tokens = ["[PAD]", "[UNK]", *(f"w{i}" for i in range(60_000))]
    checkpoint = checkpoint_of(word_piece(tokens), dim=256, weights=True)
    tracemalloc.start()
    try:
        write_checkpoint(tmp_path / "m", checkpoint)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert checkpoint.table.nbytes > 58 * 2**20
    assert peak < 45 * 2**20  # two blocks and the tokenizer
