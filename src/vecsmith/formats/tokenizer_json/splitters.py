"""The block `pre_tokenizer` of a `tokenizer.json` -> steps of the engine.

Which fields a block must have, and what they are where it need not, was found by showing such
files to tokenizers 0.23.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import flag, text_of
from vecsmith.formats.tokenizer_json.blocks import given_flag, pattern_of, steps_of
from vecsmith.formats.tokenizer_json.settings import NotNative, Step

_BEHAVIORS = {
    "Removed": "removed",
    "Isolated": "isolated",
    "MergedWithPrevious": "merged_with_previous",
    "MergedWithNext": "merged_with_next",
    "Contiguous": "contiguous",
}
_SCHEMES = ("always", "first", "never")


def splitter_of(root: Mapping[str, Any], *, source: str) -> tuple[Step, ...]:
    """Steps that cut a text into words, in order.

    Raises:
        FormatError: If a field is missing or wrong.
        NotNative: If the engine has no such step, or not in that order.
    """
    blocks = steps_of(root, "pre_tokenizer", members="pretokenizers", source=source)
    steps = tuple(_step(kind, block, where) for kind, block, where in blocks)
    if any(step.kind == "byte_level" for step in steps[:-1]):
        raise NotNative("pre-tokenizer ByteLevel comes before others")
    return steps


def _step(kind: str, block: Mapping[str, Any], where: str) -> Step:
    read = _READERS.get(kind)
    if read is None:
        raise NotNative(f"the engine has no pre-tokenizer {kind:.60}")
    return read(block, where)


def _punctuation(block: Mapping[str, Any], where: str) -> Step:
    behavior = "isolated"
    if "behavior" in block:
        behavior = _behavior(block, where)
    return Step("punctuation", {"behavior": behavior})


def _digits(block: Mapping[str, Any], where: str) -> Step:
    individual = given_flag(block, "individual_digits", where=where)
    return Step("digits", {"individual_digits": individual})


def _delimiter(block: Mapping[str, Any], where: str) -> Step:
    return Step("delimiter", {"delimiter": _code_point(block, "delimiter", where)})


def _split(block: Mapping[str, Any], where: str) -> Step:
    options = {
        **pattern_of(block, where=where),
        "behavior": _behavior(block, where),
        "invert": given_flag(block, "invert", where=where),
    }
    return Step("pattern", options)


def _byte_level(block: Mapping[str, Any], where: str) -> Step:
    options = {
        "add_prefix_space": given_flag(block, "add_prefix_space", where=where),
        "use_regex": flag(block, "use_regex", source=where, default=True),
    }
    return Step("byte_level", options)


def _metaspace(block: Mapping[str, Any], where: str) -> Step:
    scheme = text_of(block, "prepend_scheme", source=where, default="always")
    if scheme not in _SCHEMES:
        raise FormatError(f"{where}.prepend_scheme: {scheme!r:.60}, expected one of {_SCHEMES}")
    if block.get("add_prefix_space") is False and scheme != "never":
        raise FormatError(
            f"{where}: add_prefix_space false with prepend_scheme {scheme!r}, expected 'never'"
        )
    split = block.get("split") is None or flag(block, "split", source=where, default=True)
    replacement = _code_point(block, "replacement", where)
    return Step("metaspace", {"replacement": replacement, "prepend": scheme, "split": split})


def _code_point(block: Mapping[str, Any], key: str, where: str) -> int:
    text = text_of(block, key, source=where)
    if len(text) != 1:
        raise FormatError(f"{where}.{key}: {text!r:.60}, expected one character")
    return ord(text)


def _behavior(block: Mapping[str, Any], where: str) -> str:
    behavior = text_of(block, "behavior", source=where)
    if behavior not in _BEHAVIORS:
        raise FormatError(
            f"{where}.behavior: {behavior!r:.60}, expected one of {sorted(_BEHAVIORS)}"
        )
    return _BEHAVIORS[behavior]


def _plain(kind: str) -> Callable[[Mapping[str, Any], str], Step]:
    return lambda block, where: Step(kind)


_READERS: dict[str, Callable[[Mapping[str, Any], str], Step]] = {
    "BertPreTokenizer": _plain("bert"),
    "ByteLevel": _byte_level,
    "CharDelimiterSplit": _delimiter,
    "Digits": _digits,
    "Metaspace": _metaspace,
    "Punctuation": _punctuation,
    "Split": _split,
    "Whitespace": _plain("whitespace"),
    "WhitespaceSplit": _plain("whitespace_split"),
}
