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
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.distillation.regression.fitting import TextShards
from vecsmith.errors import RunFailed
from vecsmith.training.bag import Bag, offsets_of
from vecsmith.training.batching import Batch, BatchStream
from vecsmith.training.losses import BOTH_WAYS, EmbeddingLoss, cosine_distance, info_nce
from vecsmith.training.optimizer import RowAdam
from vecsmith.training.prefixes import halved_prefixes, matryoshka
from vecsmith.training.schedule import Schedule
from vecsmith.training.token_table import TokenTable

# Adam moves every number by about the rate in a step, so the rate means something only beside the
# size of the numbers: the table is brought to this root mean square first
_RMS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PolishSettings:
    """Everything that decides a polish but its table, its pairs and its texts.

    Attributes:
        n_steps: Steps; few, since pairs of a narrow domain cost similarity everywhere else.
        batch_size: Pairs in a step.
        lr: Highest rate of Adam, beside numbers of root mean square 0.1; linear fall to 0.
        warmup: Share of the steps in which the rate rises.
        temperature: Of InfoNCE.
        target_weight: How many times the distance to the teacher's vectors counts.
        target_texts: The teacher's texts in a step.
        dims: Prefixes; None for the table's dims and its halves down to 32.
        seed: Of the order of pairs and of the draws of texts.
    """

    n_steps: int = 60
    batch_size: int = 1024
    lr: float = 3e-3
    warmup: float = 0.1
    temperature: float = 0.05
    target_weight: float = 10.0
    target_texts: int = 4096
    dims: tuple[int, ...] | None = None
    seed: int = 0

    def losses(self, dim: int) -> tuple[EmbeddingLoss, EmbeddingLoss]:
        """Of pairs and of targets, for a table of `dim` dimensions."""
        weights = dict.fromkeys(self.dims, 1.0) if self.dims else halved_prefixes(dim)
        pairs = partial(info_nce, temperature=self.temperature, directions=BOTH_WAYS)
        return matryoshka(pairs, weights), matryoshka(cosine_distance, weights)


def polish(
    table: FloatArray,
    texts: TargetTexts,
    stream: BatchStream,
    settings: PolishSettings,
    *,
    advance: Callable[[int], object] | None = None,
) -> FloatArray:
    """The table after `n_steps` steps, float32 [V, K], at the size of the one given.

    Args:
        table: Rows of the V tokens, [V, K].
        texts: The teacher's texts and their vectors in the table's K dimensions.
        stream: Batches of pairs.
        settings: The rest.
        advance: Called with 1 after each step.

    Raises:
        RunFailed: If the loss is no number any more.
    """
    size = float(np.sqrt(np.mean(np.square(table, dtype=np.float64))))
    if not size > 0:
        raise RunFailed("the table to polish is all zeros, expected a fitted one")
    scale = np.float32(_RMS / size)
    student = TokenTable(torch.from_numpy(table * scale))
    optimizer = RowAdam(student, lr=settings.lr)
    schedule = Schedule(
        peak=settings.lr,
        n_steps=settings.n_steps,
        n_warmup=round(settings.warmup * settings.n_steps),
        decay="linear",
    )
    losses = settings.losses(table.shape[1])
    for step in range(settings.n_steps):
        bag, targets = texts.draw(settings.target_texts, step)
        _step(student, optimizer, next(stream), (bag, targets), losses, settings, schedule, step)
        if advance is not None:
            advance(1)
    polished: FloatArray = student.rows.numpy() / scale
    return polished


def _step(
    student: TokenTable,
    optimizer: RowAdam,
    batch: Batch,
    drawn: tuple[Bag, FloatArray],
    losses: tuple[EmbeddingLoss, EmbeddingLoss],
    settings: PolishSettings,
    schedule: Schedule,
    step: int,
) -> None:
    bags = {**batch.columns, "target": drawn[0]}
    leaves = {role: student.embed(bag).requires_grad_() for role, bag in bags.items()}
    others = [role for role in leaves if role not in ("anchor", "target")]
    value = losses[0](
        leaves["anchor"],
        torch.cat([leaves[role] for role in others]),
        query_keys=torch.from_numpy(batch.keys["anchor"].view(np.int64)),
        candidate_keys=torch.from_numpy(
            np.concatenate([batch.keys[role] for role in others]).view(np.int64)
        ),
    ) + settings.target_weight * losses[1](leaves["target"], torch.from_numpy(drawn[1]))
    if not torch.isfinite(value):
        raise RunFailed(f"step {step + 1}: the loss is {value.item()}, expected a number")
    value.backward()  # type: ignore[no-untyped-call]
    gradients = [(bags[role], leaf.grad) for role, leaf in leaves.items() if leaf.grad is not None]
    optimizer.step(student.gradients(gradients), schedule.rate(step))


@dataclass(frozen=True, slots=True)
class TargetTexts:
    """Texts of a teacher's pass, drawn at random, with their vectors in a table's dimensions.

    Attributes:
        passed: The pass.
        rotation: From the teacher's dimensions to the table's, [D, K].
        seed: Of the draws.
    """

    passed: TextShards
    rotation: FloatArray
    seed: int = 0
    _starts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Counts the texts of each shard."""
        sizes = [len(shard.vectors) for shard in self.passed.shards()]
        object.__setattr__(self, "_starts", offsets_of(sizes))

    def draw(self, n_texts: int, step: int) -> tuple[Bag, FloatArray]:
        """`n_texts` of them, the same ones for the same step, and their vectors [N, K]."""
        total = int(self._starts[-1])
        dice = np.random.default_rng([self.seed, step])
        chosen = np.sort(dice.choice(total, min(n_texts, total), replace=False, shuffle=False))
        ids, lengths, vectors = [], [], []
        bounds = np.searchsorted(chosen, self._starts)
        for i, shard in enumerate(self.passed.shards()):
            rows = chosen[bounds[i] : bounds[i + 1]] - self._starts[i]
            if not len(rows):
                continue
            begins, ends = shard.offsets[rows], shard.offsets[rows + 1]
            ids += [shard.ids[b:e] for b, e in zip(begins, ends, strict=True)]
            lengths.append(ends - begins)
            vectors.append(shard.vectors[rows].astype(np.float32))
        bag = Bag(np.concatenate(ids), offsets_of(np.concatenate(lengths)))
        return bag, np.concatenate(vectors) @ self.rotation
