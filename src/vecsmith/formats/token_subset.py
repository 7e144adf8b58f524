"""A tokenizer with fewer tokens: entries, scores, merges and ids made consistent again.

One rule: the tokens that stay keep their order, and tokens of the model come before those that are
only added, so that Hugging Face gives each the id that is returned here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import array_of, object_of, parse_object
from vecsmith.formats.tokenizer_json import (
    AddedToken,
    Family,
    read_added_tokens,
    read_model_tokens,
    read_tokenizer,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInventory:
    """The tokens of a tokenizer.json.

    Attributes:
        family: Kind of the model.
        model: Token -> id of the model's own tokens.
        added: Added tokens by content, with the ids that Hugging Face gives them.
        unk_token: The unknown token, or None.
        prefix: What marks a token inside a word ("##"), or "".
        suffix: What marks a token at the end of a word, or "".
        has_bytes: Whether what no token spells is spelt in bytes.
        merges: Pairs that byte-pair encoding joins, and what they become, in order of rank.
    """

    family: Family
    model: Mapping[str, int]
    added: Mapping[str, AddedToken]
    unk_token: str | None
    prefix: str
    suffix: str
    has_bytes: bool
    merges: tuple[tuple[str, str, str], ...]

    @property
    def ids(self) -> dict[str, int]:
        """Token -> id, added tokens included."""
        return {**self.model, **{token: one.id for token, one in self.added.items()}}


def read_inventory(tokenizer_json: str, *, source: str = "tokenizer.json") -> TokenInventory:
    """The tokens of the text of a `tokenizer.json`.

    Raises:
        FormatError: If the text is not a tokenizer.
    """
    settings = read_tokenizer(tokenizer_json, source=source)  # every field is checked
    root = parse_object(tokenizer_json, source=source)
    model = object_of(root, "model", source=source)
    where = f"{source}: model"
    prefix = model.get("continuing_subword_prefix") or ""
    if settings.family == "wordpiece":
        prefix = model.get("continuing_subword_prefix", "##")
    suffix = model.get("end_of_word_suffix") or ""
    if not isinstance(prefix, str) or not isinstance(suffix, str):
        raise FormatError(f"{where}: prefix {prefix!r:.60}, suffix {suffix!r:.60}, expected text")
    is_bpe = settings.family == "bpe"
    return TokenInventory(
        family=settings.family,
        model=read_model_tokens(root, source=source),
        added={token.content: token for token in read_added_tokens(root, source=source)},
        unk_token=None if settings.unk_id is None else settings.unk_token,
        prefix=prefix,
        suffix=suffix,
        has_bytes=model.get("byte_fallback") is True,
        merges=tuple(_merges(model, prefix, where=where)) if is_bpe else (),
    )


def subset_tokens(
    tokenizer_json: str, kept: Collection[str], *, source: str = "tokenizer.json"
) -> tuple[str, NDArray[np.int64]]:
    """The tokenizer with the tokens `kept` alone, and the old id of each new one.

    Merges whose parts or result are gone go too.

    Raises:
        FormatError: If the text is not a tokenizer.
        ValueError: If the unknown token is not among `kept`.
    """
    inventory = read_inventory(tokenizer_json, source=source)
    if inventory.unk_token is not None and inventory.unk_token not in kept:
        raise ValueError(f"the unknown token {inventory.unk_token!r} is left out, expected it kept")
    kept = frozenset(kept)
    root = dict(parse_object(tokenizer_json, source=source))
    model = dict(object_of(root, "model", source=source))
    tokens = sorted(kept & inventory.model.keys(), key=inventory.model.__getitem__)
    old_ids = [inventory.model[token] for token in tokens]
    new_ids = {token: i for i, token in enumerate(tokens)}
    if inventory.family == "unigram":
        model["vocab"] = [model["vocab"][inventory.model[token]] for token in tokens]
        model["unk_id"] = None if inventory.unk_token is None else new_ids[inventory.unk_token]
    else:
        model["vocab"] = dict(new_ids)
    if inventory.family == "bpe":
        model["merges"] = [
            [left, right]
            for left, right, joined in inventory.merges
            if {left, right, joined} <= kept
        ]
    entries: list[dict[str, Any]] = []
    seen: set[str] = set()
    for entry in array_of(root, "added_tokens", source=source) if root.get("added_tokens") else ():
        content = entry["content"]
        if content not in kept or content in seen:
            continue
        seen.add(content)
        if content not in new_ids:
            new_ids[content] = len(new_ids)
            old_ids.append(inventory.added[content].id)
        entries.append({**entry, "id": new_ids[content]})
    root["model"] = model
    root["added_tokens"] = sorted(entries, key=lambda entry: int(entry["id"]))
    root["post_processor"] = None  # it names special tokens by id, and is never used
    text = json.dumps(root, ensure_ascii=False, separators=(",", ":"))
    return text, np.array(old_ids, dtype=np.int64)


def _merges(model: Mapping[str, Any], prefix: str, *, where: str) -> Iterator[tuple[str, str, str]]:
    for i, merge in enumerate(array_of(model, "merges", source=where)):
        # older files write "left right"
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(part, str) for part in pair)
        ):
            raise FormatError(f"{where}.merges: entry {i} is {merge!r:.60}, expected two tokens")
        left, right = pair
        yield left, right, left + right[len(prefix) :]
