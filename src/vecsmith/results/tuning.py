"""Which weights of a transformer are trained, as one frozen value that plans and records share.

The one rule: a method has one spelling: what does not belong to it is zero, and what follows from
a rule is resolved to a number before anybody reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Final, Literal, Self, get_args

from vecsmith.errors import FormatError
from vecsmith.results.fields import Block

TuningMethod = Literal["full", "freeze", "bias", "lora"]
TUNING_METHODS: Final[tuple[str, ...]] = get_args(TuningMethod)
# The product of a pair of adapters is scaled by alpha / rank. With alpha = 2 * rank the scale is
# 2 at every rank; a fixed alpha (Ziarko et al. 2024 left it at peft's 8) makes it fall as 1 / rank.
_ALPHA_PER_RANK: Final = 2.0
# What each number belongs to, and how it is spelled where it is missing
_NUMBERS: Final = {"frozen_blocks": "freeze", "rank": "lora", "alpha": "lora"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How a language model is turned into an embedder (Ziarko et al. 2024, section 4.2).

    Attributes:
        method: "full" trains every weight, the token embedding too; "freeze" leaves the token
            embedding and the first blocks as they are; "bias" trains biases alone; "lora" trains a
            product of two thin matrices beside each linear layer of the blocks.
        frozen_blocks: With "freeze": blocks that stay as they are, from the first; 0 freezes the
            token embedding alone.
        rank: With "lora": columns of the thin matrices.
        alpha: With "lora": their product is scaled by alpha / rank; 0 for twice the rank.
    """

    method: TuningMethod = "full"
    frozen_blocks: int = 0
    rank: int = 0
    alpha: float = 0.0

    def __post_init__(self) -> None:
        """Refuses what is no tuning, and resolves alpha.

        Raises:
            ValueError: If a number is out of range or belongs to another method.
            TypeError: If one is no number.
        """
        if self.method not in TUNING_METHODS:
            raise ValueError(f"method {self.method!r:.60}, expected one of {list(TUNING_METHODS)}")
        for name in ("frozen_blocks", "rank"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise TypeError(f"{name} is {value!r:.60}, expected a whole number")
            object.__setattr__(self, name, int(value))
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, Real):
            raise TypeError(f"alpha is {self.alpha!r:.60}, expected a number")
        object.__setattr__(self, "alpha", float(self.alpha))
        for name, method in _NUMBERS.items():
            value = getattr(self, name)
            if not 0 <= value < 2**31:  # nor nan
                raise ValueError(f"{name} is {value}, expected 0 or more")
            if value and self.method != method:
                raise ValueError(
                    f"{name} {value} with method {self.method!r}, expected it with {method!r} alone"
                )
        if self.method == "lora" and not self.rank:
            raise ValueError("method 'lora' with rank 0, expected a rank of 1 or more")
        if self.method == "lora" and not self.alpha:
            object.__setattr__(self, "alpha", _ALPHA_PER_RANK * self.rank)

    @property
    def scale(self) -> float:
        """What the product of a pair of adapters is multiplied by; 0 without adapters."""
        return self.alpha / self.rank if self.rank else 0.0

    def plain(self) -> dict[str, Any]:
        """The tuning in the kinds that JSON has."""
        return {
            "method": self.method,
            "frozen_blocks": self.frozen_blocks,
            "rank": self.rank,
            "alpha": self.alpha,
        }

    @classmethod
    def from_plain(cls, values: Mapping[str, Any] | Any, *, source: str = "tuning") -> Self:
        """The tuning that `plain` gave; `source` names where the values come from in errors.

        Raises:
            FormatError: If a field is missing, of another kind or out of range.
        """
        block = Block(dict(values) if isinstance(values, Mapping) else values, source)
        try:
            return cls(
                method=block.choice("method", TUNING_METHODS),
                frozen_blocks=block.count("frozen_blocks"),
                rank=block.count("rank"),
                alpha=block.number("alpha"),
            )
        except ValueError as error:
            raise FormatError(f"{source}: {error}") from error

    def __str__(self) -> str:
        """As a person says it: "full", "freeze 3", "bias", "lora 32", "lora 32 alpha 8"."""
        if self.method == "freeze":
            return f"freeze {self.frozen_blocks}"
        if self.method != "lora":
            return self.method
        is_by_rule = self.alpha == _ALPHA_PER_RANK * self.rank
        return f"lora {self.rank}" if is_by_rule else f"lora {self.rank} alpha {self.alpha:g}"
