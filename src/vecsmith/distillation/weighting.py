"""How much each token counts in a mean: probabilities of tokens, and weights from them.

Everything here is a function of arrays; the texts and words that counts come from are read at the
top. A frequent token says little, so its weight is a / (a + p): smooth inverse frequency, SIF
(Arora et al., "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", ICLR 2017).
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._typing import PathLike
from vecsmith.distillation.words import read_words
from vecsmith.errors import FormatError

Weighting = Literal["zipf", "sif", "none"]
CountSource = Iterable[str] | Mapping[str, float] | PathLike

_MAX_LINE_BYTES = 2**24
_TEXTS_A_BATCH = 4096
# wordfreq gives shares of all words; as if read off this many words, so that add-one smoothing
# gives a word it does not know the share of its rarest words (assumed)
_WORDFREQ_TOTAL = 1e8
# fewer common words than this do not fix the ratio of two scales (assumed)
_MIN_ANCHORS = 20


def rank_probabilities(n_tokens: int) -> NDArray[np.float64]:
    """Probabilities of tokens sorted by falling frequency, by Zipf's law, shape [V].

    Token i has p proportional to 1 / (i + 2), as in model2vec 0.10.
    """
    inverse = 1.0 / np.arange(2, n_tokens + 2, dtype=np.float64)
    probabilities: NDArray[np.float64] = inverse / inverse.sum()
    return probabilities


def count_probabilities(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities from `counts` of each token, one added to each, shape [V]."""
    probabilities: NDArray[np.float64] = (counts + 1.0) / (counts.sum() + len(counts))
    return probabilities


def sif_weights(probabilities: NDArray[np.float64], coefficient: float) -> NDArray[np.float64]:
    """Weights a / (a + p) of tokens with these probabilities, shape [V]."""
    weights: NDArray[np.float64] = coefficient / (coefficient + probabilities)
    return weights


def place_words(
    n_tokens: int,
    n_teacher: int,
    word_counts: Mapping[int, float | None],
    known_counts: Mapping[int, float],
) -> NDArray[np.float64]:
    """Probabilities of a teacher's tokens by rank, and of a user's words on the same scale.

    A word with count c has p = s * c / (sum of all counts). The scale s is the median, over words
    that were counted and are also tokens of the teacher, of the token's probability by rank over
    the word's share; with fewer than 20 such words s is 1. Without a count, and for parts of
    words, p is that of the teacher's last token: words that a teacher has no token for are rare.
    Without teacher tokens the words' order is their rank, unless all have counts.

    Args:
        n_tokens: Tokens of the student, the teacher's first.
        n_teacher: How many are the teacher's.
        word_counts: Count of a user's word by id, or None.
        known_counts: Counts given for tokens of the teacher, by id.
    """
    counted = {i: count for i, count in word_counts.items() if count is not None}
    total = sum(counted.values()) + sum(known_counts.values())
    if n_teacher <= 1:  # nothing but the unknown token
        if len(counted) < len(word_counts) or total == 0:
            return rank_probabilities(n_tokens)
        counts = np.zeros(n_tokens)
        counts[list(counted)] = list(counted.values())
        return count_probabilities(counts)
    by_rank = rank_probabilities(n_teacher)
    probabilities = np.full(n_tokens, by_rank[-1])
    probabilities[:n_teacher] = by_rank
    if total > 0:
        scale = _scale(by_rank, known_counts, total)
        for i, count in counted.items():
            probabilities[i] = scale * max(count, 1.0) / total
    return probabilities


def _scale(by_rank: NDArray[np.float64], known_counts: Mapping[int, float], total: float) -> float:
    ratios = [by_rank[i] * total / n for i, n in known_counts.items() if n > 0 and i < len(by_rank)]
    return float(np.median(ratios)) if len(ratios) >= _MIN_ANCHORS else 1.0


