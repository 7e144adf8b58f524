"""A transformer with its adapters merged, for as long as it is written.

The one rule: afterwards every weight has the very bits that it had before: what is merged is a
copy, since adding a product and taking it away again rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vecsmith.training.tuning.adapters import ADAPTER, adapted_layers


@contextmanager
def merged_adapters(model: Any) -> Iterator[None]:
    """Lets `model` be the transformer without adapters that gives the same vectors, for the block.

    Each layer with an adapter is replaced by its own layer with the weight
    W + (alpha / r) B A. A model without adapters stays as it is.
    """
    adapted = adapted_layers(model)
    kept: list[tuple[str, nn.Module, Tensor]] = []
    try:
        for name, layer in adapted.items():
            own = layer.base_layer
            kept.append((name, layer, own.weight.data))
            with torch.no_grad():
                own.weight.data = own.weight.data + layer.get_delta_weight(ADAPTER)
            _put(model, name, own)
        yield
    finally:
        for name, layer, weight in kept:
            layer.base_layer.weight.data = weight  # type: ignore[union-attr]
            _put(model, name, layer)


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    above, _, last = name.rpartition(".")
    setattr(model.get_submodule(above), last, module)
