"""Whole distillations against an independent derivation, and what the user is told."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tests.transformer.teachers import FAMILIES, save_teacher
from vecsmith import StaticModel, distill
from vecsmith.compression import quantize_rows
from vecsmith.distillation.distiller import UNUSED_TOKENS
from vecsmith.distillation.vocabulary import build_vocabulary
from vecsmith.errors import MissingExtraError

TEXTS = ["the quick brown fox", "it is dangerous to go alone", "static embeddings are small"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("teachers")
    return {family: save_teacher(root / family, family) for family in FAMILIES}


def recipe_of(model: StaticModel) -> dict[str, Any]:
    recipe: dict[str, Any] = model.checkpoint.config["vecsmith"]["recipe"]
    return recipe


def published_table(
    folder: Path, sequences: list[list[int]], dim: int, coefficient: float
) -> NDArray[np.float64]:
    """model2vec 0.10's formulas in float64: mean of all states, components, rank weights."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    longest = max(map(len, sequences))
    ids = torch.tensor([s + [0] * (longest - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in sequences])
    with torch.no_grad():
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state.double().numpy()
    weights = mask.numpy()[:, :, None]
    vectors = (states * weights).sum(axis=1) / weights.sum(axis=1)
    centered = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centered, full_matrices=False)
    scores = (left * sizes)[:, :dim]
    scores *= np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(dim)])
    shares = 1 / np.arange(2, len(sequences) + 2)
    shares /= shares.sum()
    table: NDArray[np.float64] = scores * (coefficient / (coefficient + shares))[:, None]
    return table


@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_a_compatible_distillation_is_the_published_algorithm(
    family: str, folders: dict[str, Path]
) -> None:
    model = distill(
        folders[family], dim=8, compatible="model2vec", vocabulary=["quixotic", "zebra"]
    )
    teacher = Tokenizer.from_file(str(folders[family] / "tokenizer.json"))
    ids = teacher.get_vocab()
    kept = sorted(ids, key=ids.__getitem__)
    gone = {"[unused0]", "[CLS]", "[SEP]", "[MASK]"}
    frame = (ids["[CLS]"], ids["[SEP]"])
    sequences = [[frame[0], ids[token], frame[1]] for token in kept if token not in gone]
    sequences += [teacher.encode(word).ids for word in ("quixotic", "zebra")]
    expected = published_table(folders[family], sequences, 8, 1e-4)
    np.testing.assert_allclose(model.checkpoint.table, expected, atol=5e-5)


def test_a_compatible_vocabulary_has_the_size_model2vec_gives(minilm_tokenizer_json: str) -> None:
    student = build_vocabulary(
        minilm_tokenizer_json,
        [],
        token_remove_pattern=UNUSED_TOKENS,
        special={"pad_token": "[PAD]"},
        as_model2vec=True,
    )
    assert len(student.tokens) == 29_525  # as published
    assert student.tokens[:2] == ["[PAD]", "[UNK]"]
    assert not {"[CLS]", "[SEP]", "[MASK]", "[unused1]"} & set(student.tokens)


def test_the_real_teacher_gives_words_their_meaning(teacher_folder: Path) -> None:
    words = ["king", "queen", "banana", "mango", "guitar", "violin", "new york", "los angeles"]
    model = distill(teacher_folder, dim=6, vocabulary=words, vocabulary_mode="word")
    vectors = model.encode(words)
    similar = vectors @ vectors.T - 2 * np.eye(len(words))
    assert similar.argmax(axis=1).tolist() == [1, 0, 3, 2, 5, 4, 7, 6]
    assert model.checkpoint.card["license"] == "apache-2.0"
    assert model.checkpoint.card["language"] == "en"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", ["subword", "both", "word"])
