"""Fields of a JSON object, checked as they are read.

One rule: a field of the wrong type is a FormatError that names file and field, whatever the file
holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vecsmith._files import parse_json
from vecsmith.errors import FormatError


def parse_value(
    text: str, *, source: str, parse_float: Callable[[str], float] | None = None
) -> Any:
    """The JSON value that is `text`; `parse_float` reads its numbers, if given.

    Raises:
        FormatError: If it is not JSON, or a string in it is not Unicode text.
    """
    value = parse_json(text, source=source, parse_float=parse_float)
    _check_text(text, value, source=source)
    return value


def parse_object(
    text: str, *, source: str, parse_float: Callable[[str], float] | None = None
) -> Mapping[str, Any]:
    """The JSON object that is `text`; `parse_float` reads its numbers, if given.

    Raises:
        FormatError: If it is not JSON, or not an object.
    """
    value = parse_value(text, source=source, parse_float=parse_float)
    if not isinstance(value, dict):
        raise FormatError(f"{source}: holds {kind_of(value)}, expected an object")
    return value


def kind_of(value: Any) -> str:
    """Name of the JSON type of `value`, with its article."""
    if value is None:
        return "null"
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number")


def object_of(block: Mapping[str, Any], key: str, *, source: str) -> Mapping[str, Any]:
    """The object under `key`."""
    value = _required(block, key, source=source, expected="an object")
    if not isinstance(value, dict):
        raise FormatError(f"{source}.{key}: {value!r:.60}, expected an object")
    return value


def array_of(block: Mapping[str, Any], key: str, *, source: str) -> list[Any]:
    """The array under `key`."""
    value = _required(block, key, source=source, expected="an array")
    if not isinstance(value, list):
        raise FormatError(f"{source}.{key}: {value!r:.60}, expected an array")
    return value


def text_of(block: Mapping[str, Any], key: str, *, source: str, default: str | None = None) -> str:
    """The string under `key`."""
    if default is not None and key not in block:
        return default
    value = _required(block, key, source=source, expected="a string")
    if not isinstance(value, str):
        raise FormatError(f"{source}.{key}: {value!r:.60}, expected a string")
    return value


def flag(block: Mapping[str, Any], key: str, *, source: str, default: bool) -> bool:
    """The boolean under `key`, or `default` where it is missing."""
    value = block.get(key, default)
    if not isinstance(value, bool):
        raise FormatError(f"{source}.{key}: {value!r:.60}, expected true or false")
    return value


def whole_number(
    block: Mapping[str, Any],
    key: str,
    *,
    source: str,
    default: int | None = None,
    maximum: int,
) -> int:
    """The number under `key`, from 0 to `maximum`."""
    if default is not None and key not in block:
        return default
    value = _required(block, key, source=source, expected="a whole number")
    if type(value) is not int or not 0 <= value <= maximum:
        raise FormatError(
            f"{source}.{key}: {value!r:.60}, expected a whole number from 0 to {maximum}"
        )
    return value


def _check_text(text: str, value: Any, *, source: str) -> None:
    """Refuses half surrogate pairs, which JSON can spell and UTF-8 cannot."""
    if "\\ud" not in text and "\\uD" not in text:
        return  # only an escape can spell one
    for string in _strings(value):
        try:
            string.encode("utf-8")
        except UnicodeEncodeError as error:
            raise FormatError(
                f"{source}: string {string!r:.60} holds half a surrogate pair, "
                "expected Unicode text"
            ) from error


def _required(block: Mapping[str, Any], key: str, *, source: str, expected: str) -> Any:
    if key not in block:
        raise FormatError(f"{source}.{key}: missing, expected {expected}")
    return block[key]


def _strings(value: Any) -> list[str]:
    """Every string inside `value`, keys included; no recursion, files are untrusted."""
    found: list[str] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict):
            found.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return found
