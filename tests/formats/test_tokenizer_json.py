from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from tests.formats.builders import TEXTS, TOKENS, added, unigram, word_piece
from vecsmith.errors import FormatError
from vecsmith.formats import read_tokenizer
from vecsmith.formats.tokenizer_json import stored_tokenizer, without_truncation
from vecsmith.tokenizer import Tokenizer

HOSTILE_TEXTS = (
    *TEXTS[:-1],
    "HELLO multi  word x MultiWord multi word",
    "ab\u0301c\u00a0multi\tword new_york New_York",
    "[UNK][PAD]hello[unk]",
    "worlds hellos abcabc" + "a" * 120,
)


FIRST = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
AFTER_PUNCTUATION = {"type": "Sequence", "pretokenizers": [{"type": "Punctuation"}, FIRST]}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}


def read(root: dict[str, Any]) -> Any:
    return read_tokenizer(json.dumps(root))


def bpe(**changes: Any) -> dict[str, Any]:
    vocabulary = {"a": 0, "b": 1, "ab": 2}
    return {"type": "BPE", "vocab": vocabulary, "merges": [["a", "b"]], **changes}


def variants() -> dict[str, dict[str, Any]]:
    """Tokenizers that Hugging Face opens, by what is special about them."""
    model = word_piece()["model"]
    normalizer = word_piece()["normalizer"]
    plain = [added(0, "[PAD]", special=True), added(1, "[UNK]", special=True)]
    n = len(TOKENS)
    found = {
        "plain": word_piece(),
        "nothing added": word_piece(added_tokens=[]),
        "added tokens missing": {k: v for k, v in word_piece().items() if k != "added_tokens"},
        "type of the model missing": word_piece(
            model={k: v for k, v in model.items() if k != "type"}
        ),
        "type of the normalizer missing": word_piece(
            normalizer={k: v for k, v in normalizer.items() if k != "type"}
        ),
        "strip_accents missing": word_piece(
            normalizer={k: v for k, v in normalizer.items() if k != "strip_accents"}
        ),
        "cased": word_piece(normalizer={**normalizer, "lowercase": False}),
        "accents kept": word_piece(normalizer={**normalizer, "strip_accents": False}),
        "cased without accents": word_piece(
            normalizer={**normalizer, "lowercase": False, "strip_accents": True}
        ),
        "nothing cleaned": word_piece(normalizer={**normalizer, "clean_text": False}),
        "no Chinese": word_piece(normalizer={**normalizer, "handle_chinese_chars": False}),
        "no normalizer": word_piece(normalizer=None),
        "normalizer in a sequence": word_piece(
            normalizer={"type": "Sequence", "normalizers": [normalizer]}
        ),
        "pre-tokenizer in a sequence": word_piece(
            pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}]}
        ),
        "short words": word_piece(model={**model, "max_input_chars_per_word": 4}),
        "endless words": word_piece(model={**model, "max_input_chars_per_word": 2**40}),
        "another prefix": word_piece(
            tokens=[token.replace("##", "@@") for token in TOKENS],
            model={
                **model,
                "continuing_subword_prefix": "@@",
                "vocab": {token.replace("##", "@@"): i for i, token in enumerate(TOKENS)},
            },
        ),
        "ids with gaps": word_piece(
            model={**model, "vocab": {token: 3 * i for i, token in enumerate(TOKENS)}},
            added_tokens=[],
        ),
        "two tokens of one id": word_piece(
            model={**model, "vocab": {**model["vocab"], "sat": 8}}, added_tokens=plain
        ),
        "new tokens": word_piece(
            added_tokens=[*plain, added(n, "multi word"), added(n + 1, "new_york")]
        ),
        "new tokens of one word": word_piece(
            added_tokens=[*plain, added(n, "multi word", single_word=True)]
        ),
        "new tokens in raw text": word_piece(
            added_tokens=[*plain, added(n, "MultiWord", normalized=False)]
        ),
        "stripping tokens": word_piece(
            added_tokens=[*plain, added(n, "multi", lstrip=True, rstrip=True)]
        ),
        "ids that mean nothing": word_piece(
            added_tokens=[*plain, added(900, "multi word"), added(3, "new_york")]
        ),
        "a known word with a wrong id": word_piece(added_tokens=[*plain, added(77, "hello")]),
        "an empty added token": word_piece(added_tokens=[*plain, added(n, ""), added(n, "multi")]),
        "a token that is there twice": word_piece(
            added_tokens=[*plain, added(n, "multi"), added(n, "multi")]
        ),
        "unknown fields": word_piece(model={**model, "later": 1}),
    }
    return copy.deepcopy(found)


