"""How fast this machine trains: steps of the real training code, timed.

The one rule: nothing is taken from a data sheet but the peak that the share is of; what a device
does a second is counted by the same formulas as a plan's FLOP.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch

from vecsmith._extras import require
from vecsmith._typing import PathLike
from vecsmith.planning.accounting.flops import count_flops
from vecsmith.planning.accounting.shapes import ModelShape
from vecsmith.planning.catalogue.accelerators import find_accelerator
from vecsmith.results.tuning import Tuning
from vecsmith.training.bag import Bag
from vecsmith.training.batching import Batch
from vecsmith.training.losses import info_nce
from vecsmith.training.settings import TransformerSettings
from vecsmith.training.transformer_base import (
    Base,
    TextReading,
    chosen_device,
    chosen_precision,
    open_base,
)
from vecsmith.training.transformer_student import TransformerStudent
from vecsmith.transformer.source import find_teacher, transformer_folder

# A decoder large enough that products of matrices fill the device's units, by type of device
_SIZES: Final = {"cpu": (4, 128, 4), "cuda": (12, 768, 12)}
_VOCABULARY: Final = 4096
_WARM_UP_STEPS: Final = 2
_FEWEST_STEPS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a machine was measured to do while training.

    Attributes:
        flops_per_second: That the device did: all products of matrices, with attention and what
            is computed twice. What hours are turned into FLOP with.
        counted_flops_per_second: Of the laws' kind: 2 N_F + 2 N_B + 2 N_U a token.
        tokens_per_second: Real tokens.
        mfu: `flops_per_second` as a share of the device's peak; None where that is not known.
        device: Torch device, and what it is called.
        precision: Of products.
        steps: That were timed.
        seconds: That they took.
    """

    flops_per_second: float
    counted_flops_per_second: float
    tokens_per_second: float
    mfu: float | None
    device: str
    precision: str
    steps: int
    seconds: float


def calibrate(
    model: ModelShape | PathLike | None = None,
    *,
    tuning: Tuning | None = None,
    batch_size: int = 64,
    max_length: int = 75,
    mini_batch: int = 0,
    gradient_checkpointing: bool = False,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    device: str | None = None,
    peak_flops: float | None = None,
    seconds: float = 20.0,
) -> Calibration:
    """What this machine does a second while it tunes `model`, measured for some `seconds`.

    Args:
        model: A folder or Hub id; or a shape, of whose depth and width a GPT-NeoX with random
            weights is made; None for a small one that suits the device.
        tuning: What is trained; None for all.
        batch_size: Pairs in a step.
        max_length: Tokens of each text.
        mini_batch: Texts held at a time by a gradient cache, 0 for all.
        gradient_checkpointing: Whether activations are computed again.
        precision: Of products.
        device: Torch device, None for CUDA if there is one, else the CPU.
        peak_flops: FLOP a second that the device could do at best; None to look it up by the
            device's name.
        seconds: How long to measure, after the first steps.

    Raises:
        ValueError: If an argument makes no sense.
        FormatError: If a file of the model is broken.
    """
    if not 0 < seconds < float("inf"):
        raise ValueError(f"seconds is {seconds}, expected a number above 0")
    device, tuning = chosen_device(device), tuning or Tuning()
    settings = TransformerSettings(
        tuning=tuning,
        batch_size=batch_size,
        mini_batch=mini_batch,
        max_length=max_length,
        gradient_checkpointing=gradient_checkpointing,
        precision=chosen_precision(precision, device),
        dropout=0.0,
        device=device,
        lr=1e-9,  # the weights should stay in the range where nothing overflows
    )
    with _folder_of(model, device) as folder:
        shape = ModelShape.from_folder(transformer_folder(find_teacher(folder).folder))
        base = open_base(folder, settings, pooling="mean")
        steps, elapsed, n_tokens = _timed(base, settings, shape.vocab_size, seconds)
    counted = count_flops(
        shape,
        tuning,
        tokens=n_tokens,
        length=max_length,
        gradient_checkpointing=gradient_checkpointing,
        gradient_cache=0 < mini_batch < 2 * batch_size,
    )
    rate = counted.hardware / elapsed
    peak = peak_flops or _known_peak(device, settings.precision)
    return Calibration(
        flops_per_second=rate,
        counted_flops_per_second=counted.counted / elapsed,
        tokens_per_second=n_tokens / elapsed,
        mfu=None if peak is None else rate / peak,
        device=_called(device),
        precision=settings.precision,
        steps=steps,
        seconds=elapsed,
    )


