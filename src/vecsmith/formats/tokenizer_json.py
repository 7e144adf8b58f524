"""`tokenizer.json` text -> plain settings for the engine, and the text written beside a model.

One rule: the engine gets settings only where it gives the ids of Hugging Face `tokenizers` one
for one; for everything else the settings say why that package has to do the work. Behaviour was
checked against tokenizers 0.23.3.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import (
    array_of,
    flag,
    object_of,
    parse_object,
    text_of,
    whole_number,
)

Family = Literal["wordpiece", "unigram", "bpe", "wordlevel"]
Direction = Literal["right", "left"]

# The engine and numpy index rows with 32-bit ids; no vocabulary comes near this.
MAX_ID = 2**31 - 1

# The engine tries every added token at every place, and every piece at every place of a word: it
# leaves what would make that slow to `tokenizers`, which builds an automaton, or refuses it.
_MAX_ADDED_BYTES = 256
_MAX_PIECE_WORK = 500**2

_FAMILIES: dict[str, Family] = {
    "WordPiece": "wordpiece",
    "Unigram": "unigram",
    "BPE": "bpe",
    "WordLevel": "wordlevel",
}


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
class WordPieceSettings:
    """All that BertNormalizer, BertPreTokenizer and WordPiece need.

    Attributes:
        tokens: Vocabulary in the order of the file.
        ids: Token id of each entry of `tokens`, shape [len(tokens)].
        unk_token: Token that stands for a word that cannot be built.
        unk_id: Its id.
        continuing_subword_prefix: What marks a piece inside a word.
        max_input_chars_per_word: Longer words are unknown.
        clean_text: Whether control characters go and white space becomes a space.
        handle_chinese_chars: Whether Chinese characters stand alone.
        strip_accents: Whether accents go; `null` in the file is already resolved.
        lowercase: Whether text is lower-cased.
        added_tokens: In the order of the file, with the ids that Hugging Face gives them.
    """

    tokens: list[str]
    ids: NDArray[np.uint32]
    unk_token: str
    unk_id: int | None
    continuing_subword_prefix: str
    max_input_chars_per_word: int
    clean_text: bool
    handle_chinese_chars: bool
    strip_accents: bool
    lowercase: bool
    added_tokens: list[AddedToken]


@dataclass(frozen=True, slots=True)
class TokenizerSettings:
    """What a `tokenizer.json` says.

    Attributes:
        family: Kind of the model inside.
        n_ids: One more than the largest id, added tokens included.
        n_tokens: How many different tokens there are, added tokens included.
        unk_id: Id of the unknown token, or None where there is none.
        unk_token: Its text, or None.
        wordpiece: Settings of the native tokenizer, or None where it would not be exact.
        fallback_reason: Why it would not, or None.
        truncation_direction: Which end of a text is kept: "right" cuts the right end off.
        truncation_max_length: Tokens kept by the truncation stored in the file, or None.
    """

    family: Family
    n_ids: int
    n_tokens: int
    unk_id: int | None
    unk_token: str | None
    wordpiece: WordPieceSettings | None
    fallback_reason: str | None
    truncation_direction: Direction
    truncation_max_length: int | None = None


def read_tokenizer(tokenizer_json: str, *, source: str = "tokenizer.json") -> TokenizerSettings:
    """Settings held by the text of a `tokenizer.json`.

    The post-processor, the padding and the decoder are ignored: texts are always encoded without
    special tokens.

    Args:
        tokenizer_json: Text of the file.
        source: Name of the file in errors.

    Raises:
        FormatError: If the text is not a tokenizer; the message names the field.
    """
    root = parse_object(tokenizer_json, source=source)
    version = root.get("version", "1.0")
    if version != "1.0":
        raise FormatError(f"{source}: version {version!r}, expected '1.0'")
    model = object_of(root, "model", source=source)
    where = f"{source}: model"
    family = _family(model, where=where)
    vocabulary = _vocabulary(model, family, where=where)
    added, added_reason = _added_tokens(root, vocabulary, source=source)
    unk_token, unk_id = _unknown(model, family, vocabulary, added, where=where)
    direction, max_length = _truncation(root, source=source)
    wordpiece = None
    if family == "wordpiece":
        normalizer, reason = _bert_normalizer(root, source=source)
        reason = reason or _pre_tokenizer_reason(root) or added_reason
        reason = reason or _normalized_added_reason(added, normalizer)
        if reason is None and normalizer is not None:
            wordpiece = _wordpiece(model, vocabulary, normalizer, added, where=where)
        else:
            _wordpiece(model, vocabulary, _IDENTITY, added, where=where)  # wrong fields are refused
    else:
        reason = f"the model is {model.get('type', family)}, not WordPiece"
    n_ids = 1 + max((*vocabulary.values(), *(token.id for token in added)), default=-1)
    return TokenizerSettings(
        family=family,
        n_ids=n_ids,
        n_tokens=len(vocabulary) + sum(token.content not in vocabulary for token in added),
        unk_id=unk_id,
        unk_token=unk_token,
        wordpiece=wordpiece,
        fallback_reason=reason,
        truncation_direction=direction,
        truncation_max_length=max_length,
    )


def read_model_tokens(root: Mapping[str, Any], *, source: str = "tokenizer.json") -> dict[str, int]:
    """Id of every token of the model in a parsed `tokenizer.json`, those only added left out.

    Raises:
        FormatError: If it is not a tokenizer.
    """
    model = object_of(root, "model", source=source)
    where = f"{source}: model"
    return _vocabulary(model, _family(model, where=where), where=where)


def read_added_tokens(
    root: Mapping[str, Any], *, source: str = "tokenizer.json"
) -> list[AddedToken]:
    """Added tokens of a parsed `tokenizer.json`, with the ids that Hugging Face gives them.

    Raises:
        FormatError: If it is not a tokenizer.
    """
    return _added_tokens(root, read_model_tokens(root, source=source), source=source)[0]


def stored_tokenizer(
    tokenizer_json: str,
    *,
    max_length: int | None = None,
    source: str = "tokenizer.json",
) -> str:
    """The same tokenizer without special tokens, padding and its own truncation.

    Args:
        tokenizer_json: Text of a `tokenizer.json`.
        max_length: Tokens of a text that are kept, None for all; kept from the end that the text
            already names.
        source: Name of the file in errors.

    Raises:
        FormatError: If the text is not a JSON object.
    """
    root = dict(parse_object(tokenizer_json, source=source))
    direction, _ = _truncation(root, source=source)
    root["truncation"] = None
    if max_length is not None:
        root["truncation"] = {
            "direction": direction.capitalize(),
            "max_length": max_length,
            "strategy": "LongestFirst",
            "stride": 0,
        }
    root["padding"] = None
    root["post_processor"] = None
    return _compact(root, source=source)


def without_truncation(tokenizer_json: str, *, source: str = "tokenizer.json") -> str:
    """The same tokenizer without its own truncation; the same text where there is none."""
    root = dict(parse_object(tokenizer_json, source=source))
    if root.get("truncation") is None:
        return tokenizer_json
    root["truncation"] = None
    return _compact(root, source=source)


def _compact(root: Mapping[str, Any], *, source: str) -> str:
    try:
        return json.dumps(root, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise FormatError(f"{source}: holds NaN or infinity, expected plain JSON") from error


@dataclass(frozen=True, slots=True)
class _Normalizer:
    clean_text: bool
    handle_chinese_chars: bool
    strip_accents: bool
    lowercase: bool


_IDENTITY = _Normalizer(False, False, False, False)


def _family(model: Mapping[str, Any], *, where: str) -> Family:
    kind = model.get("type")
    if kind is None:  # files older than tokenizers 0.9 do not name it
        if "merges" in model:
            return "bpe"
        if isinstance(model.get("vocab"), list):
            return "unigram"
        if "continuing_subword_prefix" in model or "max_input_chars_per_word" in model:
            return "wordpiece"
        return "wordlevel"
    if not isinstance(kind, str) or kind not in _FAMILIES:
        raise FormatError(f"{where}.type: {kind!r:.60}, expected one of {sorted(_FAMILIES)}")
    return _FAMILIES[kind]


def _vocabulary(model: Mapping[str, Any], family: Family, *, where: str) -> dict[str, int]:
    """Id of every token of the model."""
    if family == "unigram":
        return _unigram_vocabulary(model, where=where)
    vocabulary = dict(object_of(model, "vocab", source=where))
    ids = vocabulary.values()
    if set(map(type, ids)) <= {int} and 0 <= min(ids, default=0) <= max(ids, default=0) <= MAX_ID:
        return vocabulary
    for token, token_id in vocabulary.items():
        if type(token_id) is not int or not 0 <= token_id <= MAX_ID:
            raise FormatError(
                f"{where}.vocab: token {token!r:.60} has id {token_id!r:.60}, "
                f"expected a whole number from 0 to {MAX_ID}"
            )
    return vocabulary


def _unigram_vocabulary(model: Mapping[str, Any], *, where: str) -> dict[str, int]:
    entries = array_of(model, "vocab", source=where)
    vocabulary = {}
    for i, entry in enumerate(entries):
        if (
            not isinstance(entry, list)
            or len(entry) != 2
            or not isinstance(entry[0], str)
            or isinstance(entry[1], bool)
            or not isinstance(entry[1], int | float)
            or not -math.inf < entry[1] < math.inf
        ):
            raise FormatError(
                f"{where}.vocab: entry {i} is {entry!r:.60}, expected a token and its score"
            )
        vocabulary[entry[0]] = i
    return vocabulary


def _unknown(
    model: Mapping[str, Any],
    family: Family,
    vocabulary: Mapping[str, int],
    added: list[AddedToken],
    *,
    where: str,
) -> tuple[str | None, int | None]:
    """Text and id of the unknown token."""
    if family == "unigram":
        unk_id = model.get("unk_id")
        if unk_id is None:
            return None, None
        n = len(model["vocab"])
        if type(unk_id) is not int or not 0 <= unk_id < n:
            raise FormatError(
                f"{where}.unk_id: {unk_id!r:.60}, expected an entry of the vocabulary of {n}"
            )
        return model["vocab"][unk_id][0], unk_id
    default = "[UNK]" if family == "wordpiece" else None
    unk_token = model.get("unk_token", default)
    if unk_token is None and family == "bpe":
        return None, None
    if not isinstance(unk_token, str):
        raise FormatError(f"{where}.unk_token: {unk_token!r:.60}, expected a string")
    if unk_token in vocabulary:
        return unk_token, vocabulary[unk_token]
    if family == "bpe":
        by_content = {token.content: token.id for token in added}
        return unk_token, by_content.get(unk_token)
    # Hugging Face loads such a file and then fails on the first unknown word
    raise FormatError(
        f"{where}.unk_token: {unk_token!r:.60} is not in the vocabulary of {len(vocabulary)} "
        "tokens, expected an entry of it: add the token or name another"
    )


def _added_tokens(
    root: Mapping[str, Any], vocabulary: Mapping[str, int], *, source: str
) -> tuple[list[AddedToken], str | None]:
    """Added tokens with the ids that Hugging Face gives them, and why they need it."""
    entries = root.get("added_tokens")
    if entries is None:
        return [], None
    reason = None
    tokens: dict[str, AddedToken] = {}
    next_id = _model_size(root, vocabulary)
    for i, entry in enumerate(array_of(root, "added_tokens", source=source)):
        where = f"{source}: added_tokens[{i}]"
        if not isinstance(entry, dict):
            raise FormatError(f"{where}: {entry!r:.60}, expected an object")
        content = text_of(entry, "content", source=where)
        stored_id = whole_number(entry, "id", source=where, maximum=MAX_ID)
        special = flag(entry, "special", source=where, default=False)
        if content == "":
            continue  # Hugging Face leaves it out
        if len(content.encode()) > _MAX_ADDED_BYTES:
            reason = (
                reason or f"added token {content!r:.60} is longer than {_MAX_ADDED_BYTES} bytes"
            )
        token_id = vocabulary.get(content)
        if content in tokens:
            token_id = tokens[content].id
        elif token_id is None:
            # the id in the file counts for nothing: Hugging Face gives the next free one
            token_id, next_id = next_id, next_id + 1
            if stored_id != token_id and reason is None and not _is_dense(vocabulary):
                reason = f"added token {content!r:.60} has id {stored_id} beyond a gap"
        token = AddedToken(
            content=content,
            id=token_id,
            special=special,
            single_word=flag(entry, "single_word", source=where, default=False),
            lstrip=flag(entry, "lstrip", source=where, default=False),
            rstrip=flag(entry, "rstrip", source=where, default=False),
            normalized=flag(entry, "normalized", source=where, default=not special),
        )
        if tokens.setdefault(content, token) != token:
            reason = reason or f"added token {content!r:.60} is there twice and differs"
    return list(tokens.values()), reason


def _model_size(root: Mapping[str, Any], vocabulary: Mapping[str, int]) -> int:
    """Size of the model's vocabulary; a Unigram list counts a token that is there twice twice."""
    entries = root["model"]["vocab"]
    return len(entries) if isinstance(entries, list) else len(vocabulary)


