"""Texts of a batch as padded blocks of token ids, about equally long ones together.

One rule: which texts share a block depends on their lengths and the settings alone, never on who
computes it; so several processes can share the blocks of a batch, and dropout can be drawn by
block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecsmith.training.bag import Bag
from vecsmith.transformer.teacher import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGroup:
    """About equally long texts.

    Attributes:
        places: Which texts of the batch they are, shape [N].
        ids: Their token ids with the frame, padded at the end, int64 [N, T].
        mask: 1 where an id is and 0 at padding, int64 [N, T].
    """

    places: NDArray[np.int64]
    ids: NDArray[np.int64]
    mask: NDArray[np.int64]

    @property
    def n_tokens(self) -> int:
        """Ids that are no padding."""
        return int(self.mask.sum())


def token_groups(
    bags: Sequence[Bag], frame: Frame, *, n_texts: int, n_positions: int | None
) -> list[TokenGroup]:
    """All texts of `bags`, counted through, in blocks of `n_texts`, the longest first.

    What is too large for the memory fails at once, and what is left only gets faster.

    Args:
        bags: Texts without specials.
        frame: Ids put around each.
        n_texts: Texts of a block; the last may have fewer.
        n_positions: Longest sequence there is room for, None for any.
    """
    ids = np.concatenate([bag.ids for bag in bags]).astype(np.int64)
    lengths = np.concatenate([bag.lengths for bag in bags])
    begins = np.cumsum(lengths) - lengths
    order = np.argsort(-lengths, kind="stable")
    return [
        _group(ids, begins, lengths, order[start : start + n_texts], frame, n_positions)
        for start in range(0, len(order), n_texts)
    ]


def _group(
    ids: NDArray[np.int64],
    begins: NDArray[np.int64],
    lengths: NDArray[np.int64],
    places: NDArray[np.int64],
    frame: Frame,
    n_positions: int | None,
) -> TokenGroup:
    before, after = len(frame.before), len(frame.after)
    own = lengths[places]
    whole = own + before + after
    width = _rounded(int(whole.max()), n_positions)
    columns = np.arange(width)
    block = np.zeros((len(places), width), dtype=np.int64)  # what the mask leaves out may be any id
    block[:, :before] = frame.before
    is_own = (columns >= before) & (columns < before + own[:, None])
    block[is_own] = np.concatenate(
        [ids[begin : begin + n] for begin, n in zip(begins[places], own, strict=True)]
    )
    for place, token in enumerate(frame.after):
        block[np.arange(len(places)), before + own + place] = token
    return TokenGroup(places=places, ids=block, mask=(columns < whole[:, None]).astype(np.int64))


def _rounded(length: int, most: int | None) -> int:
    """`length` rounded up to a multiple of 8: kernels are made, and kept, for each shape."""
    rounded = -(-max(1, length) // 8) * 8
    return rounded if most is None else max(length, min(rounded, most))
