"""A running average of a table over the steps, at the cost of the rows that move."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vecsmith.training.token_table import TokenTable, copy_state


class Ema:
    """Exponential moving average of a table over the steps, exact, at the cost of touched rows.

    After each step the average is `decay * average + (1 - decay) * row`. A row that stays as it is
    for k steps draws its average nearer by `decay ** k`, so that is done only before it moves. Rows
    that drift count as if they had gone all their way at once.
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

    def average(self, settled: TokenTable | None = None) -> TokenTable:
        """The average after the last step, as a table of its own.

        Args:
            settled: The table as the optimiser says it is now, where rows drift.
        """
        everyone = torch.arange(self.table.n_tokens, device=self._seen.device)
        found = self._brought_up(everyone, settled or self.table)
        return TokenTable(found["rows"], found.get("token_weights"))

    def _catch_up(self, ids: Tensor) -> None:
        for name, average in self._brought_up(ids, self.table).items():
            self._averages[name][ids] = average
        self._seen[ids] = self.n_steps

    def _brought_up(self, ids: Tensor, table: TokenTable) -> dict[str, Tensor]:
        """Averages of the rows `ids` after the last step, by name."""
        missed = (self.n_steps - self._seen[ids]).double()
        left = torch.pow(self.decay, missed)
        found = {}
        for name, value in table.state_tensors().items():
            share = left.to(value).view((-1,) + (1,) * (value.ndim - 1))
            found[name] = value[ids] + (self._averages[name][ids] - value[ids]) * share
        return found

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
