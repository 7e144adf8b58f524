"""What a plan is made for: the pairs, the recipe's settings, the limits of a sensible run.

The one rule: where the user says nothing, a value comes from the preset and keeps its mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args

from vecsmith.planning.checks import check_not_negative, check_positive, whole
from vecsmith.planning.choosing.budget import Precision
from vecsmith.planning.choosing.presets import Preset

Pooling = Literal["mean", "cls", "last", "max"]
Schedule = Literal["linear", "cosine", "constant"]
_CHOICES: Final = {
    "pooling": get_args(Pooling),
    "schedule": get_args(Schedule),
    "precision": get_args(Precision),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The pairs to train on.

    Attributes:
        pairs: How many there are; None where that is not known, and then no epoch is counted.
        tokens_per_pair: Real tokens of a pair in the mean, special ones among them, cut at
            `max_length` of the settings.
        length: Tokens of the text that a token stands in, in the mean over tokens, for the cost
            of attention; None for half a pair's.
    """

    pairs: int | None = None
    tokens_per_pair: float = 78.0
    length: float | None = None

    def __post_init__(self) -> None:
        """Refuses what no data are like.

        Raises:
            ValueError: If a number is not positive.
            TypeError: If it is no number.
        """
        check_positive(pairs=self.pairs, tokens_per_pair=self.tokens_per_pair, length=self.length)
        if self.pairs is not None:
            object.__setattr__(self, "pairs", whole(self.pairs, "pairs"))

    @property
    def text_length(self) -> float:
        """Tokens of one text, for the cost of attention."""
        return self.tokens_per_pair / 2 if self.length is None else self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The recipe's settings, all but the learning rate, which follows model and method.

    Attributes:
        batch_size: Pairs in a step, of all accelerators together.
        max_length: Tokens of a text that count.
        temperature: Of the contrastive loss.
        pooling: How token states become a vector.
        warmup: Share of steps in which the learning rate rises.
        schedule: How it falls.
        final_lr: Share of the highest rate that is left at the end.
        weight_decay: As in AdamW.
        clip_norm: Largest norm of a gradient, 0 for any.
        dropout: Share of activations dropped.
        precision: Of the products.
    """

    batch_size: int
    max_length: int
    temperature: float
    pooling: Pooling
    warmup: float
    schedule: Schedule
    final_lr: float
    weight_decay: float
    clip_norm: float = 1.0
    dropout: float = 0.0
    precision: Precision = "bfloat16"

    def __post_init__(self) -> None:
        """Refuses settings that no run could have.

        Raises:
            ValueError: If a number is out of range.
            TypeError: If it is no number.
        """
        check_positive(
            batch_size=self.batch_size, max_length=self.max_length, temperature=self.temperature
        )
        names = ("warmup", "final_lr", "weight_decay", "clip_norm", "dropout")
        check_not_negative(**{name: getattr(self, name) for name in names})
        for name in ("warmup", "final_lr", "dropout"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} is {getattr(self, name):g}, expected a share, 0 to 1")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r:.60}, expected one of {list(choices)}"
                )
        for name in ("batch_size", "max_length"):
            object.__setattr__(self, name, whole(getattr(self, name), name))

    @classmethod
    def of_preset(cls, preset: Preset, **given: Any) -> Self:
        """Those of the preset, but for those `given` that are not None."""
        values = {name: preset[name] for name in cls.__slots__ if name != "precision"}
        values |= {key: value for key, value in given.items() if value is not None}
        return cls(**values)

    def differing(self, others: Mapping[str, Any]) -> list[str]:
        """Settings that `others` says otherwise, as "batch_size 64 and 1024"."""
        return [
            f"{name} {getattr(self, name)} and {others[name]!s:.40}"
            for name in self.__slots__
            if name in others and others[name] != getattr(self, name)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run must keep to; a candidate that does not is refused with the reason.

    Attributes:
        min_steps: Fewest steps.
        min_warmup_steps: Fewest steps of warm-up, where there is one.
        max_epochs: Most passes over the pairs.
        memory: Bytes of one accelerator; None for no limit.
        memory_share: Of these, what a run may fill by the estimate.
        n_devices: Accelerators that share each step.
    """

    min_steps: int = 200
    min_warmup_steps: int = 10
    max_epochs: float = 1.0
    memory: float | None = None
    memory_share: float = 0.9
    n_devices: int = 1

    def __post_init__(self) -> None:
        """Refuses limits that nothing keeps.

        Raises:
            ValueError: If a number is out of range.
            TypeError: If it is no number.
        """
        check_positive(
            min_steps=self.min_steps,
            max_epochs=self.max_epochs,
            memory=self.memory,
            memory_share=self.memory_share,
            n_devices=self.n_devices,
        )
        check_not_negative(min_warmup_steps=self.min_warmup_steps)
        for name in ("min_steps", "n_devices"):
            object.__setattr__(self, name, whole(getattr(self, name), name))
