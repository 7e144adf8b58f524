"""Trained tensors -> a static model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vecsmith.formats import Checkpoint
from vecsmith.model import StaticModel
from vecsmith.training.token_table import TokenTable


def model_of(table: TokenTable, like: Checkpoint) -> StaticModel:
    """A model with the rows and token weights of `table`, and all else as `like` has it.

    The numbers are copied: training goes on and the model stays what it is.

    Args:
        table: A row for each token id.
        like: A checkpoint with the tokenizer and the settings of the model.
    """
    return model_of_tensors(table.state_tensors(), like)


def model_of_tensors(tensors: Mapping[str, Tensor], like: Checkpoint) -> StaticModel:
    """As `model_of`, of the tensors that a `TokenTable` keeps: "rows" and perhaps "token_weights".

    The weights are multiplied into the rows: no reader has to know of them.
    """
    rows = _copied(tensors["rows"])
    if "token_weights" in tensors:
        rows *= _copied(tensors["token_weights"])[:, None]
    return StaticModel(replace(like, table=rows, weights=None, mapping=None))


def blank_checkpoint(
    tokenizer_json: str, *, n_tokens: int, dim: int, options: Mapping[str, Any]
) -> Checkpoint:
    """A checkpoint without numbers for a model from nothing; `options` are fields of it."""
    empty = np.broadcast_to(np.zeros(1, dtype=np.float32), (n_tokens, dim))
    return Checkpoint(table=empty, tokenizer_json=tokenizer_json, **options)


def _copied(tensor: Tensor) -> NDArray[np.float32]:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32)
