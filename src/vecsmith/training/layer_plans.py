"""What each variant of a layered loss adds up in one step, as a plain list of terms.

Legend: N layers, D dimensions; l a layer before the last, d a prefix before the full length. Each
function is one variant and says its formula; nothing here computes anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from vecsmith.training.losses.signature import EmbeddingLoss, drawn
from vecsmith.training.prefixes import Matryoshka, matryoshka

LayerVariant = Literal[
    "all",
    "starbucks",
    "2dmse",
    "angle",
    "ese",
    "sentence-transformers-v5",
    "sentence-transformers-v6",
]
LAYER_VARIANTS: Final[tuple[LayerVariant, ...]] = get_args(LayerVariant)
Weighting = Literal["uniform", "log", "linear"]

_WEIGHTINGS: Final[Mapping[str, Callable[[int], float]]] = {
    "uniform": lambda layer: 1.0,
    "log": lambda layer: 1.0 / (1.0 + math.log(1 + layer)),
    "linear": lambda layer: 1.0 / (1.0 + layer),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSettings:
    """What a variant is told; each takes what it has a use for.

    Attributes:
        pairs: Depths and prefix lengths of "starbucks", the whole model last; () for the diagonal.
        n_layers_per_step: Layers that are drawn; None for all.
        first_layer: The shallowest that may be drawn; 0 is the output of the embeddings.
        last_weight: Of the losses of the last layer.
        prior_weight: Of the losses of the layers before it.
        kl_weight: Of the divergences from the last layer; 0 for none.
        kl_temperature: Of those.
        weighting: Of losses by layer.
        compressed_dim: The prefix of "ese".
    """

    pairs: tuple[tuple[int, int], ...] = ()
    n_layers_per_step: int | None = 1
    first_layer: int = 1
    last_weight: float = 1.0
    prior_weight: float = 1.0
    kl_weight: float = 1.0
    kl_temperature: float = 0.3
    weighting: Weighting = "uniform"
    compressed_dim: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A loss of one layer, `weight` times `loss`."""

    layer: int
    loss: EmbeddingLoss
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """What `dim` dimensions of a layer, None for all, are to repeat.

    Those of the last layer; or, for "principal", the principal components of their own layer.
    """

    layer: int
    weight: float
    temperature: float
    dim: int | None = None
    kind: Literal["last", "principal"] = "last"
    detach: bool = True


Plan = tuple[list[Part], list[Alignment]]


def all_layers(
    loss: EmbeddingLoss, n_layers: int, settings: LayerSettings, rng: np.random.Generator
) -> Plan:
    """w_N L_N + mean over l < N of (w L_l + w_kl KL_l): every layer in every step.

    `loss` is whole at each layer, so nested prefixes count at every depth.
    """
    prior = range(1, n_layers)
    shares = max(1, len(prior))
    parts = [
        *_weighted(loss, prior, settings, rng),
        Part(layer=n_layers, loss=drawn(loss, rng), weight=settings.last_weight),
    ]
    weight = settings.kl_weight / shares
    return parts, _from_last(prior, weight, settings)


def sentence_transformers_v6(
    loss: EmbeddingLoss, n_layers: int, settings: LayerSettings, rng: np.random.Generator
) -> Plan:
    """w_N L_N + mean over drawn l of w w_l L_l + sum over drawn l of w_kl KL_l.

    AdaptiveLayerLoss of sentence-transformers 6, and Matryoshka2dLoss if `loss` is a matryoshka
    that draws one prefix a step (n_per_step=1, always=()), which it does for each layer anew.
    """
    return _sampled(loss, n_layers, settings, rng, detach=True)


def sentence_transformers_v5(
    loss: EmbeddingLoss, n_layers: int, settings: LayerSettings, rng: np.random.Generator
) -> Plan:
    """As version 6, with w_l = 1 / (1 + l), and gradients that draw the last layer to the others.

    Both are what versions before 6 did (huggingface/sentence-transformers #3757, #3880).
    """
    return _sampled(loss, n_layers, settings, rng, detach=False)


