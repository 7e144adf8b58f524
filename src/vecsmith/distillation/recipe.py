"""What a static model says of how it was made."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vecsmith.distillation.weighting import CountSource
from vecsmith.transformer.source import TeacherSource


def describe_counts(counts: CountSource | None) -> str | None:
    """What counts came from, for the recipe."""
    if counts is None:
        return None
    if isinstance(counts, Mapping):
        return f"{len(counts)} words with counts"
    if isinstance(counts, str) or not isinstance(counts, Iterable):
        return Path(counts).name  # where it lay is nobody's business
    return "texts"


def library_versions() -> dict[str, str]:
    """Versions of what a distillation depends on."""
    found = {}
    for package in ("vecsmith", "torch", "transformers", "tokenizers", "numpy"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # run from a source tree
    return found


def card_of(source: TeacherSource, card: Mapping[str, Any]) -> dict[str, Any]:
    """Front matter of the student's card: what it inherits from the teacher."""
    inherited = {
        key: card[key]
        for key in ("license", "license_name", "license_link", "language")
        if key in card
    }
    name = None if source.found == "folder" and "/" not in source.name else source.name
    found: dict[str, Any] = plain(({"base_model": name} if name else {}) | inherited)
    return found


def plain(value: Any) -> Any:
    """`value` in the kinds that JSON has."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
