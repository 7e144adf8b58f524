"""Vocabularies of fewer tokens: the least used go, and what they stood for is spelt by the rest.

One rule: no token goes that the others cannot spell. Tokens of one character stay, so do the
unknown token, special tokens, bytes, and whatever byte-pair merges need for a token that stays.
Only vocabularies of whole words, which spell nothing, lose words.

Texts that hold none of the tokens that went keep their token lists: WordPiece's longest match and
the best path of a Unigram model are still there, and a merge that is gone made a token that is.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith.formats.checkpoint import Checkpoint, PackedTable
from vecsmith.formats.token_subset import TokenInventory, read_inventory, subset_tokens

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")  # what byte fallback spells with


def prune(checkpoint: Checkpoint, n_tokens: int, *, counts: ArrayLike | None = None) -> Checkpoint:
    """The checkpoint with its `n_tokens` most used tokens, or a few more where words need them.

    Args:
        checkpoint: A static model.
        n_tokens: How many tokens to keep.
        counts: How often each token id occurs in texts like those to come, shape [V]. Without
            them the lower id stays: vocabularies are written the most frequent token first.

    Raises:
        ValueError: If `n_tokens` is below 1, or `counts` does not have one for each token id.
        FormatError: If the tokenizer is broken.
    """
    if n_tokens < 1:
        raise ValueError(f"n_tokens is {n_tokens}, expected at least 1")
    inventory = read_inventory(checkpoint.tokenizer_json)
    ids = inventory.ids
    use = _uses(checkpoint, counts)
    # the least used first, of those used alike the one with the highest id
    order = sorted(ids, key=lambda token: (use[ids[token]], -ids[token]))
    kept = _kept(inventory, order, n_tokens)
    if len(kept) == len(ids):
        return checkpoint
    tokenizer_json, old_ids = subset_tokens(checkpoint.tokenizer_json, kept)
    return _with_rows(replace(checkpoint, tokenizer_json=tokenizer_json), old_ids)


def kept_ids(checkpoint: Checkpoint, pruned: Checkpoint) -> NDArray[np.int64]:
    """The id in `checkpoint` of each token of `pruned`, which was made of it: shape [V]."""
    if pruned is checkpoint:
        return np.arange(checkpoint.n_tokens)
    before = read_inventory(checkpoint.tokenizer_json).ids
    after = read_inventory(pruned.tokenizer_json).ids
    ids = np.zeros(pruned.n_tokens, dtype=np.int64)
    for token, i in after.items():
        ids[i] = before[token]
    return ids


def _uses(checkpoint: Checkpoint, counts: ArrayLike | None) -> NDArray[np.float64]:
    n = checkpoint.n_tokens
    if counts is None:
        return np.zeros(n)
    use = np.asarray(counts, dtype=np.float64)
    if use.shape != (n,) or not (np.isfinite(use).all() and (use >= 0).all()):
        raise ValueError(
            f"counts have shape {list(use.shape)}, expected [{n}], numbers from 0, "
            "one for each token id"
        )
    return use


def _with_rows(checkpoint: Checkpoint, ids: NDArray[np.int64]) -> Checkpoint:
    """The checkpoint whose token id i is the old id `ids[i]`; rows that nobody uses are gone."""
    weights = None if checkpoint.weights is None else checkpoint.weights[ids]
    mapping, rows = None, ids
    if checkpoint.mapping is not None:
        rows, places = np.unique(checkpoint.mapping[ids], return_inverse=True)
        mapping = places.reshape(-1).astype(np.uint32)
    table = checkpoint.table
    kept = table.rows(rows) if isinstance(table, PackedTable) else table[rows]
    return replace(checkpoint, table=kept, weights=weights, mapping=mapping)


def _kept(inventory: TokenInventory, order: list[str], n_tokens: int) -> set[str]:
    fixed = _fixed(inventory)
    kept = _without_the_least(inventory, order, n_tokens, fixed)
    can_spell = _speller(inventory)
    if can_spell is None:
        return kept
    while True:
        # with more pieces WordPiece's longest match may run into what it cannot spell: look again
        lost = [token for token in order if token not in kept and not can_spell(token, kept)]
        if not lost:
            return kept
        kept.update(_needed(inventory, lost))


def _fixed(inventory: TokenInventory) -> set[str]:
    """Tokens that stay whatever their use."""
    fixed = {token for token, added in inventory.added.items() if added.special}
    if inventory.unk_token is not None:
        fixed.add(inventory.unk_token)
    if inventory.family == "wordlevel":
        return fixed
    for token in inventory.model:
        if len(_bare(token, inventory)) == 1 or _BYTE.fullmatch(token):
            fixed.add(token)
    return fixed


def _bare(token: str, inventory: TokenInventory) -> str:
    """The characters that a token stands for, without the marks of its place in a word."""
    if inventory.prefix and len(token) > len(inventory.prefix):
        token = token.removeprefix(inventory.prefix)
    if inventory.suffix and len(token) > len(inventory.suffix):
        token = token.removesuffix(inventory.suffix)
    return token


def _without_the_least(
    inventory: TokenInventory, order: list[str], n_tokens: int, fixed: Collection[str]
) -> set[str]:
    """All but the least used tokens, a token never before those that are made of it."""
    kept = set(order)
    rank = {token: i for i, token in enumerate(order)}
    uses = dict.fromkeys(order, 0)
    makers: dict[str, list[tuple[str, str]]] = {}
    for left, right, joined in inventory.merges:
        if joined not in kept or left not in kept or right not in kept:
            continue
        makers.setdefault(joined, []).append((left, right))
        for part in (left, right):
            uses[part] += 1
    free = [rank[token] for token in order if token not in fixed and not uses[token]]
    heapq.heapify(free)
    while free and len(kept) > n_tokens:
        token = order[heapq.heappop(free)]
        kept.remove(token)
        for pair in makers.get(token, ()):
            for part in pair:
                uses[part] -= 1
                if not uses[part] and part not in fixed and part in kept:
                    heapq.heappush(free, rank[part])
    return kept


def _needed(inventory: TokenInventory, tokens: Iterable[str]) -> set[str]:
    """`tokens` and all that byte-pair merges make them of."""
    makers: dict[str, list[str]] = {}
    for left, right, joined in inventory.merges:
        makers.setdefault(joined, []).extend((left, right))
    needed: set[str] = set()
    rest = list(tokens)
    while rest:
        token = rest.pop()
        if token not in needed:
            needed.add(token)
            rest.extend(part for part in makers.get(token, ()) if part in inventory.model)
    return needed


_Speller = Callable[[str, Collection[str]], bool]


def _speller(inventory: TokenInventory) -> _Speller | None:
    """Whether kept tokens spell another one; None where all or nothing is spelt."""
    spells_model = _model_speller(inventory)
    if spells_model is None:
        return None
    singles = {_bare(token, inventory) for token in inventory.model}
    return lambda token, kept: (
        spells_model(token, kept)
        if token in inventory.model
        else all(letter in singles for letter in "".join(token.split()))
    )


def _model_speller(inventory: TokenInventory) -> _Speller | None:
    if inventory.family == "wordlevel":
        return None
    if inventory.family == "wordpiece":
        prefix = inventory.prefix
        if not any(len(_bare(t, inventory)) == 1 for t in inventory.model if t.startswith(prefix)):
            return None  # whole words alone
        return lambda token, kept: _longest_match_ends(token, prefix, kept)
    if inventory.has_bytes:
        return None  # everything is spelt
    if inventory.family == "bpe":
        return lambda token, kept: _has_letters(token, inventory, kept)
    return lambda token, kept: _has_path(token, kept)


def _longest_match_ends(token: str, prefix: str, kept: Collection[str]) -> bool:
    """Whether WordPiece comes to the end of a token when it takes the longest piece each time."""
    begin = len(prefix) if token.startswith(prefix) and len(token) > len(prefix) else 0
    at = begin
    while at < len(token):
        mark = prefix if begin or at else ""
        ends = range(len(token), at, -1)
        end = next((end for end in ends if mark + token[at:end] in kept), None)
        if end is None:
            return False
        at = end
    return True


def _has_letters(token: str, inventory: TokenInventory, kept: Collection[str]) -> bool:
    """Whether each character of a byte-pair token is a token, marked for its place."""
    prefix, suffix = inventory.prefix, inventory.suffix
    letters = _bare(token, inventory)
    starts_inside = bool(prefix) and token.startswith(prefix)
    ends_word = bool(suffix) and token.endswith(suffix)
    marked = [
        (prefix if i or starts_inside else "")
        + letter
        + (suffix if ends_word and i == len(letters) - 1 else "")
        for i, letter in enumerate(letters)
    ]
    return all(letter in kept for letter in marked)


def _has_path(token: str, kept: Collection[str]) -> bool:
    """Whether a Unigram token can be cut into others."""
    reached = [True] + [False] * len(token)
    for begin in range(len(token)):
        if not reached[begin]:
            continue
        for end in range(begin + 1, len(token) + 1):
            reached[end] = reached[end] or token[begin:end] in kept
    return reached[-1]
