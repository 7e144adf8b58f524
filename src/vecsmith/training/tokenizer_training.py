"""A tokenizer learnt from text: WordPiece that the engine runs natively, byte-pair or Unigram.

One rule: texts are streamed, twice where the alphabet is counted first; only different words are
kept in memory (by `tokenizers`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, get_args

import numpy as np

from vecsmith._extras import require
from vecsmith._progress import Advance, progress_bar
from vecsmith.tokenizer import Tokenizer

TokenizerFamily = Literal["wordpiece", "bpe", "unigram"]

FAMILIES: Final[tuple[TokenizerFamily, ...]] = get_args(TokenizerFamily)
UNKNOWN: Final = "[UNK]"
_SPECIALS: Final = ("[PAD]", UNKNOWN)
# Words of scripts without spaces are whole sentences; with BERT's 100 many would be unknown. More
# than a thousand is what the engine leaves to `tokenizers`.
_MAX_WORD_CHARS: Final = 1000
_N_CODES: Final = 0x110000
_CHUNK: Final = 4096
_SAMPLE: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerReport:
    """What a tokenizer was learnt from, and how it cuts texts of that kind.

    Attributes:
        family: "wordpiece", "bpe" or "unigram".
        n_texts: Texts read.
        n_tokens: Size of the vocabulary.
        n_characters: Different characters in the texts, normalised.
        n_left_out: Characters among them that are too rare for the vocabulary; words with one of
            them are unknown. 0 for byte-pair, which spells them in bytes.
        tokens_per_text: Mean over a sample of the texts.
        unknown_share: Share of the unknown token among the sample's tokens.
        is_native: Whether the engine tokenizes by itself.
    """

    family: TokenizerFamily
    n_texts: int
    n_tokens: int
    n_characters: int
    n_left_out: int
    tokens_per_text: float
    unknown_share: float
    is_native: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedTokenizer:
    """Text of a `tokenizer.json`, and the report of its training."""

    tokenizer_json: str
    report: TokenizerReport


def train_tokenizer(
    texts: Iterable[str] | Callable[[], Iterable[str]],
    *,
    family: TokenizerFamily = "wordpiece",
    vocabulary: int = 32_000,
    min_count: int = 2,
    lowercase: bool = True,
    strip_accents: bool = False,
    show_progress_bar: bool = False,
) -> TrainedTokenizer:
    """A tokenizer for texts like `texts`, of any language.

    "wordpiece" has BERT's way of making words and runs natively in the engine; "bpe" works on
    bytes, so nothing is unknown; "unigram" is SentencePiece's. WordPiece and byte-pair training
    give the same tokenizer for the same texts every time; Unigram's, as `tokenizers` has it, may
    differ in details.

    Accents are kept unless asked otherwise: what counts as one is a vowel in the scripts of India,
    part of the letter in Vietnamese, and without it Hangul falls apart into its jamo.

    Example:
        >>> trained = train_tokenizer(["a cat sat", "the cats sit"], vocabulary=60)
        >>> trained.report.is_native
        True

    Args:
        texts: What to learn from, read up to three times: a list, or a function that opens it
            anew; None for absent texts is skipped.
        family: Kind of the tokenizer.
        vocabulary: Most tokens.
        min_count: Least occurrences of what becomes a token of its own.
        lowercase: Whether case is ignored.
        strip_accents: Whether accents and other combining marks are.
        show_progress_bar: Whether to show one, if this is a terminal.

    Raises:
        ValueError: If there is no text, or a setting makes no sense.
        TypeError: If `texts` can be read only once.
        MissingExtraError: If `tokenizers` is not installed.
    """
    opened = _opener(texts)
    if family not in FAMILIES:
        raise ValueError(f"family {family!r:.40}, expected one of {list(FAMILIES)}")
    if vocabulary < 1 + len(_SPECIALS) or min_count < 1:
        raise ValueError(
            f"vocabulary {vocabulary} and min_count {min_count}, expected some tokens and a count "
            "of 1 or more"
        )
    with progress_bar("tokenizer", total=None, show=show_progress_bar) as advance:
        recipe = _Recipe(family, vocabulary, min_count, lowercase, strip_accents)
        characters, n_texts = _characters(opened(), recipe.normalizer(), advance)
        if not characters:
            raise ValueError(
                f"{n_texts} texts without a single character, expected text to learn a tokenizer of"
            )
        # half of the vocabulary at most for single characters, each alone and inside words
        alphabet = sorted(characters[: max(1, vocabulary // 4)])
        tokenizer_json = recipe.train(_told(opened(), advance), alphabet)
    report = _report(tokenizer_json, family, opened(), n_texts, len(characters), len(alphabet))
    return TrainedTokenizer(tokenizer_json=tokenizer_json, report=report)


def _opener(texts: Iterable[str] | Callable[[], Iterable[str]]) -> Callable[[], Iterator[str]]:
    """A function that reads the texts from their beginning."""
    if callable(texts):
        return lambda: (text for text in texts() if text)
    if isinstance(texts, str):
        raise TypeError("texts are one str, expected a list of them")
    if iter(texts) is texts:
        raise TypeError(
            f"texts are of type {type(texts).__name__}, which can be read once, expected a list or "
            "a function that opens them anew"
        )
    return lambda: (text for text in texts if text)


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How a tokenizer of one family is put together and trained."""

    family: TokenizerFamily
    vocabulary: int
    min_count: int
    lowercase: bool
    strip_accents: bool

    def normalizer(self) -> Any:
        """What happens to a text before it is cut into words."""
        normalizers = _tokenizers().normalizers
        if self.family == "wordpiece":
            return normalizers.BertNormalizer(
                clean_text=True,
                handle_chinese_chars=True,
                strip_accents=self.strip_accents,
                lowercase=self.lowercase,
            )
        steps = [normalizers.NFC() if self.family == "bpe" else normalizers.NFKC()]
        if self.strip_accents:
            steps += [normalizers.NFD(), normalizers.StripAccents(), normalizers.NFC()]
        if self.lowercase:
            steps.append(normalizers.Lowercase())
        return normalizers.Sequence(steps)

    def train(self, texts: Iterator[str], alphabet: Sequence[str]) -> str:
        """Text of the tokenizer.json."""
        tokenizer = self._untrained()
        if self.family == "wordpiece":
            # The trainer numbers the characters inside words in the order of a hash table, another
            # one in each process, and cuts ties by those numbers. Named beforehand their order is
            # fixed; so they are named as special tokens, and lose that mark afterwards.
            inside = [f"##{letter}" for letter in alphabet if _stands_inside(tokenizer, letter)]
            first = [*_SPECIALS, *alphabet, *inside][: max(self.vocabulary, len(_SPECIALS))]
            trainer = _tokenizers().trainers.WordPieceTrainer(
                vocab_size=self.vocabulary,
                min_frequency=self.min_count,
                special_tokens=first,
                initial_alphabet=list(alphabet),
                limit_alphabet=len(alphabet),
                continuing_subword_prefix="##",
                show_progress=False,
            )
        elif self.family == "bpe":
            trainer = _tokenizers().trainers.BpeTrainer(
                vocab_size=self.vocabulary,
                min_frequency=self.min_count,
                initial_alphabet=sorted(_tokenizers().pre_tokenizers.ByteLevel.alphabet()),
                show_progress=False,
            )
        else:
            trainer = _tokenizers().trainers.UnigramTrainer(
                vocab_size=self.vocabulary,
                special_tokens=[UNKNOWN],
                unk_token=UNKNOWN,
                initial_alphabet=list(alphabet),
                show_progress=False,
            )
        tokenizer.train_from_iterator(texts, trainer)
        root = json.loads(tokenizer.to_str())
        root["added_tokens"] = [
            token for token in root["added_tokens"] if token["content"] in _SPECIALS
        ]
        return json.dumps(root, ensure_ascii=False, separators=(",", ":"))

    def _untrained(self) -> Any:
        library = _tokenizers()
        if self.family == "wordpiece":
            model = library.models.WordPiece(
                unk_token=UNKNOWN, max_input_chars_per_word=_MAX_WORD_CHARS
            )
            splitter = library.pre_tokenizers.BertPreTokenizer()
        elif self.family == "bpe":
            model = library.models.BPE()
            splitter = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
        else:
            model = library.models.Unigram()
            splitter = library.pre_tokenizers.Metaspace()
        tokenizer = library.Tokenizer(model)
        tokenizer.normalizer = self.normalizer()
        tokenizer.pre_tokenizer = splitter
        return tokenizer


