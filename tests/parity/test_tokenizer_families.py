"""Every family of tokenizers gives the reference library's ids and normalised strings, natively.

The tokenizers are trained here, on real sentences in many scripts, in the settings of the models
they are named for. `make parity` does the same on millions of strings.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import processors

from tests.parity import hostile_text as hostile
from tests.parity.comparison import Tally, compare, reference_tokenizer
from tests.parity.families import FAMILIES, family_json
from tests.parity.family_text import family_texts
from tests.parity.vectors import plain_vectors, unit_vectors
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.model import StaticModel
from vecsmith.tokenizer import Tokenizer


@cache
def trained(name: str) -> str:
    if "Precompiled" in str(FAMILIES[name].normalizer):
        pytest.importorskip("sentencepiece", reason="needs the character maps of sentencepiece")
    tokenizer = tokenizers.Tokenizer.from_str(family_json(name, hostile.SENTENCES, vocab_size=700))
    # what a file may carry and encoding must not follow
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(4)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<first> $A", special_tokens=[("<first>", 0)]
    )
    return str(tokenizer.to_str())


@cache
def texts() -> list[str]:
    return [*family_texts(seed=31, count=3000), *hostile.SENTENCES, "", " ", "▁", "\n"]


def assert_same(tally: Tally) -> None:
    assert tally.differences == 0, "\n".join(tally.examples)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_engine_does_the_work_or_says_why_not(name: str) -> None:
    tokenizer = Tokenizer(trained(name))
    reason = FAMILIES[name].reason
    if reason is None:
        assert tokenizer.is_native, tokenizer.fallback_reason
    else:
        assert reason in str(tokenizer.fallback_reason)


@pytest.mark.parametrize("name", FAMILIES)
def test_ids_and_strings_are_the_reference_ones(name: str) -> None:
    assert_same(compare(texts(), trained(name), Tokenizer(trained(name))))


@pytest.mark.parametrize("max_length", [1, 3, 40])
@pytest.mark.parametrize("name", ["GPT-2", "Mistral", "XLM-R", "WordLevel, Whitespace"])
def test_truncation_keeps_the_tokens_the_reference_keeps(name: str, max_length: int) -> None:
    text = trained(name)
    assert_same(compare(texts(), text, Tokenizer(text), max_length=max_length, strings=False))


@pytest.mark.parametrize("name", FAMILIES)
def test_tokens_are_named_as_in_the_reference(name: str) -> None:
    tokenizer, reference = Tokenizer(trained(name)), reference_tokenizer(trained(name))
    for token, token_id in reference.get_vocab(with_added_tokens=True).items():
        assert tokenizer.id_to_token(token_id) == token
    assert tokenizer.vocab_size == reference.get_vocab_size(with_added_tokens=True)


@pytest.mark.parametrize("unknown", ["drop", "keep"])
@pytest.mark.parametrize("name", ["GPT-2", "Llama 2", "XLM-R", "CLIP", "WordLevel, Whitespace"])
def test_means_are_those_of_numpy(name: str, unknown: Any) -> None:
    reference = reference_tokenizer(trained(name))
    size = max(reference.get_vocab().values()) + 1
    table = np.random.default_rng(3).standard_normal((size, 37)).astype(np.float16)
    checkpoint = Checkpoint(table=table, tokenizer_json=trained(name), unknown=unknown)
    model = StaticModel(checkpoint)
    unk_id = model.tokenizer.unk_id
    expected = plain_vectors(checkpoint, texts(), unk_id=unk_id, max_length=20)
    found = model.encode(texts(), normalize=False, max_length=20)
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
    unit = model.encode(texts(), max_length=20)
    np.testing.assert_allclose(unit, unit_vectors(expected), atol=1e-6)
