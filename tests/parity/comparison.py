"""Texts through both tokenizers, and what differs.

The reference is Hugging Face `tokenizers` with `add_special_tokens=False`. Normalised strings are
compared beside ids, because ids hide a normalizer's fault behind the unknown token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import tokenizers

from vecsmith.tokenizer import Tokenizer

MAX_EXAMPLES = 5


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was compared and how much of it differs."""

    documents: int = 0
    n_bytes: int = 0
    tokens: int = 0
    wrong_ids: int = 0
    wrong_strings: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def differences(self) -> int:
        """Documents whose ids differ plus documents whose normalised strings differ."""
        return self.wrong_ids + self.wrong_strings

    def add(self, other: Tally) -> None:
        """Adds another tally's counts; keeps the first few examples."""
        self.documents += other.documents
        self.n_bytes += other.n_bytes
        self.tokens += other.tokens
        self.wrong_ids += other.wrong_ids
        self.wrong_strings += other.wrong_strings
        self.examples = (self.examples + other.examples)[:MAX_EXAMPLES]


def compare(
    texts: list[str],
    tokenizer_json: str,
    engine: Tokenizer,
    *,
    max_length: int | None = None,
    strings: bool = True,
) -> Tally:
    """Tally of ids, and of normalised strings when asked, over `texts`."""
    reference = reference_tokenizer(tokenizer_json, max_length=max_length)
    tally = compare_ids(texts, reference, engine, max_length=max_length)
    if strings:
        tally.add(compare_strings(texts, reference, engine))
    return tally


def compare_ids(
    texts: list[str],
    reference: tokenizers.Tokenizer,
    engine: Tokenizer,
    *,
    max_length: int | None = None,
) -> Tally:
    """Tally of token ids over `texts`; the reference must truncate to `max_length` already."""
    expected = [
        encoding.ids for encoding in reference.encode_batch_fast(texts, add_special_tokens=False)
    ]
    ids, offsets = engine.encode_batch(texts, max_length=max_length)
    tally = Tally(
        documents=len(texts),
        n_bytes=sum(len(text.encode()) for text in texts),
        tokens=sum(map(len, expected)),
    )
    if len(offsets) != len(texts) + 1 or offsets[0] != 0 or offsets[-1] != len(ids):
        tally.wrong_ids = len(texts)
        tally.examples.append(f"offsets {offsets[:3]}..{offsets[-1:]} for {len(ids)} ids")
        return tally
    flat = np.fromiter((i for row in expected for i in row), dtype=np.int64, count=tally.tokens)
    ends = np.cumsum([0, *map(len, expected)])
    if np.array_equal(ends, offsets) and np.array_equal(flat, ids):
        return tally
    for text, wanted, start, end in zip(texts, expected, offsets, offsets[1:], strict=False):
        found = ids[start:end].tolist()
        if found != wanted:
            tally.wrong_ids += 1
            if len(tally.examples) < MAX_EXAMPLES:
                tally.examples.append(
                    f"ids of {_shown(text)}: {_around(found, wanted)} (max_length {max_length})"
                )
    return tally


def compare_strings(
    texts: Iterable[str], reference: tokenizers.Tokenizer, engine: Tokenizer
) -> Tally:
    """Tally of normalised strings over `texts`; it counts differences alone."""
    tally = Tally()
    normalizer = reference.normalizer
    normalize: Callable[[str], str] = str if normalizer is None else normalizer.normalize_str
    for text in texts:
        wanted, found = normalize(text), engine.normalize(text)
        if wanted != found:
            tally.wrong_strings += 1
            if len(tally.examples) < MAX_EXAMPLES:
                tally.examples.append(
                    f"normalised {_shown(text)}: found {_shown(found)}, expected {_shown(wanted)}"
                )
    return tally


def reference_tokenizer(
    tokenizer_json: str, *, max_length: int | None = None
) -> tokenizers.Tokenizer:
    """The reference library's tokenizer, truncating to `max_length` tokens."""
    reference = tokenizers.Tokenizer.from_str(tokenizer_json)
    reference.no_padding()
    if max_length is None:
        reference.no_truncation()
    else:
        direction = (reference.truncation or {}).get("direction", "right")
        reference.enable_truncation(max_length, direction=direction)
    return reference


def reference_ids(
    tokenizer_json: str, texts: Sequence[str], *, max_length: int | None = None
) -> list[list[int]]:
    """Token ids of `texts` by the reference library."""
    reference = reference_tokenizer(tokenizer_json, max_length=max_length)
    return [e.ids for e in reference.encode_batch_fast(texts, add_special_tokens=False)]


def _shown(text: str) -> str:
    escaped = ascii(text)
    return escaped if len(escaped) <= 300 else f"{escaped[:140]}...{escaped[-140:]} ({len(text)})"


def _around(found: list[int], wanted: list[int]) -> str:
    first = next(
        (i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b),
        min(len(found), len(wanted)),
    )
    begin = max(0, first - 2) if len(wanted) > 40 or len(found) > 40 else 0
    end = begin + 40
    return f"from token {begin}: found {found[begin:end]}, expected {wanted[begin:end]}"
