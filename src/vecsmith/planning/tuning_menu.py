"""Ways of tuning in a grid: how many blocks a share is depends on the model.

The one rule: a share keeps what was written: "2/8" is not tried where blocks do not divide by 8,
though "1/4" might be.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final, get_args

from vecsmith.errors import FormatError
from vecsmith.planning.cells import frozen_of_fraction
from vecsmith.results.fields import Block
from vecsmith.results.tuning import Tuning, TuningMethod

METHODS: Final = get_args(TuningMethod)
# Fraction takes "1e-20000000" too, and writes out the power of ten
_SHARE: Final = re.compile(r"\d{1,6}(/\d{1,6}|\.\d{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way of tuning in a grid; how many blocks a fraction is depends on the model.

    Attributes:
        method: Its kind.
        frozen: Share of the blocks that stay as they are, or None where a number is said.
        frozen_blocks: That number.
        rank: Of adapters.
        alpha: Of adapters, 0 for the rule.
        divisor: What the blocks of a model must divide by to be tuned this way; 1 for any.
    """

    method: TuningMethod
    frozen: Fraction | None = None
    frozen_blocks: int = 0
    rank: int = 0
    alpha: float = 0.0
    divisor: int = 1

    def fits(self, n_layers: int) -> bool:
        """Whether a model with so many blocks is tuned this way."""
        return n_layers % self.divisor == 0

    def tuning(self, n_layers: int) -> Tuning:
        """The tuning of a model with so many blocks."""
        blocks = self.frozen_blocks
        if self.frozen is not None:
            blocks = frozen_of_fraction(self.frozen, n_layers)
        return Tuning(method=self.method, frozen_blocks=blocks, rank=self.rank, alpha=self.alpha)


def read_methods(block: Block) -> tuple[Method, ...]:
    """The ways that a table of a grid names.

    Raises:
        FormatError: If one is unknown or makes no sense.
    """
    check_fields(block, (*METHODS, "alpha", "freeze_whole"))
    is_whole = block.has("freeze_whole") and block.flag("freeze_whole")
    alpha = block.number("alpha") if block.has("alpha") else 0.0
    methods = [
        Method(method=name) for name in ("full", "bias") if block.has(name) and block.flag(name)
    ]
    if block.has("freeze"):
        values = array(block, "freeze")
        freezing = [read_freezing(value, block.source) for value in values]
        methods += freezing if not is_whole else map(_whole, values, freezing)
    if block.has("lora"):
        ranks = array(block, "lora")
        methods += [Method(method="lora", rank=rank, alpha=alpha) for rank in ranks]
    for method in methods:  # refuses a rank that is none before a model is looked at
        Method.tuning(method, 2**30)
    return tuple(methods)


def read_freezing(value: Any, source: str) -> Method:
    """Of a share in quotes, as in "1/3", or of a whole number of blocks.

    Raises:
        FormatError: If it is neither.
    """
    if type(value) is int:
        return Method(method="freeze", frozen_blocks=value)
    try:
        is_share = isinstance(value, str) and _SHARE.fullmatch(value)
        share = Fraction(value) if is_share else None
    except ZeroDivisionError:
        share = None
    if share is None or not 0 <= share < 1:
        raise FormatError(
            f'{source}: freeze {value!r:.40}, expected a share of the blocks as in "1/3", or a '
            "number of blocks"
        )
    return Method(method="freeze", frozen=share)


def _whole(value: Any, method: Method) -> Method:
    """`method` for models whose blocks divide by what is written below the line of its share."""
    _, line, below = value.partition("/") if isinstance(value, str) else ("", "", "")
    return replace(method, divisor=int(below)) if line else method


def check_fields(block: Block, known: Sequence[str]) -> None:
    """Refuses fields that are none of `known`.

    Raises:
        FormatError: Naming the first.
    """
    unknown = [name for name in block.values if name not in known]
    if unknown:
        raise FormatError(
            f"{block.source}: field {unknown[0]!r:.60} is unknown, expected some of "
            f"{', '.join(known)}"
        )


def above_zero(value: float, where: str) -> float:
    """`value`, when it is above 0; `where` names it in errors.

    Raises:
        FormatError: If it is not.
    """
    if not 0 < value < float("inf"):
        raise FormatError(f"{where} is {value}, expected a number above 0")
    return value


def array(block: Block, key: str) -> list[Any]:
    """The array under `key`.

    Raises:
        FormatError: If it is none.
    """
    values = block.values[key]
    if not isinstance(values, list):
        raise FormatError(f"{block.source}: {key} is {values!r:.60}, expected an array")
    return values
