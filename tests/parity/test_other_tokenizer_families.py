"""Byte-level BPE, Unigram and WordLevel models give the reference library's ids and numpy's means.

The tokenizers are trained here, on real sentences in many scripts.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.parity import hostile_text as hostile
from tests.parity.comparison import reference_ids
from tests.parity.vectors import plain_vectors, unit_vectors
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.model import StaticModel
from vecsmith.tokenizer import Tokenizer


def byte_level_bpe() -> Any:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    tokenizer.train_from_iterator(hostile.SENTENCES, trainer)
    return tokenizer


def unigram() -> Any:
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=900, unk_token="<unk>", special_tokens=["<unk>", "<s>"], show_progress=False
    )
    tokenizer.train_from_iterator(hostile.SENTENCES, trainer)
    return tokenizer


def word_level() -> Any:
    tokenizer = tokenizers.Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["[UNK]"], show_progress=False)
    tokenizer.train_from_iterator(hostile.SENTENCES, trainer)
    return tokenizer


def wordpiece_with_another_normalizer() -> Any:
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordPieceTrainer(
        vocab_size=500, special_tokens=["[UNK]"], show_progress=False
    )
    tokenizer.train_from_iterator(hostile.SENTENCES, trainer)
    return tokenizer


FAMILIES = {
    "byte-level BPE": (byte_level_bpe, None),
    "Unigram": (unigram, "<unk>"),
    "WordLevel": (word_level, "[UNK]"),
    "WordPiece with another normalizer": (wordpiece_with_another_normalizer, "[UNK]"),
}


@pytest.fixture(scope="module", params=FAMILIES)
def trained(request: pytest.FixtureRequest) -> tuple[str, str | None]:
    make, unk_token = FAMILIES[request.param]
    tokenizer = make()
    # what a file may carry and encoding must not follow
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(4)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<first> $A", special_tokens=[("<first>", 0)]
    )
    return tokenizer.to_str(), unk_token


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [*hostile.generated_texts(seed=31, count=800), *hostile.SENTENCES, "", " "]


def test_the_model_says_that_it_falls_back_and_why(trained: tuple[str, str | None]) -> None:
    tokenizer = Tokenizer(trained[0])
    assert not tokenizer.is_native
    assert tokenizer.fallback_reason


@pytest.mark.parametrize("max_length", [None, 3, 40])
def test_ids_are_the_reference_ones(
    trained: tuple[str, str | None], texts: list[str], max_length: int | None
) -> None:
    tokenizer_json = trained[0]
    ids, offsets = Tokenizer(tokenizer_json).encode_batch(texts, max_length=max_length)
    found = [ids[a:b].tolist() for a, b in pairwise(offsets)]
    expected = reference_ids(tokenizer_json, texts, max_length=max_length)
    wrong = [t for t, a, b in zip(texts, found, expected, strict=True) if a != b]
    assert not wrong[:5]


@pytest.mark.parametrize("unknown", ["drop", "keep"])
def test_means_are_those_of_numpy(
    trained: tuple[str, str | None], texts: list[str], unknown: Any
) -> None:
    tokenizer_json, unk_token = trained
    reference = tokenizers.Tokenizer.from_str(tokenizer_json)
    size = max(reference.get_vocab().values()) + 1
    table = np.random.default_rng(3).standard_normal((size, 37)).astype(np.float16)
    checkpoint = Checkpoint(table=table, tokenizer_json=tokenizer_json, unknown=unknown)
    model = StaticModel(checkpoint)
    unk_id = None if unk_token is None else reference.token_to_id(unk_token)
    expected = plain_vectors(checkpoint, texts, unk_id=unk_id, max_length=20)
    found = model.encode(texts, normalize=False, max_length=20)
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
    unit = model.encode(texts, max_length=20)
    np.testing.assert_allclose(unit, unit_vectors(expected), atol=1e-6)
