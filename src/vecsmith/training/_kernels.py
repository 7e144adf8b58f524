"""The engine's loops for training on CPU, for the functions beside that are their specification.

Shapes: V rows, D dimensions, N texts, T tokens, U rows touched, B queries, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from vecsmith import _core
from vecsmith.tokenizer import cpu_level
from vecsmith.training.bag import Bag

# What one step gives back serves the next: memory fresh from the system is zeroed page by page,
# which took a fifth of a step.
_POOL: Final = _core.MemoryPool()


def vectors(n_rows: int, dim: int) -> Tensor:
    """A float32 tensor [n_rows, dim] of used memory that holds anything."""
    return torch.from_numpy(_POOL.vectors(n_rows, dim))


def release_memory() -> None:
    """Returns the memory that no step is using to the system."""
    _POOL.release()


def runs_here(*tensors: Tensor) -> bool:
    """Whether the engine takes these tensors: float32 on CPU."""
    return all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)


def mean_rows(rows: Tensor, token_weights: Tensor | None, bag: Bag) -> Tensor:
    """Mean of each text's rows times their weights, shape [N, D].

    Raises:
        IndexError: If an id has no row, or offsets run outside the ids.
    """
    out = vectors(len(bag.offsets) - 1, rows.shape[1])
    _core.mean_rows(
        rows.numpy(),
        None if token_weights is None else token_weights.numpy(),
        bag.ids,
        bag.offsets,
        out.numpy(),
        _POOL,
        torch.get_num_threads(),
        cpu_level(),
    )
    return out


def row_gradients(
    rows: Tensor, token_weights: Tensor | None, bags: Sequence[tuple[Bag, Tensor]]
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Ids of touched rows [U], their gradients [U, D], those of their weights, squared lengths.

    Raises:
        IndexError: If an id has no row, or offsets run outside the ids.
    """
    touched = _core.TouchedRows([(bag.ids, bag.offsets) for bag, _ in bags], len(rows))
    ids = torch.from_numpy(touched.ids)
    out_rows = vectors(len(ids), rows.shape[1])
    out_weights = None if token_weights is None else torch.empty(len(ids))
    squares = torch.empty(len(ids), dtype=torch.float64)
    touched.gather(
        [d_vectors.contiguous().numpy() for _, d_vectors in bags],
        rows.numpy(),
        None if token_weights is None else token_weights.numpy(),
        out_rows.numpy(),
        None if out_weights is None else out_weights.numpy(),
        squares.numpy(),
        _POOL,
        torch.get_num_threads(),
        cpu_level(),
    )
    return ids, out_rows, out_weights, squares


def adam_rows(
    values: Tensor,
    moments: tuple[Tensor, Tensor],
    ids: Tensor,
    gradients: Tensor,
    touched: Tensor,
    *,
    betas: tuple[float, float],
    eps: float,
    lr: float,
    weight_decay: float,
    scale: float,
    step: int,
) -> None:
    """Moves the rows `ids` [U] of `values` [V, D] by one step of AdamW; `touched` is only read.

    Raises:
        IndexError: If ids do not rise, have no row, or were touched in this step already.
    """
    _core.adam_rows(
        values.numpy(),
        moments[0].numpy(),
        moments[1].numpy(),
        ids.numpy(),
        gradients.contiguous().numpy(),
        touched.numpy(),
        betas[0],
        betas[1],
        eps,
        lr,
        weight_decay,
        scale,
        step,
        torch.get_num_threads(),
        cpu_level(),
    )


def nested_info_nce(
    queries: Tensor,
    candidates: Tensor,
    dims: Sequence[int],
    weights: Sequence[float],
    temperature: float,
    *,
    excluded: tuple[Tensor, Tensor] | None = None,
    both_directions: bool = False,
    bfloat16: bool = False,
) -> tuple[float, Tensor, Tensor]:
    """InfoNCE over prefixes and its gradients for `queries` [B, D] and `candidates` [C, D].

    Args:
        queries: float32, on CPU.
        candidates: The same; row i < B belongs to query i.
        dims: Prefix lengths, ascending.
        weights: Of each of them.
        temperature: Divides the cosines.
        excluded: Keys of queries [B] and of candidates [C], int64; what equals a text of a pair is
            no negative of it.
        both_directions: Whether candidates are to pick their queries as well; the loss is the mean.
        bfloat16: Whether to round the factors of products; sums are float32 all the same.
    """
    queries, candidates = queries.detach().contiguous(), candidates.detach().contiguous()
    d_queries, d_candidates = (vectors(*side.shape) for side in (queries, candidates))
    keys = [None, None] if excluded is None else [k.contiguous().numpy() for k in excluded]
    loss = _core.nested_info_nce(
        queries.numpy(),
        candidates.numpy(),
        list(dims),
        list(weights),
        temperature,
        keys[0],
        keys[1],
        both_directions,
        bfloat16,
        d_queries.numpy(),
        d_candidates.numpy(),
        _POOL,
        torch.get_num_threads(),
        cpu_level(),
    )
    return loss, d_queries, d_candidates
