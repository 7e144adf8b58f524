"""FLOP of the matrix products that a device really does, token by token.

The one rule: this is what torch's FlopCounterMode counts for eager attention, product by product;
norms, activations, pooling and the loss, which it does not count, are left out here too.
"""

from __future__ import annotations

from dataclasses import dataclass

from vecsmith.planning.accounting.layers import Linear
from vecsmith.planning.accounting.shapes import ModelShape
from vecsmith.results.tuning import Tuning


@dataclass(frozen=True, slots=True, kw_only=True)
class MatmulCost:
    """FLOP of a token's products with matrices, and of its attention at a given length.

    Attributes:
        forward: Products of the forward pass.
        backward: Products of the backward pass: gradients of inputs and of matrices.
        trained_blocks: Forward products of the blocks that gradients pass through.
        attention_forward: Scores and values of all blocks.
        attention_backward: Their gradients, where gradients pass.
        attention_trained: The forward part in those blocks.
    """

    forward: float
    backward: float
    trained_blocks: float
    attention_forward: float
    attention_backward: float
    attention_trained: float


def matmul_cost(shape: ModelShape, tuning: Tuning, *, length: float) -> MatmulCost:
    """Cost of a token in texts of `length` tokens; the tuning is known to fit the shape."""
    n_frozen = tuning.frozen_blocks if tuning.method == "freeze" else 0
    n_trained = shape.n_layers - n_frozen
    # eager attention computes every score of the square, also those that the mask hides
    attention = 4.0 * shape.n_heads * shape.head_dim * length
    block = sum(_forward(linear, tuning.rank) for linear in shape.block_linears)
    outside = sum(2 * n for n in map(_weights, (*shape.lower_linears, *shape.upper_linears)))
    return MatmulCost(
        forward=float(shape.n_layers * block + outside),
        backward=float(_backward(shape, tuning, n_trained)),
        trained_blocks=float(n_trained * block),
        attention_forward=shape.n_layers * attention,
        attention_backward=2 * n_trained * attention,
        attention_trained=n_trained * attention,
    )


def _weights(linear: Linear) -> int:
    return linear.n_weights


def _forward(linear: Linear, rank: int) -> int:
    return 2 * (linear.n_weights + linear.n_adapter(rank))


def _backward(shape: ModelShape, tuning: Tuning, n_trained: int) -> int:
    """Gradients of inputs, all but those that nothing beneath needs, and of trained matrices."""
    rank = tuning.rank
    blocks = n_trained * sum(_forward(linear, rank) for linear in shape.block_linears)
    inputs = blocks + sum(2 * linear.n_weights for linear in shape.upper_linears)
    if not _is_trained_beneath(shape, tuning):
        inputs -= sum(_input_gradient(one, rank) for one in shape.block_linears if one.first)
    if tuning.method == "full":
        inputs += sum(2 * linear.n_weights for linear in shape.lower_linears)
    return inputs + _matrix_gradients(shape, tuning, n_trained)


def _is_trained_beneath(shape: ModelShape, tuning: Tuning) -> bool:
    """Whether the first trained block's linear layers read something that is trained itself."""
    if tuning.method == "full":
        return True  # the token embedding
    before = [norm for norm in shape.block_norms if norm.first]
    if tuning.method == "freeze":
        return any(norm.n_weights for norm in before)
    if tuning.method == "bias":
        return any(norm.n_biases for norm in (*before, *shape.lower_norms))
    return False


def _input_gradient(linear: Linear, rank: int) -> int:
    """Gradient of what a linear layer and the first of its adapters read."""
    return 2 * (linear.n_weights + rank * linear.n_in)


def _matrix_gradients(shape: ModelShape, tuning: Tuning, n_trained: int) -> int:
    if tuning.method == "bias":
        return 0
    if tuning.method == "lora":
        adapters = sum(linear.n_adapter(tuning.rank) for linear in shape.block_linears)
        return 2 * shape.n_layers * adapters
    weights = n_trained * sum(map(_weights, shape.block_linears))
    weights += sum(map(_weights, shape.upper_linears))
    if tuning.method == "full":
        weights += sum(map(_weights, shape.lower_linears))
    return 2 * weights
