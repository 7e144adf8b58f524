"""AdamW over the rows that a batch touched, and a running average of them.

One rule: a row nobody touched costs nothing. What time would have done to it is made up for when it
is touched next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vecsmith.training import _kernels
from vecsmith.training.token_table import RowGradients, TokenTable, copy_state


class RowAdam:
    """AdamW (Loshchilov and Hutter, 2019) with one clock for each row.

    When all rows are touched in every step it is `torch.optim.AdamW`. A row that was absent for k
    steps finds its moments decayed by `beta ** k`, exactly as if k zero gradients had come; but
    in those steps it was not moved, neither by what was left of its momentum nor by weight decay,
    where the dense form goes on moving it. Bias correction counts all steps, as in the dense form.
    """

    def __init__(
        self,
        table: TokenTable,
        *,
        lr: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
    ) -> None:
        """Starts with empty moments.

        Args:
            table: What is trained; its tensors are changed in place.
            lr: Learning rate of steps that name none.
            betas: Decay of the first and of the second moment.
            eps: Added to the root of the second moment.
            weight_decay: Share of a touched row that is taken off, times the learning rate; token
                weights are not decayed.
            clip_norm: Longest gradient of a batch, over all rows together; longer ones are scaled
                down to it. None for no limit.

        Raises:
            ValueError: If a setting is out of range.
        """
        _check(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, clip_norm=clip_norm)
        self.table = table
        self.lr, self.betas, self.eps = lr, betas, eps
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        self.n_steps = 0
        self._first = torch.zeros_like(table.rows)
        self._second = torch.zeros_like(table.rows)
        self._touched = torch.zeros(table.n_tokens, dtype=torch.int64, device=table.rows.device)
        weights = table.token_weights
        self._weight_moments = None if weights is None else torch.zeros(2, len(weights)).to(weights)

    def step(self, gradients: RowGradients, lr: float | None = None) -> float:
        """Moves the touched rows and returns the gradient's length before clipping.

        Args:
            gradients: Of this table, from `TokenTable.gradients`.
            lr: Learning rate of this step; the optimiser's own if None.

        Raises:
            FloatingPointError: If the gradient is not finite; nothing is changed then.
        """
        norm = gradients.norm()
        if not math.isfinite(norm):
            raise FloatingPointError(
                f"the gradient's length is {norm} in step {self.n_steps}: lower the learning rate "
                "or raise the temperature"
            )
        scale = 1.0
        if self.clip_norm is not None and norm > self.clip_norm:
            scale = self.clip_norm / norm
        self.n_steps += 1
        lr = self.lr if lr is None else lr
        rows, first, second = self.table.rows, self._first, self._second
        self._move(rows, first, second, gradients, gradients.rows, lr, scale, self.weight_decay)
        weights = self.table.token_weights
        if weights is not None and self._weight_moments is not None:
            assert gradients.weights is not None
            first, second = self._weight_moments
            self._move(weights, first, second, gradients, gradients.weights, lr, scale, 0.0)
        self._touched[gradients.ids] = self.n_steps
        return norm

    def _move(
        self,
        values: Tensor,
        first: Tensor,
        second: Tensor,
        gradients: RowGradients,
        gradient: Tensor,
        lr: float,
        scale: float,
        weight_decay: float,
    ) -> None:
        """Moves the touched rows of `values`, [V, D] or [V]."""
        move = _kernels.adam_rows if _kernels.runs_here(values, gradient) else plain_adam
        shape = (len(values), -1)
        move(
            values.view(shape),
            (first.view(shape), second.view(shape)),
            gradients.ids,
            gradient.reshape(len(gradient), values[:1].numel()),
            self._touched,
            betas=self.betas,
            eps=self.eps,
            lr=lr,
            weight_decay=weight_decay,
            scale=scale,
            step=self.n_steps,
        )

    def state_tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps beside the table: moments, clocks and the count of steps."""
        state = {
            "first_moment": self._first,
            "second_moment": self._second,
            "last_touched": self._touched,
            "n_steps": torch.tensor(self.n_steps),
        }
        if self._weight_moments is not None:
            state["weight_moments"] = self._weight_moments
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes over the numbers of `state_tensors`.

        Raises:
            ValueError: If a tensor is missing or of another shape.
        """
        copy_state(self.state_tensors(), state)
        self.n_steps = int(state["n_steps"])


def plain_adam(
    values: Tensor,
    moments: tuple[Tensor, Tensor],
    ids: Tensor,
    gradients: Tensor,
    touched: Tensor,
    *,
    betas: tuple[float, float],
    eps: float,
    lr: float,
    weight_decay: float,
    scale: float,
    step: int,
) -> None:
    """Moves the rows `ids` [U] of `values` [V, D], on any device: the specification.

    Args:
        values: What is trained.
        moments: The first and the second, [V, D] each.
        ids: Rows to move, each once.
        gradients: Of these rows, [U, D].
        touched: The step in which each row was moved last, 0 for never, [V].
        betas: Decay of the moments for each step.
        eps: Added to the root of the second moment.
        lr: Learning rate.
        weight_decay: Share taken off, times the learning rate.
        scale: Factor of the gradients.
        step: Number of this step, from 1.
    """
    absent = (step - touched[ids]).double()
    faded1, faded2 = (torch.pow(beta, absent).to(gradients)[:, None] for beta in betas)
    correction1, correction2 = (1.0 - beta**step for beta in betas)
    first, second = moments
    gradient = gradients * scale
    m = first[ids] * faded1 + gradient * (1.0 - betas[0])
    v = second[ids] * faded2 + gradient.square() * (1.0 - betas[1])
    first[ids], second[ids] = m, v
    change = m / (v.sqrt() / math.sqrt(correction2) + eps)
    values[ids] = values[ids] * (1.0 - lr * weight_decay) - change * (lr / correction1)


class Ema:
    """Exponential moving average of a table over the steps, exact, at the cost of touched rows.

    After each step the average is `decay * average + (1 - decay) * row`. A row that stays as it is
    for k steps draws its average nearer by `decay ** k`, so that is done only before it moves.
    """

    def __init__(self, table: TokenTable, *, decay: float) -> None:
        """Starts at the table as it is.

        Raises:
            ValueError: If `decay` is not in [0, 1).
        """
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay of the average is {decay}, expected at least 0 and below 1")
        self.table, self.decay = table, decay
        self.n_steps = 0
        self._averages = {name: value.clone() for name, value in table.state_tensors().items()}
        self._seen = torch.zeros(table.n_tokens, dtype=torch.int64, device=table.rows.device)

    def before_step(self, ids: Tensor) -> None:
        """To be called right before each step of the optimiser with the rows it will move."""
        self._catch_up(ids)
        self.n_steps += 1

    def average(self) -> TokenTable:
        """The average after the last step, as a table of its own."""
        self._catch_up(torch.arange(self.table.n_tokens, device=self._seen.device))
        weights = self._averages.get("token_weights")
        return TokenTable(
            self._averages["rows"].clone(), None if weights is None else weights.clone()
        )

    def _catch_up(self, ids: Tensor) -> None:
        missed = (self.n_steps - self._seen[ids]).cpu()
        left = torch.pow(torch.tensor(self.decay, dtype=torch.float64), missed)
        for name, value in self.table.state_tensors().items():
            average = self._averages[name]
            share = left.to(value).view((-1,) + (1,) * (value.ndim - 1))
            average[ids] = value[ids] + (average[ids] - value[ids]) * share
        self._seen[ids] = self.n_steps

    def state_tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: the averages, clocks and the count of steps."""
        averages = {f"average_{name}": value for name, value in self._averages.items()}
        return {**averages, "last_seen": self._seen, "n_steps": torch.tensor(self.n_steps)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes over the numbers of `state_tensors`.

        Raises:
            ValueError: If a tensor is missing or of another shape.
        """
        copy_state(self.state_tensors(), state)
        self.n_steps = int(state["n_steps"])


def _check(
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    clip_norm: float | None,
) -> None:
    if not (math.isfinite(lr) and lr >= 0.0):
        raise ValueError(f"learning rate is {lr}, expected a number of at least 0")
    if not all(0.0 <= beta < 1.0 for beta in betas):
        raise ValueError(f"betas are {betas}, expected numbers of at least 0 and below 1")
    if eps <= 0.0 or weight_decay < 0.0:
        raise ValueError(f"eps is {eps} and weight_decay {weight_decay}, expected > 0 and >= 0")
    if clip_norm is not None and not clip_norm > 0.0:
        raise ValueError(f"clip_norm is {clip_norm}, expected a number above 0, or None")
