"""Tokenizers of random parts over a tiny alphabet, and texts over the same: how parts compose.

No model is like these. What real ones never combine still has one right answer, and most faults of
a tokenizer lie between its parts.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.parity.family_settings import (
    BERT_WORDS,
    CLIP_WORDS,
    DEEPSEEK_3_WORDS,
    GPT_4O_WORDS,
    LLAMA_3_WORDS,
    LOWERCASE,
    NFC,
    NFD,
    NFKC,
    NFKD,
    QWEN_3_5_WORDS,
    STRIP_ACCENTS,
    WHITESPACE,
    WHITESPACE_SPLIT,
    Block,
    bert,
    byte_level,
    literal,
    metaspace,
    regex,
    replace,
    sequence,
    strip,
    words,
)

ALPHABET = (
    "a", "a", "b", "b", "c", "A", "B", " ", " ", " ", "  ", "\n", "\t", "▁", "▁", "é", "e\u0301",
    "\u0301", "ß", "İ", "ﬁ", "字", "字", "ガ", "가", "1", "2", "²", "½", ".", ",", "'s", "'", "-",
    "\xa0", "\u3000", "\x00", "😀", "`", '"',
)  # fmt: skip
# What joins, vanishes or is taken for a space, and spaces for it to stand beside.
MARKS = (
    "\u0301", "\u0327", "\u0341", "\u034f", "\ufe0f", "\u200d", "\u200b", "\xad", "\ufeff",
    "\u0600", "\u0903", "\u094d", "\u20dd", "🏻", "❤", "\u1161", "\u1100", "\xa8", "\u3099",
    "\u0f73", "\x85", "\u2028", "\u2003", "\r\n", " ", " ", " ", " ", " ", " ", " ", " ",
)  # fmt: skip
REGEXES = (
    LLAMA_3_WORDS, QWEN_3_5_WORDS, GPT_4O_WORDS, DEEPSEEK_3_WORDS, CLIP_WORDS, r"\s+", " {2,}", " ",
    r"\d", r"\p{N}{1,3}", "[0-9]", r"\n", r"\p{P}", r"\s{2,}|[\n\r\t]", r"[^\s]+", "a|ab", "▁",
)  # fmt: skip
BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")


def random_tokenizer(seed: int) -> str:
    """Text of a `tokenizer.json` of random parts."""
    rng = random.Random(f"tokenizer {seed}")
    family = rng.choice(tuple(_MODELS))
    pre_tokenizer = _random_splitter(rng, has_bytes=family == "byte-level BPE")
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": _random_added(rng),
            "normalizer": _random_normalizer(rng),
            "pre_tokenizer": pre_tokenizer,
            "post_processor": None,
            "decoder": None,
            "model": _MODELS[family](rng),
        }
    )


def random_joined_tokenizer(seed: int) -> str:
    """One of random parts that cuts no words: spaces become marks and a BPE reads whole texts."""
    rng = random.Random(f"joined tokenizer {seed}")
    root = json.loads(random_tokenizer(seed))
    steps = [rng.choice(_NORMALIZERS[:3])(rng) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    marks = [replace(" ", "▁"), {"type": "Prepend", "prepend": "▁"}][: rng.randint(1, 2)]
    rng.shuffle(marks)
    joined = metaspace(rng.choice(("always", "first", "never")), split=False)
    root["pre_tokenizer"] = rng.choice((None, literal(" ", "MergedWithPrevious"), joined))
    root["normalizer"] = sequence(*steps, *([] if root["pre_tokenizer"] == joined else marks))
    root["model"] = model = _bpe(rng)
    model["ignore_merges"] = rng.random() < 0.1
    crosses = rng.random() < 0.1
    rows = [["▁", "▁"], ["▁▁", "▁▁"], ["▁", "a"], ["▁▁", "a"], ["▁a", "b"]]
    merges = model["merges"] + [merge for merge in rows if merge not in model["merges"]]
    model["merges"] = [
        merge for merge in merges if crosses or "▁" not in "".join(merge).lstrip("▁")
    ]
    pieces = dict.fromkeys(piece for merge in rows for piece in (*merge, "".join(merge)))
    for piece in pieces:
        model["vocab"].setdefault(piece, len(model["vocab"]))
    return json.dumps(root)


def random_mapped_tokenizer(seed: int) -> str:
    """One of random parts with character maps in its normalizer, cut at spaces."""
    rng = random.Random(f"mapped tokenizer {seed}")
    root = json.loads(random_tokenizer(seed))
    root["model"] = _MODELS[rng.choice(("WordLevel", "WordPiece", "Unigram", "BPE"))](rng)
    before, behind = ([_random_step(rng) for _ in range(rng.choice((0, 0, 1, 2)))] for _ in "ab")
    root["normalizer"] = sequence(*before, _random_map(rng), *behind)
    mark = metaspace(rng.choice(("always", "never")), split=rng.random() < 0.8)
    splitters = (mark, WHITESPACE_SPLIT, WHITESPACE, BERT_WORDS, words(WHITESPACE_SPLIT, mark))
    root["pre_tokenizer"] = rng.choice(splitters)
    return json.dumps(root)


def _random_step(rng: random.Random) -> Block:
    runs = replace(rng.choice((" {2,}", " +", r"\s{2,}", r"\s+")), rng.choice(" ▁"), is_regex=True)
    return runs if rng.random() < 0.2 else rng.choice(_NORMALIZERS)(rng)


def _random_map(rng: random.Random) -> Block:
    from generate_graphemes import charsmap

    from tests.parity.families import sentencepiece_charsmap

    if rng.random() < 0.7:
        found = sentencepiece_charsmap(rng.choice(("nmt_nfkc", "nfkc", "nmt_nfkc_cf")))
    else:
        keys = ("".join(rng.choices(ALPHABET + MARKS, k=rng.choice((1, 1, 2)))) for _ in range(6))
        texts = ("", "a", " ", "\u0301", "b▁", "字")
        found = charsmap(
            {key.encode(): rng.choice(texts).encode() for key in keys if "\0" not in key}
        )
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(found).decode()}


def random_tokenizer_texts(
    seed: int, count: int, *, alphabet: Sequence[str] = ALPHABET
) -> list[str]:
    """`count` strings over an alphabet, that of random tokenizers when left out."""
    rng = random.Random(f"tokenizer texts {seed}")
    lengths = (1, 2, 4, 9, 18, 18, 60, 200)  # up to some blocks of the engine's
    return ["".join(rng.choices(alphabet, k=rng.choice(lengths))) for _ in range(count)]


def _random_normalizer(rng: random.Random) -> Block | None:
    steps = [rng.choice(_NORMALIZERS)(rng) for _ in range(rng.choice((0, 0, 1, 1, 2, 3)))]
    if not steps:
        return rng.choice((None, sequence()))
    return steps[0] if len(steps) == 1 else sequence(*steps)


_NORMALIZERS: tuple[Callable[[random.Random], Block], ...] = (
    lambda rng: rng.choice((NFC, NFD, NFKC, NFKD, LOWERCASE, STRIP_ACCENTS, {"type": "Nmt"})),
    lambda rng: rng.choice((NFC, LOWERCASE, STRIP_ACCENTS)),
    lambda rng: bert(lowercase=rng.random() < 0.5, strip_accents=rng.choice((None, True, False))),
    lambda rng: strip(left=rng.random() < 0.5, right=rng.random() < 0.5),
    lambda rng: {"type": "Prepend", "prepend": rng.choice(("▁", "a", " ", "x ", "\u0301"))},
    lambda rng: replace(rng.choice((" ", "a", "``", ".", "ab")), rng.choice(("▁", "", " ", "ba"))),
    lambda rng: replace(
        rng.choice((r"\s+", " {2,}", r"\d", r"\s{2,}|[\n\r\t]", "é")),
        rng.choice((" ", "▁", "", "b")),
        is_regex=True,
    ),
)


def _random_splitter(rng: random.Random, *, has_bytes: bool) -> Block | None:
    steps = [rng.choice(_SPLITTERS)(rng) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))]
    if has_bytes:
        steps = steps[:2]
        steps.append(byte_level(prefix_space=rng.random() < 0.3, use_regex=rng.random() < 0.6))
    if not steps:
        return None
    return steps[0] if len(steps) == 1 else words(*steps)


_SPLITTERS: tuple[Callable[[random.Random], Block], ...] = (
    lambda rng: rng.choice((WHITESPACE, WHITESPACE_SPLIT, BERT_WORDS)),
    lambda rng: metaspace(rng.choice(("always", "first", "never")), split=rng.random() < 0.7),
    lambda rng: {"type": "Metaspace", "replacement": rng.choice("_a字"), "prepend_scheme": "first"},
    lambda rng: regex(rng.choice(REGEXES), rng.choice(BEHAVIORS), invert=rng.random() < 0.2),
    lambda rng: literal(rng.choice((" ", "a", "ab", "字", "▁")), rng.choice(BEHAVIORS)),
    lambda rng: {"type": "Punctuation", "behavior": rng.choice(BEHAVIORS)},
    lambda rng: {"type": "Digits", "individual_digits": rng.random() < 0.5},
    lambda rng: {"type": "CharDelimiterSplit", "delimiter": rng.choice(" a▁")},
)


def _random_added(rng: random.Random) -> list[Block]:
    tokens: dict[str, Block] = {}
    for i in range(rng.choice((0, 0, 1, 3, 6))):
        content = "".join(rng.choices(ALPHABET, k=rng.randint(1, 3)))
        tokens[content] = {
            "id": i,
            "content": content,
            "single_word": rng.random() < 0.2,
            "lstrip": rng.random() < 0.2,
            "rstrip": rng.random() < 0.2,
            "normalized": rng.random() < 0.6,
            "special": rng.random() < 0.3,
        }
    return list(tokens.values())


def _pieces(rng: random.Random, count: int) -> list[str]:
    """Distinct strings of one to four letters, most letters among them."""
    letters = [letter for letter in dict.fromkeys(ALPHABET) if rng.random() < 0.8]
    made = ("".join(rng.choices(ALPHABET, k=rng.randint(1, 4))) for _ in range(count))
    return list(dict.fromkeys(["<unk>", *letters, *made]))


def _word_level(rng: random.Random) -> Block:
    vocabulary = {piece: i for i, piece in enumerate(_pieces(rng, 40))}
    return {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"}


def _wordpiece(rng: random.Random) -> Block:
    pieces = [piece if rng.random() < 0.5 else f"##{piece}" for piece in _pieces(rng, 60)]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(["<unk>", *pieces]))}
    return {
        "type": "WordPiece",
        "unk_token": "<unk>",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": rng.choice((3, 8, 100)),
        "vocab": vocabulary,
    }


def _unigram(rng: random.Random) -> Block:
    pieces = _pieces(rng, 60)
    fallback = rng.random() < 0.3
    if fallback:
        pieces += [f"<0x{byte:02X}>" for byte in range(256) if rng.random() < 0.99]
    # few different scores: ties are what tells one order of additions from another
    scores = [rng.choice((-1.0, -2.0, -2.5, -0.1, -3.3)) for _ in pieces]
    return {
        "type": "Unigram",
        "unk_id": 0,
        "vocab": [list(pair) for pair in zip(pieces, scores, strict=True)],
        "byte_fallback": fallback,
    }


def _bpe(rng: random.Random, *, bytes_spelled: bool = False) -> Block:
    letters = [letter for letter in dict.fromkeys("".join(ALPHABET)) if rng.random() < 0.85]
    if bytes_spelled:
        letters = [letter for letter in _byte_alphabet() if rng.random() < 0.97]
    common = [letter for letter in letters if letter in "abc Ġ▁éÃ©1.'字å­"] or letters
    pieces, merges = list(letters), []
    for _ in range(50):
        left = rng.choice((*common, *pieces[len(letters) :]))
        right = rng.choice((*common, *pieces[len(letters) :]))
        if [left, right] not in merges and len(left + right) < 9:
            merges.append([left, right])
            pieces += [left + right] if left + right not in pieces else []
    fallback = not bytes_spelled and rng.random() < 0.4
    if fallback:
        pieces += [f"<0x{byte:02X}>" for byte in range(256) if rng.random() < 0.99]
    rng.shuffle(pieces)
    has_unknown = rng.random() < 0.7
    tokens = ["<unk>", *pieces] if has_unknown else pieces
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": "<unk>" if has_unknown else None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": rng.random() < 0.5,
        "byte_fallback": fallback,
        "ignore_merges": rng.random() < 0.3,
        "vocab": {piece: i for i, piece in enumerate(tokens)},
        "merges": merges,
    }


def _byte_alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


_MODELS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "WordLevel": _word_level,
    "WordPiece": _wordpiece,
    "Unigram": _unigram,
    "BPE": _bpe,
    "byte-level BPE": lambda rng: _bpe(rng, bytes_spelled=True),
}
