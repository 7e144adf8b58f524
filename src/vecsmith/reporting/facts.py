"""What a run says of itself, in words; and a whole report as values for JSON.

The one rule: fields of a record may hold anything; what is not a plain value is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import PurePath
from typing import Any

from vecsmith.reporting.report import Report
from vecsmith.results import EvalResult, TaskResult, View

_SHOWN = ("tasks", "suite", "dims", "precisions", "split", "languages")


def settings_of(result: EvalResult) -> dict[str, str]:
    """What was asked, and the versions of the packages."""
    found = {name: _words(result.settings.get(name)) for name in _SHOWN}
    folders = result.settings.get("tasks")
    if isinstance(folders, list | tuple):  # a page that is shared tells nobody's folders
        found["tasks"] = ", ".join(PurePath(str(folder)).name for folder in folders)
    versions = ", ".join(
        f"{name} {version}" for name, version in sorted(result.versions.items()) if version
    )
    return {name: words for name, words in found.items() if words} | (
        {"versions": versions} if versions else {}
    )


def task_facts(task: TaskResult) -> dict[str, Any]:
    """What a task asked, of how much, as values for JSON; without its figures."""
    return {
        "kind": task.kind,
        "language": task.language,
        "split": task.split,
        "metric": task.metric,
        "items": task.n_items,
        "unit": task.unit,
        "counts": dict(task.counts),
        "notes": list(task.notes),
        "data_hash": task.data_hash,
    }


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


def facts_of(report: Report) -> dict[str, Any]:
    """Everything in a report, ready for JSON; scores are fractions."""
    facts: dict[str, Any] = _plain(report)
    return facts


def _plain(value: Any) -> Any:
    if isinstance(value, View):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else ":".join(key): _plain(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _words(value: Any) -> str:
    if value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(_words, value)))
    return str(value)
