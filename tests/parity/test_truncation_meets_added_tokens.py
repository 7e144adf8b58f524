"""An added token that takes the white space before it takes ids back that were counted already."""

from __future__ import annotations

import json

import pytest
import tokenizers

from tests.parity.families import family_json
from tests.parity.hostile_text import SENTENCES
from vecsmith.tokenizer import Tokenizer

SPACES = {"spaces": " ", "lines": " \n", "ideographic": "\u3000 ", "tabs": "\t "}


@pytest.mark.parametrize("family", ["RoBERTa", "Llama 3", "XLM-R", "T5", "BERT uncased"])
@pytest.mark.parametrize("spaces", SPACES)
@pytest.mark.parametrize("max_length", [1, 10, 512])
def test_white_space_longer_than_a_window_goes_with_the_token_behind_it(
    family: str, spaces: str, max_length: int
) -> None:
    root = json.loads(family_json(family, SENTENCES, vocab_size=2000))
    root["added_tokens"] = [
        token for token in root["added_tokens"] if token["content"] != "<taker>"
    ] + [
        {
            "id": 0,
            "content": "<taker>",
            "special": True,
            "single_word": False,
            "lstrip": True,
            "rstrip": False,
            "normalized": False,
        }
    ]
    theirs = tokenizers.Tokenizer.from_str(json.dumps(root))
    ours = Tokenizer(theirs.to_str())
    assert ours.is_native
    text = "a" + SPACES[spaces] * 5000 + "<taker> b"
    expected = theirs.encode(text, add_special_tokens=False).ids[:max_length]
    ids, _ = ours.encode_batch([text], max_length=max_length)
    assert ids.tolist() == expected
