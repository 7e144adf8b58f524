"""AdamW over the rows that a batch touched.

One rule: a row nobody touched costs nothing. What time would have done to it is made up for when it
is wanted next.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vecsmith.training import _kernels
from vecsmith.training.bag import Bag
from vecsmith.training.token_table import RowGradients, TokenTable, copy_state

Absent = Literal["wait", "drift"]
_GONE = 1e-8  # of a momentum; what is left of it moves nothing


class RowAdam:
    """AdamW (Loshchilov and Hutter, 2019) with one clock for each row.

    When all rows are touched in every step it is `torch.optim.AdamW`. A row that was absent for k
    steps finds its moments decayed by `beta ** k`, exactly as if k zero gradients had come, and
    bias correction counts all steps. What absence does to the row itself is a choice:

    - "wait": nothing. The dense form goes on moving it by what is left of its momentum, about ten
      times as far as the one step did, and by weight decay.
    - "drift": the same as in the dense form. The steps are made up for by `catch_up`, to be called
      with the batch's bags before they are embedded; `settled` is the table with all rows where
      they belong. To some 1e-5 of the way this is `torch.optim.AdamW`.
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
        absent: Absent = "wait",
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
            absent: Whether rows that no gradient came for wait or drift.

        Raises:
            ValueError: If a setting is out of range.
        """
        _check(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, clip_norm=clip_norm)
        if absent not in ("wait", "drift"):
            raise ValueError(f"absent is {absent!r}, expected 'wait' or 'drift'")
        self.absent = absent
        self.table = table
        self.lr, self.betas, self.eps = lr, betas, eps
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        self.n_steps = 0
        self._first = torch.zeros_like(table.rows)
        self._second = torch.zeros_like(table.rows)
        self._touched = torch.zeros(table.n_tokens, dtype=torch.int64, device=table.rows.device)
        weights = table.token_weights
        self._weight_moments = None if weights is None else torch.zeros(2, len(weights)).to(weights)
        self._moved = torch.zeros_like(self._touched)  # the step whose values a row has
        self._rates: list[float] = []  # of all steps, where rows drift

    def catch_up(self, bags: Iterable[Bag]) -> None:
        """Moves the rows of `bags` by the steps they were absent from, if rows drift.

        Raises:
            IndexError: If a token has no row.
        """
        if self.absent == "wait" or not self.n_steps:
            return
        wanted = np.zeros(self.table.n_tokens, dtype=np.bool_)
        for bag in bags:
            wanted[bag.ids] = True
        ids = torch.from_numpy(np.flatnonzero(wanted)).to(self._moved.device)
        self._drift(self.table, ids)
        self._moved[ids] = self.n_steps

    def settled(self) -> TokenTable:
        """The table with all rows where they are now: a copy if rows drift, else the table."""
        if self.absent == "wait":
            return self.table
        weights = self.table.token_weights
        copied = TokenTable(self.table.rows.clone(), None if weights is None else weights.clone())
        self._drift(copied, torch.arange(copied.n_tokens, device=self._moved.device))
        return copied

    def _drift(self, table: TokenTable, ids: Tensor) -> None:
        """Moves rows of `table` from `_moved` to now."""
        drift = _kernels.drift_rows if _kernels.runs_here(table.rows) else plain_drift
        rates = torch.tensor(self._rates, dtype=torch.float64)
        parts: list[tuple[Tensor, Tensor, Tensor, float]] = [
            (table.rows, self._first, self._second, self.weight_decay)
        ]
        if table.token_weights is not None and self._weight_moments is not None:
            parts.append((table.token_weights, *self._weight_moments, 0.0))
        for values, first, second, weight_decay in parts:
            shape = (len(values), -1)
            drift(
                values.view(shape),
                (first.view(shape), second.view(shape)),
                ids,
                self._touched,
                self._moved,
                rates,
                betas=self.betas,
                eps=self.eps,
                weight_decay=weight_decay,
            )

    def step(self, gradients: RowGradients, lr: float | None = None) -> float:
        """Moves the touched rows and returns the gradient's length before clipping.

        Rows that drift and were not caught up with before are now.

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
        lr = self.lr if lr is None else lr
        if self.absent == "drift":
            self._drift(self.table, gradients.ids)
            self._rates.append(lr)
            self._moved[gradients.ids] = self.n_steps + 1
        self.n_steps += 1
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
        state = self._fixed_state()
        if self.absent == "drift":
            state["rates"] = torch.tensor(self._rates, dtype=torch.float64)
        return state

    def _fixed_state(self) -> dict[str, Tensor]:
        """The tensors whose shape the table decides."""
        state = {
            "first_moment": self._first,
            "second_moment": self._second,
            "last_touched": self._touched,
            "n_steps": torch.tensor(self.n_steps),
        }
        if self._weight_moments is not None:
            state["weight_moments"] = self._weight_moments
        if self.absent == "drift":
            state["last_moved"] = self._moved
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes over the numbers of `state_tensors`.

        Raises:
            ValueError: If a tensor is missing or of another shape.
        """
        copy_state(self._fixed_state(), state)
        self.n_steps = int(state["n_steps"])
        if self.absent == "drift":
            rates = state.get("rates")
            if rates is None or rates.shape != (self.n_steps,):
                shape = "missing" if rates is None else f"of shape {list(rates.shape)}"
                raise ValueError(f"saved rates is {shape}, expected shape [{self.n_steps}]")
            self._rates = rates.tolist()


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


def plain_drift(
    values: Tensor,
    moments: tuple[Tensor, Tensor],
    ids: Tensor,
    touched: Tensor,
    moved: Tensor,
    rates: Tensor,
    *,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Moves the rows `ids` [U] of `values` [V, D] step by step, on any device: the specification.

    Args:
        values: What is trained, as it was after step `moved`.
        moments: The first and the second as they were after step `touched`, [V, D] each.
        ids: Rows to move, each once.
        touched: The step of each row's moments, [V].
        moved: The step of each row's values, [V].
        rates: Learning rate of each step so far, float64, on CPU.
        betas: Decay of the moments for each step.
        eps: Added to the root of the second moment.
        weight_decay: Share taken off, times the learning rate.
    """
    first, second = (moment[ids] for moment in moments)
    rows, since, done = values[ids], touched[ids], moved[ids]
    n_steps = len(rates)
    last = done.clone()
    if weight_decay == 0.0:  # once its momentum is gone a row stays
        last += math.ceil(math.log(_GONE) / math.log(betas[0])) if betas[0] > 0.0 else 0
    for step in range(int(done.min()) + 1 if len(ids) else 1, n_steps + 1):
        moving = (done < step) & ((step <= last) | (weight_decay > 0.0))
        if not moving.any():
            continue
        rate = float(rates[step - 1])
        gone = (step - since[moving]).double()
        faded1, faded2 = (torch.pow(beta, gone).to(rows)[:, None] for beta in betas)
        correction1, correction2 = (1.0 - beta**step for beta in betas)
        root = (second[moving] * faded2).sqrt() / math.sqrt(correction2)
        change = first[moving] * faded1 / (root + eps)
        rows[moving] = rows[moving] * (1.0 - rate * weight_decay) - change * (rate / correction1)
    values[ids] = rows


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
