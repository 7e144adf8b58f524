"""InfoNCE over all prefixes of a batch in one pass, for about the price of the longest one.

Legend: B queries, C >= B candidates (row i belongs to query i, hard negatives come after), D
dimensions, G dimensions of a guide. `prefix_blocks` is the specification and runs everywhere;
on CPU the engine's kernel takes over what it can do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vecsmith.training import _kernels
from vecsmith.training.exclusion import (
    Direction,
    Exclusions,
    MarginKind,
    make_guide,
    make_keys,
)
from vecsmith.training.precision import Precision, rounds_factors
from vecsmith.training.prefix_blocks import Contrast, blocked_info_nce

Partition = Literal["per_direction", "joint"]


def info_nce_of_prefixes(
    queries: Tensor,
    candidates: Tensor,
    weights: Mapping[int, float],
    *,
    temperature: float = 0.05,
    directions: Sequence[Direction] = ("query_to_candidate",),
    partition: Partition = "per_direction",
    query_keys: Tensor | None = None,
    candidate_keys: Tensor | None = None,
    guide_queries: Tensor | None = None,
    guide_candidates: Tensor | None = None,
    guide_margin: float = 0.0,
    guide_margin_kind: MarginKind = "absolute",
    precision: Precision = "auto",
) -> Tensor:
    """The sum over prefixes of weight times `info_nce`, a scalar, in bounded memory.

    Equal to summing `info_nce` over prefixes; the arguments are those of `info_nce` and
    `guided_info_nce`. Gradients are computed with the loss, block by block, and kept until they
    are asked for: memory is that of the embeddings and one block, whatever B is.

    Args:
        queries: Unnormalised embeddings, shape [B, D].
        candidates: Shape [C, D].
        weights: Weight of each prefix length.
        temperature: Divides the cosines.
        directions: Ways to look at the batch.
        partition: One soft-max for each direction, or one over all.
        query_keys: int64 [B].
        candidate_keys: int64 [C].
        guide_queries: Shape [B, G].
        guide_candidates: Shape [C, G].
        guide_margin: How much below the pair's own likeness the guide's ceiling is.
        guide_margin_kind: Whether that is a cosine or a share of the pair's.
        precision: Of the factors of products.

    Raises:
        ValueError: If shapes do not fit one another, or a setting is out of its range.
    """
    _check_shapes(queries, candidates, weights)
    _check_settings(temperature, directions, partition, len(queries), len(candidates))
    keys = _both("keys", query_keys, candidate_keys, len(queries), len(candidates))
    guides = _both("guide vectors", guide_queries, guide_candidates, len(queries), len(candidates))
    contrast = Contrast(
        weights=dict(sorted(weights.items())),
        temperature=temperature,
        directions=tuple(directions),
        joint=partition == "joint",
        bfloat16=rounds_factors(precision, queries),
    )
    guide = guides and make_guide(*guides, margin=guide_margin, margin_kind=guide_margin_kind)
    exclusions = Exclusions(
        n_queries=len(queries),
        n_candidates=len(candidates),
        device=queries.device,
        keys=keys and make_keys(*keys),
        guide=guide,
    )
    loss: Tensor = _InfoNCE.apply(queries, candidates, contrast, exclusions)  # type: ignore[no-untyped-call]
    return loss


def engine_can(queries: Tensor, contrast: Contrast, exclusions: Exclusions) -> bool:
    """Whether the engine computes this: float32 on CPU, one way or both, without a guide."""
    ways = set(contrast.directions)
    both_apart = not contrast.joint and ways == {"query_to_candidate", "candidate_to_query"}
    known = ways == {"query_to_candidate"} or both_apart
    return _kernels.runs_here(queries) and known and exclusions.guide is None


def engine_info_nce(
    queries: Tensor,
    candidates: Tensor,
    contrast: Contrast,
    exclusions: Exclusions,
    *,
    with_gradients: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """What `blocked_info_nce` gives, by the engine; it always makes the gradients."""
    keys = exclusions.keys
    loss, of_queries, of_candidates = _kernels.nested_info_nce(
        queries,
        candidates,
        list(contrast.weights),
        list(contrast.weights.values()),
        contrast.temperature,
        excluded=None if keys is None else (keys.queries, keys.candidates),
        both_directions=len(contrast.directions) == 2,
        bfloat16=contrast.bfloat16,
    )
    return queries.new_tensor(loss), of_queries, of_candidates


class _InfoNCE(torch.autograd.Function):
    """Carries gradients that were computed with the loss to whoever asks for them."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, candidates: Tensor, contrast: Contrast, exclusions: Exclusions
    ) -> Tensor:
        dtype = torch.promote_types(queries.dtype, torch.float32)
        wanted = ctx.needs_input_grad[:2]
        compute = engine_info_nce if engine_can(queries, contrast, exclusions) else blocked_info_nce
        with torch.autocast(queries.device.type, enabled=False):
            loss, *gradients = compute(
                queries.to(dtype),
                candidates.to(dtype),
                contrast,
                exclusions,
                with_gradients=any(wanted),
            )
        ctx.save_for_backward(
            *(g.to(queries.dtype) if w else None for g, w in zip(gradients, wanted, strict=True))
        )
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        of_queries, of_candidates = ctx.saved_tensors
        # nearly always nothing to scale by; to find that out would make a GPU wait
        if scale.device.type != "cpu" or scale.item() != 1.0:
            of_queries, of_candidates = (
                None if gradient is None else gradient * scale.to(gradient.dtype)
                for gradient in (of_queries, of_candidates)
            )
        return of_queries, of_candidates, None, None