def _is_dense(vocabulary: Mapping[str, int]) -> bool:
    return max(vocabulary.values(), default=-1) + 1 == len(vocabulary)


def _truncation(root: Mapping[str, Any], *, source: str) -> tuple[Direction, int | None]:
    if root.get("truncation") is None:
        return "right", None
    block = object_of(root, "truncation", source=source)
    where = f"{source}: truncation"
    direction = block.get("direction", "Right")
    if direction not in ("Right", "Left"):
        raise FormatError(f"{where}.direction: {direction!r:.60}, expected 'Right' or 'Left'")
    max_length = whole_number(block, "max_length", source=where, maximum=2**63)
    return "left" if direction == "Left" else "right", max_length


def _bert_normalizer(
    root: Mapping[str, Any], *, source: str
) -> tuple[_Normalizer | None, str | None]:
    """The normalizer as the engine knows it, or the reason why it is none of its own."""
    if root.get("normalizer") is None:
        return _IDENTITY, None  # BertNormalizer with everything off changes nothing
    block = _single(object_of(root, "normalizer", source=source), "normalizers")
    kind = block.get("type")
    if kind is None and {"clean_text", "lowercase"} <= block.keys():
        kind = "BertNormalizer"
    if kind != "BertNormalizer":
        return None, f"normalizer {kind!s:.60} is not BertNormalizer"
    where = f"{source}: normalizer"
    lowercase = flag(block, "lowercase", source=where, default=True)
    strip_accents = lowercase
    if block.get("strip_accents") is not None:
        strip_accents = flag(block, "strip_accents", source=where, default=lowercase)
    return (
        _Normalizer(
            clean_text=flag(block, "clean_text", source=where, default=True),
            handle_chinese_chars=flag(block, "handle_chinese_chars", source=where, default=True),
            strip_accents=strip_accents,
            lowercase=lowercase,
        ),
        None,
    )


