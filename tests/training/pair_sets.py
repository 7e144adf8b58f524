"""Sets of pairs to make token stores of, and texts whose tokens are known."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vecsmith.corpora import Limits, PairCorpus, PairRows, open_pairs
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.token_store import TokenStore, build_store


class InParts:
    """Pairs that are read a few rows at a time."""

    def __init__(self, pairs: PairCorpus, n: int, *, name: str | None = None) -> None:
        self._pairs, self._n = pairs, n
        self.name = name or pairs.name
        self.roles = pairs.roles
        self.fingerprint = pairs.fingerprint
        self.n_rows = pairs.n_rows
        self.starts: list[Any] = []

    def read(self, start: Any = None) -> Iterator[PairRows]:
        self.starts.append(start)
        yield from self._pairs.read(start, limits=Limits(max_rows=self._n))


def pairs_of(rows: Sequence[tuple[Any, ...]], *roles: str, name: str = "set") -> InParts:
    """A set of `rows` with columns of these roles, read seven at a time."""
    names = roles or ("anchor", "positive")
    columns = {role: role for role in names}
    dicts = [dict(zip(names, row, strict=True)) for row in rows]
    return InParts(open_pairs(dicts, roles=columns), 7, name=name)


def random_words(n: int, seed: int = 0) -> list[str]:
    """Different words of lower-case letters."""
    dice = random.Random(seed)
    words: dict[str, None] = {}
    while len(words) < n:
        words["".join(dice.choices("abcdefghij", k=dice.randint(3, 9)))] = None
    return list(words)


def random_pairs(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """Pairs of texts of which no two are equal."""
    words = random_words(2 * n, seed)
    dice = random.Random(seed)
    texts = [" ".join([word, *dice.choices(words, k=dice.randint(0, 12))]) for word in words]
    return list(zip(texts[:n], texts[n:], strict=True))


def store_of(tokenizer_json: str, folder: Path, *sources: Any, **options: Any) -> TokenStore:
    """The store of some sets, the unknown token left out."""
    tokenizer = Tokenizer(tokenizer_json)
    return build_store(sources, tokenizer, folder, unk_id_dropped=tokenizer.unk_id, **options)
