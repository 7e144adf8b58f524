"""Losses that pick each query's own candidate out of a batch.

Legend: B queries, C >= B candidates (row i belongs to query i, hard negatives come after), D
dimensions, G dimensions of a guide. All of them compare by cosine, so they nest in prefixes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vecsmith.training.exclusion import Direction, MarginKind
from vecsmith.training.losses.cosines import unit_rows
from vecsmith.training.nested_info_nce import Partition, info_nce_of_prefixes
from vecsmith.training.precision import Precision

# The default, the symmetric loss, and the four ways of GTE (these with partition="joint").
ONE_WAY: tuple[Direction, ...] = ("query_to_candidate",)
BOTH_WAYS: tuple[Direction, ...] = ("query_to_candidate", "candidate_to_query")
FOUR_WAYS: tuple[Direction, ...] = (*BOTH_WAYS, "query_to_query", "candidate_to_candidate")


def info_nce(
    queries: Tensor,
    candidates: Tensor,
    *,
    temperature: float = 0.05,
    directions: Sequence[Direction] = ONE_WAY,
    partition: Partition = "per_direction",
    query_keys: Tensor | None = None,
    candidate_keys: Tensor | None = None,
    precision: Precision = "auto",
) -> Tensor:
    """Cross-entropy of picking each query's own candidate out of the batch, a scalar.

    mean over i of log(sum over j of exp(s_ij)) - s_ii, with s_ij = cos(q_i, c_j) / temperature:
    InfoNCE (van den Oord et al., arXiv 1807.03748, equation 4) with the batch's other candidates as
    negatives (Henderson et al., arXiv 1705.00652), which sentence-transformers calls
    MultipleNegativesRankingLoss. Memory is bounded whatever B is, and the gradients are exact.

    Args:
        queries: Unnormalised embeddings, shape [B, D].
        candidates: Shape [C, D] with C >= B. Row i is the positive of query i; every other row is
            a negative, so hard negatives go after row B - 1, as many columns of B rows each.
        temperature: Divides the cosines; smaller is sharper.
        directions: Ways to look at the batch. `BOTH_WAYS` also picks the query among all queries
            for each positive; `FOUR_WAYS` has each text told from those of its own side as well,
            as GTE does (Li et al., arXiv 2308.03281).
        partition: "per_direction" is the mean of one cross-entropy for each direction; "joint" has
            one sum of exponentials over all directions, as in GTE.
        query_keys: Equal keys mean equal texts, int64 [B]. A text is no negative of a pair if it,
            or the other text of its own pair, is equal to a text of the pair.
        candidate_keys: The same of the candidates, int64 [C].
        precision: Of the factors of products: "auto" rounds them to bfloat16 under bfloat16
            autocast. Sums, logits and norms are float32, or float64 if the embeddings are.

    Raises:
        ValueError: If there are fewer candidates than queries, or a setting is out of its range.

    Example:
        >>> import torch
        >>> same = torch.ones(4, 8)
        >>> round(info_nce(same, same).item(), 4)  # a guess among four
        1.3863
    """
    return info_nce_of_prefixes(
        queries,
        candidates,
        {queries.shape[-1]: 1.0},
        temperature=temperature,
        directions=directions,
        partition=partition,
        query_keys=query_keys,
        candidate_keys=candidate_keys,
        precision=precision,
    )


def guided_info_nce(
    queries: Tensor,
    candidates: Tensor,
    *,
    guide_queries: Tensor,
    guide_candidates: Tensor,
    guide_margin: float = 0.0,
    guide_margin_kind: MarginKind = "absolute",
    temperature: float = 0.05,
    directions: Sequence[Direction] = ONE_WAY,
    partition: Partition = "per_direction",
    query_keys: Tensor | None = None,
    candidate_keys: Tensor | None = None,
    precision: Precision = "auto",
) -> Tensor:
    """`info_nce` without the negatives that a guide finds too alike, a scalar.

    A text is left out of the sum for pair i if the guide's cosine of it and the anchor is above the
    guide's cosine of the pair less the margin: GISTEmbed (Solatorio, arXiv 2402.16829), whose own
    choice is a temperature of 0.01, the directions query_to_candidate, query_to_query and
    candidate_to_candidate, and partition "joint".

    Args:
        queries: Unnormalised embeddings, shape [B, D].
        candidates: Shape [C, D] with C >= B, as for `info_nce`.
        guide_queries: The guide's vectors of the same texts, shape [B, G].
        guide_candidates: Shape [C, G].
        guide_margin: How far below the pair's own cosine a negative's has to stay; below zero it
            may be that far above.
        guide_margin_kind: "absolute" takes `guide_margin` off the pair's cosine, "relative" that
            share of its absolute value.
        temperature: Divides the cosines; smaller is sharper.
        directions: As for `info_nce`.
        partition: As for `info_nce`.
        query_keys: As for `info_nce`, int64 [B].
        candidate_keys: As for `info_nce`, int64 [C].
        precision: As for `info_nce`; what the guide says is never rounded.

    Raises:
        ValueError: If there are fewer candidates than queries, or a setting is out of its range.
    """
    return info_nce_of_prefixes(
        queries,
        candidates,
        {queries.shape[-1]: 1.0},
        temperature=temperature,
        directions=directions,
        partition=partition,
        query_keys=query_keys,
        candidate_keys=candidate_keys,
        guide_queries=guide_queries,
        guide_candidates=guide_candidates,
        guide_margin=guide_margin,
        guide_margin_kind=guide_margin_kind,
        precision=precision,
    )


def triplet(queries: Tensor, candidates: Tensor, *, margin: float = 0.1) -> Tensor:
    """How far hard negatives are from being less alike than the positive by `margin`, a scalar.

    mean over i and its hard negatives n of max(0, cos(q_i, n) - cos(q_i, p_i) + margin), the
    triplet loss (Schroff et al., arXiv 1503.03832) of cosine distances.

    Args:
        queries: Unnormalised embeddings, shape [B, D].
        candidates: The positives and one or more columns of hard negatives below them, shape
            [B + n B, D].
        margin: Of cosines.

    Raises:
        ValueError: If there is not at least one hard negative for each query.
    """
    n_queries, n_candidates = len(queries), len(candidates)
    if n_candidates < 2 * n_queries or n_candidates % n_queries:
        raise ValueError(
            f"{n_queries} queries, {n_candidates} candidates: expected a positive and equally many "
            "hard negatives for each query"
        )
    cosines = (unit_rows(queries) * unit_rows(candidates).view(-1, *queries.shape)).sum(-1)
    return torch.relu(cosines[1:] - cosines[0] + margin).mean()
