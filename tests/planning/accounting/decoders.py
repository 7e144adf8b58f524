"""Tiny decoders of every family that shapes are known of, made by transformers itself."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModel

from vecsmith.planning.accounting.shapes import ModelShape
from vecsmith.results.tuning import Tuning

_GATED = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 80,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
_GPT = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 1}
_NEOX = {
    **_GPT,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
}
_OPT = {
    **_GPT,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "ffn_dim": 80,
    "max_position_embeddings": 30,
    "pad_token_id": 0,
    "dropout": 0.0,
}
# Family and fields; sizes are chosen so that no two widths agree by chance
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_neox": ("gpt_neox", _NEOX),
    "gpt_neox, one after the other": ("gpt_neox", {**_NEOX, "use_parallel_residual": False}),
    "gpt_neox, no attention bias": ("gpt_neox", {**_NEOX, "attention_bias": False}),
    "llama": ("llama", _GATED),
    "llama, biased": ("llama", {**_GATED, "attention_bias": True, "mlp_bias": True}),
    "llama, narrow heads": ("llama", {**_GATED, "head_dim": 12, "num_key_value_heads": 4}),
    "mistral": ("mistral", _GATED),
    "qwen2": ("qwen2", _GATED),
    "qwen3": ("qwen3", {**_GATED, "head_dim": 24}),
    "gemma": ("gemma", {**_GATED, "head_dim": 24, "num_key_value_heads": 1}),
    "gemma2": ("gemma2", {**_GATED, "head_dim": 24}),
    "gemma3_text": ("gemma3_text", {**_GATED, "head_dim": 24, "num_key_value_heads": 1}),
    "olmo": ("olmo", _GATED),
    "olmo2": ("olmo2", _GATED),
    "opt": ("opt", {**_OPT, "word_embed_proj_dim": 32}),
    "opt, as opt-350m": (
        "opt",
        {**_OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    ),
    "opt, no biases": ("opt", {**_OPT, "enable_bias": False, "word_embed_proj_dim": 32}),
    "gpt2": ("gpt2", {**_GPT, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 30}),
    "gpt_neo": (
        "gpt_neo",
        {
            **_GPT,
            "hidden_size": 32,
            "num_layers": 3,
            "num_heads": 4,
            "max_position_embeddings": 30,
            "attention_types": [[["global", "local"], 1], [["global"], 1]],
        },
    ),
    "bloom": ("bloom", {**_GPT, "hidden_size": 32, "n_layer": 3, "n_head": 4, "pad_token_id": 0}),
}


def config_of(name: str, **fields: Any) -> Any:
    """The transformers configuration called `name` in `CONFIGS`."""
    family, given = CONFIGS[name]
    return AutoConfig.for_model(family, **{**given, **fields})


def decoder_of(name: str, *, attention: str = "eager", **fields: Any) -> Any:
    """The backbone of that configuration, with random weights, ready to be trained."""
    make: Any = AutoModel
    model = make.from_config(config_of(name, **fields), attn_implementation=attention).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def shape_of(name: str, **fields: Any) -> ModelShape:
    """Its shape, from what its config.json would hold."""
    return ModelShape.from_config(config_of(name, **fields).to_dict())


def tunings() -> tuple[Tuning, ...]:
    """A tuning of each method, and two depths of freezing."""
    return (
        Tuning(),
        Tuning(method="freeze"),
        Tuning(method="freeze", frozen_blocks=2),
        Tuning(method="bias"),
        Tuning(method="lora", rank=3),
    )


def pythia(n_layers: int, dim: int, n_heads: int, vocab_size: int = 50304) -> ModelShape:
    """A GPT-NeoX shape as Pythia's are."""
    return ModelShape.from_config(
        {
            "model_type": "gpt_neox",
            "num_hidden_layers": n_layers,
            "hidden_size": dim,
            "num_attention_heads": n_heads,
            "intermediate_size": 4 * dim,
            "vocab_size": vocab_size,
        }
    )
