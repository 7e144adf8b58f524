"""Which depths a transformer is trained for, as asked, and as its losses then say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vecsmith.training.layer_plans import LayerVariant
from vecsmith.training.layers import Layered, layered
from vecsmith.training.losses import EmbeddingLoss
from vecsmith.training.prefixes import Matryoshka


def with_layers(
    losses: Mapping[str, EmbeddingLoss], layers: LayerVariant | Sequence[int] | None, n_layers: int
) -> dict[str, EmbeddingLoss]:
    """`losses` over `layers` of a model of `n_layers`.

    Args:
        losses: By name of the set; those that are `layered` already are told of the model.
        layers: "all" or another variant of `layered`; depths that each step trains with all
            prefixes; None for the losses as they are.
        n_layers: Of the model.

    Raises:
        ValueError: If a depth is not there, or asked for twice.
    """
    chosen: dict[str, EmbeddingLoss] = {}
    for name, loss in losses.items():
        if isinstance(loss, Layered) and layers is not None:
            raise ValueError(
                f"layers is {layers!r:.60} and the loss of {name!r:.60} is layered already, "
                "expected one of both"
            )
        own = loss if layers is None else _layered(loss, layers, n_layers)
        chosen[name] = own.for_layers(n_layers) if isinstance(own, Layered) else own
    return chosen


def depths_of(losses: Mapping[str, EmbeddingLoss], n_layers: int) -> tuple[int, ...]:
    """The depths that `losses`, bound to a model of `n_layers`, train, the whole one last."""
    depths = {n_layers}
    for loss in losses.values():
        if isinstance(loss, Layered):
            # a loss that draws its layers draws among all
            own = loss.layers if loss.variant == "starbucks" else range(1, n_layers + 1)
            depths |= {layer for layer in own if layer}
    return tuple(sorted(depths))


def _layered(
    loss: EmbeddingLoss, layers: LayerVariant | Sequence[int], n_layers: int
) -> Layered | EmbeddingLoss:
    if isinstance(layers, str):
        return layered(loss, variant=layers)
    depths = sorted(layers)
    if not depths or len(set(depths)) < len(depths) or depths[0] < 1 or depths[-1] != n_layers:
        raise ValueError(
            f"layers {list(layers)}, expected different depths from 1 to {n_layers}, the whole "
            "depth among them"
        )
    if not isinstance(loss, Matryoshka):
        raise ValueError(
            f"layers {list(layers)} of a loss without prefixes, expected a matryoshka loss, or "
            'layers="all"'
        )
    pairs = [(depth, dim) for depth in depths for dim in loss.weights]
    return layered(loss, variant="starbucks", pairs=pairs)
