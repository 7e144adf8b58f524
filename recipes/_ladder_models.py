"""The base models of the ladder: small GPT-NeoX shapes, pre-trained here as language models.

Every size reads the same tokens in the same order, as Pythia's sizes do. The tokenizer is a
byte-level BPE trained on the same texts. Both are kept; what is there is not made again.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

TOKENIZER_FILE, FACTS_FILE = "tokenizer.json", "pretraining.json"
END = "<|endoftext|>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A rung: width, depth, heads."""

    dim: int
    layers: int
    heads: int

    @property
    def name(self) -> str:
        """As its folder is called."""
        return f"neox-{self.dim}x{self.layers}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """What all sizes have in common."""

    vocab_size: int = 384
    n_tokens: int = 4_000_000
    length: int = 64
    batch_size: int = 32
    lr: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.1
    precision: str = "bfloat16"
    seed: int = 0


def make_models(
    sizes: Iterable[Size], texts: Path, work: Path, settings: Pretraining
) -> dict[str, Path]:
    """Folders of the pre-trained sizes by name; `texts` is a parquet file with a column "text"."""
    folder = work / "models"
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, Path] = {}
    ids = None
    for size in sizes:
        made[size.name] = folder / size.name
        if not (made[size.name] / FACTS_FILE).exists():
            ids = _token_ids(texts, work, settings) if ids is None else ids
            _pretrain(size, ids, made[size.name], work / TOKENIZER_FILE, settings)
    return made


def _token_ids(path: Path, work: Path, settings: Pretraining) -> np.ndarray:
    """Sequences of all models, int64 [N, length], made of texts in a seeded order."""
    texts = pq.read_table(path, columns=["text"]).column("text").to_pylist()
    order = np.random.default_rng(settings.seed).permutation(len(texts))
    texts = [texts[place] for place in order]
    tokenizer = _tokenizer(texts, work / TOKENIZER_FILE, settings)
    end = tokenizer.token_to_id(END)
    flat: list[int] = []
    for first in range(0, len(texts), 4096):
        for encoding in tokenizer.encode_batch(texts[first : first + 4096]):
            flat += [*encoding.ids, end]
        if len(flat) >= settings.n_tokens:
            break
    else:
        raise SystemExit(
            f"{path} holds {len(flat):,} tokens, expected {settings.n_tokens:,} or more: give "
            "more texts, or fewer --tokens"
        )
    n = settings.n_tokens // settings.length
    return np.array(flat[: n * settings.length], dtype=np.int64).reshape(n, settings.length)


def _tokenizer(texts: list[str], path: Path, settings: Pretraining) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    if path.exists():
        return Tokenizer.from_file(str(path))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=settings.vocab_size,
            special_tokens=[END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    tokenizer.save(str(part))
    part.replace(path)
    return tokenizer


def _pretrain(
    size: Size, ids: np.ndarray, out: Path, tokenizer: Path, settings: Pretraining
) -> None:
    """Trains one size on next tokens, and writes it as a folder of the transformers library."""
    import torch
    from transformers import GPTNeoXForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(settings.seed)
    model = GPTNeoXForCausalLM(_config(size, settings))
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.lr,
        betas=(0.9, 0.95),
        weight_decay=settings.weight_decay,
        fused=True,
    )
    n_steps = len(ids) // settings.batch_size
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate(step, n_steps, settings.warmup)
    )
    started, losses = time.perf_counter(), []
    for step in range(n_steps):
        batch = torch.from_numpy(ids[step * settings.batch_size : (step + 1) * settings.batch_size])
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bfloat16"):
            logits = model(input_ids=batch).logits
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), batch[:, 1:].flatten()
        )
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 100 == 99:
            print(f"{size.name} {step + 1}/{n_steps} {np.mean(losses[-100:]):.3f}", flush=True)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_file=str(tokenizer), eos_token=END, model_max_length=settings.length
    ).save_pretrained(part)
    facts = {
        **asdict(settings),
        **asdict(size),
        "loss": float(np.mean(losses[-100:])),
        "seconds": time.perf_counter() - started,
    }
    (part / FACTS_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    part.replace(out)


def _config(size: Size, settings: Pretraining) -> Any:
    from transformers import GPTNeoXConfig

    return GPTNeoXConfig(
        vocab_size=settings.vocab_size,
        hidden_size=size.dim,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.dim,
        max_position_embeddings=2 * settings.length,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="eager",  # type: ignore[call-arg]  # what a config takes besides
    )


def _rate(step: int, n_steps: int, warmup: float) -> float:
    """Linear warm-up, then a cosine to a tenth."""
    n_warmup = max(1, round(warmup * n_steps))
    if step < n_warmup:
        return (step + 1) / n_warmup
    done = (step - n_warmup) / max(1, n_steps - n_warmup)
    return float(0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * done)))
