"""The block `normalizer` of a `tokenizer.json` -> steps of the engine.

Which fields a block must have, and what they are where it need not, was found by showing such
files to tokenizers 0.23.3.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import flag, text_of
from vecsmith.formats.tokenizer_json.blocks import given_flag, pattern_of, steps_of
from vecsmith.formats.tokenizer_json.settings import NotNative, Step


def normalizer_of(root: Mapping[str, Any], *, source: str) -> tuple[Step, ...]:
    """Steps that change the text, in order.

    Raises:
        FormatError: If a field is missing or wrong.
        NotNative: If the engine has no such step.
    """
    blocks = steps_of(root, "normalizer", members="normalizers", source=source)
    return tuple(_step(kind, block, where=where) for kind, block, where in blocks)


def _step(kind: str, block: Mapping[str, Any], *, where: str) -> Step:
    if "type" not in block and {"clean_text", "lowercase"} <= block.keys():
        kind = "BertNormalizer"  # older files do not name it
    read = _READERS.get(kind)
    if read is None:
        raise NotNative(f"the engine has no normalizer {kind:.60}")
    return read(block, where)


def _bert(block: Mapping[str, Any], where: str) -> Step:
    lowercase = flag(block, "lowercase", source=where, default=True)
    strip_accents = lowercase
    if block.get("strip_accents") is not None:
        strip_accents = flag(block, "strip_accents", source=where, default=lowercase)
    options = {
        "clean_text": flag(block, "clean_text", source=where, default=True),
        "handle_chinese_chars": flag(block, "handle_chinese_chars", source=where, default=True),
        "strip_accents": strip_accents,
        "lowercase": lowercase,
    }
    return Step("bert", options)


def _strip(block: Mapping[str, Any], where: str) -> Step:
    options = {side: given_flag(block, f"strip_{side}", where=where) for side in ("left", "right")}
    return Step("strip", options)


def _prepend(block: Mapping[str, Any], where: str) -> Step:
    return Step("prepend", {"prefix": text_of(block, "prepend", source=where)})


def _replace(block: Mapping[str, Any], where: str) -> Step:
    content = text_of(block, "content", source=where)
    return Step("replace", {**pattern_of(block, where=where), "content": content})


def _precompiled(block: Mapping[str, Any], where: str) -> Step:
    encoded = text_of(block, "precompiled_charsmap", source=where)
    try:
        charsmap = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(
            f"{where}.precompiled_charsmap: {error}, expected a character map in base64"
        ) from error
    return Step("precompiled", {"charsmap": charsmap})


def _plain(kind: str) -> Callable[[Mapping[str, Any], str], Step]:
    return lambda block, where: Step(kind)


_READERS: dict[str, Callable[[Mapping[str, Any], str], Step]] = {
    "BertNormalizer": _bert,
    "Lowercase": _plain("lowercase"),
    "NFC": _plain("nfc"),
    "NFD": _plain("nfd"),
    "NFKC": _plain("nfkc"),
    "NFKD": _plain("nfkd"),
    "Nmt": _plain("nmt"),
    "Precompiled": _precompiled,
    "Prepend": _prepend,
    "Replace": _replace,
    "Strip": _strip,
    "StripAccents": _plain("strip_accents"),
}
