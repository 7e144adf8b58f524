"""Losses that have a student repeat what a teacher says: its vectors, or how alike it finds texts.

Legend: B queries, C candidates, D dimensions of the student, T of the teacher, N texts, R rows of
a block. The teacher's side gets no gradient. Under autocast nothing here is rounded.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vecsmith.training.losses.cosines import pair_cosines, unit_rows

# Cosines that are kept for the backward pass at once; more are computed anew there.
_MAX_KEPT_COSINES = 2**24


def similarity_distillation(
    queries: Tensor,
    candidates: Tensor,
    *,
    teacher_queries: Tensor,
    teacher_candidates: Tensor,
    temperature: float = 0.05,
    teacher_temperature: float | None = None,
) -> Tensor:
    """How far a student's choice among the candidates is from the teacher's, a scalar.

    mean over queries of KL(p || p'), where p' is the soft-max over candidates of the student's
    cosines over `temperature` and p the same of the teacher: distillation of similarities as in
    SEED (Fang et al., arXiv 2101.04731). It is InfoNCE with the teacher's shares in the place of
    ones and zeros, so no false negatives need be masked.

    Args:
        queries: The student's embeddings, shape [B, D].
        candidates: Shape [C, D]; nothing is asked of which belongs to which query.
        teacher_queries: The teacher's of the same texts, shape [B, T].
        teacher_candidates: Shape [C, T].
        temperature: Divides the student's cosines.
        teacher_temperature: Divides the teacher's; None for the same. There is no factor of
            temperature squared.

    Raises:
        ValueError: If the teacher's texts are not as many, or a temperature is not positive.
    """
    if teacher_temperature is None:
        teacher_temperature = temperature
    if not (temperature > 0 and teacher_temperature > 0):
        raise ValueError(
            f"temperatures {temperature} and {teacher_temperature} of the teacher, expected "
            "positive numbers"
        )

    def divergence(cosines_RC: Tensor, teacher_RC: Tensor) -> Tensor:
        student = F.log_softmax(cosines_RC / temperature, dim=1)
        teacher = F.log_softmax(teacher_RC / teacher_temperature, dim=1)
        return F.kl_div(student, teacher, reduction="sum", log_target=True)

    _check_texts(queries, candidates, teacher_queries, teacher_candidates)
    sides = queries, candidates, teacher_queries, teacher_candidates
    return _sum_over_cosines(divergence, *sides) / len(queries)


def similarity_mse(
    queries: Tensor,
    candidates: Tensor,
    *,
    teacher_queries: Tensor,
    teacher_candidates: Tensor,
) -> Tensor:
    """Mean squared difference of the student's and the teacher's B x C cosines, a scalar.

    After the similarity-preserving distillation of Tung and Mori (arXiv 1907.09682),
    with cosines in the place of products that are normalised by rows.

    Args:
        queries: The student's embeddings, shape [B, D].
        candidates: Shape [C, D].
        teacher_queries: The teacher's of the same texts, shape [B, T].
        teacher_candidates: Shape [C, T].

    Raises:
        ValueError: If the teacher's texts are not as many.
    """

    def squares(cosines_RC: Tensor, teacher_RC: Tensor) -> Tensor:
        return F.mse_loss(cosines_RC, teacher_RC, reduction="sum")

    _check_texts(queries, candidates, teacher_queries, teacher_candidates)
    sides = queries, candidates, teacher_queries, teacher_candidates
    return _sum_over_cosines(squares, *sides) / (len(queries) * len(candidates))


def cosine_distance(vectors: Tensor, targets: Tensor) -> Tensor:
    """Mean of one minus the cosine of each vector and its target, a scalar.

    Nested over prefixes it compares prefixes of the targets, each as long as it is, so the
    targets' dimensions should come in the order of their importance.

    Args:
        vectors: Shape [N, D].
        targets: What they should point along, shape [N, D].

    Raises:
        ValueError: If the shapes differ.
    """
    _check_targets(vectors, targets)
    return (1 - pair_cosines(vectors, targets.detach())).mean()


def mean_squared_error(vectors: Tensor, targets: Tensor) -> Tensor:
    """Mean squared difference of all coordinates, a scalar.

    Args:
        vectors: Shape [N, D]. Neither side is normalised.
        targets: What they should be, shape [N, D].

    Raises:
        ValueError: If the shapes differ.
    """
    _check_targets(vectors, targets)
    dtype = torch.promote_types(vectors.dtype, torch.float32)
    return F.mse_loss(vectors.to(dtype), targets.detach().to(dtype))


def _sum_over_cosines(
    compare: Callable[[Tensor, Tensor], Tensor],
    queries: Tensor,
    candidates: Tensor,
    teacher_queries: Tensor,
    teacher_candidates: Tensor,
) -> Tensor:
    """Sum of `compare` over blocks of rows of both B x C matrices, neither of which is kept."""
    units_BD, units_CD = unit_rows(queries), unit_rows(candidates)
    teachers = teacher_queries.detach(), teacher_candidates.detach()
    units_BT, units_CT = (unit_rows(side).to(units_BD.dtype) for side in teachers)

    def of_block(rows_RD: Tensor, units_CD: Tensor, rows_RT: Tensor) -> Tensor:
        with torch.autocast(rows_RD.device.type, enabled=False):
            return compare(rows_RD @ units_CD.T, rows_RT @ units_CT.T)

    n_rows = max(1, _MAX_KEPT_COSINES // len(candidates))
    blocks = list(zip(torch.split(units_BD, n_rows), torch.split(units_BT, n_rows), strict=True))
    if len(blocks) == 1:
        return of_block(units_BD, units_CD, units_BT)
    total = units_BD.new_zeros(())
    for rows_RD, rows_RT in blocks:
        total = total + checkpoint(of_block, rows_RD, units_CD, rows_RT, use_reentrant=False)
    return total


def _check_targets(vectors: Tensor, targets: Tensor) -> None:
    if vectors.shape != targets.shape:
        raise ValueError(
            f"vectors of shape {tuple(vectors.shape)} and targets of shape "
            f"{tuple(targets.shape)}, expected one target of equally many dims for each vector"
        )


def _check_texts(
    queries: Tensor, candidates: Tensor, teacher_queries: Tensor, teacher_candidates: Tensor
) -> None:
    texts = len(queries), len(candidates)
    taught = len(teacher_queries), len(teacher_candidates)
    if texts != taught:
        raise ValueError(
            f"the teacher gave {taught[0]} queries and {taught[1]} candidates, expected its "
            f"vectors of the same {texts[0]} and {texts[1]} texts"
        )
