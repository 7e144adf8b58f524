"""Devices that a plan is timed on: what they could do at best, hold and draw.

The one rule: a peak is the dense rate of its maker's data sheet, which no run reaches; what share
of it a run reaches is measured or marked assumed, never part of these numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.planning.catalogue.toml_files import (
    positive_number,
    read_toml,
    rows_of,
    shipped_toml,
)

_SHIPPED: Final = "accelerators.toml"
_KNOWN: Final = {"name", "aliases", "peak_flops", "memory", "watts", "provenance"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """A device.

    Attributes:
        name: As people write it, in lower case.
        aliases: Other ways to write it.
        peak_flops: Dense FLOP per second by precision, as "float32" or "bfloat16".
        memory: Bytes, as on its data sheet (10**9 a gigabyte); None where that is not known.
        watts: Rated power of the board; None where that is not known.
        provenance: Where these numbers are from.
    """

    name: str
    aliases: tuple[str, ...] = ()
    peak_flops: Mapping[str, float]
    memory: int | None = None
    watts: float | None = None
    provenance: str = ""


def load_accelerators(path: PathLike | None = None) -> tuple[Accelerator, ...]:
    """Those of a TOML file before those that are shipped; the shipped alone where `path` is None.

    A file has a table `[[accelerator]]` for each: `name`, `peak_flops` (a table of FLOP per
    second by precision), and, where known, `memory` in bytes, `watts`, `aliases` and
    `provenance`. A name that is shipped too means the file's.

    Raises:
        FormatError: If the file is broken.
        OSError: If it cannot be read.
    """
    shipped = _read(shipped_toml(_SHIPPED), source=_SHIPPED)
    if path is None:
        return shipped
    path = Path(path).expanduser()
    own = _read(read_toml(path), source=str(path))
    taken = {_plain(spelling) for one in own for spelling in (one.name, *one.aliases)}
    return (*own, *(one for one in shipped if _plain(one.name) not in taken))


def find_accelerator(name: str, path: PathLike | None = None) -> Accelerator:
    """The accelerator called `name`, or one of whose aliases that is; `path` as in loading.

    Case, blanks, underscores and hyphens do not matter.

    Raises:
        ValueError: If there is none of that name.
        FormatError: If the file is broken.

    Example:
        >>> find_accelerator("A100").peak_flops["bfloat16"]
        312000000000000.0
    """
    accelerators = load_accelerators(path)
    for one in accelerators:
        if _plain(name) in map(_plain, (one.name, *one.aliases)):
            return one
    raise ValueError(
        f"accelerator {name!r:.60}, expected one of {', '.join(one.name for one in accelerators)}; "
        "another is described by a table [[accelerator]] in a TOML file of your own"
    )


def _plain(name: str) -> str:
    return "".join(name.lower().replace("_", " ").replace("-", " ").split())


def _read(root: dict[str, Any], *, source: str) -> tuple[Accelerator, ...]:
    rows = rows_of(root, "accelerator", known=set(), source=source)
    found = tuple(
        _accelerator(row, source=f"{source}: accelerator {number}")
        for number, row in enumerate(rows, start=1)
    )
    if not found:
        raise FormatError(f"{source}: no accelerator, expected a table [[accelerator]]")
    seen: dict[str, str] = {}
    for one in found:
        for spelling in {_plain(each) for each in (one.name, *one.aliases)}:
            if spelling in seen:
                raise FormatError(
                    f"{source}: {spelling!r:.60} is both {seen[spelling]!r:.60} and "
                    f"{one.name!r:.60}, expected one meaning"
                )
            seen[spelling] = one.name
    return found


def _accelerator(row: dict[str, Any], *, source: str) -> Accelerator:
    name = row.get("name")
    if not isinstance(name, str) or not _plain(name):
        raise FormatError(f"{source}: name {name!r:.60}, expected the accelerator's name")
    source = f"{source} ({name:.60})"
    for key in row:
        if key not in _KNOWN:
            raise FormatError(f"{source}: {key!r:.60}, expected one of {', '.join(sorted(_KNOWN))}")
    aliases = row.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(each, str) for each in aliases):
        raise FormatError(f"{source}: aliases {aliases!r:.60}, expected a list of names")
    peaks = row.get("peak_flops")
    if not isinstance(peaks, dict) or not peaks:
        raise FormatError(
            f"{source}: peak_flops {peaks!r:.60}, expected FLOP per second by precision, as "
            "{ bfloat16 = 312e12 }"
        )
    known = {
        key: None if row.get(key) is None else positive_number(row[key], f"{source}: {key}")
        for key in ("memory", "watts")
    }
    memory = known["memory"]
    if memory is not None and memory < 1:
        raise FormatError(f"{source}: memory is {memory:g}, expected bytes, as in 80e9")
    provenance = row.get("provenance", "")
    return Accelerator(
        name=name,
        aliases=tuple(aliases),
        peak_flops={key: positive_number(peaks[key], f"{source}: {key}") for key in peaks},
        memory=None if memory is None else int(memory),
        watts=known["watts"],
        provenance=provenance if isinstance(provenance, str) else "",
    )
