"""Each loss that sentence-transformers has as well: same value, same gradients, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from tests.training.given_vectors import GivenVectors, columns_of, their_value
from vecsmith.training.exclusion import Direction, MarginKind
from vecsmith.training.losses import (
    BOTH_WAYS,
    FOUR_WAYS,
    ONE_WAY,
    Partition,
    cosent,
    cosine_distance,
    guided_info_nce,
    info_nce,
    mean_squared_error,
    score_regression,
    similarity_distillation,
    triplet,
)
from vecsmith.training.prefixes import matryoshka

theirs = pytest.importorskip("sentence_transformers.sentence_transformer.losses")

DIM = 12
Draw = Callable[..., Tensor]


@pytest.fixture
def draw() -> Draw:
    generator = torch.Generator().manual_seed(3)
    return partial(torch.randn, generator=generator, dtype=torch.float64)


@pytest.fixture
def model(tiny_tokenizer_json: str) -> GivenVectors:
    return GivenVectors("vectors", DIM, tiny_tokenizer_json)


def assert_same(ours: Tensor, theirs: Tensor, leaves: Sequence[Tensor], tolerance: float) -> None:
    """Values, and gradients to within `tolerance` of the largest."""
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    for mine, other in zip(
        torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True
    ):
        largest = float(other.abs().max())
        torch.testing.assert_close(mine, other, rtol=0, atol=tolerance * largest)


def their_direction(direction: Direction) -> str:
    return direction.replace("candidate", "doc")


@pytest.mark.parametrize("n_columns", [1, 3])
@pytest.mark.parametrize(
    ("directions", "partition"),
    [
        (ONE_WAY, "per_direction"),
        (BOTH_WAYS, "per_direction"),
        (BOTH_WAYS, "joint"),
        (FOUR_WAYS, "joint"),
        (("query_to_candidate", "candidate_to_candidate"), "joint"),
    ],
)
def test_info_nce_is_their_multiple_negatives_ranking_loss(
    draw: Draw,
    model: GivenVectors,
    directions: tuple[Direction, ...],
    partition: Partition,
    n_columns: int,
) -> None:
    queries = draw(6, DIM).requires_grad_()
    candidates = draw(6 * n_columns, DIM).requires_grad_()
    ours = info_nce(
        queries, candidates, temperature=1 / 20, directions=directions, partition=partition
    )
    loss = theirs.MultipleNegativesRankingLoss(
        model,
        scale=20.0,
        directions=tuple(map(their_direction, directions)),
        partition_mode=partition,
    )
    value = their_value(loss, columns_of(queries, candidates))
    assert_same(ours, value, (queries, candidates), 1e-12)


@pytest.mark.parametrize(
    ("kind", "margin"), [("absolute", 0.0), ("absolute", 0.1), ("relative", 0.2)]
)
@pytest.mark.parametrize("both_sides", [False, True])
def test_guided_info_nce_is_their_gist_loss_of_pairs(
    draw: Draw, tiny_tokenizer_json: str, kind: MarginKind, margin: float, both_sides: bool
) -> None:
    queries, candidates = draw(9, DIM).requires_grad_(), draw(9, DIM).requires_grad_()
    guides = draw(9, 3), draw(9, 3)
    same_side: tuple[Direction, ...] = ("query_to_query", "candidate_to_candidate")
    ours = guided_info_nce(
        queries,
        candidates,
        guide_queries=guides[0],
        guide_candidates=guides[1],
        guide_margin=margin,
        guide_margin_kind=kind,
        temperature=0.1,
        directions=ONE_WAY + same_side if both_sides else ONE_WAY,
        partition="joint",
    )
    loss = theirs.GISTEmbedLoss(
        GivenVectors("vectors", DIM, tiny_tokenizer_json),
        GivenVectors("guide", 3, tiny_tokenizer_json),
        temperature=0.1,
        margin_strategy=kind,
        margin=margin,
        contrast_anchors=both_sides,
        contrast_positives=both_sides,
    )
    value = their_value(loss, columns_of(queries, candidates, guide=guides))
    assert_same(ours, value, (queries, candidates), 1e-12)
    unguided = info_nce(queries, candidates, temperature=0.1)
    assert (ours - unguided).abs().item() > 1e-3  # the guide had a say


def test_guided_info_nce_is_their_gist_loss_of_triplets(
    draw: Draw, tiny_tokenizer_json: str
) -> None:
    queries, candidates = draw(7, DIM).requires_grad_(), draw(14, DIM).requires_grad_()
    guides = draw(7, 3), draw(14, 3)
    ours = guided_info_nce(
        queries,
        candidates,
        guide_queries=guides[0],
        guide_candidates=guides[1],
        directions=("query_to_candidate", "query_to_query"),
        partition="joint",
    )
    loss = theirs.GISTEmbedLoss(
        GivenVectors("vectors", DIM, tiny_tokenizer_json),
        GivenVectors("guide", 3, tiny_tokenizer_json),
        temperature=0.05,
        contrast_positives=False,
    )
    value = their_value(loss, columns_of(queries, candidates, guide=guides))
    assert_same(ours, value, (queries, candidates), 1e-12)


def test_cosent_is_their_cosent_with_ties_among_the_scores(draw: Draw, model: GivenVectors) -> None:
    queries, candidates = draw(30, DIM).requires_grad_(), draw(30, DIM).requires_grad_()
    scores = torch.arange(30) % 6 / 5.0
    value = their_value(theirs.CoSENTLoss(model), columns_of(queries, candidates), scores)
    assert_same(cosent(queries, candidates, scores=scores), value, (queries, candidates), 1e-12)


def test_score_regression_is_their_cosine_similarity_loss(draw: Draw, model: GivenVectors) -> None:
    queries, candidates = draw(8, DIM).requires_grad_(), draw(8, DIM).requires_grad_()
    scores = torch.arange(8) / 8.0  # they make it float32
    value = their_value(theirs.CosineSimilarityLoss(model), columns_of(queries, candidates), scores)
    ours = score_regression(queries, candidates, scores=scores)
    assert_same(ours, value, (queries, candidates), 1e-12)


def test_triplet_is_their_triplet_loss_of_cosine_distances(draw: Draw, model: GivenVectors) -> None:
    queries, candidates = draw(8, DIM).requires_grad_(), draw(16, DIM).requires_grad_()
    loss = theirs.TripletLoss(model, theirs.TripletDistanceMetric.COSINE, triplet_margin=0.1)
    value = their_value(loss, columns_of(queries, candidates))
    assert_same(triplet(queries, candidates, margin=0.1), value, (queries, candidates), 1e-12)


def test_similarity_distillation_of_a_query_is_their_distill_kl_div_without_temperature_squared(
    draw: Draw, model: GivenVectors
) -> None:
    query, candidates = draw(1, DIM).requires_grad_(), draw(5, DIM).requires_grad_()
    taught = draw(1, 4), draw(5, 4)
    labels = torch.cosine_similarity(taught[0], taught[1])[None]
    from sentence_transformers.util import pairwise_cos_sim

    loss = theirs.DistillKLDivLoss(
        model,
        similarity_fct=pairwise_cos_sim,
        student_temperature=0.2,
        teacher_temperature=0.3,
    )
    value = their_value(loss, columns_of(query, candidates), labels) / 0.2**2
    ours = similarity_distillation(
        query,
        candidates,
        teacher_queries=taught[0],
        teacher_candidates=taught[1],
        temperature=0.2,
        teacher_temperature=0.3,
    )
    assert_same(ours, value, (query, candidates), 1e-12)


@pytest.mark.parametrize(
    ("ours", "metric"), [(cosine_distance, "cosine"), (mean_squared_error, "mse")]
)
def test_regression_on_vectors_is_their_embed_distill_loss(
    draw: Draw, model: GivenVectors, ours: Callable[[Tensor, Tensor], Tensor], metric: str
) -> None:
    vectors, targets = draw(6, DIM).requires_grad_(), draw(6, DIM)
    loss = theirs.EmbedDistillLoss(model, distance_metric=metric)
    value = their_value(loss, [{"vectors": vectors}], targets)
    assert_same(ours(vectors, targets), value, (vectors,), 1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_nested_info_nce_is_their_matryoshka_loss(
    draw: Draw, model: GivenVectors, dtype: torch.dtype
) -> None:
    queries = draw(20, DIM).to(dtype).requires_grad_()
    candidates = draw(40, DIM).to(dtype).requires_grad_()
    loss = theirs.MatryoshkaLoss(
        model, theirs.MultipleNegativesRankingLoss(model), [12, 8, 3], [1.0, 0.5, 2.0]
    )
    ours = matryoshka(info_nce, {3: 2.0, 8: 0.5, 12: 1.0})(queries, candidates)
    value = their_value(loss, columns_of(queries, candidates))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    assert_same(ours, value, (queries, candidates), tolerance)


def test_nested_cosent_is_their_matryoshka_loss(draw: Draw, model: GivenVectors) -> None:
    queries, candidates = draw(20, DIM).requires_grad_(), draw(20, DIM).requires_grad_()
    scores = torch.rand(20, dtype=torch.float64)
    loss = theirs.MatryoshkaLoss(model, theirs.CoSENTLoss(model), [12, 4])
    ours = matryoshka(cosent, {4: 1.0, 12: 1.0})(queries, candidates, scores=scores)
    value = their_value(loss, columns_of(queries, candidates), scores)
    assert_same(ours, value, (queries, candidates), 1e-12)