def test_every_family_and_mode_gives_a_model_that_encodes(
    family: str, mode: Any, folders: dict[str, Path], tmp_path: Path
) -> None:
    words = None if mode == "subword" else ["fox", "quick", "dangerous", "new york", "alone", "xyz"]
    model = distill(folders[family], dim=4, vocabulary=words, vocabulary_mode=mode)
    vectors = model.encode(TEXTS)
    assert vectors.shape == (3, 4)
    lengths = np.linalg.norm(vectors, axis=1)
    known = [mode != "word" or i < 2 for i in range(3)]
    np.testing.assert_allclose(lengths, np.where(known, 1, 0), atol=1e-5)
    model.save_pretrained(tmp_path / "saved")
    opened = StaticModel.from_pretrained(tmp_path / "saved")
    np.testing.assert_allclose(opened.encode(TEXTS), vectors, atol=1e-6)
    assert recipe_of(opened) == recipe_of(model)


def test_frequent_words_weigh_less_than_rare_ones(folders: dict[str, Path]) -> None:
    counts = {"zyx": 1e6, "quixotic": 1.0}
    table = distill(folders["bert"], dim=4, vocabulary=counts).checkpoint.table
    alike = distill(folders["bert"], dim=4, vocabulary=counts, weighting="none").checkpoint.table
    frequent, rare = np.linalg.norm(table[-2:], axis=1) / np.linalg.norm(alike[-2:], axis=1)
    assert frequent < 0.01 * rare


def test_counts_of_texts_set_the_weights(folders: dict[str, Path]) -> None:
    plain = distill(folders["bert"], dim=4, weighting="none").checkpoint
    counted = distill(folders["bert"], dim=4, counts=TEXTS, sif_coefficient=0.01).checkpoint
    tokenizer = Tokenizer.from_str(plain.tokenizer_json)
    counts = np.zeros(plain.n_tokens)
    for encoding in tokenizer.encode_batch(TEXTS, add_special_tokens=False):
        np.add.at(counts, encoding.ids, 1)
    shares = (counts + 1) / (counts.sum() + len(counts))
    expected = plain.table * (0.01 / (0.01 + shares))[:, None]
    np.testing.assert_allclose(counted.table, expected, atol=1e-6)


def test_two_distillations_give_the_same_bits(folders: dict[str, Path]) -> None:
    first, second = (distill(folders["bert"], dim=4).checkpoint.table for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_pca_dims_is_another_spelling_of_dim(folders: dict[str, Path]) -> None:
    assert distill(folders["bert"], pca_dims=3).dim == 3
    with pytest.raises(ValueError, match="mean the same"):
        distill(folders["bert"], dim=4, pca_dims=3)


def test_no_dim_keeps_the_teachers_vectors(folders: dict[str, Path]) -> None:
    model = distill(folders["bert"], dim=None, weighting="none", pooling="cls")
    assert model.dim == 16
    assert recipe_of(model)["explained_variance"] == 1.0


def test_a_share_of_variance_is_kept(folders: dict[str, Path]) -> None:
    model = distill(folders["bert"], dim=0.8)
    assert 1 <= model.dim < 16
    assert recipe_of(model)["explained_variance"] >= 0.8


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("int8", 1e-2)])
def test_smaller_tables_give_nearly_the_same_vectors(
    dtype: Any, tolerance: float, folders: dict[str, Path]
) -> None:
    exact = distill(folders["bert"], dim=8).encode(TEXTS)
    rough = distill(folders["bert"], dim=8, dtype=dtype)
    assert rough.checkpoint.rows.dtype == dtype
    assert (exact * rough.encode(TEXTS)).sum(axis=1).min() > 1 - tolerance


def test_int8_rows_are_within_half_a_step_of_their_scale() -> None:
    table = np.random.default_rng(5).standard_normal((50, 7)).astype(np.float32)
    table[3] = 0
    rows, scales = quantize_rows(table, "int8")
    assert scales is not None
    assert np.abs(rows).max() == 127
    np.testing.assert_allclose(scales[:3], np.abs(table[:3]).max(axis=1) / 127)
    assert (np.abs(rows * scales[:, None] - table) <= scales[:, None] * 0.5001 + 1e-12).all()


