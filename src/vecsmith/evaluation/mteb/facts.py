"""What MTEB wants to know of a model, as far as the model says it.

The one rule: a fact that a model does not state stays None; nothing is guessed or looked up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

from vecsmith._extras import require


def facts_of(model: Any) -> dict[str, Any]:
    """Fields of mteb's `ModelMeta` that can be told from `model`.

    Models of ours, of sentence-transformers and encoders that name themselves alike are read by
    the attributes they have.
    """
    checkpoint = getattr(model, "checkpoint", None)
    card: Mapping[str, Any] = getattr(checkpoint, "card", None) or {}
    facts = {
        **_sizes(model, checkpoint),
        "max_tokens": _max_tokens(model),
        "embed_dim": _embed_dim(model, checkpoint),
        "framework": _frameworks(model, checkpoint),
        "license": _license(card.get("license")),
        "languages": _languages(card.get("language")),
        "adapted_from": _first(card.get("base_model")),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def similarity_of(model: Any) -> str:
    """Name of the model's similarity; cosine where it has none."""
    checkpoint = getattr(model, "checkpoint", None)
    named = getattr(checkpoint, "similarity", None) or getattr(model, "similarity_fn_name", None)
    return str(getattr(named, "value", named) or "cosine")


def own_name(model: Any) -> str:
    """What the model calls itself: a name, where it came from, or its class."""
    checkpoint = getattr(model, "checkpoint", None)
    candidates = (
        getattr(model, "name", None),
        (getattr(checkpoint, "card", None) or {}).get("model_name"),
        getattr(checkpoint, "source", None),
        type(model).__name__,
    )
    return next(str(candidate) for candidate in candidates if candidate)


def _sizes(model: Any, checkpoint: Any) -> dict[str, Any]:
    if checkpoint is not None:
        arrays = [checkpoint.table, checkpoint.weights]
        n_parameters = sum(array.size for array in arrays if array is not None)
        n_bytes = sum(array.nbytes for array in arrays if array is not None)
        return {
            "n_parameters": n_parameters,
            "n_embedding_parameters": n_parameters,
            "memory_usage_mb": n_bytes / 2**20,
        }
    if callable(getattr(model, "parameters", None)):
        parameters = list(model.parameters())
        n_bytes = sum(one.numel() * one.element_size() for one in parameters)
        return {
            "n_parameters": sum(one.numel() for one in parameters),
            "memory_usage_mb": n_bytes / 2**20,
        }
    n_bytes = getattr(model, "n_bytes", None)
    return {"memory_usage_mb": None if n_bytes is None else n_bytes / 2**20}


def _max_tokens(model: Any) -> float | None:
    for name in ("max_length", "max_seq_length"):
        if hasattr(model, name):
            length = getattr(model, name)
            return math.inf if length is None else float(length)
    return None


def _embed_dim(model: Any, checkpoint: Any) -> int | list[int] | None:
    recipe = getattr(checkpoint, "config", {}).get("vecsmith")
    prefixes = recipe.get("dims") if isinstance(recipe, dict) else None
    if isinstance(prefixes, list) and prefixes and all(isinstance(dim, int) for dim in prefixes):
        return sorted({*prefixes, checkpoint.dim})
    if hasattr(model, "get_embedding_dimension"):
        return model.get_embedding_dimension() or None
    return getattr(model, "dim", None)


def _frameworks(model: Any, checkpoint: Any) -> list[str]:
    if checkpoint is not None:
        return ["NumPy", "Sentence Transformers", "safetensors"]
    if type(model).__module__.split(".")[0] == "sentence_transformers":
        return ["Sentence Transformers", "PyTorch"]
    return []


def _license(said: Any) -> str | None:
    """The licence, where mteb has a word for it."""
    known = require("mteb.types", extra="mteb", purpose="run its benchmarks").Licenses
    return said if said in get_args(known) else None


def _languages(said: Any) -> list[str] | None:
    """Languages of a model card as mteb codes them: "en" as "eng-Latn"."""
    module = "mteb.languages.iso_mappings"
    mappings = require(module, extra="mteb", purpose="run its benchmarks")
    convert = getattr(mappings, "_hf_langs_to_iso_lang_scripts", None)  # not promised to stay
    if convert is None or not isinstance(said, str | list):
        return None
    codes: list[str] | None = convert(said)
    return codes


def _first(said: Any) -> str | None:
    if isinstance(said, list):
        said = next(iter(said), None)
    return said if isinstance(said, str) else None
