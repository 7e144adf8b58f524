"""InfoNCE summed over prefixes, and its gradients, block by block over the pairs.

Legend: B queries, C candidates, D dimensions, K prefixes, R pairs of a block, N texts that a
direction looks at.

The dot products of a prefix are those of the shorter one and the products of the dimensions in
between; all prefixes together cost one product of D dimensions. Backwards, what a prefix asks of a
dot product counts for all its dimensions, so the sums run from the longest prefix to the shortest:
again products of D dimensions. Only norms and soft-max rows are made for each prefix. A block is
left with its gradients computed, so nothing of size B x C is ever kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vecsmith.training.exclusion import Direction, Exclusions
from vecsmith.training.precision import add_product

# What the logits of a block may take: on CPU what caches hold a part of, while every block of few
# rows adds to all gradients of the bank again (measured with B 2048 and 16384, D 1024, K 6); a GPU
# wants to be filled (assumed).
_CPU_BLOCK_BYTES = 32 * 2**20
_DEVICE_BLOCK_BYTES = 512 * 2**20
_MIN_BLOCK_ROWS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """What is asked of a batch.

    Attributes:
        weights: Weight of each prefix length, lengths ascending.
        temperature: Divides the cosines.
        directions: Ways to look at the batch; the first is from queries to candidates.
        joint: Whether one soft-max goes over all directions, or each has its own.
        bfloat16: Whether factors of float32 products are rounded.
    """

    weights: Mapping[int, float]
    temperature: float
    directions: tuple[Direction, ...]
    joint: bool
    bfloat16: bool


def blocked_info_nce(
    queries: Tensor,
    candidates: Tensor,
    contrast: Contrast,
    exclusions: Exclusions,
    *,
    with_gradients: bool,
    block_rows: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, a scalar, and its gradients for both sides: zeros unless asked for.

    Args:
        queries: Shape [B, D], float32 or float64.
        candidates: Shape [C, D], of the same type, C >= B.
        contrast: What is asked.
        exclusions: What is no negative of what.
        with_gradients: Whether to compute them.
        block_rows: Pairs of a block; None for as many as its memory allows.
    """
    n_pairs, lengths = len(queries), list(contrast.weights)
    segments = [slice(a, b) for a, b in zip([0, *lengths], lengths, strict=False)]
    sides = {"query": _Side(queries, segments), "candidate": _Side(candidates, segments)}
    rows = min(n_pairs, block_rows or _rows_that_fit(queries, candidates, contrast))
    looks = [_Look(sides, direction, n_pairs, rows) for direction in contrast.directions]
    sums_K = queries.new_zeros(len(lengths), dtype=torch.float64)
    for start in range(0, n_pairs, rows):
        block = slice(start, min(start + rows, n_pairs))
        for look in looks:
            look.open(block, contrast, exclusions)
        for k in reversed(range(len(lengths))):
            sums_K[k] += _prefix_of_block(looks, k, contrast, with_gradients=with_gradients)
    weights_K = sums_K.new_tensor(list(contrast.weights.values()))
    loss = (weights_K * sums_K).sum() / n_pairs
    for side in sides.values():
        side.keep_lengths()
    return loss.to(queries.dtype), sides["query"].gradients, sides["candidate"].gradients


