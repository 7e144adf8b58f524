"""The block `model` of a `tokenizer.json` -> vocabulary, and settings of the engine.

A vocabulary may hold hundreds of thousands of tokens: it is looked at as a whole, and entry by
entry only to name the one that is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import array_of, flag, object_of, text_of, whole_number
from vecsmith.formats.tokenizer_json.settings import (
    MAX_ID,
    AddedToken,
    BpeModel,
    Family,
    Model,
    NotNative,
    UnigramModel,
    WordLevelModel,
    WordPieceModel,
)

# The engine tries every piece at every place of a word: what would make that slow is refused.
_MAX_PIECE_WORK = 500**2

_FIRST, _SECOND = itemgetter(0), itemgetter(1)
_FAMILIES: dict[str, Family] = {
    "WordPiece": "wordpiece",
    "Unigram": "unigram",
    "BPE": "bpe",
    "WordLevel": "wordlevel",
}


def family_of(model: Mapping[str, Any], *, where: str) -> Family:
    """Kind of the model."""
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


def vocabulary_of(model: Mapping[str, Any], family: Family, *, where: str) -> Mapping[str, int]:
    """Id of every token of the model."""
    if family == "unigram":
        return _unigram_vocabulary(model, where=where)
    vocabulary = object_of(model, "vocab", source=where)
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


def unknown_of(
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


def native_model(
    model: Mapping[str, Any],
    family: Family,
    vocabulary: Mapping[str, int],
    *,
    byte_level: bool,
    where: str,
) -> Model:
    """The model as the engine takes it.

    Args:
        model: The block of the file.
        family: Its kind.
        vocabulary: Its tokens.
        byte_level: Whether words come as bytes, spelled in the byte alphabet.
        where: Place of the block in errors.

    Raises:
        FormatError: If a field is wrong.
        NotNative: If the engine cannot do what it says.
    """
    if byte_level and family != "bpe":
        raise NotNative(f"pre-tokenizer ByteLevel comes before a model that is {family}, not BPE")
    if family == "wordpiece":
        return _wordpiece(model, vocabulary, where=where)
    if family == "unigram":
        return _unigram(model, where=where)
    if family == "wordlevel":
        unk_id = vocabulary[model["unk_token"]]
        return WordLevelModel(tokens=list(vocabulary), ids=_ids(vocabulary), unk_id=unk_id)
    return _bpe(model, vocabulary, byte_level=byte_level, where=where)


def _wordpiece(
    model: Mapping[str, Any], vocabulary: Mapping[str, int], *, where: str
) -> WordPieceModel:
    max_chars = whole_number(
        model, "max_input_chars_per_word", source=where, default=100, maximum=2**64
    )
    longest = max(map(len, vocabulary), default=0)
    if max_chars > 1000 and longest * longest > _MAX_PIECE_WORK:
        raise FormatError(
            f"{where}.max_input_chars_per_word: {max_chars} with a token of {longest} characters, "
            "expected words of at most 1000 or tokens of at most 500: a text could take hours"
        )
    return WordPieceModel(
        tokens=list(vocabulary),
        ids=_ids(vocabulary),
        unk_id=vocabulary[model.get("unk_token", "[UNK]")],
        continuing_subword_prefix=text_of(
            model, "continuing_subword_prefix", source=where, default="##"
        ),
        # no word is longer, and the engine counts in 32 bits
        max_input_chars_per_word=min(max_chars, MAX_ID),
    )


def _unigram(model: Mapping[str, Any], *, where: str) -> UnigramModel:
    byte_fallback = flag(model, "byte_fallback", source=where, default=False)
    if model.get("unk_id") is None:
        raise NotNative("the model has no unknown token: some texts have no ids")
    entries = model["vocab"]
    return UnigramModel(
        tokens=list(map(_FIRST, entries)),
        scores=_scores(entries),
        unk_id=model["unk_id"],
        byte_fallback=byte_fallback,
    )


def _bpe(
    model: Mapping[str, Any], vocabulary: Mapping[str, int], *, byte_level: bool, where: str
) -> BpeModel:
    _check_prefixed_merges(model, where=where)
    dropout = model.get("dropout")
    if dropout:
        raise NotNative(f"the model leaves merges out at random (dropout {dropout!r:.20})")
    for affix in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(affix):
            raise NotNative(f"the model has the {affix} {model[affix]!r:.20}")
    unk_token = model.get("unk_token")
    if unk_token is not None and unk_token not in vocabulary:
        raise NotNative(f"the unknown token {unk_token!r:.60} is not in the model's vocabulary")
    byte_fallback = _bpe_flag(model, "byte_fallback", where=where)
    if byte_fallback and byte_level:
        raise NotNative("pre-tokenizer ByteLevel comes before a model with byte_fallback")
    return BpeModel(
        tokens=list(vocabulary),
        ids=_ids(vocabulary),
        merges=_merges(model, vocabulary, where=where),
        unk_id=None if unk_token is None else vocabulary[unk_token],
        byte_level=byte_level,
        byte_fallback=byte_fallback,
        fuse_unk=_bpe_flag(model, "fuse_unk", where=where),
        ignore_merges=_bpe_flag(model, "ignore_merges", where=where),
    )


def _check_prefixed_merges(model: Mapping[str, Any], *, where: str) -> None:
    """Refuses merges that Hugging Face would cut inside a character: it ends the process then."""
    prefix = model.get("continuing_subword_prefix")
    if not isinstance(prefix, str) or not prefix:
        return
    n_bytes = len(prefix.encode("utf-8", "surrogatepass"))
    for left, right in _pairs(array_of(model, "merges", source=where), where=where):
        rest = right.encode("utf-8", "surrogatepass")
        if len(rest) < n_bytes or (len(rest) > n_bytes and rest[n_bytes] & 0xC0 == 0x80):
            raise FormatError(
                f"{where}.merges: {left!r:.60} and {right!r:.60}, expected a right part that "
                f"begins with the continuing_subword_prefix {prefix!r:.60}"
            )


def _bpe_flag(model: Mapping[str, Any], key: str, *, where: str) -> bool:
    return model.get(key) is not None and flag(model, key, source=where, default=False)


def _merges(
    model: Mapping[str, Any], vocabulary: Mapping[str, int], *, where: str
) -> NDArray[np.uint32]:
    """Places in the vocabulary of left parts, right parts and results, shape [M, 3]."""
    pairs = _pairs(array_of(model, "merges", source=where), where=where)
    if not pairs:
        return np.zeros((0, 3), dtype=np.uint32)
    places = dict(zip(vocabulary, range(len(vocabulary)), strict=True))
    lefts, rights = list(map(_FIRST, pairs)), list(map(_SECOND, pairs))
    merges = np.empty((len(pairs), 3), dtype=np.uint32)
    try:
        for column, parts in enumerate((lefts, rights, map(str.__add__, lefts, rights))):
            found = map(places.__getitem__, parts)
            merges[:, column] = np.fromiter(found, dtype=np.uint32, count=len(pairs))
    except KeyError as error:
        raise FormatError(
            f"{where}.merges: {error.args[0]!r:.60} is not in the vocabulary of {len(vocabulary)} "
            "tokens, expected both parts of each merge there, and what they become"
        ) from error
    return merges


def _pairs(merges: list[Any], *, where: str) -> list[Any]:
    """The two parts of each merge; older files write "left right"."""
    if set(map(type, merges)) <= {str}:
        merges = [merge.split(" ") for merge in merges if not merge.startswith("#version")]
    if not _are_pairs(merges):
        wrong = next(merge for merge in merges if not _are_pairs([merge]))
        raise FormatError(f"{where}.merges: {wrong!r:.60}, expected two tokens")
    return merges


def _are_pairs(merges: list[Any]) -> bool:
    if not set(map(type, merges)) <= {list} or not set(map(len, merges)) <= {2}:
        return False
    return set(map(type, map(_FIRST, merges))) | set(map(type, map(_SECOND, merges))) <= {str}


def _unigram_vocabulary(model: Mapping[str, Any], *, where: str) -> dict[str, int]:
    entries = array_of(model, "vocab", source=where)
    if not _are_scored(entries):
        i, wrong = next((i, e) for i, e in enumerate(entries) if not _are_scored([e]))
        raise FormatError(
            f"{where}.vocab: entry {i} is {wrong!r:.60}, expected a token and its score"
        )
    return dict(zip(map(_FIRST, entries), range(len(entries)), strict=True))


def _are_scored(entries: list[Any]) -> bool:
    """Whether all `entries` are pairs of a token and a finite number."""
    if not set(map(type, entries)) <= {list} or not set(map(len, entries)) <= {2}:
        return False
    if not set(map(type, map(_FIRST, entries))) <= {str}:
        return False
    if not set(map(type, map(_SECOND, entries))) <= {int, float}:
        return False
    try:
        return bool(np.isfinite(_scores(entries)).all())
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _scores(entries: list[Any]) -> NDArray[np.float64]:
    return np.fromiter(map(_SECOND, entries), dtype=np.float64, count=len(entries))


def _ids(vocabulary: Mapping[str, int]) -> NDArray[np.uint32]:
    return np.fromiter(vocabulary.values(), dtype=np.uint32, count=len(vocabulary))
