"""Seeded strings that hurt pre-tokenizers and models: runs of spaces, contractions, numbers, bytes.

Nothing here knows the right answer; it only writes questions, beside those of `hostile_text`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

from tests.parity import hostile_text as hostile

SPACES = (
    " ", " ", " ", "  ", "   ", "    ", " " * 9, " " * 33, "\n", "\n\n", "\r\n", "\r", " \n", "\n ",
    "\t", " \t ", "\xa0", "\u3000", "\u2028", "\x0b", "\x0c", "\x85", "\u200b", "\ufeff", "\x00",
    "\x1c", "", "", "",
)  # fmt: skip
CONTRACTIONS = (
    "'s", "'S", "'t", "'T", "'re", "'RE", "'Re", "'ve", "'vE", "'m", "'ll", "'LL", "'d", "'D", "'",
    "''", "'\u017f", "'\u017ft", "\u2019s", "'l", "'r", "'v", "'e", "' s", "'s's", "``", "`", '"',
)  # fmt: skip
NUMBERS = (
    "0", "7", "12", "123", "1234", "12345678", "3.14", "1,000", "\u00b2", "\u00bd", "\u2167",
    "\u0663\u0664", "\u0967\u0968\u0969\u096a", "\uff11\uff12", "\u2460", "\u3007", "\u4e00\u4e8c",
    "\U0001d7d8", "\u00bc7", "1\u0301",
)  # fmt: skip
WORDS = (
    "the", "The", "THE", "iPhone", "camelCase", "McDonald", "e", "x", "naïve", "Würde", "ΟΔΟΣ",
    "ǅur", "İI", "ß", "ﬁn", "ÀÉ", "e\u0301a", "\u0301", "мир", "Ёлка", "שָׁלוֹם", "مرحبا", "हिन्दी",
    "ไทย", "日本", "日本語の", "カタカナ", "ひらがな", "한국어", "\u1112\u1161\u11ab", "ʰ", "ª",
    "\U0001d518\U0001d52b", "\U00020000", "a_b", "_", "snake_case", "x2", "H2O", "𐐀𐐨",
)  # fmt: skip
SYMBOLS = (
    ".", "...", "!", "?!", ",", ";", "-", "--", "\u2014", "/", "//", "\\", "#", "$9", "€", "%", "&",
    "(", ")", "[", "]", "{", "}", "<", ">", "|", "~", "^", "+", "=", "@", "*", "**", "©", "→", "。",
    "，", "、", "「", "」", "۔", "،", "।", "…", "👍🏽", "👩\u200d👩\u200d👧", "🇰🇷", "❤\ufe0f",
    "1\ufe0f\u20e3",
)  # fmt: skip
PIECES = (
    "▁", "▁▁", " ▁", "▁ ", "▁the", "<0x0A>", "<0x41>", "<0xFF>", "<0x>", "<unk>", "<s>", "</s>",
    "<pad>", "<mask>", "[MASK]", "[UNK]", "Ġ", "Ċ", "Ġthe", "##ing", "</w>", "<|endoftext|>",
    "<|endoftext", "<extra_id_7>", "|||IP_ADDRESS|||", "new york", "New York", "sa\u0303o paulo",
    "\ufffd", "\ue000", "\U0010ffff", "\u0378",
)  # fmt: skip
_KINDS: tuple[Sequence[str], ...] = (SPACES, CONTRACTIONS, NUMBERS, WORDS, SYMBOLS, PIECES)


def family_texts(seed: int, count: int) -> list[str]:
    """`count` strings: half of them like `hostile_text`'s, half glued of what families cut."""
    texts = hostile.generated_texts(seed, count // 2)
    rng = random.Random(f"family {seed}")
    return texts + [_glued(rng) for _ in range(count - len(texts))]


def _glued(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.1:
        return _sentence_like(rng)
    n = rng.choice((1, 2, 3, 4, 6, 9, 14, 22))
    weights = rng.choice(_weights())
    kinds = rng.choices(_KINDS, weights=weights, k=n)
    text = "".join(rng.choice(kind) for kind in kinds)
    if roll < 0.2:
        text += text[::-1]
    if roll > 0.97:
        text *= rng.choice((2, 3, 40))
    return text


def _sentence_like(rng: random.Random) -> str:
    """Words of one sentence, each followed by a space or what may stand in its place."""
    parts = []
    for word in rng.choice(hostile.SENTENCES).split():
        parts.append(word if rng.random() < 0.8 else rng.choice(WORDS))
        parts.append(" " if rng.random() < 0.7 else rng.choice(rng.choice(_KINDS)))
    return "".join(parts)


@cache
def _weights() -> tuple[tuple[int, ...], ...]:
    """Mixes of the kinds: all alike, mostly spaces, contractions, numbers, words or pieces."""
    even = (3, 1, 2, 5, 3, 1)
    return (
        even,
        even,
        (9, 0, 1, 3, 1, 0),
        (2, 5, 0, 4, 0, 0),
        (2, 0, 7, 2, 2, 0),
        (2, 1, 1, 1, 1, 9),
    )
