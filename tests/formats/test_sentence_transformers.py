"""Folders of sentence-transformers mean here what they mean to sentence-transformers."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.builders import (
    TEXTS,
    TOKENS,
    sentence_transformer,
    vectors_by_hand,
    vectors_of_sentence_transformers,
    word_piece,
)
from vecsmith import StaticModel
from vecsmith.errors import FormatError
from vecsmith.formats import open_checkpoint

TABLE = np.random.default_rng(2).standard_normal((len(TOKENS), 6)).astype(np.float32)


def save(folder: Path, *, normalize: bool = True, tokenizer: Any = None, **options: Any) -> Path:
    """A folder that sentence-transformers itself writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("sentence_transformers")
        from sentence_transformers.sentence_transformer import modules
        from tokenizers import Tokenizer

        static = modules.StaticEmbedding(
            Tokenizer.from_str(json.dumps(tokenizer or word_piece())), embedding_weights=TABLE
        )
        parts = [static, modules.Normalize()] if normalize else [static]
        model = sentence_transformer(modules=parts, **options)
        model.save_pretrained(str(folder), create_model_card=False)
    return folder


def rewrite(path: Path, change: Any) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def check_vectors(folder: Path) -> None:
    theirs = vectors_of_sentence_transformers(folder)
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.layout, checkpoint.unknown) == ("sentence-transformers", "keep")
    np.testing.assert_allclose(
        vectors_by_hand(checkpoint), theirs, atol=1e-5
    )  # torch adds up in float32
    ours = StaticModel.from_pretrained(folder).encode(list(TEXTS))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_are_those_of_sentence_transformers(tmp_path: Path, normalize: bool) -> None:
    folder = save(tmp_path / "m", normalize=normalize)
    assert open_checkpoint(folder).normalize == normalize
    check_vectors(folder)