def _check_shapes(queries: Tensor, candidates: Tensor, weights: Mapping[int, float]) -> None:
    n_queries, n_candidates = len(queries), len(candidates)
    if not n_queries:
        raise ValueError("no queries, expected at least one pair")
    if n_candidates < n_queries:
        raise ValueError(
            f"need a positive for each query: {n_queries} queries, {n_candidates} candidates"
        )
    if queries.shape[1:] != candidates.shape[1:] or queries.ndim != 2:
        raise ValueError(
            f"queries of shape {tuple(queries.shape)} and candidates of shape "
            f"{tuple(candidates.shape)}, expected two matrices of equally many columns"
        )
    if queries.dtype != candidates.dtype:
        raise ValueError(
            f"queries are {queries.dtype}, candidates {candidates.dtype}: expected one type"
        )
    too_long = [length for length in weights if not 0 < length <= queries.shape[1]]
    if too_long or not weights:
        raise ValueError(
            f"prefix lengths {too_long or 'none'} do not fit embeddings of {queries.shape[1]} "
            "dimensions"
        )


def _check_settings(
    temperature: float,
    directions: Sequence[Direction],
    partition: Partition,
    n_queries: int,
    n_candidates: int,
) -> None:
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature {temperature}, expected a positive number")
    known = get_args(Direction)
    if not set(directions) <= set(known) or len(set(directions)) < len(directions):
        raise ValueError(
            f"directions {list(directions)}, expected some of {list(known)}, each once"
        )
    if not directions or directions[0] != "query_to_candidate":
        raise ValueError(
            f"directions {list(directions)}, expected query_to_candidate first: it holds the pairs"
        )
    if partition not in get_args(Partition):
        raise ValueError(f"partition {partition!r}, expected one of {list(get_args(Partition))}")
    same_side = {"query_to_query", "candidate_to_candidate"} & set(directions)
    if partition == "per_direction" and same_side:
        raise ValueError(
            f"{sorted(same_side)} hold no positive to be picked, so they cannot have a soft-max of "
            'their own: partition="joint" puts all directions into one'
        )
    if "candidate_to_candidate" in directions and n_candidates % n_queries:
        raise ValueError(
            f"{n_candidates} candidates of {n_queries} queries, expected equally many for each "
            "query: candidate_to_candidate leaves out a query's own hard negatives"
        )


def _both(
    what: str, queries: Tensor | None, candidates: Tensor | None, n_queries: int, n_candidates: int
) -> tuple[Tensor, Tensor] | None:
    """The two tensors, or None if neither is given."""
    if queries is None and candidates is None:
        return None
    if queries is None or candidates is None:
        raise ValueError(f"{what} of one side only, expected those of queries and of candidates")
    if (len(queries), len(candidates)) != (n_queries, n_candidates):
        raise ValueError(
            f"{what} of {len(queries)} queries and {len(candidates)} candidates, expected "
            f"{n_queries} and {n_candidates}"
        )
    return queries, candidates
