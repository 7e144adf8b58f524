"""What a decoder model is made of, as sizes: linear layers and norms.

The one rule: these are numbers alone; nothing here knows a model's family or holds a weight.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer, or several fused into one.

    Attributes:
        name: Of its module inside a block, as "self_attn.q_proj".
        n_in: Width of what it reads.
        n_out: Width of what it gives.
        bias: Whether it adds a bias.
        first: Whether nothing but a norm lies between it and the block's own input. Where
            nothing beneath is trained, such a layer needs no gradient of its input.
    """

    name: str
    n_in: int
    n_out: int
    bias: bool = False
    first: bool = False

    @property
    def n_weights(self) -> int:
        """Elements of the matrix; a token costs twice as many FLOP in the forward pass."""
        return self.n_in * self.n_out

    @property
    def n_biases(self) -> int:
        """Elements of the bias."""
        return self.n_out if self.bias else 0

    def n_adapter(self, rank: int) -> int:
        """Parameters of a pair of low-rank adapters beside it: rank * (n_in + n_out)."""
        return rank * (self.n_in + self.n_out)


@dataclass(frozen=True, slots=True)
class Norm:
    """A normalisation's own parameters, none for one that has none.

    Attributes:
        name: Of its module inside a block.
        n_weights: Scales.
        n_biases: Offsets; 0 for an RMS norm.
        first: Whether it stands between the block's input and its `first` linear layers.
    """

    name: str
    n_weights: int
    n_biases: int = 0
    first: bool = False
