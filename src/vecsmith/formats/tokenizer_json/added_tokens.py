"""The added tokens of a `tokenizer.json`, with the ids that Hugging Face gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import array_of, flag, text_of, whole_number
from vecsmith.formats.tokenizer_json.settings import MAX_ID, AddedToken

# The engine tries every added token at every place: it leaves what would make that slow to
# `tokenizers`, which builds an automaton.
_MAX_ADDED_BYTES = 256


def added_tokens_of(
    root: Mapping[str, Any], vocabulary: Mapping[str, int], *, source: str
) -> tuple[list[AddedToken], str | None]:
    """Added tokens with their ids, and why the engine leaves them to Hugging Face, or None."""
    reason: str | None = None
    tokens: dict[str, AddedToken] = {}
    next_id = _model_size(root, vocabulary)
    for stored_id, token in _entries(root, source=source):
        content = token.content
        if content == "":
            continue  # Hugging Face leaves it out
        if len(content.encode()) > _MAX_ADDED_BYTES:
            reason = (
                reason or f"added token {content!r:.60} is longer than {_MAX_ADDED_BYTES} bytes"
            )
        token_id = tokens[content].id if content in tokens else vocabulary.get(content)
        if token_id is None:
            # the id in the file counts for nothing: Hugging Face gives the next free one
            token_id, next_id = next_id, next_id + 1
            if stored_id != token_id and reason is None and not _is_dense(vocabulary):
                reason = f"added token {content!r:.60} has id {stored_id} beyond a gap"
        token = replace(token, id=token_id)
        if tokens.setdefault(content, token) != token:
            reason = reason or f"added token {content!r:.60} is there twice and differs"
    return list(tokens.values()), reason


def _entries(root: Mapping[str, Any], *, source: str) -> Iterator[tuple[int, AddedToken]]:
    """The id in the file and the token, of each entry."""
    if root.get("added_tokens") is None:
        return
    for i, entry in enumerate(array_of(root, "added_tokens", source=source)):
        where = f"{source}: added_tokens[{i}]"
        if not isinstance(entry, dict):
            raise FormatError(f"{where}: {entry!r:.60}, expected an object")
        content = text_of(entry, "content", source=where)
        stored_id = whole_number(entry, "id", source=where, maximum=MAX_ID)
        special = flag(entry, "special", source=where, default=False)
        yield (
            stored_id,
            AddedToken(
                content=content,
                id=stored_id,
                special=special,
                single_word=flag(entry, "single_word", source=where, default=False),
                lstrip=flag(entry, "lstrip", source=where, default=False),
                rstrip=flag(entry, "rstrip", source=where, default=False),
                normalized=flag(entry, "normalized", source=where, default=not special),
            ),
        )


def _model_size(root: Mapping[str, Any], vocabulary: Mapping[str, int]) -> int:
    """Size of the model's vocabulary; a Unigram list counts a token that is there twice twice."""
    entries = root["model"]["vocab"]
    return len(entries) if isinstance(entries, list) else len(vocabulary)


def _is_dense(vocabulary: Mapping[str, int]) -> bool:
    return max(vocabulary.values(), default=-1) + 1 == len(vocabulary)
