"""Heads on prefixes, trained with torch, beside those fitted on frozen embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vecsmith.classification import LinearHeads, fit_heads
from vecsmith.classification.heads import HeadKind, Scaling
from vecsmith.classification.objective import Objective
from vecsmith.classification.targets import make_targets
from vecsmith.training.heads import (
    PrefixHeads,
    prefix_binary_cross_entropy,
    prefix_cross_entropy,
)

DIMS = (3, 8)
both = pytest.mark.parametrize("tied", [True, False])
scaled = pytest.mark.parametrize("scaling", ["none", "normalize"])


def rows(n_rows: int = 60, n_classes: int = 4) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(5)
    labels = torch.arange(n_rows) % n_classes
    centers = torch.randn(n_classes, 8, generator=drawn, dtype=torch.float64)
    return centers[labels] + torch.randn(n_rows, 8, generator=drawn).double(), labels


def squares(heads: PrefixHeads) -> Tensor:
    return torch.stack([p.square().sum() for p in heads.parameters() if p.ndim == 2]).sum()


def logits_of(heads: LinearHeads, x: Tensor, dim: int) -> Tensor:
    return torch.from_numpy(heads.logits(x.numpy(), dim))


@both
@scaled
def test_torch_heads_and_plain_ones_give_equal_logits(tied: bool, scaling: Scaling) -> None:
    x = rows()[0].float()
    heads = PrefixHeads([8, 3], 4, tied=tied, scaling=scaling)
    plain = heads.to_linear(["a", "b", "c", "d"])
    assert plain.dims == DIMS
    for dim, logits in heads(x).items():
        torch.testing.assert_close(logits, logits_of(plain, x, dim), atol=1e-6, rtol=1e-6)


@both
@scaled
def test_fitted_heads_go_to_torch_and_back_unchanged(tied: bool, scaling: Scaling) -> None:
    x, y = rows()
    fitted = fit_heads(x.numpy(), y.numpy(), dims=DIMS, tied=tied, scaling=scaling)
    heads = PrefixHeads.from_linear(fitted)
    for dim, logits in heads.double()(x).items():
        torch.testing.assert_close(logits, logits_of(fitted, x, dim), atol=1e-6, rtol=1e-6)
    back = heads.float().to_linear(kind=fitted.kind)
    np.testing.assert_array_equal(back.weights, fitted.weights)
    np.testing.assert_array_equal(back.biases, fitted.biases)


@both
@scaled
@pytest.mark.parametrize("kind", ["softmax", "multilabel"])
def test_fitted_heads_are_where_the_torch_loss_has_no_slope(
    tied: bool, scaling: Scaling, kind: HeadKind
) -> None:
    x, y = rows()
    weights = {3: 2.0, 8: 0.5}
    importance = torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64)
    present = torch.arange(60)[:, None] % (y[:4] + 2) == 0
    fitted = fit_heads(
        x.numpy(), (y if kind == "softmax" else present).numpy(), dims=DIMS, tied=tied,
        weights=weights, strength=3.0, class_weight=dict(enumerate(importance.tolist())),
        scaling=scaling, kind=kind, tol=1e-9,
    )  # fmt: skip
    heads = PrefixHeads.from_linear(fitted).double()
    if kind == "softmax":
        mean = prefix_cross_entropy(heads(x), y, weights, class_weight=importance)
        total = mean * importance[y].sum()
    else:
        total = 60 * prefix_binary_cross_entropy(
            heads(x), present, weights, positive_weight=importance
        )
    (3.0 * total + squares(heads) / 2).backward()  # type: ignore[no-untyped-call]
    slopes = [p.grad for p in heads.parameters()]
    # weights are kept in float32
    assert max(float(slope.abs().max()) for slope in slopes if slope is not None) < 2e-4


@scaled
def test_the_slope_of_the_tied_objective_is_that_of_autograd(scaling: Scaling) -> None:
    x, y = rows()
    weights = {3: 2.0, 5: 1.0, 8: 0.5}
    _, targets = make_targets(
        y.numpy(), 60, kind="softmax", classes=None, class_weight=None, sample_weight=None
    )
    at = torch.randn(4, 9, generator=torch.Generator().manual_seed(1)).double()
    value, slope = Objective(x.numpy(), targets, weights, scaling=scaling)(at.numpy())
    heads = PrefixHeads([3, 5, 8], 4, tied=True, scaling=scaling).double()
    parameters = dict(heads.named_parameters())
    with torch.no_grad():
        parameters["heads.0.weight"].copy_(at[:, :-1])
        parameters["heads.0.bias"].copy_(at[:, -1])
    loss = 60 * prefix_cross_entropy(heads(x), y, weights) + squares(heads) / 2
    loss.backward()  # type: ignore[no-untyped-call]
    size = 60 * sum(weights.values())
    assert value * size == pytest.approx(loss.item(), rel=1e-12)
    weight, bias = parameters["heads.0.weight"].grad, parameters["heads.0.bias"].grad
    assert weight is not None
    assert bias is not None
    expected = torch.cat([weight, bias[:, None]], dim=1)
    torch.testing.assert_close(torch.from_numpy(slope).view(4, 9) * size, expected)


@both
def test_gradients_reach_the_encoder_right_to_the_last_digit(tied: bool) -> None:
    heads = PrefixHeads([2, 4], 3, tied=tied, scaling="normalize").double()
    vectors = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 1, 0])
    assert torch.autograd.gradcheck(
        lambda v: prefix_cross_entropy(heads(v), labels, {2: 1.0, 4: 3.0}), (vectors,)
    )


def test_the_loss_is_the_weighted_sum_of_the_losses_of_prefixes() -> None:
    logits = {2: torch.tensor([[0.0, 0.0]]), 4: torch.tensor([[3.0, 0.0]])}
    loss = prefix_cross_entropy(logits, torch.tensor([0]), {2: 2.0, 4: 10.0})
    by_hand = 2 * np.log(2) + 10 * np.log(1 + np.exp(-3))
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


def test_tied_heads_hold_as_many_numbers_as_the_longest() -> None:
    def count(heads: PrefixHeads) -> int:
        return sum(p.numel() for p in heads.parameters())

    assert count(PrefixHeads(DIMS, 4, tied=True)) == 4 * 8 + 4
    assert count(PrefixHeads(DIMS, 4)) == 4 * 8 + 4 + 4 * 3 + 4


def test_heads_without_bias_score_zeros_as_zero() -> None:
    heads = PrefixHeads(DIMS, 4, bias=False)
    assert not heads(torch.zeros(1, 8))[3].any()
    assert not heads.to_linear().biases.any()


def test_state_goes_through_a_state_dict() -> None:
    heads, other = PrefixHeads(DIMS, 4), PrefixHeads(DIMS, 4)
    other.load_state_dict(heads.state_dict())
    x = rows()[0].float()
    assert torch.equal(heads(x)[3], other(x)[3])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PrefixHeads([], 2), "dims are"),
        (lambda: PrefixHeads([4, 4], 2), "dims are"),
        (lambda: PrefixHeads([0, 4], 2), "dims are"),
        (lambda: PrefixHeads([4], 0), "n_classes is 0"),
        (lambda: PrefixHeads([4], 2, scaling="unit"), "scaling is 'unit'"),  # type: ignore[arg-type]
        (lambda: PrefixHeads([4], 2)(torch.zeros(1, 3)), "embeddings have 3 dimensions"),
        (
            lambda: prefix_cross_entropy({2: torch.zeros(1, 2)}, torch.tensor([0]), {4: 1.0}),
            r"weights are for dims \[4\], expected \[2\]",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(build: object, message: str) -> None:
    assert callable(build)
    with pytest.raises(ValueError, match=message):
        build()
