"""The tokenizer of a model: ids, tokens, where the work is done."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest

from vecsmith.errors import FormatError
from vecsmith.tokenizer import Tokenizer, checked_threads, default_threads


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer_json: str) -> Tokenizer:
    return Tokenizer(tiny_tokenizer_json)


def changed(tokenizer_json: str, **changes: Any) -> str:
    return json.dumps({**json.loads(tokenizer_json), **changes})


def word_level(tokenizer_json: str) -> str:
    """The same words under a tokenizer that the engine leaves to Hugging Face."""
    vocabulary = json.loads(tokenizer_json)["model"]["vocab"]
    return changed(
        tokenizer_json,
        pre_tokenizer={
            "type": "Sequence",
            "pretokenizers": [{"type": "UnicodeScripts"}, {"type": "Whitespace"}],
        },
        model={"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    )


def test_ids_and_tokens_of_one_text(tokenizer: Tokenizer) -> None:
    encoding = tokenizer.encode("The cat, playing [PAD]!", add_special_tokens=False)
    assert encoding.tokens == ["the", "cat", ",", "play", "##ing", "[PAD]", "!"]
    assert [tokenizer.id_to_token(i) for i in encoding.ids] == encoding.tokens
    assert tokenizer.encode("").ids == []
    assert tokenizer.encode("€").tokens == ["[UNK]"]


def test_special_tokens_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="add_special_tokens is True, expected False"):
        tokenizer.encode("a", add_special_tokens=True)


def test_a_batch_is_one_array_and_offsets(tokenizer: Tokenizer) -> None:
    ids, offsets = tokenizer.encode_batch(["cat dog", "", "cat"])
    assert ids.dtype == np.uint32
    assert offsets.dtype == np.int64
    assert offsets.tolist() == [0, 2, 2, 3]
    assert ids[0] == ids[2]


def test_the_engine_does_the_work_of_word_pieces(tokenizer: Tokenizer) -> None:
    assert tokenizer.is_native
    assert tokenizer.native is not None
    assert tokenizer.fallback_reason is None
    assert tokenizer.family == "wordpiece"


def test_sizes_and_the_unknown_token(tokenizer: Tokenizer, tiny_tokenizer_json: str) -> None:
    n = len(json.loads(tiny_tokenizer_json)["model"]["vocab"])
    assert (tokenizer.vocab_size, tokenizer.n_ids, tokenizer.unk_id) == (n, n, 1)
    with pytest.raises(IndexError, match=f"token id {n}, expected one of the {n}"):
        tokenizer.id_to_token(n)


@pytest.mark.parametrize("max_length", [1, 2, 3, 100])
def test_a_text_that_is_too_long_keeps_the_end_that_the_file_names(
    tiny_tokenizer_json: str, max_length: int
) -> None:
    text = "the cat sat on a mat"
    truncation = {"direction": "Left", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    for tokenizer_json in (tiny_tokenizer_json, word_level(tiny_tokenizer_json)):
        if not Tokenizer(tiny_tokenizer_json).is_native:
            pytest.importorskip("tokenizers")
        right = Tokenizer(tokenizer_json)
        left = Tokenizer(changed(tokenizer_json, truncation=truncation))
        assert (right.keeps_end, left.keeps_end) == (False, True)
        everything = right.encode(text).ids
        assert left.encode(text).ids == everything
        ids, _ = right.encode_batch([text], max_length=max_length)
        assert ids.tolist() == everything[:max_length]
        ids, _ = left.encode_batch([text], max_length=max_length)
        assert ids.tolist() == everything[-max_length:]


def test_scores_that_sums_would_swallow_go_through_hugging_face() -> None:
    hugging_face = pytest.importorskip("tokenizers", reason="needs tokenizers (extra hf)")
    vocab = [["<unk>", 0.0], ["\u2581a", -2.0], ["b", -3e200], ["\u2581", -4.0]]
    marks = {"replacement": "\u2581", "prepend_scheme": "always", "split": True}
    tokenizer_json = json.dumps(
        {
            "version": "1.0",
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": {"type": "Metaspace", **marks},
            "post_processor": None,
            "decoder": None,
            "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": False},
        }
    )
    tokenizer = Tokenizer(tokenizer_json)
    reason = "token 2 has the score -3e+200, expected one from -1e100 to 1e100"
    assert tokenizer.fallback_reason == reason
    expected = hugging_face.Tokenizer.from_str(tokenizer_json).encode("a b ab bb").ids
    assert tokenizer.encode("a b ab bb").ids == expected


def test_what_the_engine_cannot_do_goes_through_hugging_face(tiny_tokenizer_json: str) -> None:
    pytest.importorskip("tokenizers", reason="other families need tokenizers (extra hf)")
    tokenizer = Tokenizer(word_level(tiny_tokenizer_json))
    assert not tokenizer.is_native
    assert tokenizer.fallback_reason == "the engine has no pre-tokenizer UnicodeScripts"
    assert tokenizer.encode("The cat plays").tokens == ["the", "cat", "[UNK]"]
    assert tokenizer.normalize("Été") == "ete"
    assert tokenizer.encode("cat\ud800 dog").tokens == ["cat", "dog"]
    ids, offsets = tokenizer.encode_batch([])
    assert (len(ids), offsets.tolist()) == (0, [0])
    with pytest.raises(TypeError, match="text 1 is of type NoneType, expected str"):
        tokenizer.encode_batch(["a", None])  # type: ignore[list-item]


def test_normalized_text_is_that_of_the_normalizer(tokenizer: Tokenizer) -> None:
    assert tokenizer.normalize("Ünïcode\x00 猫\ud800") == "unicode  猫 "


def test_a_list_may_change_while_it_is_encoded(tokenizer: Tokenizer) -> None:
    texts = ["cat dog"] * 1000
    expected, _ = tokenizer.encode_batch(list(texts))
    ids, _ = tokenizer.encode_batch(texts, n_threads=2)
    np.testing.assert_array_equal(ids, expected)


def test_a_pickled_tokenizer_gives_the_same_ids(tokenizer: Tokenizer) -> None:
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.encode("the cat plays").ids == tokenizer.encode("the cat plays").ids


def test_a_broken_file_is_a_format_error() -> None:
    for broken in ("", "[]", "{}", '{"model": {"type": "WordPiece", "vocab": {"a": 0}}}'):
        with pytest.raises(FormatError):
            Tokenizer(broken)


def test_threads_are_at_least_one() -> None:
    assert checked_threads(None) == default_threads() >= 1
    assert checked_threads(3) == 3
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"n_threads is {wrong}, expected at least 1"):
            checked_threads(wrong)
