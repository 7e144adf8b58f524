"""Text -> token ids: the engine where it is exact, the `tokenizers` package elsewhere.

One rule: ids are those of Hugging Face `tokenizers` with `add_special_tokens=False`, and no call
changes what another call sees.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith import _core
from vecsmith._extras import require
from vecsmith.errors import FormatError
from vecsmith.formats import TokenizerSettings, read_tokenizer
from vecsmith.formats.tokenizer_json import (
    AddedToken,
    BpeModel,
    Model,
    NativeSettings,
    UnigramModel,
    WordLevelModel,
    WordPieceModel,
    forget_tokenizer,
    read_tokens,
)

_MOST_THREADS = 4096  # more than any machine has, and what the engine can count
_MODELS: dict[type[Model], str] = {
    BpeModel: "bpe",
    UnigramModel: "unigram",
    WordLevelModel: "word_level",
    WordPieceModel: "wordpiece",
}
_SURROGATES = re.compile("[\ud800-\udfff]")


def cpu_level() -> str:
    """Name of the kernels that run here; the variable VECSMITH_CPU may force a weaker one.

    Raises:
        ValueError: If VECSMITH_CPU names no level, or one this machine lacks.
    """
    try:
        return _core.cpu_level(os.environ.get("VECSMITH_CPU", "").strip().lower())
    except ValueError as error:
        raise ValueError(f"VECSMITH_CPU: {error}") from None


def default_threads() -> int:
    """How many threads this process may run at once."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def checked_threads(n_threads: int | None) -> int:
    """`n_threads`, or all there are for None.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is below 1.
    """
    if n_threads is None:
        return default_threads()
    if isinstance(n_threads, bool) or not isinstance(n_threads, int | np.integer):
        raise TypeError(f"n_threads is {n_threads!r}, expected a whole number")
    if n_threads < 1:
        raise ValueError(f"n_threads is {n_threads}, expected at least 1 (None for all cores)")
    return min(int(n_threads), _MOST_THREADS)


@dataclass(frozen=True, slots=True)
class Encoding:
    """Tokens of one text.

    Attributes:
        ids: Token ids.
        tokens: Text of each token.
    """

    ids: list[int]
    tokens: list[str]