def test_the_recipe_says_everything_and_is_plain_json(folders: dict[str, Path]) -> None:
    model = distill(folders["xlm-roberta"], dim=4, vocabulary=["zyx", "zyx"])
    recipe = recipe_of(model)
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["settings"]["vocabulary_mode"] == "both"
    assert recipe["settings"]["pooling"] == "balanced"
    assert recipe["settings"]["compute_dtype"] in ("float32", "bfloat16")
    assert recipe["teacher"]["found"] == "folder"
    assert len(recipe["teacher"]["sha256"]) == 64
    assert recipe["vocabulary"]["n_tokens"] == model.vocab_size
    assert recipe["vocabulary"]["report"]["skipped"] == {"given twice": 1}
    assert recipe["versions"]["torch"] == torch.__version__ or recipe["versions"]["torch"]
    assert recipe["seconds"] > 0


def test_prompts_reach_the_teacher(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "prompted"
    shutil.copytree(folders["bert"], folder)
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "the fox "}, "default_prompt_name": "query"}),
        encoding="utf-8",
    )
    by_default = distill(folder, dim=4)
    by_name = distill(folder, dim=4, prompt_name="query")
    by_text = distill(folder, dim=4, prompt="the fox ")
    without = distill(folder, dim=4, prompt="")
    np.testing.assert_array_equal(by_default.checkpoint.table, by_name.checkpoint.table)
    np.testing.assert_array_equal(by_default.checkpoint.table, by_text.checkpoint.table)
    assert np.abs(by_default.checkpoint.rows - without.checkpoint.rows).max() > 1e-3
    assert recipe_of(by_default)["settings"]["prompt"] == "the fox "
    with pytest.raises(ValueError, match=r"the teacher has \['query'\]"):
        distill(folder, dim=4, prompt_name="passage")


def test_the_log_says_where_the_teacher_was_found_and_what_was_skipped(
    folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="vecsmith"):
        distill(folders["bert"], dim=4, vocabulary=["the", "zyx"])
    assert f"from folder: {folders['bert']}" in caplog.text
    assert "skipped 1, already in the teacher's vocabulary: 'the'" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 17}, "more than the 16 dimensions"),
        ({"dim": 0}, "dim 0"),
        ({"dim": 1.0}, "between 0 and 1"),
        ({"dim": 14, "remove_components": 3}, "more than the 13 dimensions"),
        ({"weighting": "sif"}, "needs counts"),
        ({"weighting": "zipf", "counts": ["a"]}, "uses no counts"),
        ({"weighting": "idf"}, "expected one of"),
        ({"pooling": "first"}, "expected one of"),
        ({"vocabulary_mode": "word"}, "needs a vocabulary"),
        ({"vocabulary_mode": "subword", "vocabulary": ["a"]}, "uses no vocabulary"),
        ({"vocabulary": [], "vocabulary_mode": "word"}, "vocabulary is empty"),
        ({"sif_coefficient": 0.0}, "between 0 and 1"),
        ({"whitening": 2.0}, "from 0 to 1"),
        ({"remove_components": -1}, "0 or more"),
        ({"dtype": "int2"}, "expected one of"),
        ({"compute_dtype": "float16"}, "expected one of"),
        ({"batch_tokens": 0}, "1 or more"),
        ({"device": "quantum"}, "expected a torch device"),
        ({"prompt": "a", "prompt_name": "b"}, "both given"),
        ({"compatible": "glove"}, "expected one of"),
        ({"token_remove_pattern": "("}, "regular expression"),
    ],
)
def test_arguments_that_no_run_could_follow_are_refused(
    options: dict[str, Any], message: str, folders: dict[str, Path]
) -> None:
    with pytest.raises(ValueError, match=message):
        distill(folders["bert"], **{"dim": 4, **options})


@pytest.mark.parametrize("module", ["torch", "transformers", "tokenizers"])
def test_a_missing_extra_is_named_with_its_command(
    module: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(MissingExtraError, match=rf'{module}.*pip install "vecsmith\[distill\]"'):
        distill(folders["bert"], dim=4)


def test_the_recipe_names_a_file_of_counts_without_its_folder(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS), encoding="utf-8")
    assert recipe_of(distill(folders["bert"], dim=4, counts=path))["counts"] == "texts.txt"
