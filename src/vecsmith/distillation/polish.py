"""Contrastive polish: a fitted table moved a little, so that texts that belong together meet.

One step takes a batch of pairs and a draw of the teacher's texts. The loss is InfoNCE of the pairs
plus, so many times, the cosine distance of the texts' vectors to the teacher's, both over prefixes:
the first teaches what goes with what, the second keeps what the regression found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from vecsmith._typing import FloatArray
from vecsmith.distillation.open_shards import NumberedShards, OpenShards, tokens_of
from vecsmith.distillation.settings import PolishSettings
from vecsmith.errors import RunFailed
from vecsmith.training.bag import Bag, offsets_of
from vecsmith.training.batching import Batch, BatchStream
from vecsmith.training.losses import BOTH_WAYS, EmbeddingLoss, cosine_distance, info_nce
from vecsmith.training.optimizer import RowAdam
from vecsmith.training.prefixes import halved_prefixes, matryoshka
from vecsmith.training.schedule import Schedule
from vecsmith.training.token_table import TokenTable

# The rate of the settings is for numbers of this root mean square. Cosines do not change with the
# size of a table, and Adam moves every number by about the rate: a table of another size takes the
# same way at a rate in proportion to it.
_RMS = 0.1
_EPS = 1e-8


def polish(
    table: FloatArray,
    texts: TargetTexts,
    stream: BatchStream,
    settings: PolishSettings,
    *,
    advance: Callable[[int], object] | None = None,
) -> FloatArray:
    """The table after `n_steps` steps, float32 [V, K]; rows that no text touches stay as they are.

    The same with any number of threads.

    Args:
        table: Rows of the V tokens, [V, K].
        texts: The teacher's texts and their vectors in the table's K dimensions.
        stream: Batches of pairs.
        settings: The rest.
        advance: Called with 1 after each step.

    Raises:
        RunFailed: If the table is all zeros, or the loss is no number any more.
        ValueError: If a prefix is longer than the table is wide.
    """
    size = float(np.sqrt(np.mean(np.square(table, dtype=np.float64))))
    if not size > 0:
        raise RunFailed("the table to polish is all zeros, expected a fitted one")
    student = TokenTable(torch.from_numpy(np.array(table, dtype=np.float32)))
    schedule = Schedule(
        peak=settings.lr * size / _RMS,
        n_steps=settings.n_steps,
        n_warmup=min(round(settings.warmup * settings.n_steps), settings.n_steps),
    )
    optimizer = RowAdam(student, lr=schedule.peak, eps=_EPS * _RMS / size)
    losses = _losses(settings, table.shape[1])
    for step in range(settings.n_steps):
        drawn = texts.draw(settings.target_texts, step)
        leaves = _Leaves(student, next(stream), drawn)
        loss = leaves.of_pairs(losses[0]) + settings.target_weight * leaves.of_targets(losses[1])
        if not torch.isfinite(loss):
            raise RunFailed(f"step {step + 1}: the loss is {loss.item()}, expected a number")
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step(student.gradients(leaves.gradients()), schedule.rate(step))
        if advance is not None:
            advance(1)
    polished: FloatArray = student.rows.numpy()
    return polished


def _losses(settings: PolishSettings, dim: int) -> tuple[EmbeddingLoss, EmbeddingLoss]:
    """Of pairs and of targets, for a table of `dim` dimensions."""
    weights = dict.fromkeys(settings.dims, 1.0) if settings.dims else halved_prefixes(dim)
    pairs = partial(info_nce, temperature=settings.temperature, directions=BOTH_WAYS)
    return matryoshka(pairs, weights), matryoshka(cosine_distance, weights)


class _Leaves:
    """Vectors of the texts of a step, from which gradients flow back."""

    def __init__(self, student: TokenTable, batch: Batch, drawn: tuple[Bag, FloatArray]) -> None:
        self._bags = {**batch.columns, "target": drawn[0]}
        self._vectors = {
            role: student.embed(bag).requires_grad_() for role, bag in self._bags.items()
        }
        self._keys = batch.keys
        self._targets = torch.from_numpy(drawn[1])

    def of_pairs(self, loss: EmbeddingLoss) -> Tensor:
        """The loss of the pairs; equal texts are no negatives of each other."""
        others = [role for role in self._vectors if role not in ("anchor", "target")]
        keys = np.concatenate([self._keys[role] for role in others])
        return loss(
            self._vectors["anchor"],
            torch.cat([self._vectors[role] for role in others]),
            query_keys=torch.from_numpy(self._keys["anchor"].view(np.int64)),
            candidate_keys=torch.from_numpy(keys.view(np.int64)),
        )

    def of_targets(self, loss: EmbeddingLoss) -> Tensor:
        """The loss of the teacher's texts."""
        return loss(self._vectors["target"], self._targets)

    def gradients(self) -> list[tuple[Bag, Tensor]]:
        """Bags and gradients of their vectors, once the loss went backward."""
        found = []
        for role, vectors in self._vectors.items():
            assert vectors.grad is not None
            found.append((self._bags[role], vectors.grad))
        return found


@dataclass(frozen=True, slots=True)
class TargetTexts:
    """Texts of a teacher's pass, drawn at random, with their vectors in a table's dimensions.

    Attributes:
        passed: The pass.
        rotation: From the teacher's dimensions to the table's, [D, K].
        seed: Of the draws.
    """

    passed: NumberedShards
    rotation: FloatArray
    seed: int = 0
    _shards: OpenShards = field(init=False)

    def __post_init__(self) -> None:
        """Counts the texts."""
        object.__setattr__(self, "_shards", OpenShards(self.passed))

    def draw(self, n_texts: int, step: int) -> tuple[Bag, FloatArray]:
        """`n_texts` of them, the same ones for the same step, and their vectors [N, K]."""
        total = self._shards.n_texts
        dice = np.random.default_rng([self.seed, step])
        chosen = np.sort(dice.choice(total, min(n_texts, total), replace=False, shuffle=False))
        ids, lengths, vectors = [], [], []
        for shard, rows in self._shards.groups(chosen):
            own_ids, own_lengths = tokens_of(shard, rows)
            ids.append(own_ids)
            lengths.append(own_lengths)
            vectors.append(shard.vectors[rows].astype(np.float32))
        bag = Bag(np.concatenate(ids), offsets_of(np.concatenate(lengths)))
        return bag, np.concatenate(vectors) @ self.rotation
