"""How many pairs there are, and how many tokens a model makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import FormatError

if TYPE_CHECKING:
    from vecsmith.corpora import PairCorpus

# Tokens of a pair vary about as much as their mean, so 4096 pairs tell the mean to 2 %.
_SAMPLE: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFacts:
    """What a source of pairs is like.

    Attributes:
        n_pairs: How many there are.
        tokens_per_pair: Real tokens of a pair in the mean; None where no tokenizer was named.
        length: Tokens of the text that a token stands in, in the mean; None likewise.
    """

    n_pairs: int
    tokens_per_pair: float | None = None
    length: float | None = None


def count_pairs(source: str, *, tokenizer: str | None, max_length: int) -> PairFacts:
    """What the pairs of `source` are like, with the tokens of a model's `tokenizer`.

    All pairs are counted, and the tokens of a random sample, always the same one.

    Raises:
        FormatError: If a file is broken, or there is no pair.
        HubError: If the model is not found.
    """
    from vecsmith.corpora import open_pairs

    n_pairs, sample = _sampled(open_pairs(source))
    if not n_pairs:
        raise FormatError(f"{source}: no pairs, expected some")
    if tokenizer is None:
        return PairFacts(n_pairs=n_pairs)
    lengths = _lengths(sample, tokenizer, max_length)
    return PairFacts(
        n_pairs=n_pairs,
        tokens_per_pair=float(lengths.sum() / len(sample)),
        length=float((lengths**2).sum() / lengths.sum()),
    )


def _sampled(corpus: PairCorpus) -> tuple[int, list[tuple[str, str]]]:
    """How many pairs there are, and a random sample of them (Vitter 1985, algorithm R)."""
    random = np.random.default_rng(0)
    sample: list[tuple[str, str]] = []
    n_pairs = 0
    for pair in _pairs(corpus):
        n_pairs += 1
        if len(sample) < _SAMPLE:
            sample.append(pair)
        elif (place := int(random.integers(n_pairs))) < _SAMPLE:
            sample[place] = pair
    return n_pairs, sample


def _pairs(corpus: PairCorpus) -> Iterator[tuple[str, str]]:
    for rows in corpus.read():
        both = zip(rows.texts["anchor"], rows.texts["positive"], strict=True)
        yield from ((a, b) for a, b in both if a is not None and b is not None)


def _lengths(sample: list[tuple[str, str]], model: str, max_length: int) -> NDArray[np.float64]:
    """Tokens of each text, special ones among them, float64, [2 pairs]."""
    from vecsmith.tokenizer import Tokenizer
    from vecsmith.transformer.source import find_teacher, read_settings
    from vecsmith.transformer.teacher import read_frame

    said = read_settings(find_teacher(model))
    frame = read_frame(said.tokenizer_json)
    n_around = len(frame.before) + len(frame.after)
    _, offsets = Tokenizer(said.tokenizer_json).encode_batch(
        [text for pair in sample for text in pair], max_length=max(1, max_length - n_around)
    )
    return np.diff(offsets).astype(np.float64) + n_around