@pytest.mark.parametrize("name", variants())
def test_native_tokenizers_give_the_ids_of_hugging_face(name: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    text = json.dumps(variants()[name])
    settings = read_tokenizer(text)
    assert settings.fallback_reason is None
    reference = tokenizers.Tokenizer.from_str(text)
    ours = Tokenizer(text)
    for hostile in HOSTILE_TEXTS:
        expected = reference.encode(hostile, add_special_tokens=False).ids
        assert ours.encode(hostile).ids == expected, hostile
    vocabulary = reference.get_vocab(with_added_tokens=True)
    assert settings.n_ids == 1 + max(vocabulary.values())
    assert settings.n_tokens == len(vocabulary)
    assert settings.unk_id == reference.token_to_id(reference.model.unk_token)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"normalizer": {"type": "ByteLevel"}}, "the engine has no normalizer ByteLevel"),
        (
            {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Later"}]}},
            "the engine has no normalizer Later",
        ),
        ({"pre_tokenizer": {"type": "UnicodeScripts"}}, "has no pre-tokenizer UnicodeScripts"),
        (
            {
                "pre_tokenizer": {
                    "type": "Sequence",
                    "pretokenizers": [BYTES, {"type": "Whitespace"}],
                }
            },
            "ByteLevel comes before others",
        ),
        ({"pre_tokenizer": BYTES}, "ByteLevel comes before a model that is wordpiece, not BPE"),
        (
            {"normalizer": {"type": "StripAccents"}, "pre_tokenizer": FIRST},
            "prepends to the first word after the normalizer's step strip_accents",
        ),
        (
            {"normalizer": {"type": "NFC"}, "pre_tokenizer": AFTER_PUNCTUATION},
            "prepends to the first word after a normalizer and other pre-tokenizers",
        ),
        (
            {
                "normalizer": {"type": "NFKC"},
                "pre_tokenizer": FIRST,
                "added_tokens": [added(21, "1", normalized=True)],
            },
            "prepends to the first word after the normalizer and the added token '1'",
        ),
        (
            {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 300}},
            "the normalizer has more than 256 steps",
        ),
        ({"model": bpe(dropout=0.1)}, "leaves merges out at random (dropout 0.1)"),
        ({"model": bpe(end_of_word_suffix="</w>")}, "has the end_of_word_suffix '</w>'"),
        ({"model": bpe(unk_token="?")}, "the unknown token '?' is not in the model's vocabulary"),
        ({"model": bpe(byte_fallback=True), "pre_tokenizer": BYTES}, "model with byte_fallback"),
        ({"model": {**unigram()["model"], "unk_id": None}}, "the model has no unknown token"),
        (
            {"added_tokens": [added(21, "x"), added(21, "x", single_word=True)]},
            "is there twice and differs",
        ),
    ],
)
def test_what_the_engine_cannot_do_exactly_says_why(change: dict[str, Any], reason: str) -> None:
    settings = read(word_piece(**{"added_tokens": [], **change}))
    assert settings.native is None
    assert reason in str(settings.fallback_reason)


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ([added(21, "\u0301")], "normalises to nothing"),
        ([added(21, "\u0001")], "normalises to nothing"),
        ([added(21, "x"), added(22, "X")], "'x' and 'X' normalise alike"),
    ],
)
def test_added_tokens_that_normalise_badly_are_left_to_hugging_face(
    tokens: list[dict[str, Any]], reason: str
) -> None:
    pytest.importorskip("tokenizers")
    tokenizer = Tokenizer(json.dumps(word_piece(added_tokens=tokens)))
    assert reason in str(tokenizer.fallback_reason)


