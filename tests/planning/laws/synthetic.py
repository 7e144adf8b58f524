"""Records of runs that never were, whose law is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks._scaling_laws import (
    BUDGETS,
    CHINCHILLA,
    FULL,
    LORA,
    RANKS,
    SHAPES,
    n_of,
)
from vecsmith.planning.laws import LossLaw
from vecsmith.results.tuning import Tuning
from vecsmith.results.tuning_runs import TuningRun, key_of

__all__ = ["BUDGETS", "CHINCHILLA", "FULL", "LORA", "RANKS", "SHAPES", "run_of", "sizes", "sweep"]


def sizes() -> NDArray[np.float64]:
    """N of each shape: L (12 d^2 + 13 d) + 2 d."""
    return np.array([n_of(layers, dim) for layers, dim in SHAPES], np.float64)


def run_of(
    tuning: Tuning,
    shape: tuple[int, int],
    flops: float,
    law: LossLaw,
    error: float,
    **changes: object,
) -> TuningRun:
    """A finished run with the loss of a law times exp(error)."""
    layers, dim = shape
    n = n_of(layers, dim)
    adapters = 16 * tuning.rank * dim * layers
    cost = 6.0 * n if tuning.method == "full" else 4.0 * n + 6.0 * adapters
    share = 1.0 if tuning.method == "full" else adapters / (n + adapters)
    tokens = int(flops / cost)
    loss = float(law.loss(n, tokens, share)) * float(np.exp(error))
    values: dict[str, object] = {
        "key": key_of({"of": [str(tuning), n, flops, loss]}),
        "status": "done",
        "model": f"gpt-{dim}x{layers}",
        "fingerprint": "0" * 64,
        "shape": {"family": "gpt_neox", "n_layers": layers, "dim": dim, "vocab_size": 50304,
                  "n_non_embedding": n, "n_embedding": 50304 * dim},
        "tuning": tuning, "flops": flops, "counted_flops": cost * tokens, "n_params": n,
        "n_trained": n, "share": share, "cost_per_token": cost, "tokens": tokens,
        "pairs": tokens // 78, "steps": tokens // 78 // 1024, "epochs": 0.1, "batch_size": 1024,
        "max_length": 75, "seed": 0, "loss": loss, "train_loss": loss,
        "settings": {"temperature": 0.025, "lr": 1e-4},
    }  # fmt: skip
    return TuningRun(**{**values, **changes})  # type: ignore[arg-type]


def sweep(
    noise: float = 0.02,
    seed: int = 0,
    *,
    full: LossLaw = FULL,
    lora: LossLaw = LORA,
    budgets: Sequence[float] = BUDGETS,
) -> list[TuningRun]:
    """Full and LoRA tuning of each shape at each budget, with log-normal noise."""
    random = np.random.default_rng(seed)
    tunings = [Tuning(), *(Tuning(method="lora", rank=rank) for rank in RANKS)]
    return [
        run_of(
            tuning,
            shape,
            flops,
            full if tuning.method == "full" else lora,
            noise * random.standard_normal(),
        )
        for tuning in tunings
        for shape in SHAPES
        for flops in budgets
    ]
