"""One cell of a sweep: a model, a tuning, a budget, a seed; and whether it makes sense to run it.

The one rule: what a cell would come to is said before it is run, from counts alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any, Final, Literal, get_args

from vecsmith.errors import FormatError
from vecsmith.planning.inputs import Limits
from vecsmith.results.fields import Block
from vecsmith.results.tuning import Tuning

Pooling = Literal["mean", "cls", "last", "max"]
Schedule = Literal["linear", "cosine", "constant"]
Precision = Literal["float32", "bfloat16", "auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of a sweep.

    Attributes:
        model: Name of the base model.
        tuning: Which weights are trained.
        flops: Budget, counted FLOP.
        seed: Of everything random.
        lr: Highest learning rate.
    """

    model: str
    tuning: Tuning
    flops: float
    seed: int
    lr: float

    def __str__(self) -> str:
        what = f"{self.model}, {self.tuning}, {self.flops:.3g} FLOP"
        return f"{what}, rate {self.lr:g}, seed {self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSettings:
    """What all cells of a sweep share; the defaults are those of Ziarko et al. 2024.

    Attributes:
        batch_size: Pairs in a step (section 4.1: 1024).
        max_length: Tokens of a text that count, specials included (section 4.1: 75).
        temperature: Of InfoNCE (appendix E.2: 1 / 40).
        pooling: How token states become a vector (section 3.2: the mean).
        warmup: Share of the steps in which the rate rises (section 4.1: a tenth).
        schedule: How it falls (section 4.1: as a cosine).
        final_lr: Rate at the end, as a share of the highest (appendix E.1 and the authors' code:
            zero; section 4.1: a tenth).
        weight_decay: As in AdamW (appendix E: 0.1).
        clip_norm: Largest norm of a gradient, 0 for any (assumed; the paper says nothing).
        dropout: Share of activations dropped (Pythia has none).
        precision: Of products; "auto" for bfloat16 where the device is fast at it.
        mini_batch: Texts whose activations are held at a time, 0 for the whole batch; decides
            memory and not what is computed.
        gradient_checkpointing: Whether activations are computed again; likewise.
        held_out_pairs: Pairs that losses are measured on and that are never trained on.
        held_out_batch: Pairs of a batch of these, 0 for `batch_size`: ln of it is the loss of
            guessing, so losses of another size cannot be compared.
    """

    batch_size: int = 1024
    max_length: int = 75
    temperature: float = 0.025
    pooling: Pooling = "mean"
    warmup: float = 0.1
    schedule: Schedule = "cosine"
    final_lr: float = 0.0
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    dropout: float = 0.0
    precision: Precision = "float32"
    mini_batch: int = 0
    gradient_checkpointing: bool = False
    held_out_pairs: int = 4096
    held_out_batch: int = 0

    def __post_init__(self) -> None:
        """Refuses settings that no run could follow.

        Raises:
            ValueError: Saying which.
        """
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} {getattr(self, name)!r:.40}, expected one of {list(choices)}"
                )
        for name, (lowest, highest, expected) in _RANGES.items():
            if not lowest <= getattr(self, name) <= highest:  # nor nan
                raise ValueError(f"{name} {getattr(self, name)!r:.40}, expected {expected}")
        if self.held_out_pairs < self.n_compared:
            raise ValueError(
                f"held_out_pairs {self.held_out_pairs} and batches of {self.n_compared}, expected "
                "one batch or more: set held_out_pairs or held_out_batch"
            )

    @property
    def n_compared(self) -> int:
        """Pairs of a batch that losses are measured on."""
        return self.held_out_batch or self.batch_size

    def plain(self) -> dict[str, Any]:
        """The settings in the kinds that JSON has."""
        return asdict(self)


def frozen_of_fraction(share: Fraction, n_layers: int) -> int:
    """Blocks that a share of `n_layers` is, to the nearest, half a block up, but never all."""
    return min(n_layers - 1, math.floor(share * n_layers + Fraction(1, 2)))


def settings_from_plain(block: Block) -> RecipeSettings:
    """The settings that a table of a file says, the others as they are by default.

    Raises:
        FormatError: If one is unknown or of another kind.
        ValueError: If one is out of range.
    """
    return RecipeSettings(**_read_fields(block, RecipeSettings()))


def limits_from_plain(block: Block) -> Limits:
    """The limits that a table of a file says; memory may be a text as "40GB".

    Raises:
        FormatError: If one is unknown or of another kind.
    """
    values = dict(block.values)
    if isinstance(values.get("memory"), str):
        values["memory"] = bytes_of(values["memory"])
    known = {each.name for each in fields(Limits)}
    for name, value in values.items():
        if name not in known:
            raise FormatError(
                f"{block.source}: field {name!r:.60} is unknown, expected some of {sorted(known)}"
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise FormatError(f"{block.source}: {name} is {value!r:.60}, expected a number")
    return Limits(**values)


def bytes_of(text: str) -> float:
    """Bytes that a text as "40GB", "512 MiB" or "8e9" says.

    Raises:
        ValueError: If it says none.
    """
    stripped = text.strip()
    unit = next((unit for unit in _UNITS if stripped.lower().endswith(unit.lower())), "")
    try:
        value = float(stripped[: len(stripped) - len(unit)]) * _UNITS.get(unit, 1)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"{text!r:.40} says no memory, expected a number and GB or GiB")
    return value


def _read_fields(block: Block, defaults: RecipeSettings) -> dict[str, Any]:
    """The fields of a table by the kinds of the defaults."""
    known = {each.name: getattr(defaults, each.name) for each in fields(defaults)}
    found: dict[str, Any] = {}
    for name in block.values:
        if name not in known:
            raise FormatError(
                f"{block.source}: field {name!r:.60} is unknown, expected some of {sorted(known)}"
            )
        kind = type(known[name])
        read: Mapping[type, Any] = {
            bool: block.flag, int: block.count, float: block.number, str: block.text,
        }  # fmt: skip
        found[name] = read[kind](name)
    return found


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "pooling": get_args(Pooling),
    "schedule": get_args(Schedule),
    "precision": get_args(Precision),
}
_RANGES: Final[Mapping[str, tuple[float, float, str]]] = {
    "batch_size": (2, 2**31, "2 or more: a pair alone has no negatives"),
    "max_length": (1, 2**31, "1 or more"),
    "temperature": (1e-6, 1e6, "a number above 0"),
    "warmup": (0, 1, "a share from 0 to 1"),
    "final_lr": (0, 1, "a share from 0 to 1"),
    "weight_decay": (0, 1e6, "0 or more"),
    "clip_norm": (0, 1e12, "0 or more"),
    "dropout": (0, 0.999, "a share from 0 to below 1"),
    "mini_batch": (0, 2**31, "0 or more"),
    "held_out_pairs": (2, 2**24, "2 or more"),
    "held_out_batch": (0, 2**20, "0 or more"),
}
_UNITS: Final = {
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
    "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "B": 1,
}  # fmt: skip
