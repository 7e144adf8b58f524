"""What is tried and said before a run: losses on two made-up pairs, and runs too short to learn.

One rule: a mistake is told before the texts are read, a doubt before the first step.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from vecsmith.training.batching import BatchStream
from vecsmith.training.loop import planned_steps
from vecsmith.training.losses import EmbeddingLoss, guided_info_nce, info_nce, needs
from vecsmith.training.losses.signature import drawn
from vecsmith.training.pair_sources import NamedPairs
from vecsmith.training.provenance import describe_loss
from vecsmith.training.settings import RunSettings

# below this many steps Adam has hardly left the warm-up
FEW_STEPS: Final = 50
_GUIDE_DIM: Final = 8


def try_losses(
    losses: Mapping[str, EmbeddingLoss],
    sources: Sequence[NamedPairs],
    settings: RunSettings,
    dim: int,
) -> None:
    """Calls each loss once with two random pairs of the roles of its set.

    Raises:
        ValueError: If it fails, is no scalar, or does not depend on the vectors, or if a batch
            would be a single pair that has nothing to be told from.
    """
    for source in sources:
        loss = losses[source.name]
        roles = [role for role in source.roles if role != "score"]
        check_batch(source.name, roles, loss, settings.batch_size, "batch_size 1")
        known = f"{source.name}: the loss {describe_loss(loss)} of vectors with {dim} dims"
        value: Any  # what a caller's function gives
        try:
            ready = drawn(loss, np.random.default_rng(0))
            queries, candidates, tensors = _two_pairs(ready, len(roles) - 1, dim, settings.device)
            value = ready(queries, candidates, **tensors)
        except Exception as error:
            raise ValueError(
                f"{known} fails on two pairs with the columns {', '.join(source.roles)}: {error}"
            ) from error
        if not isinstance(value, Tensor) or value.numel() != 1:
            found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{known} gives {found}, expected a tensor of one number")
        if not value.requires_grad:
            raise ValueError(f"{known} does not depend on them, expected a gradient")


def check_batch(
    name: str, roles: Sequence[str], loss: EmbeddingLoss, n_rows: int, found: str
) -> None:
    """Refuses batches of one pair where a loss has only the batch's other texts as negatives.

    Raises:
        ValueError: Saying `found`.
    """
    has_negatives = any(role.startswith("negative") for role in roles)
    if n_rows < 2 and not has_negatives and _innermost(loss) in (info_nce, guided_info_nce):
        raise ValueError(
            f"{name}: {found}, and {describe_loss(_innermost(loss))} tells a pair from the others "
            "of its batch, expected 2 or more pairs in a batch, or a column of hard negatives"
        )


def doubts(settings: RunSettings, stream: BatchStream, n_rows: Mapping[str, int]) -> Iterator[str]:
    """Lines on what a run of `stream` may lack; `n_rows` are the pairs of each set, in order."""
    n_steps, n_batches = planned_steps(settings, stream.n_batches), stream.n_batches
    if settings.steps is None and n_steps < FEW_STEPS:
        n_pairs = sum(n_rows.values())
        epochs = math.ceil(FEW_STEPS / n_batches)
        fitting = int(n_pairs * settings.epochs / FEW_STEPS)
        size = 2 ** int(math.log2(fitting)) if fitting >= 16 else 0
        smaller = f" or batch_size={size}" if size and size < settings.batch_size else ""
        times = "epoch" if settings.epochs == 1 else "epochs"
        yield (
            f"{n_pairs:,} pairs, {settings.batch_size:,} in a batch, in {settings.epochs:g} "
            f"{times} make {n_steps} steps, expected {FEW_STEPS} or more to learn from: try "
            f"epochs={epochs}{smaller}"
        )
    sets = zip(n_rows, stream.n_left_out_by_source, stream.has_loose_negatives, strict=True)
    for name, n_left_out, is_loose in sets:
        if is_loose:
            yield (
                f"{name}: hard negatives repeat so often that batches hold some of them twice; "
                "equal texts are no negatives of each other's pairs"
            )
        if n_left_out:
            yield (
                f"{name}: each pass leaves out {n_left_out:,} of {n_rows[name]:,} pairs, other "
                "ones each time, for texts that stand in more pairs than there are batches"
            )


def name_of_loss(loss: EmbeddingLoss) -> str:
    """The name of the function that `loss` is made of, without its settings."""
    return describe_loss(_innermost(loss))


def masks_equal_texts(loss: EmbeddingLoss) -> bool:
    """Whether `loss` takes the texts' keys, by which it leaves equal texts out."""
    return {"query_keys", "candidate_keys"} <= needs(loss)


def _two_pairs(
    loss: EmbeddingLoss, n_columns: int, dim: int, device: str
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    dice = torch.Generator().manual_seed(0)  # not the global one, which may be the caller's

    def made_up(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=dice).to(device)

    n_candidates = 2 * n_columns
    possible: dict[str, Any] = {
        "query_keys": torch.arange(2),
        "candidate_keys": torch.arange(2, 2 + n_candidates),
        "scores": torch.tensor([0.25, 0.75]),
        "guide_queries": made_up(2, _GUIDE_DIM),
        "guide_candidates": made_up(n_candidates, _GUIDE_DIM),
        "teacher_queries": made_up(2, _GUIDE_DIM),
        "teacher_candidates": made_up(n_candidates, _GUIDE_DIM),
    }
    tensors = {name: possible[name].to(device) for name in needs(loss)}
    layers = getattr(loss, "layers", None)
    above = () if layers is None else (len(layers),)  # a layered loss takes vectors of each layer
    queries, candidates = made_up(*above, 2, dim), made_up(*above, n_candidates, dim)
    return queries.requires_grad_(), candidates.requires_grad_(), tensors


def _innermost(loss: Any) -> Any:
    """The function that `matryoshka` and partials are made of."""
    while True:
        if isinstance(loss, functools.partial):
            loss = loss.func
        elif callable(getattr(loss, "loss", None)):
            loss = loss.loss
        else:
            return loss
