"""Facts about losses that follow from what they are, and what they refuse."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from vecsmith.training.losses import (
    BOTH_WAYS,
    EmbeddingLoss,
    cosent,
    cosine_distance,
    guided_info_nce,
    imitation,
    info_nce,
    mean_squared_error,
    needs,
    score_regression,
    similarity_distillation,
    similarity_mse,
    triplet,
)
from vecsmith.training.prefixes import matryoshka


def test_info_nce_of_identical_candidates_is_log_c() -> None:
    same = torch.ones(4, 8)
    assert info_nce(same, same).item() == pytest.approx(math.log(4))


def test_info_nce_is_blind_to_embedding_length() -> None:
    q, c = torch.randn(3, 8), torch.randn(5, 8)
    torch.testing.assert_close(info_nce(q, c), info_nce(10 * q, c / 3), rtol=1e-4, atol=1e-5)


def test_info_nce_both_ways_is_the_mean_of_both_ways() -> None:
    q, c = torch.randn(5, 8), torch.randn(5, 8)
    both = info_nce(q, c, directions=BOTH_WAYS)
    torch.testing.assert_close(both, (info_nce(q, c) + info_nce(c, q)) / 2)


def test_a_guide_with_an_endless_margin_below_zero_leaves_all_negatives() -> None:
    q, c, guide = torch.randn(5, 8), torch.randn(9, 8), torch.randn(9, 3)
    guided = partial(guided_info_nce, guide_queries=guide[:5], guide_candidates=guide)
    torch.testing.assert_close(guided(q, c, guide_margin=-3.0), info_nce(q, c))


def test_a_guide_with_a_wide_margin_leaves_nothing_to_learn() -> None:
    q, c, guide = torch.randn(5, 8), torch.randn(9, 8), torch.randn(9, 3)
    guided = partial(guided_info_nce, guide_queries=guide[:5], guide_candidates=guide)
    assert guided(q, c, guide_margin=3.0).item() == 0


def test_cosent_has_the_value_of_a_sum_over_all_pairs_in_the_wrong_order() -> None:
    q, c = torch.randn(12, 8, dtype=torch.float64), torch.randn(12, 8, dtype=torch.float64)
    scores = torch.arange(12) % 4
    cosines = torch.cosine_similarity(q, c)
    wrong = sum(
        math.exp(5 * float(cosines[j] - cosines[i]))
        for i in range(12)
        for j in range(12)
        if scores[i] > scores[j]
    )
    expected = math.log(1 + wrong)
    assert cosent(q, c, scores=scores, scale=5.0).item() == pytest.approx(expected, rel=1e-12)


def test_cosent_takes_only_the_order_of_scores() -> None:
    q, c, scores = torch.randn(9, 8), torch.randn(9, 8), torch.rand(9)
    assert torch.equal(cosent(q, c, scores=scores), cosent(q, c, scores=10 * scores - 3))


def test_cosent_of_equal_scores_is_zero() -> None:
    assert cosent(torch.randn(4, 8), torch.randn(4, 8), scores=torch.ones(4)).item() == 0


def test_score_regression_of_a_pair_by_hand() -> None:
    q, c = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 3.0]])
    expected = (math.sqrt(0.5) - 0.2) ** 2
    value = score_regression(q, c, scores=torch.tensor([0.2]))
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_triplets_apart_by_more_than_the_margin_cost_nothing() -> None:
    q = torch.eye(3)
    assert triplet(q, torch.cat([q, -q, -q])).item() == 0
    assert triplet(q, torch.cat([-q, q]), margin=0.5).item() == pytest.approx(2.5)


@pytest.mark.parametrize("loss", [similarity_distillation, similarity_mse])
def test_a_student_that_is_its_teacher_has_nothing_to_learn(loss: EmbeddingLoss) -> None:
    q, c = torch.randn(4, 8).requires_grad_(), torch.randn(7, 8)
    value = loss(q, c, teacher_queries=3 * q.detach(), teacher_candidates=c)
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert torch.autograd.grad(value, q)[0].abs().max() < 1e-5


def test_similarity_distillation_of_a_certain_teacher_is_info_nce() -> None:
    q, c = torch.randn(4, 8, dtype=torch.float64), torch.randn(7, 8, dtype=torch.float64)
    certain = torch.eye(7, dtype=torch.float64)
    value = similarity_distillation(
        q, c, teacher_queries=certain[:4], teacher_candidates=certain, teacher_temperature=1e-3
    )
    torch.testing.assert_close(value, info_nce(q, c), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", [similarity_distillation, similarity_mse])
def test_similarities_in_blocks_are_those_of_the_whole_batch(
    loss: EmbeddingLoss, monkeypatch: pytest.MonkeyPatch
) -> None:
    q = torch.randn(10, 8, dtype=torch.float64, requires_grad=True)
    c = torch.randn(12, 8, dtype=torch.float64, requires_grad=True)
    taught = {"teacher_queries": torch.randn(10, 3), "teacher_candidates": torch.randn(12, 3)}
    whole = loss(q, c, **taught)
    monkeypatch.setattr(imitation, "_MAX_KEPT_COSINES", 3 * 12)
    blocks = loss(q, c, **taught)
    torch.testing.assert_close(blocks, whole, rtol=1e-12, atol=1e-12)
    for mine, other in zip(
        torch.autograd.grad(blocks, (q, c)), torch.autograd.grad(whole, (q, c)), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", [similarity_distillation, similarity_mse])
def test_autocast_rounds_no_similarities(loss: EmbeddingLoss) -> None:
    q, c = torch.randn(4, 8), torch.randn(7, 8)
    taught = {"teacher_queries": torch.randn(4, 3), "teacher_candidates": torch.randn(7, 3)}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(q, c, **taught), loss(q, c, **taught))
        cast = loss(q, c, **taught)
    assert torch.equal(cast, loss(q, c, **taught))


def test_regression_on_targets_by_hand() -> None:
    vectors, targets = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    assert cosine_distance(vectors, targets).item() == pytest.approx(1 - math.sqrt(0.5))
    assert mean_squared_error(vectors, targets).item() == pytest.approx(0.5)


def test_a_loss_says_which_tensors_it_needs() -> None:
    keys = {"query_keys", "candidate_keys"}
    teachers = {"teacher_queries", "teacher_candidates"}
    guides = {"guide_queries", "guide_candidates"}
    assert needs(info_nce) == keys
    assert needs(guided_info_nce) == keys | guides
    assert needs(cosent) == needs(score_regression) == {"scores"}
    assert needs(similarity_distillation) == needs(similarity_mse) == teachers
    assert needs(triplet) == needs(cosine_distance) == frozenset()


def test_needs_looks_through_partial_and_nesting() -> None:
    nested = matryoshka(partial(partial(cosent, scale=3.0)), {8: 1.0})
    assert needs(nested) == needs(partial(nested)) == {"scores"}


def test_what_is_bound_already_is_not_needed() -> None:
    assert needs(partial(cosent, scores=torch.ones(3))) == frozenset()


def test_a_loss_of_ones_own_says_by_its_parameters_what_it_needs() -> None:
    def own(queries: Tensor, candidates: Tensor, *, scores: Tensor) -> Tensor:
        return (queries * candidates).sum(1) @ scores

    assert needs(own) == {"scores"}
    assert needs(lambda q, c: (q - c).sum()) == frozenset()


@pytest.mark.parametrize(
    ("loss", "shapes", "tensors", "message"),
    [
        (triplet, (3, 3), {}, "3 queries, 3 candidates"),
        (triplet, (3, 8), {}, "equally many hard negatives"),
        (cosent, (3, 6), {"scores": (3,)}, "graded pairs have no hard negatives"),
        (cosent, (3, 3), {"scores": (3, 1)}, r"scores of shape \(3, 1\)"),
        (partial(cosent, scale=0.0), (3, 3), {"scores": (3,)}, r"scale 0\.0"),
        (score_regression, (3, 3), {"scores": (2,)}, r"scores of shape \(2,\)"),
        (
            similarity_mse,
            (3, 3),
            {"teacher_queries": (2, 4), "teacher_candidates": (3, 4)},
            "2 queries and 3 candidates, expected its vectors of the same 3 and 3",
        ),
        (
            partial(similarity_distillation, temperature=-1.0),
            (3, 3),
            {"teacher_queries": (3, 4), "teacher_candidates": (3, 4)},
            r"temperatures -1\.0 and -1\.0",
        ),
        (cosine_distance, (3, 4), {}, "expected one target"),
        (mean_squared_error, (3, 4), {}, "expected one target"),
    ],
)
def test_what_does_not_fit_is_refused(
    loss: EmbeddingLoss,
    shapes: tuple[int, int],
    tensors: dict[str, tuple[int, ...]],
    message: str,
) -> None:
    named = {name: torch.ones(shape) for name, shape in tensors.items()}
    with pytest.raises(ValueError, match=message):
        loss(torch.ones(shapes[0], 8), torch.ones(shapes[1], 8), **named)
