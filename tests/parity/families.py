"""Tokenizers of the families, trained on texts of the caller."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import tokenizers
from tokenizers import pre_tokenizers, trainers

from tests.parity.family_settings import FAMILIES, Block, Family, token

__all__ = ["FAMILIES", "family_json", "sentencepiece_charsmap"]


def family_json(name: str, texts: Sequence[str], *, vocab_size: int) -> str:
    """Text of a `tokenizer.json` of the family `name`, trained on `texts`.

    Args:
        name: A key of `FAMILIES`.
        texts: What it is trained on.
        vocab_size: How many tokens, about; never fewer than there are characters.
    """
    family = FAMILIES[name]
    root = _skeleton(family)
    trained = tokenizers.Tokenizer.from_str(
        json.dumps({**root, "pre_tokenizer": family.trained_words or family.pre_tokenizer})
    )
    trained.train_from_iterator(texts, _trainer(family, vocab_size))
    found = json.loads(trained.to_str())
    model = found["model"] | family.options
    added = [token(content) for content in family.special]
    if model["type"] == "Unigram":
        unknown = "[UNK]" if "[UNK]" in family.special else "<unk>"
        model["unk_id"] = [piece for piece, _ in model["vocab"]].index(unknown)
    entries = [{**entry, "id": i} for i, entry in enumerate([*added, *family.added])]
    # through the library once more: it gives added tokens their ids
    finished = json.dumps({**root, "model": model, "added_tokens": entries})
    return str(tokenizers.Tokenizer.from_str(finished).to_str())


def _skeleton(family: Family) -> Block:
    empty: dict[str, Block] = {
        "BPE": {"vocab": {}, "merges": []},
        "Unigram": {"vocab": [], "unk_id": None},
        "WordLevel": {"vocab": {}, "unk_token": "[UNK]"},
        "WordPiece": {
            "vocab": {},
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
        },
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None if family.normalizer is None else _with_charsmaps(family.normalizer),
        "pre_tokenizer": family.pre_tokenizer,
        "post_processor": None,
        "decoder": None,
        "model": {"type": family.model, **empty[family.model]},
    }


def _trainer(family: Family, vocab_size: int) -> Any:
    quiet: dict[str, Any] = {"show_progress": False}
    special = list(family.special)
    if family.has_bytes:
        special += [f"<0x{byte:02X}>" for byte in range(256)]
    if family.model == "WordLevel":
        return trainers.WordLevelTrainer(vocab_size=vocab_size, special_tokens=special, **quiet)
    if family.model == "WordPiece":
        return trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=special, **quiet)
    if family.model == "Unigram":
        unknown = "[UNK]" if "[UNK]" in special else "<unk>"
        return trainers.UnigramTrainer(
            vocab_size=vocab_size, special_tokens=special, unk_token=unknown, **quiet
        )
    alphabet = pre_tokenizers.ByteLevel.alphabet() if _spells_bytes(family) else []
    suffix = family.options.get("end_of_word_suffix", "")
    return trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=alphabet,
        end_of_word_suffix=suffix,
        **quiet,
    )


def _spells_bytes(family: Family) -> bool:
    return "ByteLevel" in json.dumps(family.pre_tokenizer)


def _with_charsmaps(block: Block) -> Block:
    """The same with the bytes of each character map in place of its name."""
    if block["type"] == "Sequence":
        return {**block, "normalizers": [_with_charsmaps(step) for step in block["normalizers"]]}
    if block["type"] != "Precompiled":
        return block
    charsmap = sentencepiece_charsmap(block["precompiled_charsmap"])
    return {**block, "precompiled_charsmap": base64.b64encode(charsmap).decode()}


@cache
def sentencepiece_charsmap(rule: str) -> bytes:
    """The character map that the package `sentencepiece` calls `rule`.

    Raises:
        ImportError: If the package is not installed.
    """
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c"]),
        model_writer=model,
        model_type="char",
        vocab_size=7,
        normalization_rule_name=rule,
        minloglevel=2,
    )
    normalizer_spec = _field(model.getvalue(), 3)
    return _field(normalizer_spec, 2)


def _field(message: bytes, number: int) -> bytes:
    """The field `number` of a protocol buffer, which must be bytes or a message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        size = {1: 8, 5: 4}.get(key & 7, 0)
        if key & 7 == 0:
            _, at = _varint(message, at)
        elif key & 7 == 2:
            size, at = _varint(message, at)
        if key == number << 3 | 2:
            return message[at : at + size]
        at += size
    raise ValueError(f"no field {number} in a message of {len(message)} bytes")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
