"""Bytes that one device holds while a model is tuned.

The one rule: what is added up is what a step would hold if the peaks of weights, gradients, moments
and activations met. Weights stay in float32 and products run in bfloat16 where that is asked for,
as training does; dropout is taken to be 0. What autograd keeps was read off torch's saved tensors
on a CPU, block by block: the estimate is 0.96 to 1.2 times that, so it may be a little low. What a
GPU's allocator and libraries take is not in it. Who refuses by it leaves room for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from vecsmith.planning.accounting.flops import n_trained
from vecsmith.planning.accounting.layers import Linear
from vecsmith.planning.accounting.shapes import ModelShape
from vecsmith.results.tuning import Tuning

Attention = Literal["fused", "eager"]

_FLOAT32: Final = 4
_BFLOAT16: Final = 2
# Gradient and the two moments of AdamW
_MOMENTS: Final = 8
# Wide activations that the function between the MLP's layers keeps beside the last layer's input:
# a fused gelu its input, one made of plain products four, relu none but its output
_PLAIN_GELU: Final = ("gpt2", "gpt_neo")
_RELU: Final = ("opt",)
# Scores are kept before they are capped as well
_CAPPED: Final = ("gemma2",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on one device.

    Attributes:
        weights: Parameters in float32, with bfloat16 copies of matrices where products use them.
        gradients: Of what is trained.
        optimizer: AdamW's two moments of what is trained.
        activations: What the backward pass needs of the texts held at a time.
        cached_vectors: Vectors of the whole batch, their gradients, and the table of its scores.
        total: All of it.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    cached_vectors: int
    total: int


def estimate_memory(
    shape: ModelShape,
    tuning: Tuning,
    *,
    batch_size: int,
    mini_batch: int | None = None,
    length: int,
    precision: str = "bfloat16",
    gradient_checkpointing: bool = False,
    attention: Attention = "fused",
) -> Memory:
    """What one device holds while it trains on batches of `batch_size` pairs.

    Args:
        shape: Of the model.
        tuning: What is trained.
        batch_size: Pairs of a batch on this device.
        mini_batch: Pairs whose activations are held at a time by a gradient cache; None for all.
        length: Tokens of a text, padding among them.
        precision: Of products, "float32" or "bfloat16".
        gradient_checkpointing: Whether a block keeps its input alone and runs forward again.
        attention: "eager" keeps every score, "fused" none.

    Raises:
        ValueError: If the tuning does not fit the model, or a number or word makes no sense.
    """
    _check(batch_size=batch_size, length=length)
    held = batch_size if mini_batch is None else mini_batch
    _check(mini_batch=held)
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision {precision!r:.60}, expected 'float32' or 'bfloat16'")
    if attention not in ("fused", "eager"):
        raise ValueError(f"attention {attention!r:.60}, expected 'fused' or 'eager'")
    trained = n_trained(shape, tuning)
    narrow = _BFLOAT16 if precision == "bfloat16" else _FLOAT32
    tokens = 2 * min(held, batch_size) * length
    activations = tokens * _token_bytes(
        shape,
        tuning,
        length=length,
        narrow=narrow,
        gradient_checkpointing=gradient_checkpointing,
        attention=attention,
    )
    parts = {
        "weights": _weight_bytes(shape, tuning, narrow),
        "gradients": _FLOAT32 * trained,
        "optimizer": _MOMENTS * trained,
        "activations": activations,
        "cached_vectors": _vector_bytes(shape, batch_size),
    }
    return Memory(**parts, total=sum(parts.values()))


def _weight_bytes(shape: ModelShape, tuning: Tuning, narrow: int) -> int:
    n_adapters = shape.n_lora(tuning.rank) if tuning.method == "lora" else 0
    whole = _FLOAT32 * (shape.n_backbone + n_adapters)
    if narrow == _FLOAT32:
        return whole
    # a block without gradients needs its copies for an instant only
    n_blocks = shape.n_layers - tuning.frozen_blocks
    matrices = sum(linear.n_weights for linear in shape.block_linears)
    return whole + _BFLOAT16 * (n_blocks * matrices + n_adapters)


def _vector_bytes(shape: ModelShape, batch_size: int) -> int:
    """Vectors of both sides with their gradients, and scores, their softmax and its gradient."""
    vectors = 2 * 2 * batch_size * shape.embedding_dim
    return _FLOAT32 * (vectors + 3 * batch_size**2)


def _token_bytes(
    shape: ModelShape,
    tuning: Tuning,
    *,
    length: int,
    narrow: int,
    gradient_checkpointing: bool,
    attention: Attention,
) -> int:
    """Bytes that a token leaves for the backward pass, over all trained blocks."""
    n_blocks = shape.n_layers - tuning.frozen_blocks  # 0 but with "freeze"
    block = _block_bytes(shape, tuning, narrow) + _attention_bytes(
        shape, length=length, narrow=narrow, attention=attention
    )
    at_once = working_bytes(shape, narrow)
    if gradient_checkpointing:  # each block keeps its input, and one at a time runs again
        at_once, block = block, _FLOAT32 * shape.dim
    # around the blocks: the embedding given to the first, the last state and its norm, the pooled
    around = 3 * _FLOAT32 * shape.dim
    return n_blocks * block + at_once + around


def working_bytes(shape: ModelShape, narrow: int) -> int:
    """Bytes of a token's gradients that are passed on inside a block, at numbers of `narrow` bytes.

    Two as wide as the MLP and three of the residual stream: torch's tracker of memory finds that
    the peak of a step is above what autograd keeps by about so much.
    """
    return 2 * narrow * shape.block_linears[-1].n_in + 3 * _FLOAT32 * shape.dim


def _attention_bytes(shape: ModelShape, *, length: int, narrow: int, attention: Attention) -> int:
    """Query, key and value of every head, and the scores or what stands for them."""
    width = shape.n_heads * shape.head_dim  # shared keys and values are repeated for each head
    heads = 3 * width * narrow
    if attention == "fused":
        return heads + width * narrow + shape.n_heads * _FLOAT32
    # softmax is in float32, and copied for the product with the values where that is narrow
    copies = _FLOAT32 if narrow == _FLOAT32 else _FLOAT32 + narrow
    if shape.family in _CAPPED:
        copies += narrow
    return heads + shape.n_heads * length * copies


def _block_bytes(shape: ModelShape, tuning: Tuning, narrow: int) -> int:
    """What norms, linear layers and the function between the MLP's layers keep of a token."""
    inner = shape.block_linears[-1].n_in
    n_bytes = _norm_bytes(shape, tuning, narrow) + narrow * inner * _n_wide(shape)
    if tuning.method != "bias":  # matrices or adapters need what they read
        n_bytes += narrow * _n_inputs(shape, narrow)
    elif shape.family in _RELU:
        n_bytes += narrow * inner
    if tuning.method == "lora":
        n_bytes += narrow * tuning.rank * len(shape.block_linears)
    return n_bytes


