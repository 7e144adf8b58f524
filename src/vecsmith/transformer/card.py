"""README.md beside a saved transformer.

One rule: nothing is claimed that is not known: licence and language are the base's, or left open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vecsmith.formats.card_parts import (
    data_section,
    licence_section,
    markdown_table,
    one_line,
    recipe_section,
    scores_section,
    yaml_lines,
)

TAGS = ("sentence-transformers", "feature-extraction", "sentence-similarity", "vecsmith")


def render_transformer_card(
    card: Mapping[str, Any],
    ours: Mapping[str, Any],
    *,
    model_name: str,
    base: str,
    dim: int,
    n_layers: int,
    max_length: int | None,
) -> str:
    """Text of the README of a transformer.

    Args:
        card: Front matter of the model it was made from.
        ours: What is recorded of it: recipe, data, scores, and "matryoshka_dims" and "layers".
        model_name: Title, and the name in the examples.
        base: The model it was made from.
        dim: Length of its vectors.
        n_layers: How deep it is.
        max_length: Tokens of a text that count; None for all.
    """
    kept = {**card, "base_model": card.get("base_model", base) if ours.get("cut") else base}
    dims, layers = (_numbers(ours.get(name)) for name in ("matryoshka_dims", "layers"))
    name = one_line(model_name)
    lines = ["---", *yaml_lines(_front_matter(kept, dims, name)), "---", "", f"# {name}", ""]
    lines += [f"Vectors of texts, {dim} dimensions, by a transformer of {n_layers} layers.", ""]
    lines += [*_usage(name, dims, layers, dim, n_layers), ""]
    rows = [
        ("dimensions", dim),
        ("prefixes that it was trained to be good at", _listed(dims)),
        ("layers", n_layers),
        ("depths that it was trained to be good at", _listed(layers)),
        ("tokens of a text that count", "all" if max_length is None else max_length),
    ]
    lines += ["## Facts", "", *markdown_table(("", ""), rows), ""]
    lines += [*scores_section(ours, dim), *data_section(ours)]
    told = {key: ours[key] for key in ours if key not in ("matryoshka_dims", "layers")}
    lines += [*recipe_section(told), "", *licence_section(kept, ours), ""]
    return "\n".join(lines)


def _front_matter(card: Mapping[str, Any], dims: Sequence[int], name: str) -> dict[str, Any]:
    tags = card.get("tags")
    given = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    nested = ("matryoshka",) if len(dims) > 1 else ()
    ours = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": list(dict.fromkeys([*given, *TAGS, *nested])),
        "model_name": name,
    }
    return {**ours, **{key: value for key, value in card.items() if key not in ours}}


def _usage(
    name: str, dims: Sequence[int], layers: Sequence[int], dim: int, n_layers: int
) -> list[str]:
    shown = json.dumps(name, ensure_ascii=False)
    lines = [
        "## Use",
        "",
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        f"model = SentenceTransformer({shown})",
        'vectors = model.encode(["It\'s dangerous to go alone!"])',
        "```",
    ]
    shorter = [d for d in dims if d < dim]
    shallower = [n for n in layers if n < n_layers]
    if shorter:
        lines += [
            "",
            f"The first dimensions are vectors too: bring them to unit length again after cutting, "
            f"as `SentenceTransformer({shown}, truncate_dim={shorter[-1]})` does with "
            "`encode(..., normalize_embeddings=True)`.",
        ]
    if shorter or shallower:
        asked = ([f"--layers {shallower[-1]}"] if shallower else []) + (
            [f"--dim {shorter[-1]}"] if shorter else []
        )
        lines += [
            "",
            "A smaller model of the same kind:",
            "",
            "```",
            f"vecsmith compress {name} {' '.join(asked)} --out smaller/",
            "```",
        ]
    return lines


def _numbers(value: object) -> list[int]:
    return sorted(n for n in value if isinstance(n, int)) if isinstance(value, list) else []


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "the whole only"
