"""Any loss over layers of a transformer, and with `matryoshka` over prefixes of each: 2D nesting.

Legend: L layers that are given, B queries, C candidates, D dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

import numpy as np
import torch
from torch import Tensor

from vecsmith.training.alignment import compressed_divergence, soft_divergence
from vecsmith.training.layer_plans import (
    LAYER_VARIANTS,
    PLANS,
    Alignment,
    LayerSettings,
    LayerVariant,
    Part,
    Plan,
    Weighting,
)
from vecsmith.training.losses.signature import EmbeddingLoss
from vecsmith.training.prefixes import Matryoshka

# Where variants differ from what most do; temperatures are those of their own code, that of 2DMSE
# is AnglE's
_OWN: Final[dict[LayerVariant, LayerSettings]] = {
    "all": LayerSettings(n_layers_per_step=None),
    "starbucks": LayerSettings(),
    "2dmse": LayerSettings(kl_temperature=1.0),
    "angle": LayerSettings(kl_temperature=1.0),
    "ese": LayerSettings(kl_temperature=1.0),
    "sentence-transformers-v5": LayerSettings(weighting="linear"),
    "sentence-transformers-v6": LayerSettings(),
}
_SAMPLED: Final = ("sentence-transformers-v5", "sentence-transformers-v6")
_OWN_PREFIXES: Final = ("starbucks", "2dmse", "angle", "ese")
# Options that not all variants have a use for, and those that have
_USED_BY: Final[dict[str, tuple[str, ...]]] = {
    "pairs": ("starbucks",),
    "n_layers_per_step": _SAMPLED,
    "first_layer": _SAMPLED,
    "weighting": ("all", *_SAMPLED),
    "compressed_dim": ("ese",),
}


def layered(
    loss: EmbeddingLoss,
    *,
    variant: LayerVariant = "starbucks",
    pairs: Sequence[tuple[int, int]] | None = None,
    n_layers_per_step: int | None = None,
    first_layer: int | None = None,
    last_weight: float | None = None,
    prior_weight: float | None = None,
    kl_weight: float | None = None,
    kl_temperature: float | None = None,
    weighting: Weighting | None = None,
    compressed_dim: int | None = None,
) -> Layered:
    """A loss over the vectors after several layers, so that a transformer may be cut in depth.

    It takes queries [L, B, D] and candidates [L, C, D], the vectors after the layers that its
    attribute `layers` lists, the last layer last. Of a `matryoshka` loss it makes a 2D one: depth
    and width may both be cut. The variants are different objectives under similar names; their
    formulas are in `vecsmith.training.layer_plans`.

    Args:
        loss: Any loss, or a `matryoshka` of one, whose prefixes and weights then count.
        variant: "starbucks", the same few depths in each step, each with its own prefix, which
            scored best where they were compared (arXiv 2410.13230); "all", every layer in each
            step with all that `loss` is; "2dmse", of the paper (arXiv 2402.14776 v1); "angle", of
            its code; "ese", its second version; "sentence-transformers-v5" and "-v6".
        pairs: For "starbucks", depths and prefix lengths, the whole model last; None for as many
            evenly deep layers as the matryoshka has prefixes.
        n_layers_per_step: For "sentence-transformers-...", layers drawn for a step besides the
            last, 1 if None, 0 for all.
        first_layer: For "sentence-transformers-...", the shallowest that is drawn: 1 if None; 0,
            the output of the embeddings, is drawn by sentence-transformers too and is of no use
            for a model that is cut.
        last_weight: Of the losses of the last layer, 1 if None.
        prior_weight: Of the losses of the layers before it, 1 if None.
        kl_weight: Of the divergences, 1 if None, 0 for none.
        kl_temperature: Of the divergences; None for the variant's own.
        weighting: Of losses by layer: "uniform", "log" for 1 / (1 + log(1 + l)), "linear" for
            1 / (1 + l); None for the variant's own.
        compressed_dim: For "ese", the prefix that learns to hold the principal components; None
            for the shortest of the matryoshka, else 128.

    Raises:
        ValueError: If the variant is not known or has no use for an option, or one is out of range.

    Example:
        >>> from vecsmith.training import info_nce, matryoshka
        >>> loss = layered(matryoshka(info_nce, {96: 1.0, 192: 1.0, 384: 1.0})).for_layers(6)
        >>> loss.layers
        (2, 4, 6)
    """
    if variant not in LAYER_VARIANTS:
        raise ValueError(f"variant {variant!r:.60}, expected one of {list(LAYER_VARIANTS)}")
    given = {
        "pairs": None if pairs is None else _checked_pairs(pairs),
        "n_layers_per_step": n_layers_per_step,
        "first_layer": first_layer,
        "last_weight": last_weight,
        "prior_weight": prior_weight,
        "kl_weight": kl_weight,
        "kl_temperature": kl_temperature,
        "weighting": weighting,
        "compressed_dim": compressed_dim,
    }
    changed: dict[str, Any] = {name: v for name, v in given.items() if v is not None}
    for name in changed:
        if variant not in _USED_BY.get(name, (variant,)):
            raise ValueError(
                f"{name} is {given[name]!r} and variant {variant!r} has no use for it, expected it "
                f"with {' or '.join(map(repr, _USED_BY[name]))} alone"
            )
    if changed.get("n_layers_per_step") == 0:
        changed["n_layers_per_step"] = None
    settings = replace(_OWN[variant], **changed)
    _check_settings(settings)
    if variant == "starbucks" and not settings.pairs and not isinstance(loss, Matryoshka):
        raise ValueError(
            "starbucks pairs depths with prefixes and the loss has none, expected a matryoshka "
            "loss, or pairs"
        )
    if isinstance(loss, Matryoshka) and loss.n_per_step is not None and variant in _OWN_PREFIXES:
        raise ValueError(
            f"the matryoshka loss draws {loss.n_per_step} prefixes a step and variant {variant!r} "
            "chooses its own, expected n_per_step=None"
        )
    return Layered(loss=loss, variant=variant, settings=settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layered:
    """A loss over layers, made by `layered`.

    Attributes:
        loss: The loss of one layer.
        variant: Which objective it is.
        settings: What it was told.
        n_layers: Layers of the model, by `for_layers`; None before.
        plan: What this step adds up, by `for_step`; None before.
    """

    loss: EmbeddingLoss
    variant: LayerVariant
    settings: LayerSettings
    n_layers: int | None = None
    plan: Plan | None = None

    def for_layers(self, n_layers: int) -> Layered:
        """This loss for a model of `n_layers` layers.

        Raises:
            ValueError: If pairs name a deeper one, or do not end with the last.
        """
        if n_layers < 1:
            raise ValueError(f"n_layers is {n_layers}, expected 1 or more")
        pairs = self.settings.pairs
        if pairs and max(layer for layer, _ in pairs) != n_layers:
            raise ValueError(
                f"pairs {list(pairs)} of a model of {n_layers} layers, expected the last layer "
                "among them and none deeper"
            )
        return replace(self, n_layers=n_layers, plan=None)

    def for_step(self, rng: np.random.Generator) -> Layered:
        """The loss of one step, with the layers and prefixes that `rng` draws.

        Raises:
            ValueError: If the number of layers is not known yet.
        """
        plan = PLANS[self.variant](self.loss, self._n_layers, self.settings, rng)
        return replace(self, plan=plan)

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers whose vectors are taken, counted from 1, ascending, the last layer last.

        Raises:
            ValueError: If the step is not drawn yet, or the number of layers not known.
        """
        parts, alignments = self._plan
        needed = {part.layer for part in parts} | {each.layer for each in alignments}
        return tuple(sorted(needed | {self._n_layers}))

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
        """The sum over what the step holds, a scalar; tensors that are None are not passed on.

        Args:
            queries: Vectors after each of `layers`, shape [L, B, D].
            candidates: Shape [L, C, D].
            query_keys: int64 [B], as the inner loss takes it, like all that follow.
            candidate_keys: int64 [C].
            scores: Shape [B].
            guide_queries: Shape [B, G].
            guide_candidates: Shape [C, G].
            teacher_queries: Shape [B, T].
            teacher_candidates: Shape [C, T].

        Raises:
            ValueError: If there are not as many layers as `layers`, or a prefix does not fit.
        """
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
        parts, alignments = self._plan
        _check_vectors(queries, candidates, self.layers)
        place = {layer: i for i, layer in enumerate(self.layers)}
        total = queries.new_zeros((), dtype=torch.promote_types(queries.dtype, torch.float32))
        for part in parts:
            total = total + _of_part(part, queries, candidates, place[part.layer], given)
        texts = _Texts(queries, candidates)
        for alignment in alignments:
            total = total + _of_alignment(alignment, texts, place[alignment.layer])
        return total

    @property
    def _n_layers(self) -> int:
        if self.n_layers is None:
            raise ValueError(
                "the number of layers is not known, expected it bound by for_layers(n_layers)"
            )
        return self.n_layers

    @property
    def _plan(self) -> Plan:
        if self.plan is not None:
            return self.plan
        if self._draws:
            raise ValueError(
                f"variant {self.variant!r} draws layers or prefixes in each step, expected "
                "for_step(rng) before it is called"
            )
        return PLANS[self.variant](self.loss, self._n_layers, self.settings, _NO_DRAWS)

    @property
    def _draws(self) -> bool:
        """Whether steps differ."""
        if self.variant in ("starbucks", "ese"):
            return False
        inner = isinstance(self.loss, Matryoshka) and self.loss.n_per_step is not None
        return inner or self.variant != "all"


