"""TOML files that people write and packages ship, read within bounds."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from vecsmith._files import read_text
from vecsmith.errors import FormatError
from vecsmith.planning.checks import is_finite, shown

_MAX_BYTES: Final = 16 * 2**20
_LARGEST: Final = 2**63  # TOML promises whole numbers of 64 bits; Python takes any


def read_toml(path: Path, *, max_bytes: int = _MAX_BYTES) -> dict[str, Any]:
    """What the TOML file `path` holds.

    Raises:
        FormatError: If it is too long, or not TOML.
        OSError: If it cannot be read.
    """
    if path.is_dir():
        raise FormatError(f"{path}: a folder, expected a TOML file")
    return parse_toml(read_text(path, max_bytes=max_bytes), source=str(path))


def shipped_toml(name: str) -> dict[str, Any]:
    """What the file `name` that comes with the package holds."""
    place = resources.files("vecsmith.planning").joinpath("data", name)
    return parse_toml(place.read_text(encoding="utf-8"), source=name)


def parse_toml(text: str, *, source: str) -> dict[str, Any]:
    """What TOML `text` holds; `source` names it in errors.

    Raises:
        FormatError: If it is not TOML, or a number in it is of more than 64 bits.
    """
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FormatError(f"{source}: {error!s:.200}, expected TOML") from error
    except ValueError as error:  # a number of thousands of digits
        raise FormatError(f"{source}: {error!s:.100}, expected plain TOML") from error
    check_numbers(values, source=source)
    return values


def check_numbers(values: Mapping[str, Any], *, source: str) -> None:
    """Refuses whole numbers that nothing is counted in; `source` names the file in errors.

    Written in hexadecimal they are read at any length, and what multiplies or prints them later
    fails in ways of its own.

    Raises:
        FormatError: If there is one, at whatever depth.
    """
    waiting: list[tuple[str, Any]] = list(values.items())
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(name, item) for item in value]
        elif type(value) is int and not -_LARGEST <= value < _LARGEST:
            raise FormatError(
                f"{source}: {name!s:.60} is {shown(value)}, expected a whole number of 64 bits"
            )


def positive_number(value: Any, where: str) -> float:
    """`value`, when it is a number above 0; `where` names it in errors.

    Raises:
        FormatError: If it is not.
    """
    if not is_finite(value) or value <= 0:
        raise FormatError(f"{where} is {shown(value)}, expected a number above 0")
    return float(value)


def rows_of(root: dict[str, Any], key: str, *, known: set[str], source: str) -> list[Any]:
    """The tables `[[key]]` of a file that may have the fields `known` beside them.

    Raises:
        FormatError: If there is another field, or `key` is no list of tables.
    """
    for found in root:
        if found not in known | {key}:
            expected = ", ".join(sorted(known | {key}))
            raise FormatError(f"{source}: {found!r:.60}, expected {expected}")
    rows = root.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise FormatError(f"{source}: {key} is {rows!r:.60}, expected tables [[{key}]]")
    return rows
