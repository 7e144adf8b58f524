"""Tiny decoders of the families whose blocks differ: fused, grouped, with and without biases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.transformer.teachers import byte_level_tokenizer

DIM, N_LAYERS, N_HEADS, WIDE = 16, 3, 4, 64


def _config(family: str, vocab_size: int) -> Any:
    ids: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0}
    sizes: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": DIM,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": N_HEADS,
        "intermediate_size": WIDE,
        **ids,
    }
    if family == "gpt_neox":
        return transformers.GPTNeoXConfig(**sizes)
    if family == "llama":  # grouped queries, a gate, no bias
        return transformers.LlamaConfig(**sizes, num_key_value_heads=2)
    if family == "qwen2":  # biases at queries, keys and values alone
        return transformers.Qwen2Config(**sizes, num_key_value_heads=2)
    if family == "gpt2":  # weights the other way round, a table of positions
        return transformers.GPT2Config(
            vocab_size=vocab_size,
            n_embd=DIM,
            n_layer=N_LAYERS,
            n_head=N_HEADS,
            n_positions=128,
            **ids,
        )
    if family == "opt":  # a product behind the blocks is registered before them
        return transformers.OPTConfig(
            vocab_size=vocab_size,
            hidden_size=DIM,
            word_embed_proj_dim=8,
            num_hidden_layers=N_LAYERS,
            num_attention_heads=N_HEADS,
            ffn_dim=WIDE,
            max_position_embeddings=128,
            do_layer_norm_before=True,
            pad_token_id=1,
            **ids,
        )
    assert family == "albert"  # one block, repeated
    return transformers.AlbertConfig(embedding_size=8, **{**sizes, "num_hidden_groups": 1})


FAMILIES = ("gpt_neox", "llama", "qwen2", "gpt2")


def decoder(family: str) -> Any:
    """A model in memory, its numbers large enough that every part of it matters."""
    config = _config(family, byte_level_tokenizer().get_vocab_size())
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.detach().mean()), std=0.2)
    return model.eval()


def save_decoder(folder: Path, family: str) -> Path:
    """The same in a folder, with a tokenizer that puts nothing around a text."""
    decoder(family).save_pretrained(folder)
    byte_level_tokenizer().save(str(folder / "tokenizer.json"))
    special = {"pad_token": "<|pad|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special), encoding="utf-8")
    return folder
