"""The text of a tokenizer as it is kept beside a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import object_of, parse_object, whole_number
from vecsmith.formats.tokenizer_json.settings import Direction


def stored_tokenizer(
    tokenizer_json: str,
    *,
    max_length: int | None = None,
    source: str = "tokenizer.json",
) -> str:
    """The same tokenizer without special tokens, padding and its own truncation.

    Args:
        tokenizer_json: Text of a `tokenizer.json`.
        max_length: Tokens of a text that are kept, None for all; kept from the end that the text
            already names.
        source: Name of the file in errors.

    Raises:
        FormatError: If the text is not a JSON object.
    """
    root = dict(parse_object(tokenizer_json, source=source))
    direction, _ = read_truncation(root, source=source)
    root["truncation"] = None
    if max_length is not None:
        root["truncation"] = {
            "direction": direction.capitalize(),
            "max_length": max_length,
            "strategy": "LongestFirst",
            "stride": 0,
        }
    root["padding"] = None
    root["post_processor"] = None
    return _compact(root, source=source)


def without_truncation(tokenizer_json: str, *, source: str = "tokenizer.json") -> str:
    """The same tokenizer without its own truncation; the same text where there is none."""
    root = dict(parse_object(tokenizer_json, source=source))
    if root.get("truncation") is None:
        return tokenizer_json
    root["truncation"] = None
    return _compact(root, source=source)


def read_truncation(root: Mapping[str, Any], *, source: str) -> tuple[Direction, int | None]:
    """Which end is cut off a text that is too long, and how many tokens stay."""
    if root.get("truncation") is None:
        return "right", None
    block = object_of(root, "truncation", source=source)
    where = f"{source}: truncation"
    direction = block.get("direction", "Right")
    if direction not in ("Right", "Left"):
        raise FormatError(f"{where}.direction: {direction!r:.60}, expected 'Right' or 'Left'")
    max_length = whole_number(block, "max_length", source=where, maximum=2**63)
    return "left" if direction == "Left" else "right", max_length


def _compact(root: Mapping[str, Any], *, source: str) -> str:
    try:
        return json.dumps(root, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise FormatError(f"{source}: holds NaN or infinity, expected plain JSON") from error
