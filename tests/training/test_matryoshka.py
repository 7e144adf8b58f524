"""Losses summed over prefixes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vecsmith.training import nested_info_nce, prefix_blocks
from vecsmith.training.losses import (
    BOTH_WAYS,
    EmbeddingLoss,
    cosent,
    drawn,
    guided_info_nce,
    info_nce,
    similarity_mse,
)
from vecsmith.training.prefixes import halved_prefixes, matryoshka


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def passes(monkeypatch: pytest.MonkeyPatch, loss: EmbeddingLoss, **tensors: Tensor) -> int:
    """How often the blocks are gone through for one value of a loss nested in three prefixes."""
    calls = []
    blocked = prefix_blocks.blocked_info_nce

    def counted(*args: object, **options: object) -> object:
        calls.append(args)
        return blocked(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(nested_info_nce, "blocked_info_nce", counted)
    matryoshka(loss, {2: 1.0, 4: 1.0, 8: 1.0})(draw(3, 8), draw(3, 8), **tensors)
    return len(calls)


def test_it_is_the_weighted_sum_over_prefixes() -> None:
    q, c, scores = draw(4, 8), draw(4, 8), torch.rand(4)
    nested = matryoshka(cosent, {4: 2.0, 8: 1.0})
    expected = 2 * cosent(q[:, :4], c[:, :4], scores=scores) + cosent(q, c, scores=scores)
    torch.testing.assert_close(nested(q, c, scores=scores), expected)


@pytest.mark.parametrize(
    "loss",
    [
        info_nce,
        partial(info_nce, temperature=0.2, directions=BOTH_WAYS),
        partial(partial(guided_info_nce, temperature=0.2), guide_margin=0.1),
    ],
)
def test_the_one_pass_form_is_the_weighted_sum_over_prefixes(loss: EmbeddingLoss) -> None:
    q, c = draw(6, 8).requires_grad_(), draw(6, 8).requires_grad_()
    guided = "guide" in repr(loss)
    tensors = {"guide_queries": draw(6, 2), "guide_candidates": draw(6, 2)} if guided else {}
    tensors |= {"query_keys": torch.arange(6) // 2, "candidate_keys": torch.arange(6)}
    weights = {8: 0.5, 2: 2.0, 5: 1.0}
    nested = matryoshka(loss, weights)(q, c, **tensors)
    plain = sum(w * loss(q[:, :d], c[:, :d], **tensors) for d, w in weights.items())
    assert isinstance(plain, Tensor)
    torch.testing.assert_close(nested, plain, rtol=1e-12, atol=1e-12)
    for mine, other in zip(
        torch.autograd.grad(nested, (q, c)), torch.autograd.grad(plain, (q, c)), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def test_info_nce_goes_through_the_batch_once_for_all_prefixes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert passes(monkeypatch, partial(info_nce, temperature=0.1)) == 1


def test_a_function_around_info_nce_is_called_for_each_prefix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert passes(monkeypatch, lambda q, c: 2 * info_nce(q, c)) == 3


def test_settings_bound_to_the_loss_count_in_the_one_pass_form() -> None:
    q, c = draw(5, 8), draw(5, 8)
    mild = matryoshka(partial(info_nce, temperature=1.0), {8: 1.0})(q, c)
    torch.testing.assert_close(mild, info_nce(q, c, temperature=1.0))


def test_a_guided_loss_without_its_guide_is_refused() -> None:
    with pytest.raises(TypeError, match="guide_"):
        matryoshka(guided_info_nce, {8: 1.0})(draw(3, 8), draw(3, 8))


def test_dimensions_outside_every_prefix_get_no_gradient() -> None:
    q = draw(3, 8).requires_grad_()
    matryoshka(info_nce, {4: 1.0})(q, draw(3, 8)).backward()  # type: ignore[no-untyped-call]
    assert q.grad is not None
    assert q.grad[:, 4:].abs().max() == 0
    assert q.grad[:, :4].abs().min() > 0


def test_teachers_are_passed_whole_to_every_prefix() -> None:
    q, c, tensors = draw(3, 8), draw(3, 8), {}
    tensors = {"teacher_queries": draw(3, 20), "teacher_candidates": draw(3, 20)}
    nested = matryoshka(similarity_mse, {2: 1.0, 8: 1.0})(q, c, **tensors)
    plain = similarity_mse(q[:, :2], c[:, :2], **tensors) + similarity_mse(q, c, **tensors)
    torch.testing.assert_close(nested, plain)


def test_nesting_in_the_full_length_alone_changes_nothing() -> None:
    q, c = draw(4, 8), draw(9, 8)
    assert torch.equal(matryoshka(info_nce, {8: 1.0})(q, c), info_nce(q, c))


@pytest.mark.parametrize("loss", [info_nce, cosent])
def test_prefixes_longer_than_the_embeddings_are_refused(loss: EmbeddingLoss) -> None:
    tensors = {} if loss is info_nce else {"scores": torch.rand(2)}
    with pytest.raises(ValueError, match=r"prefix lengths \[9\] do not fit embeddings of 8"):
        matryoshka(loss, {9: 1.0, 2: 1.0})(draw(2, 8), draw(2, 8), **tensors)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "at least one prefix length"),
        ({0: 1.0}, "prefix length 0"),
        ({4: 0.0}, r"weight 0\.0 of prefix length 4"),
        ({4: float("nan")}, "weight nan"),
        ({4: -1.0}, r"weight -1\.0"),
    ],
)
def test_weights_that_make_no_sum_are_refused(weights: dict[int, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        matryoshka(info_nce, weights)


@pytest.mark.parametrize(
    ("dim", "lengths"), [(1024, [32, 64, 128, 256, 512, 1024]), (300, [75, 150, 300]), (20, [20])]
)
def test_prefixes_are_halved_as_long_as_they_can_be(dim: int, lengths: list[int]) -> None:
    assert halved_prefixes(dim) == dict.fromkeys(lengths, 1.0)


def test_a_step_draws_prefixes_besides_those_that_always_count() -> None:
    weights = {2: 1.0, 4: 2.0, 8: 3.0, 16: 4.0}
    loss = matryoshka(info_nce, weights, n_per_step=2)
    steps = [drawn(loss, np.random.default_rng([1, step])) for step in range(900)]
    kept = [tuple(step.weights) for step in steps]  # type: ignore[attr-defined]
    assert set(kept) == {(2, 4, 16), (2, 8, 16), (4, 8, 16)}
    counts = [kept.count(choice) for choice in set(kept)]
    assert max(abs(count - 300) for count in counts) < 4 * (900 * 2 / 9) ** 0.5
    again = [drawn(loss, np.random.default_rng([1, step])) for step in range(900)]
    assert kept == [tuple(step.weights) for step in again]  # type: ignore[attr-defined]
    q, c = draw(3, 16), draw(3, 16)
    first = steps[0]
    expected = sum(weights[d] * info_nce(q[:, :d], c[:, :d]) for d in kept[0])
    torch.testing.assert_close(first(q, c), expected)


def test_what_always_counts_may_be_chosen_and_nothing_else_drawn() -> None:
    weights = {2: 1.0, 4: 2.0, 8: 3.0}
    rng = np.random.default_rng(0)
    some = matryoshka(info_nce, weights, n_per_step=0, always=[2, 8])
    assert dict(some.for_step(rng).weights) == {2: 1.0, 8: 3.0}
    one = matryoshka(info_nce, weights, n_per_step=1, always=())
    assert {len(one.for_step(rng).weights) for _ in range(20)} == {1}
    every = matryoshka(info_nce, weights)
    assert drawn(every, rng) is every
    assert drawn(info_nce, rng) is info_nce


@pytest.mark.parametrize(("options", "message"), [
    ({"n_per_step": 3}, "n_per_step is 3, expected 0 to 2"),
    ({"n_per_step": 0, "always": ()}, "n_per_step is 0, expected 1 to 3"),
    ({"n_per_step": 1, "always": [5]}, r"always \[5\], expected some of"),
    ({"always": [8]}, "without n_per_step"),
])  # fmt: skip
def test_draws_that_cannot_be_made_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        matryoshka(info_nce, {2: 1.0, 4: 1.0, 8: 1.0}, **options)