def test_old_names_of_modules_are_read(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    names = ("StaticEmbedding", "Normalize")
    for spelling in ("models", "sentence_transformer.modules"):

        def rename(modules: list[dict[str, str]], spelling: str = spelling) -> None:
            for module, name in zip(modules, names, strict=True):
                module["type"] = f"sentence_transformers.{spelling}.{name}"

        rewrite(folder / "modules.json", rename)
        check_vectors(folder)


def test_a_model_in_the_root_is_read(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    (folder / "0_StaticEmbedding").mkdir(exist_ok=True)
    for name in ("model.safetensors", "tokenizer.json"):
        if (folder / "0_StaticEmbedding" / name).exists():
            (folder / "0_StaticEmbedding" / name).rename(folder / name)
    rewrite(folder / "modules.json", lambda modules: modules[0].update(path=""))
    check_vectors(folder)


def test_a_model_in_a_folder_of_its_own_is_read(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    inner = folder / "0_StaticEmbedding"
    inner.mkdir(exist_ok=True)
    for name in ("model.safetensors", "tokenizer.json"):
        if (folder / name).exists():
            (folder / name).rename(inner / name)
    rewrite(folder / "modules.json", lambda modules: modules[0].update(path=inner.name))
    check_vectors(folder)
    # model2vec finds it there without modules.json
    (folder / "modules.json").unlink()
    checkpoint = open_checkpoint(folder)
    assert not checkpoint.normalize
    np.testing.assert_array_equal(checkpoint.table, TABLE)


def test_the_truncation_of_the_tokenizer_is_kept(tmp_path: Path) -> None:
    for direction in ("Right", "Left"):
        cut = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": direction}
        folder = save(tmp_path / direction, tokenizer=word_piece(truncation=cut))
        assert open_checkpoint(folder).max_length == 3
        check_vectors(folder)


def test_prompts_and_similarity_are_read(tmp_path: Path) -> None:
    folder = save(
        tmp_path / "m",
        prompts={"query": "the ", "passage": "a "},
        similarity_fn_name="dot",
    )
    checkpoint = open_checkpoint(folder)
    theirs = sentence_transformer(folder)
    assert checkpoint.prompts == theirs.prompts
    assert checkpoint.default_prompt_name is None
    assert checkpoint.similarity == "dot"
    ours = StaticModel.from_pretrained(folder)
    text = "cat sat"
    np.testing.assert_allclose(ours.encode(text), theirs.encode(text), atol=1e-6)
    np.testing.assert_allclose(ours.encode_query(text), theirs.encode_query(text), atol=1e-6)
    np.testing.assert_allclose(ours.encode_document(text), theirs.encode_document(text), atol=1e-6)


def test_the_default_prompt_is_read(tmp_path: Path) -> None:
    folder = save(tmp_path / "m", prompts={"title": "the "}, default_prompt_name="title")
    assert open_checkpoint(folder).default_prompt_name == "title"
    ours = StaticModel.from_pretrained(folder)
    theirs = sentence_transformer(folder)
    text = "cat sat"
    np.testing.assert_allclose(ours.encode(text), theirs.encode(text), atol=1e-6)


def test_a_model2vec_table_is_folded_as_sentence_transformers_does(tmp_path: Path) -> None:
    from vecsmith.formats.safetensors import write_tensors

    folder = save(tmp_path / "m")
    rewrite(folder / "modules.json", lambda modules: modules[0].update(path=""))
    for place in (folder, folder / "0_StaticEmbedding"):
        (place / "model.safetensors").unlink(missing_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(word_piece()), encoding="utf-8")
    with (folder / "model.safetensors").open("wb") as file:
        tensors: dict[str, Any] = {
            "weights": np.linspace(0.5, 2, len(TOKENS)),
            "mapping": (np.arange(len(TOKENS)) % 4).astype(np.int32),
            "embeddings": TABLE[:4],
        }
        write_tensors(file, tensors)
    check_vectors(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda modules: modules.insert(
                1, {"type": "sentence_transformers.models.Dense", "path": "1_Dense"}
            ),
            "module 1 is sentence_transformers.models.Dense, expected nothing or Normalize",
        ),
        (
            lambda modules: modules[0].update(type="sentence_transformers.models.Transformer"),
            "module 0 is sentence_transformers.models.Transformer, expected StaticEmbedding",
        ),
        (lambda modules: modules[1].update(type="mine.Normalize"), "module 1 is mine.Normalize"),
        (lambda modules: modules[0].update(path="../.."), "path: '../..'"),
        (lambda modules: modules[0].update(path="/etc"), "path: '/etc'"),
        (lambda modules: modules[0].update(path=3), "path: 3"),
        (lambda modules: modules[0].pop("type"), "type: missing"),
        (lambda modules: modules.clear(), r"modules.json: \[\]"),
        (lambda modules: modules.append(3), "modules.json: 3"),
    ],
)
def test_modules_that_are_no_table_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    folder = save(tmp_path / "m")
    rewrite(folder / "modules.json", change)
    with pytest.raises(FormatError, match=message):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompts": {"query": 3}}, r"prompts\.query: 3"),
        ({"prompts": []}, r"prompts: \[\]"),
        ({"default_prompt_name": "query"}, "default_prompt_name: 'query'"),
        ({"similarity_fn_name": "angle"}, "similarity_fn_name: 'angle'"),
    ],
)
def test_settings_with_unknown_values_are_refused(
    tmp_path: Path, settings: Any, message: str
) -> None:
    folder = save(tmp_path / "m")
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(FormatError, match=message) as caught:
        open_checkpoint(folder)
    assert "config_sentence_transformers.json" in str(caught.value)


def test_a_pickled_model_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    tensors = next(folder.rglob("model.safetensors"))
    tensors.rename(tensors.with_name("pytorch_model.bin"))
    with pytest.raises(FormatError, match=r"only pytorch_model\.bin, which can run code"):
        open_checkpoint(folder)


def test_a_transformer_is_refused_before_its_tensors_are_read(teacher_folder: Path) -> None:
    with pytest.raises(FormatError, match="vecsmith distill"):
        open_checkpoint(teacher_folder)


def test_a_normalize_of_something_else_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    (folder / "1_Normalize").mkdir(exist_ok=True)
    settings = {"module_input_name": "token_embeddings"}
    (folder / "1_Normalize" / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(FormatError, match="module_input_name: 'token_embeddings'"):
        open_checkpoint(folder)
    shutil.rmtree(folder / "1_Normalize")
    check_vectors(folder)
