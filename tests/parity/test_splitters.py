"""Words are those of the reference: every kind of pre-tokenizer, known expressions, odd sequences.

A vocabulary of all words that the reference makes of some texts gives each word an id, so equal
ids are equal words.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import tokenizers
from tokenizers import pre_tokenizers

from tests.parity import hostile_text as hostile
from tests.parity.comparison import compare
from tests.parity.family_settings import Block, literal, metaspace, regex
from vecsmith.tokenizer import Tokenizer

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
END = r"\s*[\r\n]+|\s+(?!\S)|\s+"

# Names of tokenizers whose files hold such an expression.
REGEXES = {
    "GPT-2": GPT2,
    "Llama 3": rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{END}",
    "Qwen 2": rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{END}",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "o200k": rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?"
    rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{END}",
    "Mistral Tekken": rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+"
    rf"{LOWER}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{END}",
    "DeepSeek 3": r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|" + END,
    "DeepSeek 3, Han and kana": "[一-龥\u3040-ゟ゠-ヿ]+",
    "DeepSeek 3, numbers": r"\p{N}{1,3}",
    "Kimi": rf"[\p{{Han}}]+|[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{M}}&&[^\p{{Han}}]]*"
    rf"[\p{{Ll}}\p{{Lo}}\p{{M}}&&[^\p{{Han}}]]+{CONTRACTIONS}?|\p{{N}}{{1,3}}|{END}",
    "BLOOM": r" ?[^(\s|[.,!?…。，、।۔،])]+",
    "CLIP": r"<\|startoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    "Falcon": "[0-9][0-9][0-9]",
    "StarCoder": r"\d",
    "runs of spaces": " {2,}",
    "spaces": r"\s+",
    "line ends": r"\s+$",
    "words": r"\w+|[^\w\s]",
    "words between brackets": r"[\w]+|[^\w\s]+",
}
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
PLAIN: list[Block] = [
    {"type": "BertPreTokenizer"},
    {"type": "Whitespace"},
    {"type": "WhitespaceSplit"},
    {"type": "Digits", "individual_digits": True},
    {"type": "Digits", "individual_digits": False},
    {"type": "CharDelimiterSplit", "delimiter": "。"},
    *({"type": "Punctuation", "behavior": behavior} for behavior in BEHAVIORS),
    *(literal(text, behavior) for text in (" ", "'s", "▁", ".") for behavior in BEHAVIORS),
    *(regex(r"\p{L}+", behavior, invert=True) for behavior in BEHAVIORS),
    metaspace(),
    metaspace(split=False),
    metaspace("first"),
    metaspace("never"),
]

# What lies at the edges of classes and contractions.
SPACES = [" ", "  ", "   ", "\t", "\r\n", "\n", " \n", "\xa0", "\u3000", "\u2028", "\x85", "\x1c"]
PARTS = [
    *SPACES,
    *"'s 't 're 've 'm 'll 'd 'S 'T 'Re 'VE 'LL 'ſ ’s 'l 'r a Ab É ß ab AB 1 123 12345 ٣".split(),
    *"½ ² 中 文字 の カ 한국 \u0301 \u200d 😀 ... !! / // _ - $ <|startoftext|> ǅ ʰ 。".split(),
    *"， \u0e31 ก \ud7a3 \0 … \u212a ﬁ ▁ ▁▁ \u0378 \U0001e4d0 \U00011de0 \U00016ff0".split(),
]


def texts(n: int, seed: int) -> list[str]:
    """Strings of parts, of random characters, and of sentences."""
    generator = random.Random(seed)
    return [
        *("".join(generator.choices(PARTS, k=generator.randint(1, 12))) for _ in range(n)),
        *hostile.SENTENCES,
        *hostile.FIXED,
        *hostile.generated_texts(seed, n // 4),
    ]


def tokenizer_json(block: Block, texts: list[str]) -> str:
    """A WordLevel tokenizer that knows each word of these texts."""
    reference = tokenizers.Tokenizer(tokenizers.models.WordLevel({"\ue000": 0}, unk_token="\ue000"))
    skeleton: dict[str, Any] = json.loads(reference.to_str())
    skeleton["pre_tokenizer"] = block
    cutter = tokenizers.Tokenizer.from_str(json.dumps(skeleton)).pre_tokenizer
    assert isinstance(cutter, pre_tokenizers.PreTokenizer)
    words = {word for text in texts for word, _ in cutter.pre_tokenize_str(text)}
    vocabulary = ["\ue000", *sorted(words - {"\ue000"})]
    skeleton["model"]["vocab"] = {word: i for i, word in enumerate(vocabulary)}
    return json.dumps(skeleton)


def assert_same_words(block: Block, texts: list[str]) -> None:
    text_of_file = tokenizer_json(block, texts)
    ours = Tokenizer(text_of_file)
    assert ours.is_native, ours.fallback_reason
    tally = compare(texts, text_of_file, ours)
    assert tally.differences == 0, "\n".join(tally.examples)


@pytest.mark.parametrize("name", REGEXES)
def test_regular_expressions_of_real_tokenizers_cut_as_there(name: str) -> None:
    assert_same_words(regex(REGEXES[name]), texts(1500, seed=1))


@pytest.mark.parametrize("behavior", BEHAVIORS)
@pytest.mark.parametrize("invert", [False, True])
def test_delimiters_become_what_they_become_there(behavior: str, invert: bool) -> None:
    assert_same_words(regex(r"\s?\p{L}+|'s", behavior, invert=invert), texts(800, seed=2))


@pytest.mark.parametrize("block", PLAIN, ids=lambda block: " ".join(map(str, block.values())))
def test_pre_tokenizers_cut_as_there(block: Block) -> None:
    assert_same_words(block, texts(600, seed=3))


@pytest.mark.parametrize("seed", range(24))
def test_sequences_of_pre_tokenizers_cut_as_there(seed: int) -> None:
    generator = random.Random(seed)
    choices = [*PLAIN, *(regex(pattern) for pattern in REGEXES.values())]
    steps = generator.choices(choices, k=generator.randint(2, 4))
    metaspaces = [step for step in steps if step["type"] == "Metaspace"]
    if any(step["prepend_scheme"] == "first" for step in metaspaces[1:]):
        steps = [step for step in steps if step["type"] != "Metaspace"]
    block = {"type": "Sequence", "pretokenizers": steps}
    assert_same_words(block, texts(400, seed))