def _pre_tokenizer_reason(root: Mapping[str, Any]) -> str | None:
    block = root.get("pre_tokenizer")
    if block is None:
        return "there is no pre-tokenizer, not BertPreTokenizer"
    if not isinstance(block, dict):
        return f"pre-tokenizer {block!r:.60} is not BertPreTokenizer"
    kind = _single(block, "pretokenizers").get("type")
    if kind != "BertPreTokenizer":
        return f"pre-tokenizer {kind!s:.60} is not BertPreTokenizer"
    return None


def _single(block: Mapping[str, Any], members: str) -> Mapping[str, Any]:
    """The one member of a sequence of one, else the block itself."""
    inner = block.get(members)
    if block.get("type") != "Sequence" or not isinstance(inner, list) or len(inner) != 1:
        return block
    return inner[0] if isinstance(inner[0], dict) else block


def _normalized_added_reason(
    added: Iterable[AddedToken], normalizer: _Normalizer | None
) -> str | None:
    """Why the added tokens that are searched in normalised text need Hugging Face."""
    if normalizer is None:
        return None
    seen: dict[str, str] = {}
    for token in added:
        if not token.normalized:
            continue
        if not any(unicodedata.category(c)[0] in "LNPS" for c in token.content):
            # nothing may be left of it, and then it is found between all characters
            return f"added token {token.content!r:.60} may normalise to nothing"
        bare = "".join(
            c
            for c in unicodedata.normalize("NFD", token.content.lower())
            if unicodedata.category(c)[0] in "LNPS"
        )
        if seen.setdefault(bare, token.content) != token.content:
            return f"added tokens {seen[bare]!r:.60} and {token.content!r:.60} normalise alike"
    return None