class Tokenizer:
    """The tokenizer of a static model.

    Any number of threads may use one at once.
    """

    def __init__(self, tokenizer_json: str) -> None:
        """Reads the text of a Hugging Face `tokenizer.json`.

        Raises:
            FormatError: If the text is not a tokenizer.
            MissingExtraError: If it needs the `tokenizers` package and that is not installed.
        """
        self._json = tokenizer_json
        settings = read_tokenizer(tokenizer_json)
        self._native, self._fallback_reason = _native_tokenizer(settings)
        # the vocabulary is the engine's now, and may be large
        self._settings = replace(settings, native=None)
        forget_tokenizer()
        self._fallback: Any = None if self._native else _hugging_face_tokenizer(tokenizer_json)

    def encode(self, text: str, add_special_tokens: bool = False) -> Encoding:
        """Tokens of one text, the unknown token included.

        Raises:
            ValueError: If `add_special_tokens` is asked for: static models have no use for them.
        """
        if add_special_tokens:
            raise ValueError(
                "add_special_tokens is True, expected False: static models average plain tokens"
            )
        ids, _ = self.encode_batch([text])
        return Encoding(ids.tolist(), [self.id_to_token(i) for i in ids.tolist()])

    def encode_batch(
        self, texts: list[str], *, max_length: int | None = None, n_threads: int | None = None
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Ids of all texts in one array, shape [T], and offsets into it, shape [N + 1].

        The ids of text i are `ids[offsets[i]:offsets[i + 1]]`, at most `max_length` of them.

        Raises:
            TypeError: If a text is not a str.
        """
        if self._native is not None:
            # A list of our own: the engine looks at it while other threads may change the caller's.
            ids, offsets = self._native.encode(
                list(texts), max_length, self.keeps_end, checked_threads(n_threads)
            )
            return ids, offsets
        return self._encode_with_hugging_face(texts, max_length)

    def normalize(self, text: str) -> str:
        """Normalised form of `text`, as the tokenizer sees it before it makes words."""
        if self._native is not None:
            return self._native.normalize(text)
        normalizer = self._fallback.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(_readable(text)))

    def id_to_token(self, token_id: int) -> str:
        """Text of a token.

        Raises:
            IndexError: If there is no such id.
        """
        try:
            return self._tokens[token_id]
        except KeyError:
            raise IndexError(
                f"token id {token_id}, expected one of the {self.vocab_size} in the vocabulary"
            ) from None

    @property
    def native(self) -> _core.Tokenizer | None:
        """The engine's tokenizer, or None where `tokenizers` does the work."""
        return self._native

    @property
    def is_native(self) -> bool:
        """Whether the engine does the work."""
        return self._native is not None

    @property
    def fallback_reason(self) -> str | None:
        """Why the engine does not do the work, or None where it does."""
        return self._fallback_reason

    @property
    def family(self) -> Literal["wordpiece", "unigram", "bpe", "wordlevel"]:
        """Kind of the model inside."""
        return self._settings.family

    @property
    def unk_id(self) -> int | None:
        """Id of the unknown token, or None."""
        return self._settings.unk_id

    @property
    def vocab_size(self) -> int:
        """How many different tokens there are, added ones included."""
        return self._settings.n_tokens

    @property
    def n_ids(self) -> int:
        """One more than the largest id."""
        return self._settings.n_ids

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the whole tokenizer: the same ids of every text for the same fingerprint."""
        return hashlib.sha256(self._json.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def keeps_end(self) -> bool:
        """Whether a text that is too long keeps its end instead of its beginning."""
        return self._settings.truncation_direction == "left"

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[str]]:
        return type(self), (self._json,)

    @cached_property
    def _tokens(self) -> dict[int, str]:
        return read_tokens(self._json)

    def _encode_with_hugging_face(
        self, texts: list[str], max_length: int | None
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"text {i} is of type {type(text).__name__}, expected str")
        readable = [_readable(text) for text in texts]
        with _its_errors("that takes any text"):
            encodings = self._fallback.encode_batch_fast(readable, add_special_tokens=False)
        # Cut here and not by the tokenizer, whose settings every thread would share.
        lists = [_cut(encoding.ids, max_length, self.keeps_end) for encoding in encodings]
        offsets = np.zeros(len(lists) + 1, dtype=np.int64)
        np.cumsum([len(ids) for ids in lists], out=offsets[1:])
        ids = np.fromiter((i for ids in lists for i in ids), dtype=np.uint32, count=offsets[-1])
        return ids, offsets


def _native_tokenizer(settings: TokenizerSettings) -> tuple[_core.Tokenizer | None, str | None]:
    """The engine's tokenizer, or why it has none."""
    if settings.native is None:
        return None, settings.fallback_reason
    level = cpu_level()
    try:
        native = _core.Tokenizer(_native_settings(settings.native), level)
    except ValueError as error:
        return None, str(error)
    reason = _added_reason(native, settings.native.added_tokens)
    return (native, None) if reason is None else (None, reason)


def _native_settings(settings: NativeSettings) -> _core.TokenizerSettings:
    native = _core.TokenizerSettings()
    for part, steps in (("normalize", settings.normalizer), ("split", settings.splitter)):
        for step in steps:
            getattr(native, f"{part}_{step.kind}")(**step.options)
    model = settings.model
    arguments = {field.name: getattr(model, field.name) for field in fields(model)}
    getattr(native, f"model_{_MODELS[type(model)]}")(**arguments)
    for token in settings.added_tokens:
        native.add_token(
            content=token.content,
            id=token.id,
            single_word=token.single_word,
            lstrip=token.lstrip,
            rstrip=token.rstrip,
            normalized=token.normalized,
        )
    return native


def _added_reason(native: _core.Tokenizer, added: Iterable[AddedToken]) -> str | None:
    """Why the added tokens that are searched in normalised text need Hugging Face, or None."""
    seen: dict[str, str] = {}
    for token in added:
        if not token.normalized:
            continue
        content = native.normalize(token.content)
        if not content:  # it is found between all characters
            return f"added token {token.content!r:.60} normalises to nothing"
        if seen.setdefault(content, token.content) != token.content:  # any of the two is found
            return f"added tokens {seen[content]!r:.60} and {token.content!r:.60} normalise alike"
    return None


def _hugging_face_tokenizer(tokenizer_json: str) -> Any:
    tokenizers = require("tokenizers", extra="hf", purpose="read this model's tokenizer")
    with _its_errors(f"that tokenizers {tokenizers.__version__} reads"):
        tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@contextmanager
def _its_errors(expected: str) -> Iterator[None]:
    """Names what the package raises: plain exceptions, and panics that are none."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise FormatError(f"tokenizer.json: {error}, expected one {expected}") from error


def _cut(ids: list[int], max_length: int | None, keeps_end: bool) -> list[int]:
    if max_length is None or len(ids) <= max_length:
        return ids
    return ids[len(ids) - max_length :] if keeps_end else ids[:max_length]


def _readable(text: str) -> str:
    """The text with U+FFFD for every lone surrogate, which has no UTF-8 form."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)