def two_dimensional(
    loss: EmbeddingLoss, n_layers: int, settings: LayerSettings, rng: np.random.Generator
) -> Plan:
    """L_N^D + L_l^D + L_N^d + L_l^d + KL_l^D + KL_l^d: 2DMSE (arXiv 2402.14776 v1), one l and d.

    l and d are drawn evenly, d among the shorter prefixes. The paper does not say whether the last
    layer gets a gradient of KL: here it gets none.
    """
    base, dims = _prefixes(loss)
    shorter = [*dims][:-1]
    lengths = [max(dims), *([int(rng.choice(shorter))] if shorter else [])]
    parts = _nested(base, n_layers, lengths, dims, settings.last_weight)
    if n_layers == 1:
        return parts, []
    layer = int(rng.integers(1, n_layers))
    parts += _nested(base, layer, lengths, dims, settings.prior_weight)
    return parts, [
        each
        for length in lengths
        for each in _from_last([layer], settings.kl_weight, settings, dim=length or None)
    ]


def angle(
    loss: EmbeddingLoss, n_layers: int, settings: LayerSettings, rng: np.random.Generator
) -> Plan:
    """L_N + L_l / l + KL_l log(2 + l) + L_N^d + L_l^d / l: AnglE's trainer of 2DMSE (cf7eeb4).

    l is drawn evenly among those before the last, d among all prefixes, the whole one too; both
    layers get gradients of KL, which is of whole vectors.
    """
    base, dims = _prefixes(loss)
    lengths = [max(dims), *([int(rng.choice([*dims]))] if len(dims) > 1 else [])]
    parts = _nested(base, n_layers, lengths, dims, settings.last_weight)
    if n_layers == 1:
        return parts, []
    layer = int(rng.integers(1, n_layers))
    parts += _nested(base, layer, lengths, dims, settings.prior_weight / layer)
    weight = settings.kl_weight * math.log(2 + layer)
    return parts, _from_last([layer], weight, settings, detach=False)


def ese(
    loss: EmbeddingLoss, n_layers: int, settings: LayerSettings, rng: np.random.Generator
) -> Plan:
    """L_N^D + L_N^k + C_N + mean over l < N of (L_l^k + C_l) / (1 + log(1 + l)), no draws.

    ESE (arXiv 2402.14776 v2) as AnglE trains it: C is `compressed_divergence`, by which the first
    k dimensions of each layer learn to be its principal components.
    """
    base, dims = _prefixes(loss)
    k = settings.compressed_dim or (min(dims) if len(dims) > 1 else 128)
    last = settings.last_weight
    parts = _nested(base, n_layers, [max(dims), k], dims, last)
    found = _principal(n_layers, k, last, settings)
    for layer in range(1, n_layers):
        share = settings.prior_weight * _WEIGHTINGS["log"](layer) / (n_layers - 1)
        parts += _nested(base, layer, [k], dims, share)
        found += _principal(layer, k, share, settings)
    return parts, found


def starbucks(
    loss: EmbeddingLoss, n_layers: int, settings: LayerSettings, rng: np.random.Generator
) -> Plan:
    """Sum over pairs of L_l^d + sum over pairs but the last of KL_l^d: Starbucks, no draws.

    Structured representation learning (arXiv 2410.13230): the same few depths, each with its own
    prefix, in every step; KL is from the last layer's prefix of the same length.
    """
    base, dims = _prefixes(loss)
    pairs = settings.pairs or diagonal(n_layers, [*dims])
    parts, found = list[Part](), list[Alignment]()
    for layer in sorted({layer for layer, _ in pairs}):
        lengths = [dim for each, dim in pairs if each == layer]
        is_last = layer == n_layers
        weight = settings.last_weight if is_last else settings.prior_weight
        parts += _nested(base, layer, lengths, dims, weight)
        for dim in () if is_last else lengths:
            found += _from_last([layer], settings.kl_weight, settings, dim=dim)
    return parts, found


