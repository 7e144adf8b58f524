"""Why a candidate is no sensible run: too few steps, too many epochs, too little memory.

The one rule: a refusal says what was found and what was expected, in numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vecsmith.planning.accounting.memory import Memory, estimate_memory
from vecsmith.planning.choosing.candidates import Candidate
from vecsmith.planning.choosing.presets import load_preset
from vecsmith.planning.inputs import Limits, Settings
from vecsmith.planning.wording import percent_text
from vecsmith.results.tuning import Tuning

if TYPE_CHECKING:
    from vecsmith.planning.accounting.shapes import ModelShape

_LEAST_PAIRS: Final[int] = load_preset()["least_pairs"]  # at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A candidate that was put aside.

    Attributes:
        model: Name of the base model.
        tuning: Which weights would be trained.
        reason: Why not.
    """

    model: str
    tuning: Tuning
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFit:
    """How a step is made to fit into the memory of an accelerator.

    Attributes:
        mini_batch: Texts held at a time by a gradient cache; None for the whole batch.
        gradient_checkpointing: Whether activations are computed twice.
        memory: What that takes.
    """

    mini_batch: int | None
    gradient_checkpointing: bool
    memory: Memory


def fit_memory(
    shape: ModelShape, tuning: Tuning, settings: Settings, limits: Limits
) -> MemoryFit | str:
    """The least recompute with which a step fits, or why none does.

    In order: the whole batch at once; a gradient cache, whose cost is one forward pass whatever
    the size of its pieces; checkpoints as well.
    """
    share = max(1, -(-settings.batch_size // limits.n_devices))
    tightest: MemoryFit | None = None
    for n_pairs, checkpointing in _ways(share):
        memory = estimate_memory(
            shape,
            tuning,
            batch_size=share,
            mini_batch=n_pairs,
            length=settings.max_length,
            precision=settings.precision,
            gradient_checkpointing=checkpointing,
        )
        fit = MemoryFit(
            mini_batch=None if n_pairs is None else 2 * n_pairs,
            gradient_checkpointing=checkpointing,
            memory=memory,
        )
        if limits.memory is None or memory.total <= limits.memory_share * limits.memory:
            return fit
        tightest = fit
    assert tightest is not None
    assert limits.memory is not None
    held = tightest.mini_batch or 2 * share
    most = limits.memory_share * limits.memory
    return (
        f"needs {_gigabytes(tightest.memory.total)} even at {held} texts at a time with "
        f"checkpoints, expected at most {_gigabytes(most)}, "
        f"{percent_text(limits.memory_share)} of what is there"
    )


def refuse(candidate: Candidate, settings: Settings, limits: Limits) -> str | None:
    """Why the candidate is no sensible run; None where it is one."""
    steps, epochs = candidate.steps, candidate.epochs
    if steps < limits.min_steps:
        return (
            f"{steps:,} steps of {settings.batch_size:,} pairs, "
            f"expected at least {limits.min_steps:,}"
        )
    warmup = settings.warmup * steps
    if settings.warmup and warmup < limits.min_warmup_steps:
        return (
            f"{int(warmup)} of {steps:,} steps of warm-up, "
            f"expected at least {limits.min_warmup_steps}"
        )
    if epochs is not None and epochs > limits.max_epochs:
        return f"{epochs:.3g} passes over the pairs, expected at most {limits.max_epochs:g}"
    return None


def _ways(n_pairs: int) -> Iterator[tuple[int | None, bool]]:
    """Sizes of a gradient cache's pieces and whether there are checkpoints, the cheapest first."""
    pieces = [n for n in (2**k for k in range(30, -1, -1)) if _LEAST_PAIRS <= n < n_pairs]
    yield None, False
    yield from ((n, False) for n in pieces)
    yield None, True  # as dear as a cache alone, where pieces would be too small
    yield from ((n, True) for n in pieces)


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB"
