"""Frozen blocks are not passed backward, also where activations are computed again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.transformer.teachers import save_teacher
from vecsmith.results.tuning import Tuning
from vecsmith.training.transformer_encoder import TransformerEncoder
from vecsmith.training.tuning import apply_tuning
from vecsmith.transformer.source import find_teacher


def backward_flops(folder: Path, *, gradient_checkpointing: bool, frozen_blocks: int) -> int:
    """Matrix FLOP of the backward pass of one batch."""
    encoder = TransformerEncoder.from_source(
        find_teacher(folder), pooling="mean", gradient_checkpointing=gradient_checkpointing
    )
    encoder.attend_plainly()
    apply_tuning(encoder.model, Tuning(method="freeze", frozen_blocks=frozen_blocks))
    ids = torch.arange(24).reshape(2, 12) % 20
    vectors = encoder.train()(ids, torch.ones_like(ids))
    with FlopCounterMode(display=False) as counter:
        vectors.sum().backward()
    return int(counter.get_total_flops())


def test_checkpoints_recompute_only_what_is_trained(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path / "model", "llama")
    plain = backward_flops(folder, gradient_checkpointing=False, frozen_blocks=1)
    again = backward_flops(folder, gradient_checkpointing=True, frozen_blocks=1)
    whole = backward_flops(folder, gradient_checkpointing=True, frozen_blocks=0)
    assert plain < again < whole
    # a forward pass of the trained block costs half of its backward pass
    assert again == pytest.approx(1.5 * plain, rel=0.1)
