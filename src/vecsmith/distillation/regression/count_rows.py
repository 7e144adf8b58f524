"""Texts as rows of token counts, each over a power of its length; products with them on all cores.

The one rule: a product is the same bit for bit for any number of threads. Threads share out blocks
of columns, and within a block the order of additions is that of the texts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._typing import FloatArray

# Columns of one product: few enough that rows of a block stay in the caches of one core and that
# all cores have some, enough that a sparse entry is worth finding
_BLOCK_COLUMNS: Final = 64
# Tokens that make one sparse matrix: enough that writing a block of all V rows is cheap beside it;
# and texts that do, so that a block of theirs stays small
_GROUP_TOKENS, _GROUP_TEXTS = 2**21, 2**17
# Bytes of sparse matrices kept in memory; those beyond are made again for each product
_KEPT_BYTES: Final = 2 * 2**30

TokenLists = tuple[NDArray[np.uint32], NDArray[np.int64]]


class CountRows:
    """N texts as a sparse matrix X [N, V]: counts of a text's tokens over its length to a power.

    Attributes:
        n_tokens: V.
        n_texts: N.
        column_squares: Sum over texts of X squared, float64 [V]: the diagonal of X'X.
    """

    def __init__(
        self,
        lists: Callable[[], Iterator[TokenLists]],
        n_tokens: int,
        *,
        length_power: float,
        threads: int | None = None,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        """Reads the lists once.

        Args:
            lists: Called for each reading; ids [T] and offsets [n + 1] of some texts after others.
            n_tokens: V.
            length_power: Power of the length.
            threads: Cores to use; None for all there are.
            kept_bytes: Bytes of the matrix that stay in memory; the rest is read for each product.

        Raises:
            ValueError: If an id is not below `n_tokens`.
        """
        self.n_tokens = n_tokens
        self.threads = available_cores() if threads is None else threads
        self._lists = lists
        self._power = length_power
        self._kept: list[Any] = []
        self._n_lists_kept = 0
        self.n_texts = 0
        self.column_squares = np.zeros(n_tokens)
        n_bytes, room = 0, True
        for n_lists, rows in self._made(0):
            self.n_texts += rows.shape[0]
            squares = rows.data.astype(np.float64) ** 2
            self.column_squares += np.bincount(rows.indices, weights=squares, minlength=n_tokens)
            n_bytes += rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes
            room = room and n_bytes <= kept_bytes
            if room:
                self._kept.append(rows)
                self._n_lists_kept = n_lists

    def groups(self) -> Iterator[Any]:
        """The matrix as `scipy.sparse.csr_matrix` of some thousand rows each, float32, in order."""
        yield from self._kept
        for _, rows in self._made(self._n_lists_kept):
            yield rows

    def gram(self, table: FloatArray) -> FloatArray:
        """X'X times `table`, float32 [V, K]."""
        found = np.zeros(table.shape, dtype=np.float32)
        blocks = column_blocks(table.shape[1])
        parts = [np.ascontiguousarray(table[:, block]) for block in blocks]
        sums = [np.zeros_like(part) for part in parts]

        def add(rows: Any, turned: Any, i: int) -> None:
            sums[i] += turned @ (rows @ parts[i])

        with ThreadPoolExecutor(self.threads) as pool:
            for rows in self.groups():
                turned = rows.T
                list(pool.map(lambda i: add(rows, turned, i), range(len(blocks))))  # noqa: B023
        for block, part in zip(blocks, sums, strict=True):
            found[:, block] = part
        return found

    def _made(self, n_skipped: int) -> Iterator[tuple[int, Any]]:
        """Sparse matrices of the texts after the first lists, and how many lists are then done."""
        ids: list[NDArray[np.uint32]] = []
        lengths: list[NDArray[np.int64]] = []
        n_done = 0
        for some_ids, offsets in self._lists():
            n_done += 1
            if n_done <= n_skipped:
                continue
            ids.append(some_ids)
            lengths.append(np.diff(offsets))
            n_tokens, n_texts = sum(map(len, ids)), sum(map(len, lengths))
            if n_tokens >= _GROUP_TOKENS or n_texts >= _GROUP_TEXTS:
                yield n_done, self._sparse(ids, lengths)
                ids, lengths = [], []
        if lengths:
            yield n_done, self._sparse(ids, lengths)

    def _sparse(
        self, ids: Sequence[NDArray[np.uint32]], lengths: Sequence[NDArray[np.int64]]
    ) -> Any:
        """Texts with these ids as a `csr_matrix`."""
        sparse = require("scipy.sparse", extra="distill", purpose="fit a table to texts")
        columns = np.concatenate(ids)
        if len(columns) and int(columns.max()) >= self.n_tokens:
            raise ValueError(
                f"token id {int(columns.max())}, expected ids below {self.n_tokens}: the texts "
                "were tokenized for another table"
            )
        n_each = np.concatenate(lengths)
        offsets = np.zeros(len(n_each) + 1, dtype=np.int64)
        np.cumsum(n_each, out=offsets[1:])
        shares = np.maximum(n_each, 1).astype(np.float64) ** -self._power
        rows = sparse.csr_matrix(
            (np.repeat(shares.astype(np.float32), n_each), columns.astype(np.int32), offsets),
            shape=(len(n_each), self.n_tokens),
        )
        rows.sum_duplicates()
        return rows


def add_transposed(
    rows: Any, parts: Sequence[NDArray[np.float16]], total: FloatArray, pool: ThreadPoolExecutor
) -> None:
    """Adds `rows`' T to `total` [V, D], block by block of columns.

    Args:
        rows: N texts as a `csr_matrix` [N, V].
        parts: T [N, D], cut between texts; only blocks of it are in float32 at once.
        total: Added to.
        pool: Threads.
    """
    turned = rows.T

    def add(block: slice) -> None:
        dense = np.concatenate([part[:, block] for part in parts]).astype(np.float32)
        total[:, block] += turned @ dense

    list(pool.map(add, column_blocks(total.shape[1])))


def column_blocks(n_columns: int) -> list[slice]:
    """Columns in blocks, the same whatever the machine."""
    return [slice(start, start + _BLOCK_COLUMNS) for start in range(0, n_columns, _BLOCK_COLUMNS)]


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