def _tokenizers() -> Any:
    return require("tokenizers", extra="train", purpose="train a tokenizer")


def _characters(texts: Iterator[str], normalizer: Any, advance: Advance) -> tuple[list[str], int]:
    """Characters of the normalised texts, the most frequent first; and how many texts there are."""
    raw = np.zeros(_N_CODES, dtype=np.int64)
    n_texts = 0
    while chunk := list(islice(texts, _CHUNK)):
        codes = np.frombuffer("".join(chunk).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        raw += np.bincount(codes, minlength=_N_CODES)
        n_texts += len(chunk)
        advance(0, f"{n_texts:,} texts, characters")
    counts: dict[str, int] = {}
    for code in np.flatnonzero(raw).tolist():
        if 0xD800 <= code < 0xE000:
            continue  # half characters: read as U+FFFD, and the engine drops that
        # each on its own: what these normalizers do to a letter does not depend on its neighbours
        # but for accents put together, which are counted apart and cost a place at most
        for letter in normalizer.normalize_str(chr(code)):
            if not letter.isspace():
                counts[letter] = counts.get(letter, 0) + int(raw[code])
    return sorted(counts, key=lambda letter: (-counts[letter], letter)), n_texts


def _stands_inside(tokenizer: Any, letter: str) -> bool:
    """Whether `letter` may stand inside a word, or always stands alone as punctuation does."""
    normalized = tokenizer.normalizer.normalize_str(f"a{letter}a")
    return len(tokenizer.pre_tokenizer.pre_tokenize_str(normalized)) == 1


def _told(texts: Iterator[str], advance: Advance) -> Iterator[str]:
    """The texts, half characters mended, while a bar says how many have been read."""
    n_texts = 0
    for text in texts:
        n_texts += 1
        if n_texts % _CHUNK == 0:
            advance(0, f"{n_texts:,} texts, words")
        yield text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
    advance(0, f"{n_texts:,} texts, building the vocabulary")


def _report(
    tokenizer_json: str,
    family: TokenizerFamily,
    texts: Iterator[str],
    n_texts: int,
    n_characters: int,
    n_kept: int,
) -> TokenizerReport:
    tokenizer = Tokenizer(tokenizer_json)
    step = max(1, n_texts // _SAMPLE)
    sample = list(islice(texts, 0, step * _SAMPLE, step))
    ids, _ = tokenizer.encode_batch(sample)
    n_unknown = 0 if tokenizer.unk_id is None else int((ids == tokenizer.unk_id).sum())
    return TokenizerReport(
        family=family,
        n_texts=n_texts,
        n_tokens=tokenizer.vocab_size,
        n_characters=n_characters,
        n_left_out=0 if family == "bpe" else n_characters - n_kept,
        tokens_per_text=round(len(ids) / max(1, len(sample)), 3),
        unknown_share=round(n_unknown / max(1, len(ids)), 6),
        is_native=tokenizer.is_native,
    )
