"""What a trained model says of itself: settings, data with licences, losses, scores.

One rule: nothing is claimed that is not known: a licence is the one that is written beside the
data, or it is left open.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from vecsmith.formats import Checkpoint
from vecsmith.formats.model_card import read_front_matter
from vecsmith.model import StaticModel
from vecsmith.training.losses import EmbeddingLoss
from vecsmith.training.stored_source import SourceReport

_REPEATED: Final = "repeated text, other ones in each pass"


def describe_loss(loss: EmbeddingLoss) -> str:
    """The name of a loss with all that was bound to it, the same in every process."""
    if isinstance(loss, functools.partial):
        bound = [f"{value!r}" for value in loss.args]
        bound += [f"{name}={_plain(value)}" for name, value in sorted(loss.keywords.items())]
        return f"{describe_loss(loss.func)}({', '.join(bound)})"
    inner = getattr(loss, "loss", None)
    if callable(inner) and dataclasses.is_dataclass(loss):
        return f"{type(loss).__name__.lower()}({', '.join(_described_fields(loss))})"
    name = getattr(loss, "__qualname__", None) or type(loss).__qualname__
    module = getattr(loss, "__module__", None) or type(loss).__module__
    return str(name) if module.startswith("vecsmith.") else f"{module}.{name}"


def _described_fields(loss: Any) -> Iterator[str]:
    """What a loss made of another one is made of; what is as it always is is left out."""
    for field in dataclasses.fields(loss):
        value = getattr(loss, field.name)
        if field.name == "loss":
            yield describe_loss(value)
        elif dataclasses.is_dataclass(value):
            yield from _described_fields(value)
        elif isinstance(value, Mapping):
            yield f"{{{', '.join(f'{key}: {weight:g}' for key, weight in value.items())}}}"
        elif value != field.default:
            yield f"{field.name}={_plain(value)}"


def licence_of(source: Any) -> str | None:
    """The licence that is stated beside a source of pairs, None where none is.

    Looked for in the front matter of a README.md in the folder, as the Hub has it, and in what a
    `datasets.Dataset` says of itself.
    """
    stated = getattr(getattr(source, "info", None), "license", None)
    if isinstance(stated, str) and stated.strip():
        return stated.strip()
    if not isinstance(source, str | os.PathLike):
        return None
    path = Path(source)
    folder = path if path.is_dir() else path.parent
    found = read_front_matter(folder / "README.md").get("license")
    if isinstance(found, list):
        found = ", ".join(str(each) for each in found)
    return str(found).strip() if found else None


def data_facts(
    reports: Sequence[SourceReport],
    licences: Mapping[str, str | None],
    n_left_out: Mapping[str, int],
) -> list[dict[str, Any]]:
    """What is said of each set of pairs; `n_left_out` are those that each pass leaves out."""
    return [
        {
            "name": report.name,
            "pairs": report.n_kept,
            "of": report.n_read,
            "left_out": {
                **report.skipped,
                **({_REPEATED: n_left_out[report.name]} if n_left_out.get(report.name) else {}),
            },
            "license": licences.get(report.name),
        }
        for report in reports
    ]


def start_facts(init: StaticModel | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the run began with."""
    if init is None:
        return {name: settings[name] for name in ("start", "start_scale", "seed")}
    checkpoint = init.checkpoint
    ours = checkpoint.config.get("vecsmith")
    source = checkpoint.source
    return {
        "model": None if source is None else Path(source).name,
        "fingerprint": init.fingerprint,
        "recipe": ours.get("recipe") if isinstance(ours, Mapping) else None,
    }


def with_provenance(
    checkpoint: Checkpoint,
    *,
    recipe: Mapping[str, Any],
    data: Sequence[Mapping[str, Any]],
) -> Checkpoint:
    """`checkpoint` with the recipe and the data of its training for its card."""
    ours = checkpoint.config.get("vecsmith")
    kept = dict(ours) if isinstance(ours, Mapping) else {}
    # scores and data of the model that training began with are not those of this one
    kept = {key: value for key, value in kept.items() if key not in ("scores", "data", "recipe")}
    block = {**kept, "recipe": dict(recipe), "data": [dict(each) for each in data]}
    # nor is its name
    card = {key: value for key, value in checkpoint.card.items() if key != "model_name"}
    return replace(
        checkpoint,
        config={**checkpoint.config, "vecsmith": block},
        card=card,
        layout="vecsmith",
        source=None,
    )


def installed_versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    found = {}
    for package in ("vecsmith", "torch", "numpy", "tokenizers"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # run from a source tree
    return found


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def short_name(name: str) -> str:
    """The last two parts of a path, whose others are nobody's matter; any other name as it is."""
    parts = Path(name).parts
    return name if not Path(name).is_absolute() and len(parts) < 3 else "/".join(parts[-2:])