def test_an_added_token_beyond_a_gap_is_left_to_hugging_face() -> None:
    # versions of tokenizers differ in the id that they give it
    root = word_piece(added_tokens=[added(900, "multi word")])
    root["model"]["vocab"] = {"[UNK]": 5, "hello": 100}
    assert "beyond a gap" in str(read(root).fallback_reason)


def test_other_families_are_named_and_have_their_unknown_token() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    bpe = {
        "type": "BPE",
        "unk_token": "<unk>",
        "vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3},
        "merges": [["a", "b"]],
    }
    word_level = {"type": "WordLevel", "unk_token": "<unk>", "vocab": {"a": 4, "<unk>": 2}}
    for family, root in {
        "unigram": unigram(),
        "bpe": word_piece(model=bpe, added_tokens=[]),
        "wordlevel": word_piece(model=word_level, added_tokens=[]),
    }.items():
        settings = read(root)
        reference = tokenizers.Tokenizer.from_str(json.dumps(root))
        vocabulary = reference.get_vocab(with_added_tokens=True)
        assert settings.family == family
        assert settings.native is not None
        assert settings.unk_token == "<unk>"
        assert settings.unk_id == reference.token_to_id("<unk>")
        assert settings.n_ids == 1 + max(vocabulary.values())
        assert settings.n_tokens == len(vocabulary)


def test_a_bpe_without_an_unknown_token_has_none() -> None:
    model = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
    settings = read(word_piece(model=model, added_tokens=[]))
    assert (settings.unk_token, settings.unk_id) == (None, None)


def test_a_unigram_list_counts_a_repeated_token_once_as_a_token_and_twice_as_an_id() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    root = unigram()
    root["model"]["vocab"].append(["s", -3.0])
    root["added_tokens"].append(added(99, "multi word"))
    reference = tokenizers.Tokenizer.from_str(json.dumps(root)).get_vocab(with_added_tokens=True)
    settings = read(root)
    assert settings.n_ids == 1 + max(reference.values())
    assert settings.n_tokens == len(reference)


def test_truncation_says_which_end_is_kept_and_how_much() -> None:
    block = {"max_length": 7, "strategy": "LongestFirst", "stride": 0}
    assert read(word_piece()).truncation_max_length is None
    settings = read(word_piece(truncation=block))
    assert (settings.truncation_direction, settings.truncation_max_length) == ("right", 7)
    settings = read(word_piece(truncation={**block, "direction": "Left"}))
    assert (settings.truncation_direction, settings.truncation_max_length) == ("left", 7)


def with_model(**fields: Any) -> dict[str, Any]:
    return word_piece(model={**word_piece()["model"], **fields})


