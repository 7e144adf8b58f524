"""What a `tokenizer.json` says, as plain values.

One rule: nothing here depends on the engine; its wrapper turns these values into the engine's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Family = Literal["wordpiece", "unigram", "bpe", "wordlevel"]
Direction = Literal["right", "left"]

# The engine and numpy index rows with 32-bit ids; no vocabulary comes near this.
MAX_ID = 2**31 - 1


class NotNative(Exception):
    """Why the engine would not give the ids of Hugging Face, in words that a user understands."""


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is searched in the text before the model sees it."""

    content: str
    id: int
    special: bool
    single_word: bool
    lstrip: bool
    rstrip: bool
    normalized: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a normalizer, or one that cuts text into words.

    Attributes:
        kind: The engine's name of it.
        options: Its arguments there.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordPieceModel:
    """A WordPiece model.

    Attributes:
        tokens: Vocabulary in the order of the file.
        ids: Token id of each entry of `tokens`, shape [len(tokens)].
        unk_id: Id of the token that stands for a word that cannot be built.
        continuing_subword_prefix: What marks a piece inside a word.
        max_input_chars_per_word: Longer words are unknown.
    """

    tokens: list[str]
    ids: NDArray[np.uint32]
    unk_id: int
    continuing_subword_prefix: str
    max_input_chars_per_word: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BpeModel:
    """A byte-pair encoding.

    Attributes:
        tokens: Vocabulary in the order of the file.
        ids: Token id of each entry of `tokens`, shape [len(tokens)].
        merges: Places in `tokens` of the left part, the right part and what they become, the most
            important merge first: shape [M, 3].
        unk_id: Id of the unknown token; None where what is unknown is left out.
        byte_level: Whether tokens spell bytes in the byte alphabet of GPT-2.
        byte_fallback: Whether characters without a token become <0xNN> tokens.
        fuse_unk: Whether unknown characters in a row are one unknown token.
        ignore_merges: Whether a word that is a token is that token.
    """

    tokens: list[str]
    ids: NDArray[np.uint32]
    merges: NDArray[np.uint32]
    unk_id: int | None
    byte_level: bool
    byte_fallback: bool
    fuse_unk: bool
    ignore_merges: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnigramModel:
    """A Unigram model; the id of a token is its place.

    Attributes:
        tokens: Vocabulary in the order of the file.
        scores: Log probability of each, shape [len(tokens)].
        unk_id: Id of the unknown token.
        byte_fallback: Whether what has no token becomes <0xNN> tokens.
    """

    tokens: list[str]
    scores: NDArray[np.float64]
    unk_id: int
    byte_fallback: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WordLevelModel:
    """A token for each word.

    Attributes:
        tokens: Vocabulary in the order of the file.
        ids: Token id of each entry of `tokens`, shape [len(tokens)].
        unk_id: Id of all other words.
    """

    tokens: list[str]
    ids: NDArray[np.uint32]
    unk_id: int


Model = WordPieceModel | BpeModel | UnigramModel | WordLevelModel


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeSettings:
    """All that the engine needs to do the work.

    Attributes:
        normalizer: Steps that change the text, in order.
        splitter: Steps that cut it into words, in order.
        model: What gives words their ids.
        added_tokens: In the order of the file, with the ids that Hugging Face gives them.
    """

    normalizer: tuple[Step, ...]
    splitter: tuple[Step, ...]
    model: Model
    added_tokens: tuple[AddedToken, ...]


@dataclass(frozen=True, slots=True)
class TokenizerSettings:
    """What a `tokenizer.json` says.

    Attributes:
        family: Kind of the model inside.
        n_ids: One more than the largest id, added tokens included.
        n_tokens: How many different tokens there are, added tokens included.
        unk_id: Id of the unknown token, or None where there is none.
        unk_token: Its text, or None.
        native: Settings of the native tokenizer, or None where it would not be exact.
        fallback_reason: Why it would not, or None.
        truncation_direction: Which end of a text is kept: "right" cuts the right end off.
        truncation_max_length: Tokens kept by the truncation stored in the file, or None.
    """

    family: Family
    n_ids: int
    n_tokens: int
    unk_id: int | None
    unk_token: str | None
    native: NativeSettings | None
    fallback_reason: str | None
    truncation_direction: Direction
    truncation_max_length: int | None = None
