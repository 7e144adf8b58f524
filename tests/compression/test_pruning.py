"""Smaller vocabularies: what stays, that Hugging Face agrees, and that nothing becomes unknown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vecsmith import StaticModel
from vecsmith.compression import prune, with_dtype
from vecsmith.formats import Checkpoint
from vecsmith.formats.token_subset import read_inventory

tokenizers = pytest.importorskip("tokenizers", reason="compares with tokenizers (extra hf)")

WORDS = (
    "the small brown fox jumps over a lazy dog while twenty merry singers sing seven songs of "
    "winter in the unbelievably quiet mountains nearby and nobody believes them jumping singing"
).split()
HARD = [
    *("", "   ", "The FOX!", "unbelievable", "singsong dogmatic", "x y z", "##s [UNK] ##"),
    *("naïve café 猫", "\U0001f600 fox", "foxfoxfox", "a" * 150, "don't", "1,234.5", "ſ", "\u200b"),
]


def corpus(n: int = 400, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    shares = 1 / np.arange(1, len(WORDS) + 1)
    picked = random.choice(WORDS, (n, 7), p=shares / shares.sum())
    return [" ".join(row) for row in picked]


def trained(family: str) -> str:
    """A tokenizer.json trained on the corpus."""
    models, trainers = tokenizers.models, tokenizers.trainers
    before = tokenizers.pre_tokenizers
    unk = {"special_tokens": ["[UNK]"], "show_progress": False}
    if family == "wordpiece":
        tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = before.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=220, **unk)
    elif family == "bpe":
        tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = before.Whitespace()
        trainer = trainers.BpeTrainer(vocab_size=220, **unk)
    elif family == "bpe with suffix":
        tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]", end_of_word_suffix="</w>"))
        tokenizer.pre_tokenizer = before.Whitespace()
        trainer = trainers.BpeTrainer(vocab_size=220, end_of_word_suffix="</w>", **unk)
    elif family == "bytes":
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = before.ByteLevel(add_prefix_space=True)
        alphabet = before.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=500, initial_alphabet=alphabet, show_progress=False
        )
    else:
        tokenizer = tokenizers.Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = before.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=150, unk_token="[UNK]", **unk)
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_tokens(["brown fox", "zebra"])
    tokenizer.add_special_tokens(["[SEP]"])
    text: str = tokenizer.to_str()
    return text


FAMILIES = ["wordpiece", "bpe", "bpe with suffix", "bytes", "unigram"]


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    tokenizer_json = trained(request.param)
    n_ids = 1 + max(read_inventory(tokenizer_json).ids.values())
    table = np.random.default_rng(0).standard_normal((n_ids, 8)).astype(np.float32)
    weights = np.linspace(0.5, 2, n_ids, dtype=np.float32)
    return Checkpoint(table=table, tokenizer_json=tokenizer_json, weights=weights)


def counts_of(checkpoint: Checkpoint, texts: Sequence[str]) -> np.ndarray[Any, Any]:
    ids, _ = StaticModel(checkpoint).tokenizer.encode_batch([*texts])
    return np.bincount(ids, minlength=checkpoint.n_tokens)


def tokens_of(checkpoint: Checkpoint, texts: Sequence[str]) -> list[list[str]]:
    tokenizer = tokenizers.Tokenizer.from_str(checkpoint.tokenizer_json)
    names = {i: token for token, i in tokenizer.get_vocab().items()}  # the unknown one's own name
    encodings = tokenizer.encode_batch([*texts], add_special_tokens=False)
    return [[names[i] for i in encoding.ids] for encoding in encodings]


@pytest.mark.parametrize("share", [0.9, 0.6, 0.3, 0.0])
@pytest.mark.parametrize("counted", [True, False])
def test_texts_without_a_dropped_token_keep_theirs_and_no_text_gets_an_unknown_one(
    checkpoint: Checkpoint, share: float, counted: bool
) -> None:
    texts = [*corpus(150, seed=1), *HARD]
    counts = counts_of(checkpoint, corpus()) if counted else None
    asked = max(1, int(share * checkpoint.n_tokens))
    pruned = prune(checkpoint, asked, counts=counts)
    kept = read_inventory(pruned.tokenizer_json).ids
    n_unchanged = 0
    for old, new in zip(tokens_of(checkpoint, texts), tokens_of(pruned, texts), strict=True):
        if set(old) <= kept.keys():
            n_unchanged += 1
            assert new == old
        assert new.count("[UNK]") <= old.count("[UNK]")
        assert set(new) <= kept.keys()
    assert share < 0.9 or n_unchanged > 10


@pytest.mark.parametrize("share", [0.8, 0.4])
def test_every_kept_token_keeps_its_vector_under_the_id_of_hugging_face(
    checkpoint: Checkpoint, share: float
) -> None:
    pruned = prune(checkpoint, int(share * checkpoint.n_tokens))
    before = read_inventory(checkpoint.tokenizer_json).ids
    theirs = tokenizers.Tokenizer.from_str(pruned.tokenizer_json).get_vocab()
    assert read_inventory(pruned.tokenizer_json).ids == theirs
    assert sorted(theirs.values()) == list(range(pruned.n_tokens))
    for token, new_id in theirs.items():
        np.testing.assert_array_equal(
            pruned.vectors_of(np.array([new_id])), checkpoint.vectors_of(np.array([before[token]]))
        )
    assert StaticModel(pruned).encode(["the fox sings"]).any()


def test_the_least_used_tokens_go_and_as_many_as_asked(checkpoint: Checkpoint) -> None:
    counts = counts_of(checkpoint, corpus())
    asked = int(0.8 * checkpoint.n_tokens)
    pruned = prune(checkpoint, asked, counts=counts)
    assert pruned.n_tokens == asked
    ids = read_inventory(checkpoint.tokenizer_json).ids
    kept = read_inventory(pruned.tokenizer_json).ids
    merges = read_inventory(checkpoint.tokenizer_json).merges
    parts = {part for left, right, _ in merges for part in (left, right)}
    gone = [counts[i] for token, i in ids.items() if token not in kept]
    # what stays is used more, or a character, a special token or a part of another token
    for token, i in ids.items():
        if token in kept and counts[i] < max(gone):
            letters = token.removesuffix("</w>").removeprefix("##")
            assert token in parts or len(letters) == 1 or token in ("[UNK]", "[SEP]"), token


def test_special_tokens_and_characters_stay_and_others_may_go(checkpoint: Checkpoint) -> None:
    pruned = prune(checkpoint, 1)
    kept = read_inventory(pruned.tokenizer_json).ids
    before = read_inventory(checkpoint.tokenizer_json)
    assert "[SEP]" in kept
    assert before.unk_token is None or before.unk_token in kept
    assert {token for token in before.ids if len(token) == 1} <= kept.keys()
    assert "brown fox" not in kept
    assert prune(pruned, 1) is pruned
    assert prune(checkpoint, checkpoint.n_tokens) is checkpoint


def test_rows_that_tokens_share_stay_shared(checkpoint: Checkpoint) -> None:
    n = checkpoint.n_tokens
    shared = replace(
        checkpoint, table=checkpoint.rows[:20].copy(), mapping=(np.arange(n) % 20).astype(np.uint32)
    )
    pruned = prune(shared, n // 2)
    assert pruned.mapping is not None
    assert len(pruned.table) <= 20
    texts = ["the small fox", "sing"]
    before, after = (tokens_of(c, texts) for c in (shared, pruned))
    if before == after:
        np.testing.assert_allclose(
            StaticModel(pruned).encode(texts), StaticModel(shared).encode(texts), atol=1e-6
        )


def test_rows_of_four_bits_are_pruned_as_they_are(checkpoint: Checkpoint) -> None:
    packed = with_dtype(checkpoint, "int4")
    n = checkpoint.n_tokens
    first = prune(packed, n // 2)
    assert first.table_dtype == "int4"
    ids = read_inventory(checkpoint.tokenizer_json).ids
    kept = read_inventory(first.tokenizer_json).ids
    old = [ids[token] for token in sorted(kept, key=kept.__getitem__)]
    np.testing.assert_array_equal(first.rows, packed.rows[old])


def test_whole_words_that_go_become_unknown(tiny_checkpoint: Checkpoint) -> None:
    root = json.loads(tiny_checkpoint.tokenizer_json)
    root["model"] = {"type": "WordLevel", "vocab": root["model"]["vocab"], "unk_token": "[UNK]"}
    checkpoint = replace(tiny_checkpoint, tokenizer_json=json.dumps(root))
    pruned = prune(checkpoint, 12)
    assert pruned.n_tokens == 12
    assert tokens_of(pruned, ["hello mat"]) == [["hello", "[UNK]"]]


def test_a_token_that_nothing_else_spells_stays(tiny_checkpoint: Checkpoint) -> None:
    root = json.loads(tiny_checkpoint.tokenizer_json)
    vocabulary = root["model"]["vocab"]
    for token in ("고양이", "##ß1", "catdog"):
        vocabulary[token] = len(vocabulary)
    table = np.ones((len(vocabulary), 4), dtype=np.float32)
    checkpoint = replace(tiny_checkpoint, tokenizer_json=json.dumps(root), table=table)
    kept = read_inventory(prune(checkpoint, 1).tokenizer_json).ids
    assert "고양이" in kept
    assert "##ß1" in kept
    assert "catdog" not in kept
    assert "hello" not in kept


def test_wrong_counts_and_numbers_are_refused(tiny_checkpoint: Checkpoint) -> None:
    n = tiny_checkpoint.n_tokens
    with pytest.raises(ValueError, match="n_tokens is 0, expected at least 1"):
        prune(tiny_checkpoint, 0)
    for counts in (np.ones(n - 1), np.ones((n, 1)), np.full(n, -1.0), np.full(n, np.nan)):
        with pytest.raises(ValueError, match=rf"counts have shape .*, expected \[{n}\]"):
            prune(tiny_checkpoint, 5, counts=counts)


def test_a_real_vocabulary_is_halved_without_a_new_unknown_word(
    minilm_tokenizer_json: str,
) -> None:
    n_ids = 1 + max(read_inventory(minilm_tokenizer_json).ids.values())
    checkpoint = Checkpoint(
        table=np.zeros((n_ids, 1), dtype=np.float32), tokenizer_json=minilm_tokenizer_json
    )
    pruned = prune(checkpoint, 12_000)
    assert pruned.n_tokens == 12_000
    before = read_inventory(checkpoint.tokenizer_json).ids
    words = [token for token in before if token.isalnum()]
    for old, new in zip(tokens_of(checkpoint, words), tokens_of(pruned, words), strict=True):
        assert new.count("[UNK]") <= old.count("[UNK]")
    assert StaticModel(pruned).tokenizer.is_native
