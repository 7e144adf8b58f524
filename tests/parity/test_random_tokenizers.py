"""Tokenizers of random parts give the reference ids: nothing is lost between the parts."""

from __future__ import annotations

import pytest

from tests.parity.family_comparison import compare_random_tokenizers
from tests.parity.random_tokenizers import (
    ALPHABET,
    MARKS,
    random_joined_tokenizer,
    random_mapped_tokenizer,
)


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_ids_and_strings_of_random_tokenizers_are_the_reference_ones(first: int) -> None:
    tally, reasons = compare_random_tokenizers(first, 50)
    assert tally.differences == 0, "\n".join(tally.examples)
    # where few were compared, the engine has lost something that it could do
    assert sum(reasons.values()) <= 20, reasons


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_ids_of_random_tokenizers_that_cut_no_words_are_the_reference_ones(first: int) -> None:
    tally, reasons = compare_random_tokenizers(first, 50, make=random_joined_tokenizer)
    assert tally.differences == 0, "\n".join(tally.examples)
    assert sum(reasons.values()) <= 25, reasons


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_ids_of_random_tokenizers_with_character_maps_are_the_reference_ones(first: int) -> None:
    pytest.importorskip("sentencepiece", reason="needs the character maps of sentencepiece")
    tally, reasons = compare_random_tokenizers(
        first, 100, make=random_mapped_tokenizer, alphabet=ALPHABET + MARKS
    )
    assert tally.differences == 0, "\n".join(tally.examples)
    assert sum(reasons.values()) <= 50, reasons


@pytest.mark.parametrize("seed", [78008601, 78010853])
def test_an_added_token_inside_what_the_first_character_became_ends_no_first_word(
    seed: int,
) -> None:
    # "\u00bd" is "1\u20442" by now, and "1" is a token: Hugging Face calls the rest the first word
    tally, _ = compare_random_tokenizers(seed, 1)
    assert tally.differences == 0, "\n".join(tally.examples)
