"""Fields of the JSON files of a run, checked as they are read.

The one rule: whatever the file holds, a wrong field is a FormatError that names file and field.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vecsmith._files import read_json
from vecsmith.errors import FormatError

# A run of a thousand tasks lists them in 100 kB; more is a mistake or an attack.
MAX_RECORD_BYTES = 64 * 2**20

T = TypeVar("T")


class Block:
    """A JSON object whose fields are read one by one."""

    def __init__(self, values: Any, source: str) -> None:
        """Takes the object `values`; `source` names it in errors.

        Raises:
            FormatError: If it is not an object.
        """
        if not isinstance(values, dict):
            raise FormatError(f"{source}: {values!r:.60}, expected an object")
        self.values: Mapping[str, Any] = values
        self.source = source

    @classmethod
    def of_file(
        cls,
        path: Path,
        *,
        format_name: str,
        version: int,
        remedy: str = "delete it and evaluate again",
    ) -> Block:
        """The object that is the JSON file `path`, of the given format and version.

        `remedy` is what to do about one that is cut short.

        Raises:
            FormatError: If it is another kind of file, or of a later version.
        """
        values = read_json(regular_file(path), max_bytes=MAX_RECORD_BYTES, remedy=remedy)
        block = cls(values, str(path))
        _check_text(block)
        if block.values.get("format") != format_name:
            raise FormatError(
                f"{path}: format {block.values.get('format')!r:.60}, expected {format_name!r}"
            )
        if block.count("version") > version:
            raise FormatError(
                f"{path}: version {block.count('version')}, expected at most {version}; "
                "update vecsmith to read it"
            )
        return block

    def text(self, key: str) -> str:
        """The string under `key`."""
        return str(self._checked(key, "a string", lambda value: isinstance(value, str)))

    def optional_text(self, key: str) -> str | None:
        """The string under `key`, or None where it is null."""
        return None if self._required(key, "a string or null") is None else self.text(key)

    def choice(self, key: str, choices: tuple[str, ...]) -> Any:
        """The string under `key`, one of `choices`."""
        return self._checked(key, f"one of {', '.join(choices)}", lambda value: value in choices)

    def flag(self, key: str) -> bool:
        """The boolean under `key`."""
        return bool(self._checked(key, "true or false", lambda value: isinstance(value, bool)))

    def count(self, key: str) -> int:
        """The whole number under `key`, zero or more."""
        return int(self._checked(key, "a whole number from 0", _is_count))

    def number(self, key: str) -> float:
        """The finite number under `key`."""
        return float(self._checked(key, "a finite number", _is_number))

    def optional_count(self, key: str) -> int | None:
        """The whole number under `key`, or None where it is null."""
        return None if self._required(key, "a whole number or null") is None else self.count(key)

    def optional_number(self, key: str) -> float | None:
        """The finite number under `key`, or None where it is null."""
        return None if self._required(key, "a number or null") is None else self.number(key)

    def texts(self, key: str) -> tuple[str, ...]:
        """The strings under `key`."""
        return self._list(key, "strings", lambda value: isinstance(value, str))

    def numbers(self, key: str) -> tuple[float, ...]:
        """The finite numbers under `key`."""
        return tuple(map(float, self._list(key, "finite numbers", _is_number)))

    def block(self, key: str) -> Block:
        """The object under `key`."""
        return Block(self._required(key, "an object"), f"{self.source}: {key}")

    def has(self, key: str) -> bool:
        """Whether there is a field `key`, for fields that earlier versions did not write."""
        return key in self.values

    def blocks(self, key: str) -> list[Block]:
        """The objects under `key`."""
        values = self._list(key, "objects", lambda value: isinstance(value, dict))
        return [Block(value, f"{self.source}: {key}[{i}]") for i, value in enumerate(values)]

    def mapping(self, key: str, read: Callable[[Block, str], T]) -> dict[str, T]:
        """The object under `key`, each field of it read by `read`, as in `Block.number`."""
        block = self.block(key)
        return {name: read(block, name) for name in block.values}

    def _required(self, key: str, expected: str) -> Any:
        if key not in self.values:
            raise FormatError(f"{self.source}: no field {key!r}, expected {expected}")
        return self.values[key]

    def _checked(self, key: str, expected: str, fits: Callable[[Any], bool]) -> Any:
        value = self._required(key, expected)
        if not fits(value):
            raise FormatError(f"{self.source}: {key} is {value!r:.60}, expected {expected}")
        return value

    def _list(self, key: str, expected: str, fits: Callable[[Any], bool]) -> tuple[Any, ...]:
        values = self._checked(key, f"an array of {expected}", lambda value: type(value) is list)
        for i, value in enumerate(values):
            if not fits(value):
                where = f"{self.source}: {key}[{i}]"
                raise FormatError(f"{where} is {value!r:.60}, expected an array of {expected}")
        return tuple(values)


def regular_file(path: Path) -> Path:
    """`path`, when a file is there; a pipe or a device would never end.

    Raises:
        FormatError: If nothing is there, or it is not a file.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FormatError(
            f"{path}: no such file, expected a file of a run; evaluate again to write it"
        ) from error
    if not stat.S_ISREG(mode):
        raise FormatError(f"{path}: is not a regular file, expected a file of a run")
    return path


def plain(value: Any, where: str) -> Any:
    """`value` as JSON holds it: tuples as lists, numpy scalars as numbers.

    Raises:
        TypeError: If it holds something that JSON has no word for.
        ValueError: If a number in it is not finite, or a text is not Unicode text.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {
            plain_text(key, where): plain(item, f"{where}.{key}") for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [plain(item, where) for item in value]
    if isinstance(value, str):
        return plain_text(value, where)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}, expected a finite number")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"{where} is {value!r:.60}, expected texts, numbers, lists and mappings")


def plain_text(text: Any, where: str) -> str:
    """`text`, when UTF-8 can hold it.

    Raises:
        TypeError: If it is no text.
        ValueError: If it holds half a surrogate pair.
    """
    if not isinstance(text, str):
        raise TypeError(f"{where}: {text!r:.60}, expected a text")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where}: {text!r:.60} holds half a surrogate pair, expected Unicode text"
        ) from error
    return text


def _check_text(block: Block) -> None:
    """Refuses half surrogate pairs, which JSON can spell and UTF-8 cannot."""
    try:
        json.dumps(block.values, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormatError(
            f"{block.source}: a string holds half a surrogate pair, expected Unicode text"
        ) from error


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False