# For plans that draw nothing; nothing is ever taken from it
_NO_DRAWS: Final = np.random.default_rng(0)


class _Texts:
    """Vectors of queries and candidates together, one layer at a time, [B + C, D]."""

    def __init__(self, queries: Tensor, candidates: Tensor) -> None:
        self._sides = queries, candidates
        self._joined: dict[int, Tensor] = {}

    def __call__(self, place: int) -> Tensor:
        place %= len(self._sides[0])
        if place not in self._joined:
            self._joined[place] = torch.cat([side[place] for side in self._sides])
        return self._joined[place]


def _of_part(
    part: Part, queries: Tensor, candidates: Tensor, place: int, given: dict[str, Tensor]
) -> Tensor:
    return part.weight * part.loss(queries[place], candidates[place], **given)


def _of_alignment(alignment: Alignment, texts: Callable[[int], Tensor], place: int) -> Tensor:
    vectors = texts(place)
    if alignment.dim is not None:
        _check_prefix(alignment.dim, vectors.shape[-1])
    if alignment.kind == "principal":
        assert alignment.dim is not None
        value = compressed_divergence(vectors, alignment.dim, temperature=alignment.temperature)
    else:
        last = texts(-1)
        value = soft_divergence(
            vectors[:, : alignment.dim],
            last[:, : alignment.dim],
            temperature=alignment.temperature,
            detach=alignment.detach,
        )
    return alignment.weight * value


