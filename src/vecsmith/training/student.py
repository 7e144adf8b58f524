"""What is trained, and one step of it: embed, loss, gradients, rows.

One rule: everything a step depends on is in `state_tensors` and `record`, so that a student put
together again from them goes on to the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from vecsmith.errors import RunFailed
from vecsmith.training.bag import Bag, Keys
from vecsmith.training.batching import Batch
from vecsmith.training.losses import EmbeddingLoss, needs
from vecsmith.training.optimizer import Ema, RowAdam
from vecsmith.training.settings import TrainSettings
from vecsmith.training.teacher_vectors import Side, TeacherVectors
from vecsmith.training.token_table import TokenTable, drop_tokens

_QUERY: Final = "anchor"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step came to: the loss before it, and the gradient's length."""

    loss: float
    gradient: float


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
        others = [role for role in leaves if role != _QUERY]
        candidates = _stacked([leaves[role] for role in others])
        tensors = self._tensors(batch, others, needs(loss))
        with self._precision():
            value = loss(leaves[_QUERY], candidates, **tensors)
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

    def _tensors(
        self, batch: Batch, others: list[str], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """The tensors beside the vectors that a loss asks for."""
        tensors: dict[str, Tensor] = {}
        device = self.table.rows.device
        query_keys = batch.keys[_QUERY]
        candidate_keys = np.concatenate([batch.keys[role] for role in others])
        for name, keys in (("query", query_keys), ("candidate", candidate_keys)):
            if f"{name}_keys" in wanted:
                tensors[f"{name}_keys"] = torch.from_numpy(keys.view(np.int64)).to(device)
        tensors |= self._taught(wanted, query_keys, candidate_keys)
        if "scores" in wanted and batch.scores is not None:
            tensors["scores"] = torch.from_numpy(np.array(batch.scores)).to(device)
        return tensors

    def _taught(
        self, wanted: frozenset[str], query_keys: Keys, candidate_keys: Keys
    ) -> dict[str, Tensor]:
        """A teacher's vectors of the same texts, as guides or to be imitated."""
        if self._vectors is None:
            return {}
        tensors: dict[str, Tensor] = {}
        sides: tuple[tuple[str, Side, Keys], ...] = (
            ("queries", "query", query_keys),
            ("candidates", "document", candidate_keys),
        )
        for name, side, keys in sides:
            asked = [f"{kind}_{name}" for kind in ("guide", "teacher")]
            asked = [each for each in asked if each in wanted]
            if asked:
                vectors = torch.from_numpy(self._vectors.of(keys, side))
                tensors |= dict.fromkeys(asked, vectors.to(self.table.rows.device))
        return tensors


def _stacked(columns: list[Tensor]) -> Tensor:
    """The columns' rows after one another; a single column as it is, which saves a copy."""
    return columns[0] if len(columns) == 1 else torch.cat(columns)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
