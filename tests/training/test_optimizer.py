"""AdamW over touched rows and the running average, against torch's own and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vecsmith.training.optimizer import Ema, RowAdam
from vecsmith.training.token_table import RowGradients, TokenTable


def some_gradients(
    rng: np.random.Generator, ids: list[int], dim: int, *, weighted: bool = False
) -> RowGradients:
    rows = torch.from_numpy(rng.standard_normal((len(ids), dim), dtype=np.float32))
    weights = torch.from_numpy(rng.standard_normal(len(ids), dtype=np.float32))
    squares = rows.double().square().sum(1)
    if weighted:
        squares += weights.double().square()
    return RowGradients(
        ids=torch.tensor(ids, dtype=torch.int64),
        rows=rows,
        weights=weights if weighted else None,
        squares=squares,
    )


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_when_all_rows_are_touched_it_is_torchs_adamw(
    clip_norm: float | None, weight_decay: float
) -> None:
    rng = np.random.default_rng(0)
    start, weights = torch.randn(6, 19), torch.rand(6)
    table = TokenTable(start.clone(), weights.clone())
    adam = RowAdam(table, lr=0.05, weight_decay=weight_decay, clip_norm=clip_norm)
    rows, factors = start.clone().requires_grad_(), weights.clone().requires_grad_()
    groups = [
        {"params": [rows], "weight_decay": weight_decay},
        {"params": [factors], "weight_decay": 0.0},
    ]
    peer = torch.optim.AdamW(groups, lr=0.05)
    for step in range(30):
        gradients = some_gradients(rng, list(range(6)), 19, weighted=True)
        rows.grad, factors.grad = gradients.rows.clone(), gradients.weights
        assert factors.grad is not None
        factors.grad = factors.grad.clone()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([rows, factors], clip_norm)
        for group in peer.param_groups:
            group["lr"] = 0.05 / (1 + step)
        peer.step()
        adam.step(gradients, lr=0.05 / (1 + step))
    np.testing.assert_allclose(table.rows.numpy(), rows.detach().numpy(), atol=2e-6)
    assert table.token_weights is not None
    np.testing.assert_allclose(table.token_weights.numpy(), factors.detach().numpy(), atol=2e-6)


def test_an_absent_row_stays_and_its_moments_decay_as_with_zero_gradients() -> None:
    rng = np.random.default_rng(1)
    table = TokenTable(torch.randn(3, 5))
    adam = RowAdam(table, lr=0.1)
    rows = table.rows.clone().requires_grad_()
    peer = torch.optim.AdamW([rows], lr=0.1, weight_decay=0.0)
    for step in range(8):
        touched = [0, 1, 2] if step in (0, 7) else [1]
        gradients = some_gradients(rng, touched, 5)
        before = table.rows.clone()
        adam.step(gradients)
        for row in {0, 1, 2} - set(touched):
            assert torch.equal(table.rows[row], before[row])
        rows.grad = torch.zeros(3, 5)
        rows.grad[touched] = gradients.rows
        peer.step()
    state = peer.state[rows]
    moments = adam.state_tensors()
    np.testing.assert_allclose(moments["first_moment"], state["exp_avg"], atol=1e-6)
    np.testing.assert_allclose(moments["second_moment"], state["exp_avg_sq"], atol=1e-6)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    table = TokenTable(torch.randn(3, 5))
    adam = RowAdam(table)
    before = table.rows.clone()
    gradients = some_gradients(rng, [0, 2], 5)
    gradients.squares[1] = float("nan")
    with pytest.raises(FloatingPointError, match="gradient's length is nan in step 0"):
        adam.step(gradients)
    assert torch.equal(table.rows, before)
    assert adam.n_steps == 0


def test_a_restored_optimiser_goes_on_bit_for_bit() -> None:
    def run(stop: int | None) -> Tensor:
        rng = np.random.default_rng(3)
        table = TokenTable(torch.ones(4, 6), torch.ones(4))
        adam, ema = RowAdam(table, clip_norm=2.0), Ema(table, decay=0.9)
        for step in range(10):
            ids = sorted({int(i) for i in rng.integers(0, 4, 3)})
            gradients = some_gradients(rng, ids, 6, weighted=True)
            if step == stop:
                kept = [
                    {name: value.clone() for name, value in part.state_tensors().items()}
                    for part in (table, adam, ema)
                ]
                table = TokenTable(torch.zeros(4, 6), torch.zeros(4))
                adam, ema = RowAdam(table, clip_norm=2.0), Ema(table, decay=0.9)
                table.restore(kept[0])
                adam.restore(kept[1])
                ema.restore(kept[2])
            ema.before_step(gradients.ids)
            adam.step(gradients)
        return torch.cat([table.rows, ema.average().rows])

    assert torch.equal(run(None), run(6))


def test_settings_out_of_range_are_refused() -> None:
    table = TokenTable(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="learning rate is nan"):
        RowAdam(table, lr=float("nan"))
    with pytest.raises(ValueError, match="betas"):
        RowAdam(table, betas=(0.9, 1.0))
    with pytest.raises(ValueError, match="eps"):
        RowAdam(table, eps=0.0)
    with pytest.raises(ValueError, match="clip_norm"):
        RowAdam(table, clip_norm=0.0)
    with pytest.raises(ValueError, match="decay of the average is 1"):
        Ema(table, decay=1.0)


def test_the_lazy_average_is_the_one_over_all_steps() -> None:
    rng = np.random.default_rng(5)
    table = TokenTable(torch.randn(5, 3))
    adam, ema = RowAdam(table, lr=0.3), Ema(table, decay=0.8)
    expected = table.rows.double().clone()
    for _ in range(25):
        ids = sorted({int(i) for i in rng.integers(0, 5, 2)})
        gradients = some_gradients(rng, ids, 3)
        ema.before_step(gradients.ids)
        adam.step(gradients)
        expected = 0.8 * expected + 0.2 * table.rows.double()
    np.testing.assert_allclose(ema.average().rows.numpy(), expected.numpy(), atol=2e-6)
    # asking twice is asking once
    np.testing.assert_allclose(ema.average().rows.numpy(), expected.numpy(), atol=2e-6)
