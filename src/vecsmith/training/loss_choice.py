"""Which loss each set of pairs is trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, Literal, get_args

from vecsmith._typing import Encoder
from vecsmith.training import losses
from vecsmith.training.losses import EmbeddingLoss, needs
from vecsmith.training.losses.contrastive import BOTH_WAYS, FOUR_WAYS, ONE_WAY
from vecsmith.training.pair_sources import NamedPairs
from vecsmith.training.prefixes import halved_prefixes, matryoshka
from vecsmith.training.provenance import describe_loss
from vecsmith.training.settings import RunSettings

LossName = Literal[
    "info_nce",
    "guided_info_nce",
    "cosent",
    "score_regression",
    "triplet",
    "similarity_distillation",
    "similarity_mse",
]
LOSS_NAMES: Final[tuple[LossName, ...]] = get_args(LossName)
_WAYS: Final = {"one_way": ONE_WAY, "both_ways": BOTH_WAYS, "four_ways": FOUR_WAYS}


def default_loss(settings: RunSettings, dim: int, *, has_scores: bool) -> EmbeddingLoss:
    """The loss for pairs where none is named: InfoNCE, or CoSENT for graded pairs, nested."""
    return named_loss("cosent" if has_scores else "info_nce", settings, dim)


def named_loss(name: str, settings: RunSettings, dim: int) -> EmbeddingLoss:
    """The loss called `name`, nested over the prefixes of `settings` with what they say of it.

    Args:
        name: Of a function in `vecsmith.training.losses`.
        settings: Their prefixes, temperature and directions count.
        dim: Dimensions of the model.

    Raises:
        ValueError: If there is no such loss.
    """
    temperature = settings.temperature
    known: dict[str, EmbeddingLoss] = {
        "info_nce": _in_batch(losses.info_nce, settings),
        "guided_info_nce": _in_batch(losses.guided_info_nce, settings),
        "cosent": partial(losses.cosent, scale=1 / temperature),
        "score_regression": losses.score_regression,
        "triplet": losses.triplet,
        "similarity_distillation": partial(losses.similarity_distillation, temperature=temperature),
        "similarity_mse": losses.similarity_mse,
    }
    if name not in known:
        raise ValueError(f"loss {name!r:.40}, expected one of {list(known)}")
    prefixes = dict.fromkeys(settings.dims, 1.0) if settings.dims else halved_prefixes(dim)
    return matryoshka(known[name], prefixes)


def _in_batch(loss: EmbeddingLoss, settings: RunSettings) -> EmbeddingLoss:
    """A loss over the batch's other texts, with the settings' temperature and directions."""
    joint = settings.directions == "four_ways"  # as in GTE
    return partial(
        loss,
        temperature=settings.temperature,
        directions=_WAYS[settings.directions],
        partition="joint" if joint else "per_direction",
    )


def choose_losses(
    loss: EmbeddingLoss | Mapping[str, EmbeddingLoss] | None,
    sources: Sequence[NamedPairs],
    settings: RunSettings,
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
    chosen: Mapping[str, EmbeddingLoss], sources: Sequence[NamedPairs], teacher: Encoder | None
) -> None:
    """Refuses losses that need a teacher without one, and a teacher that no loss needs.

    Raises:
        ValueError: Saying which.
    """
    asking = {name for name, loss in chosen.items() if asks_teacher(loss)}
    if asking and teacher is None:
        name = sorted(asking)[0]
        raise ValueError(
            f"the loss of {name!r:.60}, {describe_loss(chosen[name])}, asks for a teacher's "
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