def _rows_that_fit(queries: Tensor, candidates: Tensor, contrast: Contrast) -> int:
    """Pairs of a block by what its logits and one more array of each direction take."""
    n_seen = sum(
        len(queries if direction.endswith("to_query") else candidates)
        for direction in contrast.directions
    )
    a_row = n_seen * (len(contrast.weights) + 2) * queries.element_size()
    allowed = _CPU_BLOCK_BYTES if queries.device.type == "cpu" else _DEVICE_BLOCK_BYTES
    return max(_MIN_BLOCK_ROWS, allowed // a_row)


def _prefix_of_block(
    looks: Sequence[_Look], k: int, contrast: Contrast, *, with_gradients: bool
) -> Tensor:
    """Summed loss of prefix `k` over the open block, a scalar; its gradients are added."""
    for look in looks:
        look.compare(k, contrast.temperature)
    positives_R = looks[0].positives(k)
    totals = torch.stack([look.log_total for look in looks])
    totals = totals.logsumexp(0, keepdim=True).expand_as(totals) if contrast.joint else totals
    if with_gradients:
        each = list(contrast.weights.values())[k] / looks[0].n_pairs
        share = each if contrast.joint else each / len(looks)
        for look, total_R in zip(looks, totals, strict=True):
            look.ask(k, total_R, share, -each if look is looks[0] else 0.0, contrast)
    return (totals.mean(0) - positives_R).sum(dtype=torch.float64)


class _Side:
    """The queries or the candidates: vectors, norms of their prefixes, gathered gradients."""

    def __init__(self, vectors: Tensor, segments: Sequence[slice]) -> None:
        self.vectors = vectors
        self.segments = segments
        squares = torch.stack([vectors[:, segment].square().sum(1) for segment in segments])
        norms_KN = squares.cumsum(0).sqrt_()
        # a vector of zeros has cosine 0 with all, and no direction to turn to: gradient 0
        self.inverse_norms = torch.where(norms_KN > 0, norms_KN.reciprocal(), 0.0)
        self.pulls = torch.zeros_like(norms_KN)  # sums of gradient times logit, [K, N]
        self.gradients = torch.zeros_like(vectors)

    def keep_lengths(self) -> None:
        """Takes out of the gradients what would only change a prefix's length."""
        shares_KN = self.pulls * self.inverse_norms.square()
        for k, segment in enumerate(self.segments):
            share_N1 = shares_KN[k:].sum(0)[:, None]
            self.gradients[:, segment].addcmul_(self.vectors[:, segment], share_N1, value=-1.0)


class _Look:
    """One direction: anchors of one side compared with the texts of a side, for an open block."""

    def __init__(
        self, sides: Mapping[str, _Side], direction: Direction, n_pairs: int, rows: int
    ) -> None:
        anchors, _, bank = direction.partition("_to_")
        self.direction = direction
        self.anchors, self.bank = sides[anchors], sides[bank]
        self.n_pairs = n_pairs
        self.n_seen = n_pairs if bank == "query" else len(self.bank.vectors)
        # kept from block to block: fresh memory of this size is slow to come by
        n_prefixes, vectors = len(self.bank.segments), self.bank.vectors
        self._logits = vectors.new_empty((n_prefixes, rows, self.n_seen))
        self._shares = vectors.new_empty((rows, self.n_seen))
        self._asked = vectors.new_empty((rows, self.n_seen))

    def open(self, block: slice, contrast: Contrast, exclusions: Exclusions) -> None:
        """Makes the dot products of all prefixes for the pairs of `block`."""
        self.block = block
        self.masks = exclusions.of(self.direction, block)
        n_rows = block.stop - block.start
        self.logits, self.shares = self._logits[:, :n_rows], self._shares[:n_rows]
        self.asked = self._asked[:n_rows].zero_()
        shorter = self.asked  # all zeros, before the first prefix
        for segment, dots in zip(self.bank.segments, self.logits, strict=True):
            left = self.anchors.vectors[block, segment]
            right = self.bank.vectors[: self.n_seen, segment].T
            add_product(shorter, left, right, bfloat16=contrast.bfloat16, out=dots)
            shorter = dots

    def compare(self, k: int, temperature: float) -> None:
        """Turns dot products of prefix `k` into logits, and those into sums for each pair."""
        logits = self.logits[k]
        logits.mul_(self.anchors.inverse_norms[k, self.block, None])
        logits.mul_(self.bank.inverse_norms[k, : self.n_seen] / temperature)
        for mask in self.masks:
            mask.fill(logits)
        self.highest = logits.amax(1)
        torch.sub(logits, self.highest[:, None], out=self.shares).exp_()
        self.log_total = self.highest + self.shares.sum(1).log_()

    def positives(self, k: int) -> Tensor:
        """Logits of the block's own pairs, shape [R]."""
        return self.logits[k].diagonal(self.block.start).clone()

    def ask(self, k: int, total: Tensor, share: float, pair: float, contrast: Contrast) -> None:
        """Adds the gradients of prefix `k`; call it from the longest prefix to the shortest.

        Args:
            k: The prefix.
            total: Logarithm of the soft-max's denominator for each pair, shape [R].
            share: Factor of the gradient of `total`.
            pair: What to add to the gradient of each pair's own logit.
            contrast: What is asked.
        """
        bank, rows, seen = self.bank, self.block, slice(self.n_seen)
        shares = self.shares.mul_((self.highest - total).exp_().mul_(share)[:, None])
        if pair:
            shares.diagonal(rows.start).add_(pair)
        pulled = self.logits[k].mul_(shares)
        self.anchors.pulls[k, rows] += pulled.sum(1)
        bank.pulls[k, seen] += pulled.sum(0)
        shares.mul_(self.anchors.inverse_norms[k, rows, None])
        asked = self.asked.addcmul_(shares, bank.inverse_norms[k, seen] / contrast.temperature)
        segment, halves = bank.segments[k], contrast.bfloat16
        of_anchors = self.anchors.gradients[rows, segment]
        add_product(of_anchors, asked, bank.vectors[seen, segment], bfloat16=halves, out=of_anchors)
        of_bank, anchors = bank.gradients[seen, segment], self.anchors.vectors[rows, segment]
        add_product(of_bank, asked.T, anchors, bfloat16=halves, out=of_bank)
