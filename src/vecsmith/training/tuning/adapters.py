"""Adapters beside the linear layers of a transformer's blocks, by way of the peft library.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685), equation 3:
h = W x + (alpha / r) B A x, with A drawn at random and B zero at the start.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import torch
from torch import Tensor, nn

from vecsmith._extras import require
from vecsmith.training.unfit import UnfitRun
from vecsmith.transformer.depth import find_layers

_PURPOSE: Final = "train adapters"
ADAPTER: Final = "default"


def add_adapters(model: Any, *, rank: int, alpha: float, seed: int) -> None:
    """Puts an adapter beside each linear layer of the blocks of `model`; only they are trained.

    The embeddings get none, nor does what follows the blocks. Nothing is dropped, so the FLOP of a
    step are those of the matrices alone.

    Args:
        model: A transformer whose blocks stand in a list; changed in place.
        rank: Columns of the thin matrices.
        alpha: Their product is scaled by alpha / rank.
        seed: Of the random factors.

    Raises:
        ValueError: If the blocks have no linear layer.
        MissingExtraError: If peft is not installed.
    """
    peft = require("peft", extra="train", purpose=_PURPOSE)
    targets = linear_layers(model)
    if not targets:
        raise UnfitRun(
            f"method 'lora': the blocks of this {type(model).__name__} have no linear layer, "
            "expected some: choose method 'full'"
        )
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules=sorted(targets),
        fan_in_fan_out=all(_is_transposed(layer) for layer in targets.values()),
    )
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
        # of a model that mixes both kinds of linear layers peft says that it finds its own way
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    for layer in adapted_layers(model).values():
        layer.lora_variant[ADAPTER] = _FusedSum
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(f".{ADAPTER}." in name and ".lora_" in name)


def linear_layers(model: Any) -> dict[str, nn.Module]:
    """The linear layers of the blocks of `model`, by name."""
    blocks = find_layers(model)
    inside = set() if blocks is None else {id(module) for module in blocks.modules()}
    return {
        name: module
        for name, module in model.named_modules()
        if id(module) in inside and (isinstance(module, nn.Linear) or _is_transposed(module))
    }


def adapted_layers(model: nn.Module) -> dict[str, Any]:
    """The layers of `model` that have an adapter beside them, by name; none where none was put."""
    return {name: each for name, each in model.named_modules() if hasattr(each, "lora_A")}


class _FusedSum:
    """The sum W x + (alpha / r) B A x of peft, with its second half in one product.

    Two passes over the widest tensors are saved: a step of four blocks of 64 dimensions took 80 ms
    instead of 90 (32 pairs of 32 tokens, rank 8, one busy core). It stands where peft looks for
    another way to add an adapter to what its layer gives.
    """

    @staticmethod
    def forward(module: Any, active_adapter: str, x: Tensor, result: Tensor, **_: Any) -> Tensor:
        """The sum, in the shape of `result`."""
        low: Tensor = module.lora_A[active_adapter](x)
        second: Tensor = module.lora_B[active_adapter].weight
        scale: float = module.scaling[active_adapter]
        flat = torch.addmm(result.flatten(0, -2), low.flatten(0, -2), second.T, alpha=scale)
        return flat.view_as(result)


def _is_transposed(module: nn.Module) -> bool:
    """Whether it is the linear layer of GPT-2, whose weight stands the other way round."""
    pytorch_utils = require("transformers.pytorch_utils", extra="distill", purpose=_PURPOSE)
    return isinstance(module, pytorch_utils.Conv1D)
