"""What the blocks `normalizer` and `pre_tokenizer` have in common: types, sequences, patterns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import array_of, flag, object_of, text_of
from vecsmith.formats.tokenizer_json.settings import NotNative

# More steps than any file has, and few enough for a text to pass through.
_MAX_STEPS = 256


def steps_of(
    root: Mapping[str, Any], key: str, *, members: str, source: str
) -> list[tuple[str, Mapping[str, Any], str]]:
    """Type, block and place of each step under `key`, those inside sequences one after another.

    Args:
        root: The whole file.
        key: "normalizer" or "pre_tokenizer".
        members: What a sequence calls its steps.
        source: Name of the file in errors.

    Raises:
        FormatError: If a block is no object.
        NotNative: If there are too many steps for the engine.
    """
    if root.get(key) is None:
        return []
    found = []
    # a stack, not recursion: files are untrusted
    waiting = [(object_of(root, key, source=source), f"{source}: {key}")]
    while waiting:
        block, where = waiting.pop()
        kind = block.get("type")
        if kind != "Sequence":
            found.append((str(kind), block, where))
        else:
            waiting += reversed(list(_members(block, members, where=where)))
        if len(found) + len(waiting) > _MAX_STEPS:
            raise NotNative(f"the {key} has more than {_MAX_STEPS} steps")
    return found


def pattern_of(block: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Text of a pattern, and whether it is a regular expression."""
    pattern = object_of(block, "pattern", source=where)
    if pattern.keys() not in ({"String"}, {"Regex"}):
        raise FormatError(
            f"{where}.pattern: {pattern!r:.60}, expected one of the fields 'String' and 'Regex'"
        )
    is_regex = "Regex" in pattern
    text = text_of(pattern, "Regex" if is_regex else "String", source=f"{where}.pattern")
    return {"pattern": text, "is_regex": is_regex}


def given_flag(block: Mapping[str, Any], key: str, *, where: str) -> bool:
    """The boolean under `key`, which must be there."""
    if key not in block:
        raise FormatError(f"{where}.{key}: missing, expected true or false")
    return flag(block, key, source=where, default=False)


def _members(
    block: Mapping[str, Any], members: str, *, where: str
) -> Iterator[tuple[Mapping[str, Any], str]]:
    for i, step in enumerate(array_of(block, members, source=where)):
        inside = f"{where}.{members}[{i}]"
        if not isinstance(step, dict):
            raise FormatError(f"{inside}: {step!r:.60}, expected an object")
        yield step, inside
