"""FLOP of tuning a model: those that budgets are counted in, and those that a device does.

The one rule: a budget is spent in *counted* FLOP, C = (2 N_F + 2 N_B + 2 N_U) D over D tokens
(Ziarko et al. 2024, arXiv 2406.04165, section 3.5): non-embedding parameters in the forward pass,
those that gradients pass through, those that are updated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vecsmith.planning.accounting.matmuls import matmul_cost
from vecsmith.planning.accounting.shapes import ModelShape
from vecsmith.results.tuning import Tuning


@dataclass(frozen=True, slots=True, kw_only=True)
class FlopCount:
    """FLOP of a run.

    Attributes:
        forward: 2 N_F D.
        backward_activations: 2 N_B D.
        backward_weights: 2 N_U D.
        counted: The sum of these three: what a budget is spent in.
        attention: Scores, values and their gradients, which the count leaves out; 0 where no
            length of the texts was given.
        recompute: Forward passes done once more, for gradient caching and for gradient
            checkpointing, with their attention.
        hardware: What a device does: every product of matrices, `attention` and `recompute`.
            Where that is less than counted, the first block needs no gradient of its input, and
            norms are no products.
    """

    forward: float
    backward_activations: float
    backward_weights: float
    counted: float
    attention: float
    recompute: float
    hardware: float


def cost_per_token(shape: ModelShape, tuning: Tuning) -> float:
    """Counted FLOP of one token: 2 N_F + 2 N_B + 2 N_U.

    Full 6 N; freeze 2 N + 4 N_act; bias 4 N + 2 N_bias; LoRA 4 (N + N_L) + 2 N_L.

    Raises:
        ValueError: If the tuning does not fit the model (no biases, no block left to train).

    Example:
        >>> from vecsmith.planning.catalogue.models import load_catalogue
        >>> cost_per_token(load_catalogue()[0].shape, Tuning())
        7139328.0
    """
    used, passed, updated = counted_parameters(shape, tuning)
    return float(2 * used + 2 * passed + 2 * updated)


def count_flops(
    shape: ModelShape,
    tuning: Tuning,
    *,
    tokens: float,
    length: float | None = None,
    gradient_checkpointing: bool = False,
    gradient_cache: bool = False,
) -> FlopCount:
    """FLOP of tuning on `tokens` tokens, as counted and as done.

    Args:
        shape: Of the model.
        tuning: What is trained.
        tokens: D, real tokens without padding; a device's own padding is not in `hardware`.
        length: Mean tokens of a text, for attention; None leaves attention out.
        gradient_checkpointing: Whether trained blocks run forward again in the backward pass.
        gradient_cache: Whether all texts are encoded once before, without gradients.

    Raises:
        ValueError: If the tuning does not fit the model, or a number is negative or no number.
    """
    _check_amount("tokens", tokens)
    if length is not None:
        _check_amount("length", length)
    used, passed, updated = counted_parameters(shape, tuning)
    cost = matmul_cost(shape, tuning, length=length or 0.0)
    recompute = 0.0
    if gradient_cache:
        recompute += cost.forward + cost.attention_forward
    if gradient_checkpointing:
        recompute += cost.trained_blocks + cost.attention_trained
    attention = cost.attention_forward + cost.attention_backward
    return FlopCount(
        forward=2 * used * tokens,
        backward_activations=2 * passed * tokens,
        backward_weights=2 * updated * tokens,
        counted=cost_per_token(shape, tuning) * tokens,
        attention=attention * tokens,
        recompute=recompute * tokens,
        hardware=(cost.forward + cost.backward + attention + recompute) * tokens,
    )


def encoding_flops(shape: ModelShape, *, tokens: float, length: float | None = None) -> float:
    """FLOP of embedding `tokens` tokens in texts of `length`: 2 N and the attention's forward.

    Raises:
        ValueError: If a number is negative or no number.
    """
    _check_amount("tokens", tokens)
    if length is not None:
        _check_amount("length", length)
    cost = matmul_cost(shape, Tuning(), length=length or 0.0)
    return (2.0 * shape.n_non_embedding + cost.attention_forward) * tokens


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


def _check_amount(name: str, value: float) -> None:
    if not 0 <= value < math.inf:  # nor nan
        raise ValueError(f"{name} is {value}, expected a finite number from 0")