def _checked_pairs(pairs: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found = tuple(sorted((int(layer), int(dim)) for layer, dim in pairs))
    if not found or any(layer < 1 or dim < 1 for layer, dim in found):
        raise ValueError(f"pairs {list(pairs)}, expected layers and prefix lengths of 1 or more")
    if len(set(found)) < len(found):
        raise ValueError(
            f"pairs {list(pairs)}, expected each once: the weights of a matryoshka make one count "
            "for more"
        )
    return found


def _check_settings(settings: LayerSettings) -> None:
    for name in ("last_weight", "prior_weight", "kl_weight"):
        value = getattr(settings, name)
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} is {value}, expected 0 or more")
    if not (settings.kl_temperature > 0 and math.isfinite(settings.kl_temperature)):
        raise ValueError(
            f"kl_temperature is {settings.kl_temperature}, expected a positive number; "
            "kl_weight=0 leaves the divergence out"
        )
    if settings.weighting not in get_args(Weighting):
        raise ValueError(
            f"weighting is {settings.weighting!r:.60}, expected one of {list(get_args(Weighting))}"
        )
    if settings.first_layer not in (0, 1):
        raise ValueError(f"first_layer is {settings.first_layer}, expected 0 or 1")
    for name in ("n_layers_per_step", "compressed_dim"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}, expected 1 or more")


def _check_vectors(queries: Tensor, candidates: Tensor, layers: Sequence[int]) -> None:
    for name, side in (("queries", queries), ("candidates", candidates)):
        if side.ndim != 3 or len(side) != len(layers):
            raise ValueError(
                f"{name} of shape {tuple(side.shape)}, expected [{len(layers)}, texts, dims]: the "
                f"vectors after the layers {list(layers)}"
            )


def _check_prefix(dim: int, most: int) -> None:
    if dim > most:
        raise ValueError(f"prefix length {dim} does not fit embeddings of {most} dimensions")
