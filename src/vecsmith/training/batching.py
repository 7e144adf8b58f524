"""Batches of pairs, epoch after epoch, the same after a restart.

One rule: batch `index` of `epoch` is a function of the store, the settings and the seed; where a
stream stands is two numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.training.bag import Bag, Keys
from vecsmith.training.batch_plan import (
    Rows,
    SharedTexts,
    n_batches_of,
    rows_of_pass,
    shared_texts,
)
from vecsmith.training.stored_source import StoredSource
from vecsmith.training.token_store import TokenStore

__all__ = ["Bag", "Batch", "BatchStream", "Sampling"]

Sampling = Literal["proportional", "round_robin", "temperature"]

# To be raised when the same seed gives other batches
STREAM_VERSION: Final = 2
_NEGATIVE: Final = "negative"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """N rows of one set.

    Attributes:
        source: Name of the set.
        columns: Texts by role, N each.
        keys: Of the texts, by role, shape [N] each; equal texts have equal keys.
        scores: Shape [N]; None if the set has none.
        rows: Which rows of the set in the store they are, shape [N].
        epoch: Number of the epoch, from 0.
        index: Number of the batch in its epoch, from 0.
    """

    source: str
    columns: Mapping[str, Bag]
    keys: Mapping[str, Keys]
    scores: FloatArray | None
    rows: NDArray[np.int64]
    epoch: int
    index: int

    def __len__(self) -> int:
        return len(self.rows)


class BatchStream:
    """Iterator over batches that never ends.

    A batch has rows of one set. Each set is passed over again and again, each time in another
    order; an epoch takes from each set as many batches as `sampling` says and goes on where the
    last epoch stopped.

    Attributes:
        n_batches: Batches of an epoch.
        n_batches_by_source: The same by set, in the order of the store.
        n_left_out_by_source: Rows that each pass over a set leaves out at least, because a text
            stands in more rows than there are batches.
        has_loose_negatives: By set, whether hard negatives may stand twice in a batch, because
            rows would be left out otherwise.
    """

    def __init__(
        self,
        store: TokenStore,
        *,
        batch_size: int,
        seed: int,
        sampling: Sampling = "proportional",
        alpha: float = 0.5,
        unique: bool = True,
        masked: Collection[str] = (),
        drop_last: bool = False,
    ) -> None:
        """Makes a stream that stands before the first batch of epoch 0.

        Args:
            store: Rows.
            batch_size: Most rows of a batch.
            seed: Of all orders, 0 or more.
            sampling: "proportional": each set once an epoch, batches of all in random order;
                "round_robin": the sets in turn, as often as the smallest has batches (both as
                sentence-transformers does); "temperature": as many batches in all as
                proportional, of a set of n rows a share in proportion to n^alpha, as in XLM
                (Conneau and Lample 2019, section 3.1).
            alpha: Of "temperature": 1 is proportional, 0 takes as much from each set.
            unique: Whether a text stands at most once in a batch, whatever its role; rows that
                would bring it again come in a later batch. Pairs with scores are compared by
                these and not with the other texts of a batch: they stay as they are drawn.
            masked: Names of sets whose loss leaves equal texts out of the negatives. Their hard
                negatives may stand twice in a batch if rows had to be left out otherwise: a mined
                text is near many anchors.
            drop_last: Whether rows that do not fill a batch are left out of a pass.

        Raises:
            ValueError: If a setting is out of range, or the texts of a set repeat so often that
                no batch of this size can be half filled.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected 1 or more")
        if seed < 0:
            raise ValueError(f"seed is {seed}, expected 0 or more")
        if sampling not in get_args(Sampling):
            raise ValueError(f"sampling {sampling!r}, expected one of {list(get_args(Sampling))}")
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is {alpha}, expected 0 to 1")
        self._store = store
        self._seed = seed
        self._sampling = sampling
        self._settings: dict[str, Any] = {
            "version": STREAM_VERSION,
            "store": store.fingerprint,
            "batch_size": batch_size,
            "seed": seed,
            "sampling": sampling,
            "alpha": alpha if sampling == "temperature" else None,
            "unique": unique,
            "masked": sorted(masked) if unique else [],
            "drop_last": drop_last,
        }
        self._passes = [
            _Passes(
                source,
                i,
                batch_size=batch_size,
                seed=seed,
                unique=unique,
                masked=source.name in masked,
                drop_last=drop_last,
            )
            for i, source in enumerate(store.sources)
        ]
        self.n_batches_by_source = _shares(
            [passes.n_batches for passes in self._passes],
            [len(source) for source in store.sources],
            sampling,
            alpha,
        )
        self.n_left_out_by_source = [passes.n_left_out for passes in self._passes]
        self.has_loose_negatives = [passes.has_loose_negatives for passes in self._passes]
        self.n_batches = sum(self.n_batches_by_source)
        self._epoch = self._index = 0
        self._order = self._order_of(0)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        source, rows = self._next_rows()
        return Batch(
            source=source.name,
            columns={role: source.bag(role, rows) for role in source.text_roles},
            keys={role: source.keys(role, rows) for role in source.text_roles},
            scores=source.scores(rows),
            rows=rows,
            epoch=self._epoch,
            index=self._index - 1,
        )

    def batches_within(self, n_tokens: int, *, n_around: int = 0) -> int:
        """Batches from the first of all on whose tokens, added up, stay within `n_tokens`.

        The stream stands before the first batch afterwards.

        Args:
            n_tokens: Most tokens.
            n_around: Specials put around each text, which count.

        Raises:
            ValueError: If an epoch has no token at all.
        """
        self._go_to(0, 0)
        n_done = n_spent = 0
        while True:
            source, rows = self._next_rows()
            lengths = [source.lengths(role, rows) for role in source.text_roles]
            n_spent += sum(int(each.sum()) + n_around * len(each) for each in lengths)
            if n_spent > n_tokens:
                break
            n_done += 1
            if n_done == self.n_batches and not n_spent:
                raise ValueError("the pairs have no tokens, expected texts to count them of")
        self._go_to(0, 0)
        return n_done

    def _next_rows(self) -> tuple[StoredSource, Rows]:
        """The set and the rows of the batch that follows."""
        if self._index == self.n_batches:
            self._epoch, self._index = self._epoch + 1, 0
            self._order = self._order_of(self._epoch)
        place = int(self._order[self._index])
        self._index += 1
        return self._store.sources[place], next(self._passes[place])

    def state(self) -> dict[str, Any]:
        """Where the stream stands, JSON; what `restore` takes."""
        return {"settings": dict(self._settings), "epoch": self._epoch, "index": self._index}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes to where another stream stood: the batches that follow are the same, bit for bit.

        Raises:
            ValueError: If that one had another store or other settings.
        """
        if state["settings"] != self._settings:
            found = {k: v for k, v in state["settings"].items() if self._settings.get(k) != v}
            raise ValueError(
                f"the state is of a stream with {found}, expected "
                f"{ {k: self._settings.get(k) for k in found} }; go on with the same store and "
                "settings, or begin anew"
            )
        epoch, index = state["epoch"], state["index"]
        if epoch < 0 or not 0 <= index <= self.n_batches:
            raise ValueError(
                f"the state is batch {index} of epoch {epoch}, expected one of {self.n_batches}"
            )
        self._go_to(epoch, index)

    def _go_to(self, epoch: int, index: int) -> None:
        self._epoch, self._index = epoch, index
        self._order = self._order_of(epoch)
        done = np.bincount(self._order[:index], minlength=len(self._passes))
        for place, passes in enumerate(self._passes):
            passes.go_to(epoch * self.n_batches_by_source[place] + int(done[place]))

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        """The set of each batch of an epoch."""
        counts = self.n_batches_by_source
        if self._sampling == "round_robin":
            return np.tile(np.arange(len(counts)), counts[0])
        generator = np.random.default_rng([self._seed, 0, epoch])
        return generator.permutation(np.repeat(np.arange(len(counts)), counts))


class _Passes:
    """Rows of the batches of one set, pass after pass."""

    def __init__(
        self,
        source: StoredSource,
        place: int,
        *,
        batch_size: int,
        seed: int,
        unique: bool,
        masked: bool,
        drop_last: bool,
    ) -> None:
        self._n_rows = len(source)
        self._batch_size = batch_size
        self._seed = [seed, 1, place]
        is_apart = unique and not source.has_scores
        self._shared, self.has_loose_negatives = None, False
        if is_apart:
            n_full = n_batches_of(self._n_rows, batch_size, shared=None, drop_last=drop_last)
            self.has_loose_negatives = masked and _negatives_push_rows_out(source, n_full)
            roles = source.text_roles
            if self.has_loose_negatives:
                roles = tuple(role for role in roles if not role.startswith(_NEGATIVE))
            self._shared = _shared_of(source, roles, batch_size)
        self.n_batches = n_batches_of(
            self._n_rows, batch_size, shared=self._shared, drop_last=drop_last
        )
        if self.n_batches == 0:
            raise ValueError(
                f"{source.name}: {self._n_rows} rows do not fill a batch of {batch_size}, expected "
                "a smaller batch_size, or drop_last=False"
            )
        self.n_left_out = 0 if self._shared is None else self._shared.n_left_out(self.n_batches)
        self._pass = self._index = 0
        self._batches: Iterator[Rows] | None = None

    def __next__(self) -> Rows:
        if self._index == self.n_batches:
            self._pass, self._index, self._batches = self._pass + 1, 0, None
        if self._batches is None:
            self._batches = self._begun()
        self._index += 1
        return next(self._batches)

    def go_to(self, n_given: int) -> None:
        """Goes behind the first `n_given` batches."""
        self._pass, self._index = divmod(n_given, self.n_batches)
        self._batches = None  # an order is made when the first of its batches is asked for

    def _begun(self) -> Iterator[Rows]:
        batches = rows_of_pass(
            self._n_rows,
            n_batches=self.n_batches,
            batch_size=self._batch_size,
            shared=self._shared,
            generator=np.random.default_rng([*self._seed, self._pass]),
        )
        for _ in range(self._index):
            next(batches)
        return batches


def _negatives_push_rows_out(source: StoredSource, n_batches: int) -> bool:
    """Whether rows could not stand in so many batches if no hard negative stood there twice."""
    if not any(role.startswith(_NEGATIVE) for role in source.text_roles):
        return False
    shared = shared_texts([source.keys(role) for role in source.text_roles])
    return shared.n_left_out(n_batches) > 0


def _shared_of(source: StoredSource, roles: Sequence[str], batch_size: int) -> SharedTexts:
    shared = shared_texts([source.keys(role) for role in roles])
    n_apart = len(source) - shared.n_left_out(1)
    if n_apart < min(batch_size, len(source)) / 2:
        raise ValueError(
            f"{source.name}: texts repeat so often that a batch holds at most {n_apart} of "
            f"{len(source)} rows without one twice, expected at least half of {batch_size}; lower "
            "batch_size, or take unique=False and mask equal texts in the loss"
        )
    return shared


def _shares(n_batches: list[int], n_rows: list[int], sampling: Sampling, alpha: float) -> list[int]:
    """Batches that an epoch takes from each set."""
    if sampling == "proportional":
        return n_batches
    if sampling == "round_robin":
        return [min(n_batches)] * len(n_batches)
    weights = np.array(n_rows, dtype=np.float64) ** alpha
    exact = sum(n_batches) * weights / weights.sum()
    shares = np.floor(exact).astype(np.int64)
    n_over = sum(n_batches) - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:n_over]] += 1  # largest remainders
    return [max(1, int(share)) for share in shares]
