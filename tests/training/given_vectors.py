"""A model whose vectors are those it is given: sentence-transformers' losses on plain tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

Features = dict[str, Any]


class GivenVectors(nn.Module):
    """Embeds features by handing back one of their own tensors.

    Args:
        field: Which of them.
        dim: Its dimensions.
        tokenizer_json: Of a tokenizer, which some losses insist on and never use here.
    """

    def __init__(self, field: str, dim: int, tokenizer_json: str) -> None:
        super().__init__()
        self.field = field
        self.dim = dim
        self.max_seq_length = 8
        self.tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=Tokenizer.from_str(tokenizer_json)
        )

    def forward(self, features: Features) -> Features:
        features["sentence_embedding"] = features[self.field]
        return features

    def __getitem__(self, place: int) -> nn.Module:
        return self

    def get_embedding_dimension(self) -> int:
        return self.dim


def their_value(loss: Callable[..., Tensor], columns: list[Features], labels: Any = None) -> Tensor:
    """What a loss of theirs says of columns of vectors."""
    return loss([dict(column) for column in columns], labels)


def columns_of(
    queries: Tensor, candidates: Tensor, **named: tuple[Tensor, Tensor]
) -> list[Features]:
    """The queries and the columns of B candidates each; more tensors by name."""
    sides = {"vectors": (queries, candidates), **named}
    split = {name: [left, *torch.split(right, len(left))] for name, (left, right) in sides.items()}
    n_columns = len(split["vectors"])
    return [{name: parts[i] for name, parts in split.items()} for i in range(n_columns)]