def _wordpiece(
    model: Mapping[str, Any],
    vocabulary: Mapping[str, int],
    normalizer: _Normalizer,
    added: list[AddedToken],
    *,
    where: str,
) -> WordPieceSettings:
    unk_token = model.get("unk_token", "[UNK]")
    max_chars = whole_number(
        model, "max_input_chars_per_word", source=where, default=100, maximum=2**64
    )
    longest = max(map(len, vocabulary), default=0)
    if max_chars > 1000 and longest * longest > _MAX_PIECE_WORK:
        raise FormatError(
            f"{where}.max_input_chars_per_word: {max_chars} with a token of {longest} characters, "
            "expected words of at most 1000 or tokens of at most 500: a text could take hours"
        )
    return WordPieceSettings(
        tokens=list(vocabulary),
        ids=np.fromiter(vocabulary.values(), dtype=np.uint32, count=len(vocabulary)),
        unk_token=unk_token,
        unk_id=vocabulary.get(unk_token),
        continuing_subword_prefix=text_of(
            model, "continuing_subword_prefix", source=where, default="##"
        ),
        # no word is longer, and the engine counts in 32 bits
        max_input_chars_per_word=min(max_chars, MAX_ID),
        clean_text=normalizer.clean_text,
        handle_chinese_chars=normalizer.handle_chinese_chars,
        strip_accents=normalizer.strip_accents,
        lowercase=normalizer.lowercase,
        added_tokens=added,
    )