@pytest.mark.parametrize(
    ("root", "field"),
    [
        (word_piece(version="2.0"), "version"),
        ({"version": "1.0"}, "tokenizer.json.model: missing"),
        (word_piece(model=[]), "model: [], expected an object"),
        (with_model(type="Sentence"), "model.type: 'Sentence'"),
        (with_model(vocab={"[UNK]": -1}), "id -1, expected a whole number from 0 to 2147483647"),
        (with_model(vocab={"[UNK]": 2**31}), "id 2147483648"),
        (with_model(vocab={"[UNK]": 1.0}), "id 1.0"),
        (with_model(vocab={"[UNK]": True}), "id True"),
        (with_model(vocab={"[UNK]": None}), "id None"),
        (with_model(vocab=["a"]), "model.vocab: ['a'], expected an object"),
        (with_model(vocab={}), "model.unk_token: '[UNK]' is not in the vocabulary of 0"),
        (with_model(unk_token="<unk>"), "model.unk_token: '<unk>' is not in the vocabulary"),
        (with_model(unk_token=None), "model.unk_token: None"),
        (with_model(max_input_chars_per_word=-1), "model.max_input_chars_per_word: -1"),
        (with_model(continuing_subword_prefix=None), "model.continuing_subword_prefix: None"),
        (word_piece(normalizer={"type": "BertNormalizer", "lowercase": 1}), "normalizer.lowercase"),
        (word_piece(normalizer=3), "normalizer: 3"),
        (word_piece(added_tokens={}), "added_tokens: {}, expected an array"),
        (word_piece(added_tokens=[1]), "added_tokens[0]: 1"),
        (word_piece(added_tokens=[{"id": 1}]), "added_tokens[0].content: missing"),
        (word_piece(added_tokens=[added(-1, "x")]), "added_tokens[0].id: -1"),
        (word_piece(truncation={"max_length": -1}), "truncation.max_length: -1"),
        (word_piece(truncation={"max_length": 1, "direction": "up"}), "truncation.direction"),
        (word_piece(model={**unigram()["model"], "unk_id": 99}), "model.unk_id: 99"),
        (word_piece(model={"type": "Unigram", "vocab": [["a"]]}), "model.vocab: entry 0 is ['a']"),
    ],
)
def test_a_broken_tokenizer_is_refused_with_its_field(root: dict[str, Any], field: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(root)
    assert str(caught.value).startswith("tokenizer.json")
    assert field in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"model": ' + "1" * 5000 + "}",
        json.dumps(word_piece(model={"type": "Unigram", "vocab": [["a", float("nan")]]})),
        json.dumps(word_piece(tokens=["[UNK]", "a"])).replace('"a"', '"\\ud800"'),
    ],
)
def test_text_that_is_no_tokenizer_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match=r"tokenizer\.json"):
        read_tokenizer(text)


def test_whole_surrogate_pairs_are_text() -> None:
    text = json.dumps(word_piece(tokens=["[PAD]", "[UNK]", "\U0001f600"]))
    assert "\\ud83d" in text
    settings = read_tokenizer(text)
    assert settings.native is not None
    assert settings.native.model.tokens[2] == "\U0001f600"


def test_a_stored_tokenizer_gives_the_same_ids_without_special_tokens() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    special = {"type": "BertProcessing", "sep": ["[PAD]", 0], "cls": ["[UNK]", 1]}
    padding = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    cut = {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Left"}
    text = json.dumps(word_piece(post_processor=special, padding=padding, truncation=cut))
    plain = tokenizers.Tokenizer.from_str(json.dumps(word_piece()))
    stored = tokenizers.Tokenizer.from_str(stored_tokenizer(text))
    for hostile in HOSTILE_TEXTS:
        expected = plain.encode(hostile).ids
        assert stored.encode(hostile, add_special_tokens=True).ids == expected
    # the end that is kept is the one the file named
    cut_again = tokenizers.Tokenizer.from_str(stored_tokenizer(text, max_length=3))
    assert cut_again.encode("hello world the cat").ids == plain.encode("world the cat").ids
    assert json.loads(without_truncation(text))["truncation"] is None
    assert without_truncation(json.dumps(word_piece())) == json.dumps(word_piece())


def test_settings_hold_the_vocabulary_in_the_order_of_the_file() -> None:
    settings = read(word_piece())
    assert settings.native is not None
    assert settings.native.model.tokens == list(TOKENS)
    assert settings.native.model.ids.dtype == np.uint32
    assert settings.native.model.ids.tolist() == list(range(len(TOKENS)))


def test_the_real_teacher_is_native(minilm_tokenizer_json: str) -> None:
    settings = read_tokenizer(minilm_tokenizer_json)
    assert settings.fallback_reason is None
    assert (settings.n_ids, settings.n_tokens, settings.unk_id) == (30522, 30522, 100)
