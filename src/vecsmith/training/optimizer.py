"""AdamW over the rows that a batch touched, and a running average of them.

One rule: a row nobody touched costs nothing. What time would have done to it is made up for when it
is touched next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

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
        self._plain_step(gradients, self.lr if lr is None else lr, scale)
        return norm

    def _plain_step(self, gradients: RowGradients, lr: float, scale: float) -> None:
        """The specification, in torch's operations on any device."""
        ids = gradients.ids
        absent = self.n_steps - self._touched[ids]
        self._touched[ids] = self.n_steps
        beta1, beta2 = self.betas
        faded1, faded2 = (
            torch.pow(torch.tensor(beta, dtype=torch.float64), absent.cpu()).to(gradients.rows)
            for beta in self.betas
        )
        correction1 = 1.0 - beta1**self.n_steps
        correction2 = math.sqrt(1.0 - beta2**self.n_steps)

        def moved(
            values: Tensor, first: Tensor, second: Tensor, gradient: Tensor, decay: float
        ) -> None:
            shape = (-1,) + (1,) * (gradient.ndim - 1)
            gradient = gradient * scale
            m = first[ids] * faded1.view(shape) + gradient * (1.0 - beta1)
            v = second[ids] * faded2.view(shape) + gradient.square() * (1.0 - beta2)
            first[ids], second[ids] = m, v
            change = m / (v.sqrt() / correction2 + self.eps)
            values[ids] = values[ids] * (1.0 - lr * decay) - change * (lr / correction1)

        moved(self.table.rows, self._first, self._second, gradients.rows, self.weight_decay)
        if self._weight_moments is not None:
            assert self.table.token_weights is not None
            assert gradients.weights is not None
            first, second = self._weight_moments
            moved(self.table.token_weights, first, second, gradients.weights, 0.0)

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
