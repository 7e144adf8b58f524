"""What a decoder model is made of, as numbers that costs are counted from.

The one rule: every count comes from the real (in, out) of each linear layer, never from a rule of
thumb for a family. Non-embedding parameters are N of the scaling laws: the backbone without the
language model head, less token and absolute position embeddings (Kaplan et al. 2020; Ziarko et
al. 2024, arXiv 2406.04165, section 3.5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.planning.accounting.families import read_sizes
from vecsmith.planning.accounting.layers import Linear, Norm
from vecsmith.planning.accounting.stored import count_stored, model_folder, read_config


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Sizes of a decoder model whose blocks are all alike.

    Attributes:
        family: The config's model_type, or any word for a model written out by hand.
        n_layers: Blocks.
        dim: Width of the residual stream.
        n_heads: Attention heads of a block.
        n_kv_heads: Key and value heads; fewer than `n_heads` where groups share one.
        head_dim: Width of a head.
        vocab_size: Rows of the token embedding, padding rows too.
        embedding_dim: Width of a token embedding; another than `dim` where it is projected.
        n_positions: Rows of the absolute position embedding, 0 without one.
        block_linears: Linear layers of one block.
        block_norms: Norms of one block.
        lower_linears: Linear layers between the embedding and the first block.
        lower_norms: Norms there.
        upper_linears: Linear layers after the last block, the language model head left out.
        upper_norms: Norms there.
        is_tied: Whether the language model head is the token embedding itself.
    """

    family: str
    n_layers: int
    dim: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab_size: int
    embedding_dim: int
    n_positions: int = 0
    block_linears: tuple[Linear, ...]
    block_norms: tuple[Norm, ...] = ()
    lower_linears: tuple[Linear, ...] = ()
    lower_norms: tuple[Norm, ...] = ()
    upper_linears: tuple[Linear, ...] = ()
    upper_norms: tuple[Norm, ...] = ()
    is_tied: bool = True

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, source: str = "config.json") -> Self:
        """The shape that a Hugging Face `config` stands for; `source` names it in errors.

        Raises:
            FormatError: If its family is not known, or a field is missing or makes no sense.
        """
        return cls(**read_sizes(config, source=source))

    @classmethod
    def from_folder(cls, path: PathLike) -> Self:
        """The shape of the model in the folder `path`, checked against the tensors it holds.

        Raises:
            FormatError: If a file is missing or broken, its family is not known, or config.json
                stands for another count of parameters than the tensors have.
        """
        folder = model_folder(path)
        shape = cls.from_config(read_config(folder), source=str(folder / "config.json"))
        n_stored = count_stored(folder)
        if n_stored != shape.n_backbone:
            raise FormatError(
                f"{folder}: its tensors have {n_stored:,} parameters without a head, expected "
                f"{shape.n_backbone:,} from config.json; one of the two is another model's"
            )
        return shape

    @property
    def n_block(self) -> int:
        """Parameters of one block."""
        return _n_parameters(self.block_linears, self.block_norms)

    @property
    def n_embedding(self) -> int:
        """Parameters of the token embedding."""
        return self.vocab_size * self.embedding_dim

    @property
    def n_position(self) -> int:
        """Parameters of the absolute position embedding."""
        return self.n_positions * self.dim

    @property
    def n_lower(self) -> int:
        """Parameters between the embedding and the first block."""
        return _n_parameters(self.lower_linears, self.lower_norms)

    @property
    def n_upper(self) -> int:
        """Parameters after the last block, the language model head left out."""
        return _n_parameters(self.upper_linears, self.upper_norms)

    @property
    def n_non_embedding(self) -> int:
        """N of the laws: the backbone without token and absolute position embeddings."""
        return self.n_lower + self.n_layers * self.n_block + self.n_upper

    @property
    def n_backbone(self) -> int:
        """Parameters of the model without its language model head: what an embedder keeps."""
        return self.n_embedding + self.n_position + self.n_non_embedding

    @property
    def n_total(self) -> int:
        """Parameters with the language model head, as the Hub counts them."""
        return self.n_backbone + (0 if self.is_tied else self.n_embedding)

    @property
    def n_bias(self) -> int:
        """Biases, the norms' too: what bias-only tuning trains."""
        lower = _n_biases(self.lower_linears, self.lower_norms)
        upper = _n_biases(self.upper_linears, self.upper_norms)
        return lower + self.n_layers * _n_biases(self.block_linears, self.block_norms) + upper

    def n_lora(self, rank: int) -> int:
        """N_L: parameters of rank-`rank` adapters beside every linear layer of the blocks.

        Raises:
            ValueError: If the rank is below 1.
        """
        if rank < 1:
            raise ValueError(f"rank is {rank}, expected 1 or more")
        return self.n_layers * sum(linear.n_adapter(rank) for linear in self.block_linears)

    def n_active(self, frozen_blocks: int) -> int:
        """N_act: what is trained above `frozen_blocks` blocks; the final norm is always.

        Whatever lies beneath the first block (embeddings, their norm and projection) is frozen,
        also with 0 blocks.

        Raises:
            ValueError: If no block is left to train.
        """
        if not 0 <= frozen_blocks < self.n_layers:
            raise ValueError(
                f"{frozen_blocks} frozen blocks of {self.n_layers}, expected 0 to "
                f"{self.n_layers - 1}: at least one is trained"
            )
        return (self.n_layers - frozen_blocks) * self.n_block + self.n_upper


def _n_parameters(linears: Iterable[Linear], norms: Iterable[Norm]) -> int:
    matrices = sum(linear.n_weights + linear.n_biases for linear in linears)
    return matrices + sum(norm.n_weights + norm.n_biases for norm in norms)


def _n_biases(linears: Iterable[Linear], norms: Iterable[Norm]) -> int:
    return sum(linear.n_biases for linear in linears) + sum(norm.n_biases for norm in norms)
