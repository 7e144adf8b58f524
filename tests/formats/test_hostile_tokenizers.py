"""Tokenizers that would make a text take hours are refused or left to a library that can."""

from __future__ import annotations

import json

import pytest

from tests.formats.builders import TOKENS, added, word_piece
from vecsmith.errors import FormatError
from vecsmith.formats import read_tokenizer


def test_very_long_added_tokens_are_left_to_hugging_face() -> None:
    root = word_piece()
    root["added_tokens"] = [added(len(TOKENS), "a" * 600, special=True)]
    settings = read_tokenizer(json.dumps(root))
    assert settings.native is None
    assert "longer than 256 bytes" in (settings.fallback_reason or "")


def test_endless_words_of_endless_pieces_are_refused() -> None:
    root = word_piece()
    root["model"]["max_input_chars_per_word"] = 10**9
    assert read_tokenizer(json.dumps(root)).native is not None
    root["model"]["vocab"]["a" * 2000] = len(root["model"]["vocab"])
    with pytest.raises(FormatError, match="max_input_chars_per_word"):
        read_tokenizer(json.dumps(root))


@pytest.mark.parametrize("right", ["é", "字", "b"])
def test_merges_that_would_be_cut_inside_a_character_are_refused(right: str) -> None:
    # the library that reads such models ends the whole process there
    root = word_piece()
    root["model"] = {
        "type": "BPE",
        "continuing_subword_prefix": "xx" if right == "b" else "x",
        "vocab": {"a": 0, right: 1, f"a{right}": 2},
        "merges": [["a", right]],
    }
    with pytest.raises(FormatError, match="begins with the continuing_subword_prefix"):
        read_tokenizer(json.dumps(root))
