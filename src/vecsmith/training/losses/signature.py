"""What a loss is, and how a caller finds out which tensors it wants.

Shapes, one letter per axis: B queries, C candidates, D dimensions of the student, G of a guide,
T of a teacher. A loss never calls a model and holds no state.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

# Called as loss(queries [B, D], candidates [C, D], **tensors) with the tensors that `needs` lists;
# row i of the candidates belongs to query i, hard negatives come after row B - 1.
EmbeddingLoss = Callable[..., Tensor]

TENSORS = (
    "query_keys",  # int64 [B], equal keys mean equal texts
    "candidate_keys",  # int64 [C]
    "scores",  # [B], how alike each query and its candidate are, as somebody judged
    "guide_queries",  # [B, G], the same texts in the space of another model
    "guide_candidates",  # [C, G]
    "teacher_queries",  # [B, T]
    "teacher_candidates",  # [C, T]
)


def needs(loss: EmbeddingLoss) -> frozenset[str]:
    """Names among `TENSORS` that `loss` takes as keywords and are not bound already.

    It sees through `functools.partial`, and through losses made of another one, which they keep
    in an attribute `loss`, as `matryoshka` does.

    Example:
        >>> from functools import partial
        >>> from vecsmith.training.losses import cosent, needs
        >>> sorted(needs(partial(cosent, scale=30.0)))
        ['scores']
    """
    bound: set[str] = set()
    inner: Any = loss
    while True:
        if isinstance(inner, functools.partial):
            bound |= set(inner.keywords)
            inner = inner.func
        elif not inspect.isroutine(inner) and callable(getattr(inner, "loss", None)):
            inner = inner.loss
        else:
            break
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(inner).parameters.values()
    taken = {parameter.name for parameter in parameters if parameter.kind in named}
    return frozenset(name for name in TENSORS if name in taken and name not in bound)


def drawn(loss: EmbeddingLoss, rng: np.random.Generator) -> EmbeddingLoss:
    """The loss of one step: what `loss.for_step(rng)` draws, or `loss` itself if it draws nothing.

    A loss that takes other prefixes or layers in each step has a method `for_step`. A loop that
    makes `rng` of its seed and the number of the step goes on after a kill with the same draws.

    Args:
        loss: Any loss.
        rng: Of this step; a loss takes as many numbers from it as it likes.
    """
    draw = getattr(loss, "for_step", None)
    if draw is None:
        return loss
    chosen: EmbeddingLoss = draw(rng)
    return chosen
