"""`vecsmith info`: what a model is, without encoding anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecsmith.cli._console import AsJson, Quiet, console, count, print_json, size

if TYPE_CHECKING:
    from vecsmith.model import StaticModel


def info(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a static model.")],
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Show what a model is: layout, table, tokenizer, engine, licence, recipe.

    Examples:
      vecsmith info minilm-256
      vecsmith info minilm-256 --json
    """
    from vecsmith.model import StaticModel

    facts = _facts(model, StaticModel.from_pretrained(model))
    if as_json:
        print_json(facts)
    elif not quiet:
        _print_facts(facts)


def _facts(name: str, model: StaticModel) -> dict[str, Any]:
    checkpoint = model.checkpoint
    tokenizer = model.tokenizer
    ours = checkpoint.config.get("vecsmith")
    recipe = ours.get("recipe") if isinstance(ours, Mapping) else None
    config = {key: value for key, value in checkpoint.config.items() if key != "vecsmith"}
    return {
        "model": name,
        "source": checkpoint.source,
        "layout": checkpoint.layout,
        "dim": checkpoint.dim,
        "vocabulary": checkpoint.n_tokens,
        "table": {
            "rows": int(checkpoint.table.shape[0]),
            "dtype": checkpoint.table_dtype,
            "bytes": checkpoint.n_bytes,
            "weights": checkpoint.weights is not None,
            "mapping": checkpoint.mapping is not None,
        },
        "normalize": checkpoint.normalize,
        "unknown": checkpoint.unknown,
        "max_length": checkpoint.max_length,
        "similarity": checkpoint.similarity,
        "tokenizer": {
            "family": tokenizer.family,
            "engine": "native" if tokenizer.is_native else "tokenizers",
            "fallback_reason": tokenizer.fallback_reason,
        },
        "prompts": dict(checkpoint.prompts),
        "default_prompt_name": checkpoint.default_prompt_name,
        "license": checkpoint.card.get("license"),
        "base_model": checkpoint.card.get("base_model"),
        "language": checkpoint.card.get("language"),
        "recipe": recipe,
        "config": config,
    }


def _print_facts(facts: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table, tokenizer = facts["table"], facts["tokenizer"]
    unknown = {"drop": "left out of the mean", "keep": "counted in the mean"}
    engine = "native engine"
    if tokenizer["engine"] != "native":
        engine = f"the tokenizers package ({tokenizer['fallback_reason']})"
    extras = [name for name in ("weights", "mapping") if table[name]]
    rows = {
        "layout": facts["layout"],
        "source": facts["source"],
        "dim": facts["dim"],
        "vocabulary": count(facts["vocabulary"]),
        "table": f"{count(table['rows'])} x {facts['dim']} {table['dtype']}, "
        + " and ".join(
            [size(table["bytes"]), *([f"with {' and '.join(extras)}"] if extras else [])]
        ),
        "vectors": "unit length" if facts["normalize"] else "as they come",
        "unknown": unknown.get(facts["unknown"], facts["unknown"]),
        "max length": "all tokens"
        if facts["max_length"] is None
        else f"{facts['max_length']} tokens",
        "similarity": facts["similarity"],
        "tokenizer": f"{tokenizer['family']}, {engine}",
        "prompts": _pairs(facts["prompts"]),
        "default prompt": facts["default_prompt_name"],
        "license": _words(facts["license"]),
        "base model": _words(facts["base_model"]),
        "language": _words(facts["language"]),
        "recipe": _recipe(facts["recipe"]),
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        if value not in (None, ""):
            grid.add_row(Text(name, style="bold"), Text(_printable(str(value))))
    console().print(Text(_printable(facts["model"]), style="bold"))
    console().print(grid)


def _recipe(recipe: Any) -> str:
    """The recipe in a few lines; a file may hold anything under that name."""
    if not isinstance(recipe, Mapping):
        return "" if recipe is None else str(recipe)
    lines: dict[str, Any] = {}
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            plain = {k: v for k, v in value.items() if not isinstance(v, Mapping | list)}
            lines[str(name)] = plain
        else:
            lines[str(name)] = value
    return _pairs(lines)


def _pairs(values: Mapping[str, Any]) -> str:
    return "\n".join(
        f"{key}: {_words(value)}"
        for key, value in values.items()
        if value not in (None, "", [], {})
    )


def _words(value: Any) -> str | None:
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    if isinstance(value, Mapping):
        known = {key: item for key, item in value.items() if item is not None}
        return ", ".join(f"{key} {item}" for key, item in known.items())
    return None if value is None else str(value)


def _printable(text: str) -> str:
    """`text` without control characters: a model's own words may hold escape sequences."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )
