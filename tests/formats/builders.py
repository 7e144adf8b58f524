"""Tokenizers, checkpoints and folders that the tests of this folder are about."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.formats import Checkpoint, read_tokenizer

TOKENS = (
    *("[PAD]", "[UNK]", "hello", "world", "wor", "##ld", "##s", "the", "cat", "sat", "!", ","),
    *("naive", "cafe", "a", "b", "c", "##a", "##b", "##c", "猫"),
)
TEXTS = (
    "hello world",
    "Hello, WORLDS! the cat sat",
    "naïve café",
    "\U0001f600\U0001f600 zebra",
    "the cat 猫 \U0001f600 sat",
    "",
    "[UNK] [PAD] abc",
    "hello " * 700,
)


def word_piece(tokens: Sequence[str] = TOKENS, **changes: Any) -> dict[str, Any]:
    """A tokenizer.json of the BERT kind; `changes` replace its top-level fields."""
    root = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(0, "[PAD]", special=True), added(1, "[UNK]", special=True)],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: i for i, token in enumerate(tokens)},
        },
    }
    return {**copy.deepcopy(root), **changes}


def added(token_id: int, content: str, *, special: bool = False, **flags: bool) -> dict[str, Any]:
    """An entry of `added_tokens`."""
    return {
        "id": token_id,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": not special,
        "special": special,
        **flags,
    }


def unigram() -> dict[str, Any]:
    """A Unigram tokenizer with Metaspace, as multilingual models have."""
    pieces = ["<unk>", "▁", "▁hello", "▁world", "▁the", "▁cat", "s", "h", "e", "l", "o", "!"]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    return word_piece(
        added_tokens=[added(0, "<unk>", special=True)],
        normalizer=None,
        pre_tokenizer=metaspace,
        model={
            "type": "Unigram",
            "unk_id": 0,
            "vocab": [[piece, -float(len(pieces) - len(piece))] for piece in pieces],
            "byte_fallback": False,
        },
    )


def checkpoint_of(
    tokenizer: Mapping[str, Any],
    *,
    dim: int = 8,
    dtype: str = "float32",
    n_rows: int | None = None,
    weights: bool = False,
    mapping: bool = False,
    **fields: Any,
) -> Checkpoint:
    """A checkpoint of random values that fits `tokenizer`."""
    random = np.random.default_rng(3)
    text = json.dumps(tokenizer, ensure_ascii=False)
    n_ids = read_tokenizer(text).n_ids
    n_rows = n_rows or (max(2, n_ids // 2) if mapping else n_ids)
    table = random.standard_normal((n_rows, dim))
    return Checkpoint(
        table=(table * 40).round().clip(-127, 127).astype(dtype)
        if dtype == "int8"
        else table.astype(dtype),
        tokenizer_json=text,
        weights=random.uniform(0.1, 2, n_ids).astype(np.float32) if weights else None,
        mapping=random.integers(0, n_rows, n_ids).astype(np.uint32) if mapping else None,
        **fields,
    )


def vectors_by_hand(checkpoint: Checkpoint, texts: Sequence[str] = TEXTS) -> NDArray[np.float64]:
    """Vectors of `texts` in float64, with the ids of Hugging Face tokenizers."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_str(checkpoint.tokenizer_json)
    settings = read_tokenizer(checkpoint.tokenizer_json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if checkpoint.max_length is not None:
        tokenizer.enable_truncation(checkpoint.max_length, direction=settings.truncation_direction)
    vectors = np.zeros((len(texts), checkpoint.dim))
    for i, text in enumerate(texts):
        ids = np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)
        if checkpoint.unknown == "drop":
            ids = ids[ids != (-1 if settings.unk_id is None else settings.unk_id)]
        if len(ids) == 0:
            continue
        rows = ids if checkpoint.mapping is None else checkpoint.mapping[ids]
        factors = 1 if checkpoint.weights is None else checkpoint.weights[ids, None]
        vectors[i] = (checkpoint.table[rows].astype(np.float64) * factors).mean(axis=0)
    if checkpoint.normalize:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-32
    return vectors


def vectors_of_model2vec(folder: Path, texts: Sequence[str] = TEXTS) -> NDArray[Any]:
    """What the package model2vec computes from `folder`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        model2vec = pytest.importorskip("model2vec")
        model = model2vec.StaticModel.from_pretrained(folder)
        vectors: NDArray[Any] = model.encode(list(texts))
        return vectors


def sentence_transformer(folder: Path | None = None, **options: Any) -> Any:
    """A model of the package sentence-transformers, on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        package = pytest.importorskip("sentence_transformers")
        path = None if folder is None else str(folder)
        return package.SentenceTransformer(path, device="cpu", **options)


def vectors_of_sentence_transformers(
    folder: Path, texts: Sequence[str] = TEXTS, **options: Any
) -> NDArray[Any]:
    """What the package sentence-transformers computes from `folder`."""
    model = sentence_transformer(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vectors: NDArray[Any] = model.encode(list(texts), **options)
        return vectors
