"""Tiny, randomly initialised teachers of each family, with tokenizers trained on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "pack my box with five dozen liquor jugs",
    "how vexingly quick daft zebras jump",
    "it is dangerous to go alone, take this!",
    "New York and Los Angeles are far apart",
    "naïve café, fiancée: déjà vu?",
    "static embeddings are fast and small",
] * 3
_Sizes = dict[str, Any]
_SIZES: _Sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def word_piece_tokenizer() -> Tokenizer:
    # written out: a trainer breaks ties differently from run to run
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = [
        "the",
        "fox",
        "dog",
        "quick",
        "brown",
        "take",
        "is",
        "it",
        "to",
        "go",
        "alone",
        "small",
    ]
    pieces = [f"##{piece}" for piece in (*letters, "ing", "ed", "er", "or", "us", "ly", "ous")]
    tokens = [*special, *letters, *words, *"!?,.:'+[]", *pieces, *(f"{x}o" for x in "bcdfhjklmnp")]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([token for token in special if token != "[unused0]"])
    frame = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=frame
    )
    return tokenizer


def byte_level_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|endoftext|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def ending_byte_level_tokenizer() -> Tokenizer:
    """As Qwen's embedding models: nothing before a text, an end after it."""
    tokenizer = byte_level_tokenizer()
    end = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[end]
    )
    return tokenizer


def unigram_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("<s>", "</s>")],
    )
    return tokenizer


def save_teacher(folder: Path, family: str, *, n_layers: int = 2) -> Path:
    """A folder with config.json, model.safetensors and tokenizer.json of a tiny teacher."""
    sizes = {**_SIZES, "num_hidden_layers": n_layers}
    tokenizer, config, special = _FAMILIES[family](sizes)
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    for parameter in model.parameters():  # spread far enough that no two tokens look alike
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(special), encoding="utf-8")
    return folder


def _bert(sizes: _Sizes) -> tuple[Tokenizer, Any, dict[str, str]]:
    tokenizer = word_piece_tokenizer()
    config = transformers.BertConfig(
        vocab_size=tokenizer.get_vocab_size(), intermediate_size=32, **sizes
    )
    return tokenizer, config, {"pad_token": "[PAD]", "unk_token": "[UNK]"}


def _mpnet(sizes: _Sizes) -> tuple[Tokenizer, Any, dict[str, str]]:
    tokenizer = word_piece_tokenizer()
    config = transformers.MPNetConfig(
        vocab_size=tokenizer.get_vocab_size(), intermediate_size=32, **sizes
    )
    return tokenizer, config, {"pad_token": "[PAD]", "unk_token": "[UNK]"}


def _xlm_roberta(sizes: _Sizes) -> tuple[Tokenizer, Any, dict[str, str]]:
    tokenizer = unigram_tokenizer()
    config = transformers.XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), intermediate_size=32, pad_token_id=1, **sizes
    )
    return tokenizer, config, {"pad_token": "<pad>", "unk_token": "<unk>"}


def _modernbert(sizes: _Sizes) -> tuple[Tokenizer, Any, dict[str, str]]:
    tokenizer = byte_level_tokenizer()
    roles = ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
    ids: dict[str, Any] = dict.fromkeys(roles, 0)
    config = transformers.ModernBertConfig(
        vocab_size=tokenizer.get_vocab_size(), intermediate_size=32, pad_token_id=1, **ids, **sizes
    )
    return tokenizer, config, {"pad_token": "<|pad|>"}


def _gpt_neox(sizes: _Sizes) -> tuple[Tokenizer, Any, dict[str, str]]:
    tokenizer = byte_level_tokenizer()
    config = transformers.GPTNeoXConfig(
        vocab_size=tokenizer.get_vocab_size(),
        intermediate_size=32,
        bos_token_id=0,
        eos_token_id=0,
        **sizes,
    )
    return tokenizer, config, {}


def _grouped_queries(config_class: Any, sizes: _Sizes) -> tuple[Tokenizer, Any, dict[str, str]]:
    tokenizer = ending_byte_level_tokenizer()
    config = config_class(
        vocab_size=tokenizer.get_vocab_size(),
        intermediate_size=32,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=0,
        **sizes,
    )
    return tokenizer, config, {"pad_token": "<|pad|>"}


_FAMILIES: dict[str, Callable[[_Sizes], tuple[Tokenizer, Any, dict[str, str]]]] = {
    "bert": _bert,
    "mpnet": _mpnet,
    "xlm-roberta": _xlm_roberta,
    "modernbert": _modernbert,
    "gpt-neox": _gpt_neox,
    "qwen": partial(_grouped_queries, transformers.Qwen2Config),
    "llama": partial(_grouped_queries, transformers.LlamaConfig),
}
FAMILIES = tuple(_FAMILIES)
