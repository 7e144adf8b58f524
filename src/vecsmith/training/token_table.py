"""A trainable table of token rows: bags of token ids -> vectors, and gradients of the rows touched.

One rule: rows are added in a fixed order, so the same bags give the same bits with any number of
threads. A batch touches few of a large vocabulary's rows, so a gradient is never a whole table.

Shapes have one letter per axis: V rows, D dimensions, N texts, T tokens, U rows touched.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from vecsmith.formats import Checkpoint
from vecsmith.training import _kernels
from vecsmith.training.bag import Bag

# No table has numbers as large but one in units of its scale.
_LARGEST_INT8: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGradients:
    """Gradients of the rows that a batch touched; all others are zero.

    Attributes:
        ids: Touched rows, ascending, int64, shape [U].
        rows: Their gradients, float32, shape [U, D].
        weights: Gradients of their token weights, shape [U], or None where there are no weights.
        squares: Squared length of each row's gradient, its weight's included, float64, shape [U].
    """

    ids: Tensor
    rows: Tensor
    weights: Tensor | None
    squares: Tensor

    def norm(self) -> float:
        """Length of the whole gradient."""
        return math.sqrt(float(self.squares.sum()))


class TokenTable:
    """Rows of a static model while it is trained.

    The vector of a text is the mean over its tokens of `rows[id] * token_weights[id]`.
    """

    def __init__(self, rows: Tensor, token_weights: Tensor | None = None) -> None:
        """Takes float32 rows [V, D] and, if they are to be trained, token weights [V]; no copies.

        Raises:
            TypeError: If a tensor is not float32.
            ValueError: If the shapes do not fit each other or the devices differ.
        """
        for name, tensor in (("rows", rows), ("token_weights", token_weights)):
            if tensor is not None and tensor.dtype != torch.float32:
                raise TypeError(f"{name} are {tensor.dtype}, expected torch.float32")
        if rows.ndim != 2 or 0 in rows.shape:
            raise ValueError(f"rows have shape {list(rows.shape)}, expected [tokens, dimensions]")
        if token_weights is not None and (
            token_weights.shape != rows.shape[:1] or token_weights.device != rows.device
        ):
            raise ValueError(
                f"token_weights have shape {list(token_weights.shape)} on {token_weights.device}, "
                f"expected [{len(rows)}] on {rows.device}"
            )
        self.rows = rows.detach().contiguous()
        self.token_weights = None if token_weights is None else token_weights.detach().contiguous()

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        *,
        train_weights: bool = False,
        device: torch.device | str = "cpu",
    ) -> TokenTable:
        """A table that gives the vectors of `checkpoint` before normalisation, one row for each id.

        Rows are of their real size: the scales of narrow types are multiplied in. An int8 table
        without any, whose vectors get unit length, is divided by 127.

        Args:
            checkpoint: A static model; rows that ids share are copied for each of them.
            train_weights: Whether token weights stay beside the rows, to be trained (ones where
                the model has none or they hold the scales of int8 rows); otherwise they are
                multiplied into the rows.
            device: Where the tensors live.

        Raises:
            ValueError: If the table is neither float32, float16, int8 nor int4.
        """
        table = checkpoint.table
        if isinstance(table, np.ndarray) and table.dtype not in (np.float32, np.float16, np.int8):
            raise ValueError(
                f"a table of {table.dtype} cannot be trained: save it as float32 first"
            )
        chosen = table if checkpoint.mapping is None else table[checkpoint.mapping]
        rows = np.array(chosen, dtype=np.float32, order="C")
        weights = checkpoint.weights
        is_int8 = isinstance(table, np.ndarray) and table.dtype == np.int8
        if train_weights and not is_int8:  # the weights of int8 hold each row's scale
            kept = np.ones(len(rows)) if weights is None else weights
            token_weights = torch.from_numpy(np.array(kept, dtype=np.float32)).to(device)
            return cls(torch.from_numpy(rows).to(device), token_weights)
        if weights is not None:
            rows *= weights[:, None]
        if is_int8 and checkpoint.normalize and float(np.abs(rows).max()) > _LARGEST_INT8:
            # Whoever rounded it kept no scale, and none changes the vectors. Adam's steps go by the
            # rate alone: on rows in units of 127 they would move nothing.
            rows /= 127
        ones = torch.ones(len(rows), device=device) if train_weights else None
        return cls(torch.from_numpy(rows).to(device), ones)

    @classmethod
    def from_random(
        cls,
        n_tokens: int,
        dim: int,
        *,
        seed: int,
        scale: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> TokenTable:
        """A table of normal numbers of standard deviation `scale`, the same on every device.

        A scale of 1 is what sentence-transformers starts its static models with.
        """
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(n_tokens, dim, generator=generator, dtype=torch.float32)
        return cls(rows.mul_(scale).to(device))

    @classmethod
    def from_spellings(
        cls,
        tokens: Sequence[str],
        dim: int,
        *,
        seed: int,
        scale: float = 1.0,
        n_buckets: int = 1 << 14,
        device: torch.device | str = "cpu",
    ) -> TokenTable:
        """A table where tokens that are spelled alike start near each other ("hashed").

        A row is the sum of one random vector for each of the token's character n-grams (3 to 5
        characters, with marks at both ends) and one for the token itself, found by hashing as in
        fastText (Bojanowski et al., 2017), divided by the root of their number, so that its numbers
        have standard deviation `scale`.
        """
        generator = torch.Generator().manual_seed(seed)
        buckets = torch.randn(n_buckets, dim, generator=generator, dtype=torch.float32)
        lists = [[_hash(gram) % n_buckets for gram in _n_grams(token)] for token in tokens]
        counts = torch.tensor([len(of) for of in lists])
        flat = torch.tensor([bucket for of in lists for bucket in of])
        rows = embedding_bag(flat, buckets, counts.cumsum(0) - counts, mode="sum")
        rows.mul_(scale / counts.sqrt()[:, None])
        return cls(rows.to(device))

    @property
    def n_tokens(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    @property
    def dim(self) -> int:
        """Length of a row."""
        return self.rows.shape[1]

    def embed(self, bag: Bag) -> Tensor:
        """Mean row of each text, shape [N, D], no part of a graph; no tokens give zeros.

        Raises:
            IndexError: If an id has no row, or offsets run outside the ids.
            TypeError: If ids are not uint32 or offsets not int64.
        """
        _check_bag(bag, self.n_tokens)
        if _kernels.runs_here(self.rows):
            return _kernels.mean_rows(self.rows, self.token_weights, bag)
        return plain_means(self, bag)

    def gradients(self, embedded: Iterable[tuple[Bag, Tensor]]) -> RowGradients:
        """Gradients of the rows, given those of the vectors that `embed` made of some bags.

        Args:
            embedded: Bags and the gradients of their vectors, float32, shape [N, D] each.

        Raises:
            IndexError: If an id has no row, or offsets run outside the ids.
            TypeError: If ids are not uint32 or offsets not int64.
            ValueError: If a gradient has another shape than the vectors.
        """
        pairs = list(embedded)
        for bag, d_vectors in pairs:
            _check_bag(bag, self.n_tokens)
            _check_gradient(bag, d_vectors, self.dim)
        if not any(len(bag.ids) for bag, _ in pairs):
            return _no_gradients(self)
        if not _kernels.runs_here(self.rows, *(d_vectors for _, d_vectors in pairs)):
            return plain_gradients(self, pairs)
        ids, rows, weights, squares = _kernels.row_gradients(self.rows, self.token_weights, pairs)
        return RowGradients(ids=ids, rows=rows, weights=weights, squares=squares)

    def state_tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: the tensors themselves, by name."""
        state = {"rows": self.rows}
        if self.token_weights is not None:
            state["token_weights"] = self.token_weights
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes over the numbers of `state_tensors`.

        Raises:
            ValueError: If a tensor is missing or of another shape.
        """
        copy_state(self.state_tensors(), state)


def drop_tokens(bag: Bag, rate: float, generator: np.random.Generator) -> Bag:
    """`bag` with each token left out with probability `rate`, each text keeping one at least.

    Embed the bag that comes back and give the same to `gradients`.

    Raises:
        ValueError: If `rate` is not in [0, 1).
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"token dropout is {rate}, expected at least 0 and below 1")
    if rate == 0.0:
        return Bag(bag.ids, bag.offsets)
    starts, lengths = bag.offsets[:-1], np.diff(bag.offsets)
    kept = generator.random(len(bag.ids)) >= rate
    saved = starts + (generator.random(len(lengths)) * lengths).astype(np.int64)
    n_kept = np.concatenate([[0], np.cumsum(kept)])
    bare = (n_kept[bag.offsets[1:]] == n_kept[starts]) & (lengths > 0)
    kept[saved[bare]] = True
    offsets = np.concatenate([[0], np.cumsum(kept)])[bag.offsets]
    return Bag(bag.ids[kept], offsets.astype(np.int64))


