"""Rows of pairs -> their tokens, without the rows that training can do nothing with.

One rule: nothing is left out in silence: each row left out is counted once, under the first reason
that holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.bag import Bag, Keys, TextKeys

SkipReason = Literal[
    "missing text",
    "missing score",
    "contaminated",
    "no tokens",
    "anchor equal to positive",
    "negative equal to anchor or positive",
]
# In the order in which they are asked
SKIP_REASONS: tuple[SkipReason, ...] = get_args(SkipReason)


class PairRows(Protocol):
    """Some rows of pairs; `corpora.PairRows` are such."""

    @property
    def texts(self) -> Mapping[str, Sequence[str | None]]:
        """Texts by role, N of each, None where there is none."""
        ...

    @property
    def scores(self) -> Any:
        """Score of each row, [N], NaN where there is none; None if the set has no scores."""
        ...

    @property
    def first_row(self) -> int:
        """Number of the first row among all that the set holds."""
        ...

    @property
    def position(self) -> Any:
        """What `read` takes to go on after these rows, JSON."""
        ...


class PairSource(Protocol):
    """A set of pairs that can be read any number of times; `corpora.PairCorpus` is one."""

    @property
    def name(self) -> str:
        """Name for people."""
        ...

    @property
    def roles(self) -> tuple[str, ...]:
        """Names of the columns: "anchor", "positive", "negative_1" and so on, "score"."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of what is read."""
        ...

    @property
    def n_rows(self) -> int | None:
        """How many rows there are, None if that is not known."""
        ...

    def read(self, start: Any = None) -> Iterator[PairRows]:
        """The rows in order, from the beginning or from a position."""
        ...


class TextMatcher(Protocol):
    """Says which texts must not be trained on; `corpora.Decontaminator` is one."""

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides what is matched."""
        ...

    def matches(self, texts: Sequence[str]) -> NDArray[np.uint8]:
        """0 for each text that may be, shape [N]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRows:
    """Rows that are kept.

    Attributes:
        bags: Tokens by role, N texts each.
        keys: Of the texts, by role, shape [N] each.
        scores: Shape [N]; None if there are none.
        rows: Number of each in its set, shape [N].
        n_read: Rows read for these, those left out included.
        skipped: How many were left out, by reason; reasons that never held are absent.
    """

    bags: Mapping[str, Bag]
    keys: Mapping[str, Keys]
    scores: FloatArray | None
    rows: NDArray[np.int64]
    n_read: int
    skipped: Mapping[str, int]


class PairTokenizer:
    """Makes tokens of rows of pairs."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        max_length: int | None,
        unk_id_dropped: int | None,
        decontaminator: TextMatcher | None = None,
        n_threads: int | None = None,
    ) -> None:
        """Makes one.

        Args:
            tokenizer: Of the model that is trained.
            max_length: Tokens of a text that count, the unknown ones included; None for all.
            unk_id_dropped: Id of the token that does not count, as in encoding; None for none.
            decontaminator: Says which texts must not be trained on.
            n_threads: Threads of the tokenizer, None for all cores.
        """
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._unk_id_dropped = unk_id_dropped
        self._decontaminator = decontaminator
        self._n_threads = n_threads
        self._keys = TextKeys(tokenizer.n_ids)

    def tokens(self, rows: PairRows) -> TokenRows:
        """The rows that can be trained on, as tokens.

        Raises:
            TypeError: If a text is no string.
        """
        texts = {role: list(own) for role, own in rows.texts.items()}
        n = len(next(iter(texts.values())))
        missing = {role: _missing(own) for role, own in texts.items()}
        bags = {role: self._bag(own) for role, own in texts.items()}
        keys = {role: self._keys.of(bag) for role, bag in bags.items()}
        scores = None if rows.scores is None else np.asarray(rows.scores, dtype=np.float64)
        faults = _Faults(n)
        faults.add("missing text", _any_of(missing, n))
        if scores is not None:
            # beyond float32 a score would become infinite on its way into a loss
            with np.errstate(invalid="ignore"):
                faults.add("missing score", ~(np.abs(scores) <= np.finfo(np.float32).max))
        if self._decontaminator is not None:
            matched = {role: self._matched(own, faults) for role, own in texts.items()}
            faults.add("contaminated", _any_of(matched, n))
        faults.add("no tokens", _any_of({r: bag.lengths == 0 for r, bag in bags.items()}, n))
        _add_equal_texts(faults, keys)
        kept = faults.clean
        return TokenRows(
            bags={role: bag.chosen(kept) for role, bag in bags.items()},
            keys={role: own[kept] for role, own in keys.items()},
            scores=None if scores is None else scores[kept].astype(np.float32),
            rows=rows.first_row + np.flatnonzero(kept),
            n_read=n,
            skipped=faults.counts,
        )

    def _bag(self, texts: list[str | None]) -> Bag:
        """Tokens of each text, none for a text that is None; fills those gaps with ""."""
        if None in texts:
            texts[:] = ["" if text is None else text for text in texts]
        ids, offsets = self._tokenizer.encode_batch(
            texts,  # type: ignore[arg-type]  # no None is left
            max_length=self._max_length,
            n_threads=self._n_threads,
        )
        return Bag(ids, offsets).without(self._unk_id_dropped)

    def _matched(self, texts: list[Any], faults: _Faults) -> NDArray[np.bool_]:
        assert self._decontaminator is not None
        matched = np.zeros(len(texts), dtype=np.bool_)
        asked = np.flatnonzero(faults.clean)
        own = texts if len(asked) == len(texts) else [texts[i] for i in asked.tolist()]
        matched[asked] = np.asarray(self._decontaminator.matches(own)) != 0
        return matched


class _Faults:
    """Which rows are left out, and why."""

    def __init__(self, n: int) -> None:
        self.clean = np.ones(n, dtype=np.bool_)
        self.counts: dict[str, int] = {}

    def add(self, reason: SkipReason, holds: NDArray[np.bool_]) -> None:
        n_new = int(np.count_nonzero(holds & self.clean))
        if n_new:
            self.counts[reason] = n_new
            self.clean &= ~holds


def _missing(texts: Sequence[str | None]) -> NDArray[np.bool_]:
    if None not in texts:
        return np.zeros(len(texts), dtype=np.bool_)
    return np.fromiter((text is None for text in texts), dtype=np.bool_, count=len(texts))


def _any_of(masks: Mapping[str, NDArray[np.bool_]], n: int) -> NDArray[np.bool_]:
    found = np.zeros(n, dtype=np.bool_)
    for mask in masks.values():
        found |= mask
    return found


def _add_equal_texts(faults: _Faults, keys: Mapping[str, Keys]) -> None:
    anchor, positive = keys["anchor"], keys.get("positive")
    if positive is None:
        return
    faults.add("anchor equal to positive", anchor == positive)
    negatives = {role: own for role, own in keys.items() if role.startswith("negative")}
    equal = {role: (own == anchor) | (own == positive) for role, own in negatives.items()}
    faults.add("negative equal to anchor or positive", _any_of(equal, len(anchor)))
