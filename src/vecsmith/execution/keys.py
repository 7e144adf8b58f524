"""What decides the record of a cell: base model, pairs, settings.

The one rule: whatever changes the outcome is in the key, and nothing that does not: neither where
files lie, nor when they were written, nor what they say of their own past.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vecsmith.planning.cells import Cell, RecipeSettings
from vecsmith.results.tuning_runs import key_of
from vecsmith.transformer.source import (
    TeacherSettings,
    TeacherSource,
    module_files,
    read_modules,
    read_object,
    transformer_folder,
)

# To be raised when the same cell comes to another record
_RUN_VERSION: Final = 2
# What config.json says of how the model came to be, and not of what it computes
_PAST: Final = frozenset({"_name_or_path", "transformers_version"})
_OUR_PAST: Final = frozenset({"recipe", "data", "scores"})
_BLOCK: Final = 2**20


def identity_of(source: TeacherSource, said: TeacherSettings, weights: str) -> str:
    """Hash of all that a base model is: what it computes, and from which tokens and prompts.

    Args:
        source: Where it lies.
        said: What its files say.
        weights: Hash of its weights.

    Raises:
        FormatError: If a file is broken.
    """
    folder = source.folder
    return key_of(
        {
            "weights": weights,
            "config": _without_past(read_object(transformer_folder(folder) / "config.json")),
            "tokenizer": hashlib.sha256(said.tokenizer_json.encode()).hexdigest(),
            "special": dict(said.special),
            "prompts": dict(said.prompts),
            "default_prompt": said.default_prompt_name,
            "max_length": said.max_length,
            "lowercase": said.lowercase,
            "modules": _modules(folder),
        }
    )


def run_key(cell: Cell, model: str, settings: Mapping[str, Any]) -> str:
    """Hash of all that decides what comes of `cell`.

    Args:
        cell: What is run.
        model: Its base, as `identity_of` gives it.
        settings: As `recorded_settings` gives them.
    """
    return key_of(
        {
            "version": _RUN_VERSION,
            "model": model,
            "tuning": cell.tuning.plain(),
            "flops": cell.flops,
            "seed": cell.seed,
            "settings": settings,
        }
    )


def recorded_settings(
    cell: Cell, settings: RecipeSettings, *, pairs: str, held_out: str, n_held_out: int
) -> dict[str, Any]:
    """What two losses must share to be comparable, and the rate.

    Args:
        cell: What is run.
        settings: Of the recipe.
        pairs: Hash of all pairs.
        held_out: Hash of those held out.
        n_held_out: How many these are.
    """
    return {
        "objective": "InfoNCE in both directions",
        "pairs": pairs,
        "held_out": held_out,
        "held_out_pairs": n_held_out,
        "held_out_batch": settings.n_compared,
        "batch_size": settings.batch_size,
        "max_length": settings.max_length,
        "temperature": settings.temperature,
        "pooling": settings.pooling,
        "warmup": settings.warmup,
        "schedule": settings.schedule,
        "final_lr": settings.final_lr,
        "weight_decay": settings.weight_decay,
        "clip_norm": settings.clip_norm,
        "dropout": settings.dropout,
        "precision": settings.precision,
        "lr": cell.lr,
    }


def check_distinct(cells: Sequence[Cell], keys: Sequence[str]) -> None:
    """Refuses cells that would come to one record under two names.

    Raises:
        ValueError: If two cells have one key.
    """
    known: dict[str, Cell] = {}
    for cell, key in zip(cells, keys, strict=True):
        other = known.setdefault(key, cell)
        if other != cell:
            raise ValueError(
                f"{other} and {cell} are one run: {other.model} and {cell.model} are the same "
                "model, expected each model once: leave one of them out of the grid"
            )


def _without_past(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in config.items() if name not in _PAST}
    ours = kept.get("vecsmith")
    if isinstance(ours, Mapping):
        kept["vecsmith"] = {name: value for name, value in ours.items() if name not in _OUR_PAST}
    return kept


def _modules(folder: Path) -> list[Any]:
    """Kinds of the modules in order, then the files that say more of them, without folders."""
    files = module_files(folder)
    if not files:
        return []
    kinds = [module.kind for module in read_modules(folder)]
    return [kinds, [[path.name, _said_by(path)] for path in files[1:]]]


def _said_by(path: Path) -> Any:
    if path.suffix == ".json":
        return read_object(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