def _timed(
    base: Base, settings: TransformerSettings, vocab_size: int, seconds: float
) -> tuple[int, float, int]:
    """Steps done, the seconds they took, and the tokens they read."""
    text = TextReading.of(base.said, settings, base.encoder)
    student = TransformerStudent(base.encoder, settings, frame=text.frame)
    dice = np.random.default_rng(0)
    assert text.max_length is not None
    length = text.max_length

    def step() -> int:
        batch = _batch(dice, settings.batch_size, length, vocab_size)
        return student.step(batch, info_nce, settings.lr).n_tokens

    for _ in range(_WARM_UP_STEPS):
        step()
    return _repeated(step, seconds, settings.device)


def _repeated(step: Callable[[], int], seconds: float, device: str) -> tuple[int, float, int]:
    _finish(device)
    started, steps, n_tokens = time.perf_counter(), 0, 0
    while steps < _FEWEST_STEPS or time.perf_counter() - started < seconds:
        n_tokens += step()
        steps += 1
    _finish(device)
    return steps, time.perf_counter() - started, n_tokens


def _batch(dice: np.random.Generator, n: int, length: int, vocab_size: int) -> Batch:
    """A batch of random texts of equal length: nothing of it is padding."""
    rows = np.arange(n, dtype=np.int64)
    offsets = length * np.arange(n + 1, dtype=np.int64)
    columns = {
        role: Bag(dice.integers(0, vocab_size, n * length).astype(np.uint32), offsets)
        for role in ("anchor", "positive")
    }
    keys = {"anchor": rows.astype(np.uint64), "positive": (n + rows).astype(np.uint64)}
    return Batch(
        source="made up", columns=columns, keys=keys, scores=None, rows=rows, epoch=0, index=0
    )


@contextmanager
def _folder_of(model: ModelShape | PathLike | None, device: str) -> Iterator[PathLike]:
    """The folder of a model, or of one made for the occasion while the block lasts."""
    if model is not None and not isinstance(model, ModelShape):
        yield model
        return
    if model is None:
        n_layers, dim, n_heads = _SIZES["cuda" if device.startswith("cuda") else "cpu"]
    else:
        n_layers, dim, n_heads = model.n_layers, model.dim, model.n_heads
    with tempfile.TemporaryDirectory(prefix="vecsmith-calibration-") as name:
        _write_decoder(Path(name), n_layers, dim, n_heads)
        yield name


def _write_decoder(folder: Path, n_layers: int, dim: int, n_heads: int) -> None:
    """A GPT-NeoX with random weights and a tokenizer of letters, which nobody asks."""
    transformers = require("transformers", extra="train", purpose="make a model to measure")
    n_heads = next(n for n in range(min(n_heads, dim // 2), 0, -1) if dim % (2 * n) == 0)
    config = transformers.GPTNeoXConfig(
        vocab_size=_VOCABULARY,
        hidden_size=dim,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        intermediate_size=4 * dim,
        bos_token_id=0,
        eos_token_id=0,
    )
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    tokens = {"[UNK]": 0, **{chr(97 + i): i + 1 for i in range(26)}}
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": tokens, "unk_token": "[UNK]"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def _known_peak(device: str, precision: str) -> float | None:
    """The peak of a CUDA device whose name holds one that is shipped."""
    words = _called(device).lower().replace("-", " ").split()
    for n_words in (3, 2, 1):
        for i in range(len(words) - n_words + 1):
            try:
                accelerator = find_accelerator(" ".join(words[i : i + n_words]))
            except ValueError:
                continue
            return accelerator.peak_flops.get(precision)
    return None


def _called(device: str) -> str:
    if not device.startswith("cuda"):
        return f"{device}, {torch.get_num_threads()} threads"
    return f"{device}, {torch.cuda.get_device_name(torch.device(device))}"


def _finish(device: str) -> None:
    """Waits for what a CUDA device has still to do."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(torch.device(device))
