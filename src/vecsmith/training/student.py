"""What is trained, and one step of it: embed, loss, gradients, rows.

One rule: everything a step depends on is in `state_tensors` and `record`, so that a student put
together again from them goes on to the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vecsmith.errors import RunFailed
from vecsmith.training.bag import Bag
from vecsmith.training.batching import Batch
from vecsmith.training.loop import StepResult
from vecsmith.training.loss_tensors import QUERY, loss_tensors
from vecsmith.training.losses import EmbeddingLoss
from vecsmith.training.optimizer import Ema, RowAdam
from vecsmith.training.settings import TrainSettings
from vecsmith.training.teacher_vectors import TeacherVectors
from vecsmith.training.token_table import TokenTable, drop_tokens


class Student:
    """A table with its optimiser, its average and its dice."""

    def __init__(
        self, table: TokenTable, settings: TrainSettings, *, vectors: TeacherVectors | None = None
    ) -> None:
        """Takes a table, which it changes.

        Args:
            table: What is trained.
            settings: Of the optimiser, the average and the dropout.
            vectors: A teacher's vectors of all texts, for losses that ask for them.
        """
        self.table = table
        self._settings = settings
        self._vectors = vectors
        self._optimizer = RowAdam(
            table,
            lr=settings.lr,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm or None,
        )
        self._ema = Ema(table, decay=settings.ema) if settings.ema else None
        self._dice = np.random.default_rng([settings.seed, 0x64726F70])

    def step(self, batch: Batch, loss: EmbeddingLoss, lr: float) -> StepResult:
        """Moves the rows that `batch` touches against the gradient of `loss`.

        Raises:
            RunFailed: If the loss or the gradient is not finite; the rows are as before then.
        """
        bags = {role: self._thinned(bag) for role, bag in batch.columns.items()}
        leaves = {role: self.table.embed(bag).requires_grad_() for role, bag in bags.items()}
        others = [role for role in leaves if role != QUERY]
        candidates = _stacked([leaves[role] for role in others])
        tensors = loss_tensors(batch, loss, self._vectors, self.table.rows.device)
        with self._precision():
            value = loss(leaves[QUERY], candidates, **tensors)
        if not torch.isfinite(value):
            raise RunFailed(f"the loss is {value.item()}, expected a number: lower the rate")
        value.backward()  # type: ignore[no-untyped-call]
        pairs = [(bags[role], leaf.grad) for role, leaf in leaves.items() if leaf.grad is not None]
        gradients = self.table.gradients(pairs)
        if self._ema is not None:
            self._ema.before_step(gradients.ids)
        try:
            length = self._optimizer.step(gradients, lr)
        except FloatingPointError as error:
            raise RunFailed(str(error)) from error
        return StepResult(loss=float(value.detach()), gradient=length)

    def weights(self) -> TokenTable:
        """What becomes the model: the average where there is one, else the table itself."""
        return self.table if self._ema is None else self._ema.average()

    def model_tensors(self) -> dict[str, Tensor]:
        """The tensors of `weights`, by name."""
        return self.weights().state_tensors()

    def state_tensors(self) -> dict[str, Tensor]:
        """All tensors that the next steps depend on, by name."""
        state = {f"table.{name}": value for name, value in self.table.state_tensors().items()}
        state |= {f"adam.{name}": value for name, value in self._optimizer.state_tensors().items()}
        if self._ema is not None:
            state |= {f"ema.{name}": value for name, value in self._ema.state_tensors().items()}
        return state

    def record(self) -> dict[str, Any]:
        """The rest of what they depend on, as JSON."""
        return {"dice": self._dice.bit_generator.state}

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Takes over what `state_tensors` and `record` gave.

        Raises:
            ValueError: If something is missing or of another shape.
        """
        self.table.restore(_part(tensors, "table."))
        self._optimizer.restore(_part(tensors, "adam."))
        if self._ema is not None:
            self._ema.restore(_part(tensors, "ema."))
        self._dice.bit_generator.state = record["dice"]

    def _thinned(self, bag: Bag) -> Bag:
        rate = self._settings.token_dropout
        return drop_tokens(bag, rate, self._dice) if rate else bag

    def _precision(self) -> torch.autocast:
        kind = self.table.rows.device.type
        enabled = self._settings.precision == "bfloat16"
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=enabled)


def _stacked(columns: list[Tensor]) -> Tensor:
    """The columns' rows after one another; a single column as it is, which saves a copy."""
    return columns[0] if len(columns) == 1 else torch.cat(columns)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