def diagonal(n_layers: int, dims: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Depths with a prefix each, from shallow and short to the whole model, evenly deep.

    Example:
        >>> diagonal(12, [32, 64, 128, 256, 512, 768])
        ((2, 32), (4, 64), (6, 128), (8, 256), (10, 512), (12, 768))
    """
    ordered = sorted(dims)
    return tuple((math.ceil(n_layers * i / len(ordered)), dim) for i, dim in enumerate(ordered, 1))


PLANS: Final[
    Mapping[
        LayerVariant,
        Callable[[EmbeddingLoss, int, LayerSettings, np.random.Generator], Plan],
    ]
] = {
    "all": all_layers,
    "starbucks": starbucks,
    "2dmse": two_dimensional,
    "angle": angle,
    "ese": ese,
    "sentence-transformers-v5": sentence_transformers_v5,
    "sentence-transformers-v6": sentence_transformers_v6,
}


def _sampled(
    loss: EmbeddingLoss,
    n_layers: int,
    settings: LayerSettings,
    rng: np.random.Generator,
    *,
    detach: bool,
) -> Plan:
    last = Part(layer=n_layers, loss=drawn(loss, rng), weight=settings.last_weight)
    prior = list(range(settings.first_layer, n_layers))
    n_drawn = settings.n_layers_per_step
    if n_drawn is not None and n_drawn < len(prior):
        prior = sorted(rng.choice(prior, size=n_drawn, replace=False).tolist())
    parts = [last, *_weighted(loss, prior, settings, rng)]
    return parts, _from_last(prior, settings.kl_weight, settings, detach=detach)


def _weighted(
    loss: EmbeddingLoss,
    prior: Sequence[int],
    settings: LayerSettings,
    rng: np.random.Generator,
) -> list[Part]:
    """The mean over layers of the weighted loss, drawn for each layer on its own."""
    by_layer = _WEIGHTINGS[settings.weighting]
    return [
        Part(
            layer=layer,
            loss=drawn(loss, rng),
            weight=settings.prior_weight * by_layer(layer) / len(prior),
        )
        for layer in prior
    ]


def _from_last(
    layers: Sequence[int],
    weight: float,
    settings: LayerSettings,
    *,
    dim: int | None = None,
    detach: bool = True,
) -> list[Alignment]:
    temperature = settings.kl_temperature
    return [
        Alignment(layer=layer, dim=dim, weight=weight, temperature=temperature, detach=detach)
        for layer in (layers if weight else ())
    ]


def _principal(layer: int, dim: int, share: float, settings: LayerSettings) -> list[Alignment]:
    weight = share * settings.kl_weight
    if not weight:
        return []
    temperature = settings.kl_temperature
    kind: Literal["principal"] = "principal"
    return [Alignment(layer=layer, dim=dim, weight=weight, temperature=temperature, kind=kind)]


def _prefixes(loss: EmbeddingLoss) -> tuple[EmbeddingLoss, Mapping[int, float]]:
    """The loss of one prefix and the weight of each, 0 for the whole where it is not nested."""
    if isinstance(loss, Matryoshka):
        return loss.loss, loss.weights
    return loss, {0: 1.0}


def _nested(
    base: EmbeddingLoss,
    layer: int,
    lengths: Sequence[int],
    dims: Mapping[int, float],
    weight: float,
) -> list[Part]:
    """Losses of some prefixes of one layer, each with its own weight, in one pass if it can be."""
    weights: dict[int, float] = {}
    for length in lengths if weight else ():
        weights[length] = weights.get(length, 0.0) + weight * dims.get(length, 1.0)
    whole = weights.pop(0, None)
    parts = [] if whole is None else [Part(layer=layer, loss=base, weight=whole)]
    if weights:
        parts.append(Part(layer=layer, loss=matryoshka(base, weights)))
    return parts
