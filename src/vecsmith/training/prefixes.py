"""Any loss summed over prefixes of the embeddings: Matryoshka representation learning."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from vecsmith.training.losses.contrastive import guided_info_nce, info_nce
from vecsmith.training.losses.signature import EmbeddingLoss
from vecsmith.training.nested_info_nce import info_nce_of_prefixes


def matryoshka(
    loss: EmbeddingLoss,
    weights: Mapping[int, float],
    *,
    n_per_step: int | None = None,
    always: Sequence[int] | None = None,
) -> Matryoshka:
    """A loss of the same call shape: `loss` summed over prefixes of the embeddings.

    sum over d of weights[d] * loss(queries[:, :d], candidates[:, :d]), as in MRL (Kusupati et al.,
    "Matryoshka Representation Learning", NeurIPS 2022, equation 1). Tensors of scores, keys, guides
    and teachers are passed whole to each prefix. If `loss` is `info_nce` or `guided_info_nce`,
    alone or in a `functools.partial`, all prefixes are computed in one pass.

    Args:
        loss: Any loss that normalises its own inputs, since a prefix of a unit vector is not a
            unit vector.
        weights: Relative importance of each prefix length, e.g. `{64: 1.0, 256: 1.0}`; summed, not
            averaged.
        n_per_step: How many prefixes besides those of `always` a step draws at random, as training
            does by `for_step`; None for all of them in every step. A loss that is called without
            a draw sums over all.
        always: Prefix lengths that count in every step; None for the longest, () for none, which
            leaves steps without a loss of the full length, as sentence-transformers does.

    Raises:
        ValueError: If there are no weights, a length or a weight is not positive, or there are
            not so many prefixes to draw.

    Example:
        >>> from functools import partial
        >>> from vecsmith.training.losses import info_nce
        >>> nested = matryoshka(partial(info_nce, temperature=0.05), {256: 1.0, 64: 1.0})
    """
    if not weights:
        raise ValueError("matryoshka needs at least one prefix length")
    for dim, weight in weights.items():
        if dim <= 0:
            raise ValueError(f"prefix length {dim}, expected a positive number of dimensions")
        if not (weight > 0 and math.isfinite(weight)):
            raise ValueError(
                f"weight {weight} of prefix length {dim}, expected a positive number: leave a "
                "prefix out that should not count"
            )
    ordered = dict(sorted(weights.items()))
    if n_per_step is None:
        if always is not None:
            raise ValueError(f"always is {always} without n_per_step: all prefixes count anyway")
        return Matryoshka(loss=loss, weights=ordered)
    kept = (max(ordered),) if always is None else tuple(sorted(set(always)))
    _check_draws(ordered, n_per_step, kept)
    return Matryoshka(loss=loss, weights=ordered, n_per_step=n_per_step, always=kept)


def halved_prefixes(dim: int, smallest: int = 32) -> dict[int, float]:
    """Equal weights for `dim` and its halves down to `smallest`, the usual choice.

    Example:
        >>> halved_prefixes(256)
        {32: 1.0, 64: 1.0, 128: 1.0, 256: 1.0}
    """
    lengths = [dim]
    while lengths[-1] % 2 == 0 and lengths[-1] // 2 >= smallest:
        lengths.append(lengths[-1] // 2)
    return dict.fromkeys(sorted(lengths), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matryoshka:
    """A loss over prefixes, made by `matryoshka`.

    Attributes:
        loss: The loss of one prefix.
        weights: Weight of each prefix length, lengths ascending.
        n_per_step: How many prefixes besides `always` a step draws; None for all.
        always: Prefix lengths that count in every step.
    """

    loss: EmbeddingLoss
    weights: Mapping[int, float]
    n_per_step: int | None = None
    always: tuple[int, ...] = ()

    def for_step(self, rng: np.random.Generator) -> Matryoshka:
        """The loss of one step, over the prefixes that `rng` draws without replacement."""
        if self.n_per_step is None:
            return self
        others = [dim for dim in self.weights if dim not in self.always]
        drawn = rng.choice(others, size=self.n_per_step, replace=False).tolist() if others else []
        weights = {d: w for d, w in self.weights.items() if d in drawn or d in self.always}
        return Matryoshka(loss=self.loss, weights=weights)

    def __call__(
        self,
        queries: Tensor,
        candidates: Tensor,
        *,
        query_keys: Tensor | None = None,
        candidate_keys: Tensor | None = None,
        scores: Tensor | None = None,
        guide_queries: Tensor | None = None,
        guide_candidates: Tensor | None = None,
        teacher_queries: Tensor | None = None,
        teacher_candidates: Tensor | None = None,
    ) -> Tensor:
        """The weighted sum over prefixes, a scalar; tensors that are None are not passed on."""
        tensors = {
            "query_keys": query_keys,
            "candidate_keys": candidate_keys,
            "scores": scores,
            "guide_queries": guide_queries,
            "guide_candidates": guide_candidates,
            "teacher_queries": teacher_queries,
            "teacher_candidates": teacher_candidates,
        }
        given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        _check_prefixes(self.weights, queries.shape[-1])
        in_one_pass = _one_pass_settings(self.loss, queries, candidates, given)
        if in_one_pass is not None:
            return info_nce_of_prefixes(queries, candidates, self.weights, **in_one_pass)
        total = queries.new_zeros(())
        for dim, weight in self.weights.items():
            total = total + weight * self.loss(queries[:, :dim], candidates[:, :dim], **given)
        return total


def _check_draws(weights: Mapping[int, float], n_per_step: int, always: tuple[int, ...]) -> None:
    """Refuses draws that cannot be made.

    Raises:
        ValueError: Saying which.
    """
    unknown = [dim for dim in always if dim not in weights]
    if unknown:
        raise ValueError(f"always {unknown}, expected some of the prefix lengths {list(weights)}")
    most = len(weights) - len(always)
    if not (0 if always else 1) <= n_per_step <= most:
        raise ValueError(
            f"n_per_step is {n_per_step}, expected {0 if always else 1} to {most}, the prefixes "
            f"besides {list(always)} that count in every step"
        )


def _one_pass_settings(
    loss: EmbeddingLoss, queries: Tensor, candidates: Tensor, given: Mapping[str, Tensor]
) -> dict[str, Any] | None:
    """What `loss` would be called with if it is of the InfoNCE family, as one pass takes it."""
    function, settings = loss, dict[str, Any](given)
    while isinstance(function, functools.partial) and not function.args:
        settings = {**function.keywords, **settings}
        function = function.func
    if function not in (info_nce, guided_info_nce):
        return None
    call = inspect.signature(function).bind(queries, candidates, **settings)
    call.apply_defaults()
    return call.kwargs


def _check_prefixes(weights: Mapping[int, float], dim: int) -> None:
    """Refuses prefixes that are longer than embeddings of `dim` dimensions.

    Raises:
        ValueError: Naming them.
    """
    too_long = [length for length in weights if length > dim]
    if too_long:
        raise ValueError(f"prefix lengths {too_long} do not fit embeddings of {dim} dimensions")
