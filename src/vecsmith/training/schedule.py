"""Learning rates over time: plain functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Decay = Literal["constant", "cosine", "linear"]
_SHAPES: Final[dict[Decay, Callable[[float], float]]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
    "linear": lambda done: 1.0 - done,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A linear rise to `peak`, then a decay to `floor * peak`.

    Attributes:
        peak: Learning rate after the warm-up.
        n_steps: Steps of the whole run.
        n_warmup: Steps of the rise; the first step has `peak / n_warmup`, where transformers'
            schedules begin with a step of rate 0 and are one step behind until the peak.
        decay: Shape of the fall: "linear" (from the peak on the rates of transformers' trainer),
            "cosine", or "constant" for none.
        floor: Share of `peak` that is left at the end.
    """

    peak: float
    n_steps: int
    n_warmup: int = 0
    decay: Decay = "linear"
    floor: float = 0.0

    def __post_init__(self) -> None:
        """Checks that the figures make sense together."""
        if not (math.isfinite(self.peak) and self.peak >= 0.0):
            raise ValueError(f"learning rate is {self.peak}, expected a number of at least 0")
        if not 0 <= self.n_warmup <= self.n_steps:
            raise ValueError(f"{self.n_warmup} steps of warm-up do not fit {self.n_steps} steps")
        if self.decay not in _SHAPES:
            raise ValueError(f"decay is {self.decay!r}, expected one of {sorted(_SHAPES)}")
        if not 0.0 <= self.floor <= 1.0:
            raise ValueError(f"floor is {self.floor}, expected a share from 0 to 1")

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0; after the last step the floor."""
        if step < self.n_warmup:
            return self.peak * (step + 1) / self.n_warmup
        done = (step - self.n_warmup) / max(self.n_steps - self.n_warmup, 1)
        fall = _SHAPES[self.decay](min(done, 1.0))
        return self.peak * (self.floor + (1.0 - self.floor) * fall)