def token_counts(
    source: CountSource, tokenizer: Any, n_tokens: int, *, language: str = "en"
) -> NDArray[np.float64]:
    """How often each token of `tokenizer` occurs, float64, shape [V].

    Args:
        source: Texts; a mapping of words to counts; a file of texts, one a line; a `.tsv` file
            of lines word, tab, count; or "wordfreq" for that package's word list.
        tokenizer: A `tokenizers.Tokenizer`.
        n_tokens: Tokens of the student.
        language: Language of the "wordfreq" list.

    Raises:
        MissingExtraError: If wordfreq is asked for and not installed.
        FormatError: If a file is missing or broken.
        ValueError: If there is not one token in it.
    """
    if isinstance(source, str) and source == "wordfreq":
        counts = _count_pieces(_wordfreq_counts(language), tokenizer, n_tokens)
    elif isinstance(source, Mapping) or _is_word_file(source):
        words = read_words(source)
        counts = _count_pieces({w: 1.0 if n is None else n for w, n in words}, tokenizer, n_tokens)
    elif isinstance(source, str | os.PathLike):
        counts = _count_texts(_read_lines(Path(source)), tokenizer, n_tokens)
    else:
        counts = _count_texts(source, tokenizer, n_tokens)
    if counts.sum() == 0:
        raise ValueError("counts hold not one token of the vocabulary, expected texts or words")
    if isinstance(source, str) and source == "wordfreq":
        counts = _count_symbols(counts, tokenizer)
    return counts


def _is_word_file(source: CountSource) -> TypeGuard[PathLike]:
    return isinstance(source, str | os.PathLike) and os.fspath(source).endswith(".tsv")


def _wordfreq_counts(language: str) -> dict[str, float]:
    wordfreq = require("wordfreq", extra="freq", purpose="look up word frequencies")
    try:
        shares: Mapping[str, float] = wordfreq.get_frequency_dict(language, wordlist="best")
    except LookupError as error:
        raise ValueError(
            f"wordfreq has no list for language {language!r}, expected one of "
            f"{sorted(wordfreq.available_languages())}"
        ) from error
    return {word: share * _WORDFREQ_TOTAL for word, share in shares.items()}


def _count_symbols(counts: NDArray[np.float64], tokenizer: Any) -> NDArray[np.float64]:
    """Counts with the tokens that are no words set by their rank: wordfreq leaves them out."""
    total = counts.sum()
    by_rank = rank_probabilities(len(counts)) * total
    for token, i in tokenizer.get_vocab(with_added_tokens=True).items():
        letters = any(unicodedata.category(char)[0] in "LMN" for char in token)
        if i < len(counts) and not letters:
            counts[i] = max(counts[i], by_rank[i])
    return counts


def _read_lines(path: Path) -> Iterator[str]:
    if not path.is_file():
        raise FormatError(f"{path}: no such file, expected one text a line")
    with path.open("rb") as file:
        while line := file.readline(_MAX_LINE_BYTES):
            yield line.decode("utf-8", "replace")


def _count_texts(texts: Iterable[str], tokenizer: Any, n_tokens: int) -> NDArray[np.float64]:
    counts = np.zeros(n_tokens)
    batch: list[str] = []

    def add() -> None:
        encodings = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        ids = np.fromiter(chain.from_iterable(e.ids for e in encodings), dtype=np.int64)
        counts[:] += np.bincount(ids, minlength=n_tokens)[:n_tokens]
        batch.clear()

    for text in texts:
        batch.append(text.encode("utf-8", "replace").decode("utf-8"))
        if len(batch) == _TEXTS_A_BATCH:
            add()
    add()
    return counts


def _count_pieces(words: Mapping[str, float], tokenizer: Any, n_tokens: int) -> NDArray[np.float64]:
    """Counts of tokens when each word occurs as often as `words` says."""
    counts = np.zeros(n_tokens)
    names = list(words)
    for start in range(0, len(names), _TEXTS_A_BATCH):
        part = names[start : start + _TEXTS_A_BATCH]
        sequences = [e.ids for e in tokenizer.encode_batch_fast(part, add_special_tokens=False)]
        ids = np.fromiter(chain.from_iterable(sequences), dtype=np.int64)
        times = np.repeat([words[word] for word in part], [len(s) for s in sequences])
        counts += np.bincount(ids, weights=times, minlength=n_tokens)[:n_tokens]
    return counts


def token_weights(
    weighting: Weighting, probabilities: NDArray[np.float64], coefficient: float
) -> NDArray[np.float64]:
    """Weights of tokens under a `weighting`, shape [V]."""
    if weighting == "none":
        return np.ones(len(probabilities))
    return sif_weights(probabilities, coefficient)
