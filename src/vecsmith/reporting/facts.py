"""What a run says of itself, in words: settings, machine, versions.

The one rule: fields of a record may hold anything; what is not a plain value is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecsmith.results import EvalResult

_SHOWN = ("tasks", "suite", "dims", "precisions", "split", "languages", "seed")


def settings_of(result: EvalResult) -> dict[str, str]:
    """What was asked, and the versions of the packages."""
    found = {name: _words(result.settings.get(name)) for name in _SHOWN}
    versions = ", ".join(
        f"{name} {version}" for name, version in sorted(result.versions.items()) if version
    )
    return {name: words for name, words in found.items() if words} | (
        {"versions": versions} if versions else {}
    )


def machine_of(result: EvalResult) -> str:
    """Processor, cores, memory and system, in a line."""
    machine = result.machine
    cores, memory = machine.get("cores_usable") or machine.get("cores"), machine.get("memory_gib")
    parts = (
        _words(machine.get("cpu")),
        f"{_words(cores)} cores" if cores else "",
        f"{_words(memory)} GiB" if memory else "",
        _words(machine.get("system")),
        f"Python {_words(machine.get('python'))}" if machine.get("python") else "",
    )
    return ", ".join(part for part in parts if part)


def date_of(result: EvalResult) -> str:
    """When it ran."""
    return _words(result.date)


def _words(value: Any) -> str:
    if value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(_words, value)))
    return str(value)
