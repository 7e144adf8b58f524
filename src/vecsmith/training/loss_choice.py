"""Which loss each set of pairs is trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from vecsmith._typing import Encoder
from vecsmith.training.losses import EmbeddingLoss, cosent, info_nce, needs
from vecsmith.training.losses.contrastive import BOTH_WAYS, FOUR_WAYS, ONE_WAY
from vecsmith.training.pair_sources import NamedPairs
from vecsmith.training.prefixes import halved_prefixes, matryoshka
from vecsmith.training.provenance import describe_loss
from vecsmith.training.settings import TrainSettings

_WAYS: Final = {"one_way": ONE_WAY, "both_ways": BOTH_WAYS, "four_ways": FOUR_WAYS}


def default_loss(settings: TrainSettings, dim: int, *, has_scores: bool) -> EmbeddingLoss:
    """The loss for pairs where none is named, nested over the prefixes of `settings`.

    InfoNCE with the batch's other pairs as negatives; for graded pairs CoSENT.
    """
    inner: EmbeddingLoss = partial(cosent, scale=1 / settings.temperature)
    if not has_scores:
        inner = partial(
            info_nce,
            temperature=settings.temperature,
            directions=_WAYS[settings.directions],
            partition="joint" if settings.directions == "four_ways" else "per_direction",
        )
    prefixes = dict.fromkeys(settings.dims, 1.0) if settings.dims else halved_prefixes(dim)
    return matryoshka(inner, prefixes)


def choose_losses(
    loss: EmbeddingLoss | Mapping[str, EmbeddingLoss] | None,
    sources: Sequence[NamedPairs],
    settings: TrainSettings,
    dim: int,
) -> dict[str, EmbeddingLoss]:
    """A loss for each set, by name.

    Raises:
        ValueError: If a loss is for no set, or asks for scores that a set has not.
    """
    named = dict(loss) if isinstance(loss, Mapping) else {}
    names = [source.name for source in sources]
    unknown = sorted(set(named) - set(names))
    if unknown:
        raise ValueError(f"a loss is named for {unknown[0]!r:.60}, expected one of {names}")
    chosen = {}
    for source in sources:
        has_scores = "score" in source.roles
        own = named.get(source.name) if isinstance(loss, Mapping) else loss
        own = own or default_loss(settings, dim, has_scores=has_scores)
        if "scores" in needs(own) and not has_scores:
            raise ValueError(
                f"{source.name}: no column of scores, expected one for {describe_loss(own)}; "
                "name it in roles, or choose another loss"
            )
        chosen[source.name] = own
    return chosen


def check_teacher(
    losses: Mapping[str, EmbeddingLoss], sources: Sequence[NamedPairs], teacher: Encoder | None
) -> None:
    """Refuses losses that need a teacher without one, and a teacher that no loss needs.

    Raises:
        ValueError: Saying which.
    """
    asking = {name for name, loss in losses.items() if asks_teacher(loss)}
    if asking and teacher is None:
        name = sorted(asking)[0]
        raise ValueError(
            f"the loss of {name!r:.60}, {describe_loss(losses[name])}, asks for a teacher's "
            "vectors, expected teacher=..., an encoder"
        )
    if teacher is not None and not asking:
        raise ValueError(
            "a teacher is given and no loss asks for one, expected a loss with guides or a "
            "teacher, or none"
        )


def asks_teacher(loss: EmbeddingLoss) -> bool:
    """Whether `loss` takes another model's vectors, as guides or to imitate them."""
    return any(name.startswith(("guide_", "teacher_")) for name in needs(loss))
