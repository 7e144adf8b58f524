"""`tokenizer.json` text -> what it says, and settings of the engine.

One rule: the engine gets settings only where it gives the ids of Hugging Face `tokenizers` one
for one; for everything else the settings say why that package has to do the work. Behaviour was
checked against tokenizers 0.23.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import object_of, parse_object
from vecsmith.formats.tokenizer_json.added_tokens import added_tokens_of
from vecsmith.formats.tokenizer_json.compiled import (
    MIN_CHARACTERS,
    keep_compiled,
    load_compiled,
)
from vecsmith.formats.tokenizer_json.models import (
    family_of,
    native_model,
    unknown_of,
    vocabulary_of,
)
from vecsmith.formats.tokenizer_json.normalizers import normalizer_of
from vecsmith.formats.tokenizer_json.numbers import float_of
from vecsmith.formats.tokenizer_json.settings import (
    AddedToken,
    Family,
    NativeSettings,
    NotNative,
    Step,
    TokenizerSettings,
)
from vecsmith.formats.tokenizer_json.splitters import splitter_of
from vecsmith.formats.tokenizer_json.storing import read_truncation

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    source: str = field(compare=False)


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
    return _read(_Text(tokenizer_json, source))


# Opening a model asks twice: whether the tokenizer fits the table, and what its engine needs.
@lru_cache(maxsize=1)
def _read(file: _Text) -> TokenizerSettings:
    if len(file.text) < MIN_CHARACTERS:
        return _parsed(file)
    settings = load_compiled(file.text)
    if settings is None:
        settings = _parsed(file)
        keep_compiled(file.text, settings)
    return settings


def _parsed(file: _Text) -> TokenizerSettings:
    source = file.source
    root = parse_object(file.text, source=source, parse_float=float_of)
    version = root.get("version", "1.0")
    if version != "1.0":
        raise FormatError(f"{source}: version {version!r}, expected '1.0'")
    model = object_of(root, "model", source=source)
    where = f"{source}: model"
    family = family_of(model, where=where)
    vocabulary = vocabulary_of(model, family, where=where)
    added, added_reason = added_tokens_of(root, vocabulary, source=source)
    unk_token, unk_id = unknown_of(model, family, vocabulary, added, where=where)
    direction, max_length = read_truncation(root, source=source)
    native, reason = _native(root, family, vocabulary, added, source=source)
    reason = reason or added_reason
    largest = max((token.id for token in added), default=-1)
    largest = max(largest, max(vocabulary.values(), default=-1))
    return TokenizerSettings(
        family=family,
        n_ids=1 + largest,
        n_tokens=len(vocabulary) + sum(token.content not in vocabulary for token in added),
        unk_id=unk_id,
        unk_token=unk_token,
        native=native if reason is None else None,
        fallback_reason=reason,
        truncation_direction=direction,
        truncation_max_length=max_length,
    )


def forget_tokenizer() -> None:
    """Lets go of the vocabulary that `read_tokenizer` keeps for the next question."""
    _read.cache_clear()


def read_tokens(tokenizer_json: str, *, source: str = "tokenizer.json") -> dict[int, str]:
    """Text of each token id, added tokens included.

    Raises:
        FormatError: If the text is not a tokenizer.
    """
    root = parse_object(tokenizer_json, source=source)
    vocabulary = read_model_tokens(root, source=source)
    tokens = {token_id: token for token, token_id in vocabulary.items()}
    return tokens | {token.id: token.content for token in read_added_tokens(root, source=source)}


def read_model_tokens(
    root: Mapping[str, Any], *, source: str = "tokenizer.json"
) -> Mapping[str, int]:
    """Id of every token of the model in a parsed `tokenizer.json`, those only added left out.

    Raises:
        FormatError: If it is not a tokenizer.
    """
    model = object_of(root, "model", source=source)
    where = f"{source}: model"
    return vocabulary_of(model, family_of(model, where=where), where=where)


def read_added_tokens(
    root: Mapping[str, Any], *, source: str = "tokenizer.json"
) -> list[AddedToken]:
    """Added tokens of a parsed `tokenizer.json`, with the ids that Hugging Face gives them.

    Raises:
        FormatError: If it is not a tokenizer.
    """
    return added_tokens_of(root, read_model_tokens(root, source=source), source=source)[0]


def _native(
    root: Mapping[str, Any],
    family: Family,
    vocabulary: Mapping[str, int],
    added: list[AddedToken],
    *,
    source: str,
) -> tuple[NativeSettings | None, str | None]:
    """What the engine needs, or why it cannot do the work."""
    reasons: list[str] = []
    # all parts are read, so that a wrong field is refused whatever else the engine cannot do
    normalizer = _known(lambda: normalizer_of(root, source=source), reasons)
    splitter = _known(lambda: splitter_of(root, source=source), reasons)
    byte_level = splitter is not None and any(step.kind == "byte_level" for step in splitter)
    block, where = object_of(root, "model", source=source), f"{source}: model"
    model = _known(
        lambda: native_model(block, family, vocabulary, byte_level=byte_level, where=where),
        reasons,
    )
    if normalizer is None or splitter is None or model is None:
        return None, reasons[0]
    reason = _first_word_reason(normalizer, splitter, added)
    if reason is not None:
        return None, reason
    return (
        NativeSettings(
            normalizer=normalizer, splitter=splitter, model=model, added_tokens=tuple(added)
        ),
        None,
    )


def _first_word_reason(
    normalizer: Sequence[Step], splitter: Sequence[Step], added: Sequence[AddedToken]
) -> str | None:
    """Why the engine would not know which word is the first, or None.

    Hugging Face means every word that comes from where the text began before it was normalised.
    """
    firsts = [i for i, step in enumerate(splitter) if step.options.get("prepend") == "first"]
    if not firsts or not normalizer:
        return None
    if firsts[0] > 0:  # what one character became may lie in several words by now
        return "Metaspace prepends to the first word after a normalizer and other pre-tokenizers"
    for step in normalizer:
        if not _keeps_the_start(step):
            return f"Metaspace prepends to the first word after the normalizer's step {step.kind}"
    if all(_keeps_the_length(step) for step in normalizer):
        return None
    for token in added:  # it may be found inside what the first character became
        if token.normalized:
            return (
                "Metaspace prepends to the first word after the normalizer and the added token "
                f"{token.content!r:.60}"
            )
    return None


def _keeps_the_start(step: Step) -> bool:
    """Whether a text begins with what its first character became."""
    if step.kind != "replace":
        return step.kind in ("lowercase", "nfc", "nfd", "nfkc", "nfkd")
    options = step.options  # of several characters the last one becomes the content
    return not options["is_regex"] and len(options["pattern"]) == 1 and options["content"] != ""


def _keeps_the_length(step: Step) -> bool:
    """Whether one character becomes one character at most, of the steps that keep the start."""
    return step.kind == "replace" and len(step.options["content"]) == 1


def _known(read: Callable[[], T], reasons: list[str]) -> T | None:
    """What `read` gives, or None and one reason more."""
    try:
        return read()
    except NotNative as reason:
        reasons.append(str(reason))
        return None