def _n_inputs(shape: ModelShape, narrow: int) -> int:
    """What the linear layers of a block read of a token."""
    if narrow == _BFLOAT16:  # each makes a narrow copy of its own
        return sum(linear.n_in for linear in shape.block_linears)
    shared = _n_norm_outputs(shape) * shape.dim
    return shared + shape.n_heads * shape.head_dim + shape.block_linears[-1].n_in


def _norm_bytes(shape: ModelShape, tuning: Tuning, narrow: int) -> int:
    """Inputs of norms and of the block's halves in float32, and what a trained RMS norm scales."""
    wide = [norm for norm in shape.block_norms if not _is_of_heads(norm.name)]
    n_outputs = _n_norm_outputs(shape)
    n_kept = max(len(wide) - n_outputs, 0)
    # without a norm before them the halves' inputs are kept by linear layers alone, if wide
    if n_outputs or (tuning.method != "bias" and narrow == _FLOAT32):
        n_kept += 1 if _is_parallel(shape) else 2
    trains_norms = tuning.method in ("full", "freeze")
    if trains_norms:
        n_kept += sum(not norm.n_biases for norm in wide)
    n_values = n_kept * shape.dim
    if len(wide) < len(shape.block_norms):
        heads = (shape.n_heads + shape.n_kv_heads) * shape.head_dim
        n_values += heads * (2 if trains_norms else 1)
    return _FLOAT32 * n_values


def _n_norm_outputs(shape: ModelShape) -> int:
    """Norms whose output linear layers read: two, or none where norms stand after them."""
    return 2 if not shape.block_norms or any(norm.first for norm in shape.block_norms) else 0


def _is_of_heads(name: str) -> bool:
    return name.endswith(("q_norm", "k_norm"))


def _is_parallel(shape: ModelShape) -> bool:
    """Whether the MLP reads the block's input beside attention."""
    return any(norm.first for norm in shape.block_norms[1:])


def _n_wide(shape: ModelShape) -> int:
    """Activations as wide as the MLP that are kept beside the input of its last layer."""
    inner = shape.block_linears[-1].n_in
    if sum(_widens(linear, shape, inner) for linear in shape.block_linears[:-1]) > 1:
        return 3  # gate, its function, and what it gates
    if shape.family in _PLAIN_GELU:
        return 4
    return 0 if shape.family in _RELU else 1


def _widens(linear: Linear, shape: ModelShape, inner: int) -> bool:
    """Whether it leads into the MLP; a fused query, key and value may be as wide by chance."""
    return linear.n_in == shape.dim and linear.n_out == inner and "mlp" in linear.name


def _check(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} is {value}, expected 1 or more")
