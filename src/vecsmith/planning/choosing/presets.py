"""A published recipe as data: every number with where it is from and how sure it is.

The one rule: a number that decides a plan is read from a file in `data/`, marked printed, derived
or assumed, and listed among the plan's constants; none is written into the code alone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, get_args

Mark = Literal["printed", "derived", "assumed", "given", "measured", "fitted"]
MARKS: Final[tuple[str, ...]] = get_args(Mark)
PresetName = Literal["ziarko2024"]
PRESETS: Final[tuple[str, ...]] = get_args(PresetName)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A number (or word) that a plan rests on.

    Attributes:
        name: What it is called.
        value: A number, a text, or a tuple of them.
        mark: "printed" in the paper or its code, "derived" from printed ones by arithmetic,
            "assumed" by us, "given" by the user, "measured" on the machine, "fitted" to runs.
        source: Where it is from: a section, or the reason of an assumption.
        meaning: What it says.
    """

    name: str
    value: Any
    mark: Mark
    source: str
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A published recipe.

    Attributes:
        name: "ziarko2024".
        title: Of the paper.
        citation: Authors, place and number.
        constants: All its numbers by name.
    """

    name: str
    title: str
    citation: str
    constants: Mapping[str, Constant]

    def __getitem__(self, name: str) -> Any:
        """The value of the constant `name`."""
        return self.constants[name].value

    def __iter__(self) -> Iterator[Constant]:
        """The constants in the order of the file."""
        return iter(self.constants.values())


@cache
def load_preset(name: str = "ziarko2024") -> Preset:
    """The published recipe called `name`.

    Raises:
        ValueError: If there is none of that name.

    Example:
        >>> load_preset("ziarko2024")["threshold_flops"]
        9.06e+16
    """
    if name not in PRESETS:
        raise ValueError(f"preset {name!r:.60}, expected one of {list(PRESETS)}")
    text = resources.files("vecsmith.planning").joinpath(f"data/{name}.toml").read_text("utf-8")
    values = tomllib.loads(text)
    constants = {
        key: Constant(name=key, **{**block, "value": frozen(block["value"])})
        for key, block in values["constants"].items()
    }
    return Preset(
        name=values["name"],
        title=values["title"],
        citation=values["citation"],
        constants=constants,
    )


def frozen(value: Any) -> Any:
    """`value` with tuples for arrays, at every depth."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value
