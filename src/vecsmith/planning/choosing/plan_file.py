"""Plans read back from a file, field by field.

The one rule: the types that a field is written with are those it is read with, so a record's
annotations are the only list of its fields.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vecsmith.errors import FormatError
from vecsmith.planning.choosing.presets import frozen
from vecsmith.planning.inputs import Settings
from vecsmith.results.fields import Block
from vecsmith.results.tuning import Tuning

PLAN_FORMAT: Final = "vecsmith plan"
PLAN_VERSION: Final = 1
REMEDY: Final = "make the plan again"

T = TypeVar("T")


def open_plan_file(path: Path) -> Block:
    """The object of a plan's file.

    Raises:
        FormatError: If it is another kind of file, of a later version, or broken.
    """
    return Block.of_file(path, format_name=PLAN_FORMAT, version=PLAN_VERSION, remedy=REMEDY)


def read_record(kind: type[T], block: Block) -> T:
    """A dataclass of type `kind` from the fields of `block` that bear its names.

    Raises:
        FormatError: If one is missing, of another type, or makes no sense.
    """
    hints: dict[str, Any] = _hints(kind)  # type: ignore[arg-type]
    values = {name: _read(hint, block, name) for name, hint in hints.items()}
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise FormatError(f"{block.source}: {error}") from error


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Type of each field."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _read(hint: Any, block: Block, name: str) -> Any:
    """The field `name`, as its annotation says."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if name in block.values and block.values[name] is None:
            return None
        (inner,) = (each for each in arguments if each is not type(None))
        return _read(inner, block, name)
    if origin is Literal:
        return block.choice(name, arguments)
    if origin is tuple:
        return _read_tuple(arguments[0], block, name)
    if origin is not None and issubclass(origin, Mapping):
        return block.mapping(name, Block.number)
    if hint is Tuning:
        return Tuning.from_plain(dict(block.block(name).values), source=f"{block.source}: {name}")
    if hint is Settings:  # at the top of the file, where a run looks for them
        return read_record(Settings, block)
    if is_dataclass(hint):
        return read_record(hint, block.block(name))  # type: ignore[arg-type]
    if hint is Any:
        return frozen(block.values.get(name))
    readers = {bool: block.flag, int: block.count, float: block.number, str: block.text}
    return readers[hint](name)


def _read_tuple(item: Any, block: Block, name: str) -> tuple[Any, ...]:
    if is_dataclass(item):
        return tuple(read_record(item, each) for each in block.blocks(name))  # type: ignore[arg-type]
    return block.texts(name) if item is str else block.numbers(name)