def copy_state(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    """Copies numbers into tensors of the same names and shapes.

    Raises:
        ValueError: If a name is missing or a shape differs.
    """
    for name, tensor in mine.items():
        found = theirs.get(name)
        if found is None or found.shape != tensor.shape:
            shape = "missing" if found is None else f"of shape {list(found.shape)}"
            raise ValueError(f"saved {name} is {shape}, expected shape {list(tensor.shape)}")
        tensor.copy_(found)


def plain_means(table: TokenTable, bag: Bag) -> Tensor:
    """What `TokenTable.embed` gives, in torch's operations on any device: the specification."""
    ids = torch.from_numpy(bag.ids.astype(np.int64)).to(table.rows.device)
    offsets = torch.from_numpy(bag.offsets[:-1]).to(table.rows.device)
    weights = None if table.token_weights is None else table.token_weights[ids]
    sums = embedding_bag(ids, table.rows, offsets, mode="sum", per_sample_weights=weights)
    lengths = torch.from_numpy(np.maximum(np.diff(bag.offsets), 1)).to(sums.device)
    return sums.div_(lengths[:, None])


def plain_gradients(table: TokenTable, pairs: Sequence[tuple[Bag, Tensor]]) -> RowGradients:
    """What `TokenTable.gradients` gives, in torch's operations on any device: the specification.

    A gradient of a row is a weighted sum of rows of `d_vectors`: the same gather as in `embed`, so
    it has a fixed order where an `index_add_` on a GPU has not.
    """
    device = table.rows.device
    ids, texts, shares, n_texts = [], [], [], 0
    for bag, _ in pairs:
        lengths = np.diff(bag.offsets)
        text = np.repeat(np.arange(len(lengths)), lengths)
        ids.append(bag.ids[bag.offsets[0] : bag.offsets[-1]])
        texts.append(text + n_texts)
        shares.append((1.0 / np.maximum(lengths, 1)).astype(np.float32)[text])
        n_texts += len(lengths)
    flat = np.concatenate(ids)
    order = np.argsort(flat, kind="stable")
    unique, starts = np.unique(flat[order], return_index=True)
    touched = torch.from_numpy(unique.astype(np.int64)).to(device)
    sums = embedding_bag(
        torch.from_numpy(np.concatenate(texts)[order]).to(device),
        torch.cat([d_vectors.to(device, torch.float32) for _, d_vectors in pairs]),
        torch.from_numpy(starts).to(device),
        mode="sum",
        per_sample_weights=torch.from_numpy(np.concatenate(shares)[order]).to(device),
    )
    weights = None
    if table.token_weights is not None:
        weights = (sums * table.rows[touched]).sum(1)
        sums = sums * table.token_weights[touched][:, None]
    squares = sums.double().square().sum(1)
    if weights is not None:
        squares += weights.double().square()
    return RowGradients(ids=touched, rows=sums, weights=weights, squares=squares)


def _no_gradients(table: TokenTable) -> RowGradients:
    device = table.rows.device
    return RowGradients(
        ids=torch.zeros(0, dtype=torch.int64, device=device),
        rows=torch.zeros(0, table.dim, device=device),
        weights=None if table.token_weights is None else torch.zeros(0, device=device),
        squares=torch.zeros(0, dtype=torch.float64, device=device),
    )


def _check_bag(bag: Bag, n_tokens: int) -> None:
    ids, offsets = bag.ids, bag.offsets
    if ids.dtype != np.uint32 or offsets.dtype != np.int64:
        raise TypeError(f"ids are {ids.dtype} and offsets {offsets.dtype}, expected uint32, int64")
    if len(ids) and int(ids.max()) >= n_tokens:
        raise IndexError(f"token id {int(ids.max())} but the table has {n_tokens} rows")
    ends_right = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(ids)
    if not ends_right or np.any(offsets[1:] < offsets[:-1]):
        raise IndexError(f"offsets do not rise from 0 to the {len(ids)} ids there are")


def _check_gradient(bag: Bag, d_vectors: Tensor, dim: int) -> None:
    expected = [len(bag.offsets) - 1, dim]
    if list(d_vectors.shape) != expected:
        raise ValueError(f"gradient has shape {list(d_vectors.shape)}, expected {expected}")


def _n_grams(token: str) -> set[str]:
    marked = f"<{token}>"
    grams = {marked[i : i + n] for n in (3, 4, 5) for i in range(len(marked) - n + 1)}
    return grams | {marked}


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
