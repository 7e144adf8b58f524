"""FLOP of tuning a model: those that budgets are counted in, and those that a device does.

The one rule: a budget is spent in *counted* FLOP, C = (2 N_F + 2 N_B + 2 N_U) D over D tokens
(Ziarko et al. 2024, arXiv 2406.04165, section 3.5): non-embedding parameters in the forward pass,
those that gradients pass through, those that are updated.
"""

from __future__ import annotations

from vecsmith.planning.shapes import ModelShape
from vecsmith.results.tuning import Tuning


def cost_per_token(shape: ModelShape, tuning: Tuning) -> float:
    """Counted FLOP of one token: 2 N_F + 2 N_B + 2 N_U.

    Full 6 N; freeze 2 N + 4 N_act; bias 4 N + 2 N_bias; LoRA 4 (N + N_L) + 2 N_L.

    Raises:
        ValueError: If the tuning does not fit the model (no biases, no block left to train).
    """
    used, passed, updated = counted_parameters(shape, tuning)
    return float(2 * used + 2 * passed + 2 * updated)


def counted_parameters(shape: ModelShape, tuning: Tuning) -> tuple[int, int, int]:
    """N_F, N_B and N_U: parameters used forward, passed backward, and updated; no embeddings.

    Raises:
        ValueError: If the tuning does not fit the model.
    """
    n = shape.n_non_embedding
    if tuning.method == "freeze":
        n_active = shape.n_active(tuning.frozen_blocks)
        return n, n_active, n_active
    if tuning.method == "bias":
        if not shape.n_bias:
            raise ValueError(
                f"a {shape.family} of {shape.n_layers} blocks has no biases, expected some for "
                "method 'bias'; choose 'full', 'freeze' or 'lora'"
            )
        return n, n, shape.n_bias
    if tuning.method == "lora":
        n_lora = shape.n_lora(tuning.rank)
        return n + n_lora, n + n_lora, n_lora
    return n, n, n


def trained_share(shape: ModelShape, tuning: Tuning) -> float:
    """S: the trained fraction of the non-embedding parameters, adapters among them.

    Raises:
        ValueError: If the tuning does not fit the model.
    """
    used, _, updated = counted_parameters(shape, tuning)
    return updated / used


def n_trained(shape: ModelShape, tuning: Tuning) -> int:
    """Parameters that the optimizer holds; with "full" the embeddings too.

    Raises:
        ValueError: If the tuning does not fit the model.
    """
    if tuning.method == "full":
        return shape.n_backbone
    return counted_parameters(shape, tuning)[2]
