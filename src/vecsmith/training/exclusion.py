"""Which texts of a batch are no negatives of a pair, although they are not its positive.

Legend: B queries, C candidates of which row i < B belongs to query i, G dimensions of a guide, R
pairs of a block, N texts that a direction looks at. One rule: where a pair's own positive is among
them, it is never excluded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Direction = Literal[
    "query_to_candidate", "candidate_to_query", "query_to_query", "candidate_to_candidate"
]
MarginKind = Literal["absolute", "relative"]

# Far below any cosine over a temperature and yet finite: minus infinity times a gradient of zero
# would be no number.
EXCLUDED_LOGIT = -1e30


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """How another model sees the batch: what it finds too alike is no negative.

    Attributes:
        queries: Its vectors of the queries, of unit length, shape [B, G].
        candidates: Its vectors of the candidates, of unit length, shape [C, G].
        ceilings: Cosine above which a text is no negative of pair i, shape [B].
    """

    queries: Tensor
    candidates: Tensor
    ceilings: Tensor


def make_guide(
    queries: Tensor, candidates: Tensor, *, margin: float, margin_kind: MarginKind
) -> Guide:
    """The guide's unit vectors and its ceiling for each pair.

    The ceiling is the guide's cosine s of the pair, less `margin` ("absolute") or `margin` |s|
    ("relative"): GISTEmbed (Solatorio, arXiv 2402.16829) with the margins of NV-Retriever (Moreira
    et al., arXiv 2407.15831), as in sentence-transformers' GISTEmbedLoss.
    """
    dtype = torch.promote_types(queries.dtype, torch.float32)
    units_BG = F.normalize(queries.detach().to(dtype), dim=1)
    units_CG = F.normalize(candidates.detach().to(dtype), dim=1)
    pairs_B = (units_BG * units_CG[: len(units_BG)]).sum(1)
    step = margin if margin_kind == "absolute" else margin * pairs_B.abs()
    return Guide(queries=units_BG, candidates=units_CG, ceilings=pairs_B - step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Which texts of the batch are equal.

    Attributes:
        queries: Keys of the queries, int64 [B]; equal keys are equal texts.
        candidates: Keys of the candidates, int64 [C].
        repeated: Whether a text of pair i occurs a second time in the batch, shape [B].
    """

    queries: Tensor
    candidates: Tensor
    repeated: Tensor


def make_keys(queries: Tensor, candidates: Tensor) -> Keys:
    """Keys of both sides, int64 [B] and [C], with what is looked up for each block."""
    _, places, counts = torch.unique(
        torch.cat([queries, candidates]), return_inverse=True, return_counts=True
    )
    occurrences = counts[places]
    n_queries = len(queries)
    repeated = (occurrences[:n_queries] > 1) | (occurrences[n_queries : 2 * n_queries] > 1)
    return Keys(queries=queries, candidates=candidates, repeated=repeated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """Excluded places of a block of pairs, or of some of its rows.

    Attributes:
        rows: Which rows of the block, int64 [M]; None for all of them.
        places: True where excluded, shape [M, N].
    """

    rows: Tensor | None
    places: Tensor

    def fill(self, logits: Tensor) -> None:
        """Writes `EXCLUDED_LOGIT` at the places in `logits` [R, N]."""
        if self.rows is None:
            logits.masked_fill_(self.places, EXCLUDED_LOGIT)
        else:
            logits[self.rows] = logits[self.rows].masked_fill(self.places, EXCLUDED_LOGIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusions:
    """All that is excluded in one batch, asked for block by block.

    Attributes:
        n_queries: B.
        n_candidates: C.
        device: Where masks are made.
        keys: Which texts are equal.
        guide: What another model says of the batch.
    """

    n_queries: int
    n_candidates: int
    device: torch.device
    keys: Keys | None = None
    guide: Guide | None = None

    def of(self, direction: Direction, block: slice) -> list[Mask]:
        """Masks for the pairs in `block` as `direction` looks at the batch; none if all count."""
        masks = [
            self._own_texts(direction, block),
            self._equal_texts(direction, block),
            self._alike_texts(direction, block),
        ]
        return [mask for mask in masks if mask is not None]

    def _own_texts(self, direction: Direction, block: slice) -> Mask | None:
        """Looking at its own side, an anchor leaves out itself; a positive also its negatives."""
        if direction in ("query_to_candidate", "candidate_to_query"):
            return None
        n_seen = self.n_queries if direction == "query_to_query" else self.n_candidates
        owners_N = torch.arange(n_seen, device=self.device) % self.n_queries
        return Mask(rows=None, places=owners_N == _pairs_of(block, self.device)[:, None])

    def _equal_texts(self, direction: Direction, block: slice) -> Mask | None:
        """A text is no negative of a pair if it, or the other text of its pair, is equal to one.

        That makes a relation between pairs, the same for all directions; a hard negative counts by
        itself.
        """
        if self.keys is None:
            return None
        keys_B, keys_C = self.keys.queries, self.keys.candidates
        rows = self.keys.repeated[block].nonzero().flatten()
        if not len(rows):
            return None
        pairs = rows + block.start
        query_M1, positive_M1 = keys_B[pairs][:, None], keys_C[pairs][:, None]
        places = (keys_C == query_M1) | (keys_C == positive_M1)
        places[:, : self.n_queries] |= (keys_B == query_M1) | (keys_B == positive_M1)
        places[torch.arange(len(rows), device=self.device), pairs] = False
        return Mask(rows=rows, places=self._seen(places, direction))

    def _alike_texts(self, direction: Direction, block: slice) -> Mask | None:
        """What the guide finds more alike than its ceiling for the pair allows."""
        if self.guide is None:
            return None
        anchors, _, bank = direction.partition("_to_")
        sides = {"query": self.guide.queries, "candidate": self.guide.candidates}
        places = sides[anchors][block] @ sides[bank].T > self.guide.ceilings[block, None]
        if anchors != bank:
            places.diagonal(block.start).fill_(False)
        return Mask(rows=None, places=places)

    def _seen(self, places: Tensor, direction: Direction) -> Tensor:
        return places[:, : self.n_queries] if direction.endswith("to_query") else places


def _pairs_of(block: slice, device: torch.device) -> Tensor:
    return torch.arange(block.start, block.stop, device=device)
