"""README.md beside a saved model: front matter for machines, the recipe for people.

One rule: nothing is claimed that the checkpoint does not hold. The licence is the teacher's, or
it is left open and the card says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vecsmith.formats.checkpoint as record
from vecsmith._typing import PathLike
from vecsmith.formats.card_parts import (
    KEY,
    data_section,
    licence_section,
    markdown_table,
    one_line,
    recipe_section,
    scores_section,
    yaml_lines,
)

# Front matter is a page at most; what is longer is not read.
MAX_FRONT_MATTER_BYTES = 2**20

TAGS = ("sentence-transformers", "feature-extraction", "static-embeddings", "model2vec", "vecsmith")
_PEERS = ("sentence-transformers", "model2vec")  # what they cannot open is not tagged for them
_OURS = tuple(tag for tag in TAGS if tag not in _PEERS)

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def read_front_matter(path: PathLike) -> dict[str, Any]:
    """Settings at the top of the README at `path`; empty where there are none.

    Reads the part of YAML that model cards use: text, numbers, and lists of them. What it cannot
    read it leaves out, for a card must never keep a model from loading.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_FRONT_MATTER_BYTES).decode("utf-8-sig", errors="replace")
    except OSError:
        return {}
    lines = text.splitlines()
    if not lines or lines[0].rstrip() != "---":
        return {}
    for end, line in enumerate(lines[1:], start=1):
        if line.rstrip() in ("---", "..."):
            return _parse_front_matter(lines[1:end])
    return {}


def render_card(
    checkpoint: record.Checkpoint, *, model_name: str, notes: Sequence[str] = ()
) -> str:
    """Text of the README of `checkpoint`.

    Args:
        checkpoint: The model as it is written.
        model_name: Title, and the name in the examples.
        notes: Sentences on where other libraries give other vectors.
    """
    front = _front_matter(checkpoint, model_name)
    lines = ["---", *yaml_lines(front), "---", "", f"# {one_line(model_name)}", ""]
    lines += [*_summary(checkpoint), ""]
    lines += [*_usage(model_name, is_portable=checkpoint.table_dtype != "int4"), ""]
    lines += [*_facts(checkpoint), ""]
    if notes:
        lines += ["## Where other libraries differ", "", *(f"- {note}" for note in notes), ""]
    ours = checkpoint.config.get("vecsmith")
    ours = ours if isinstance(ours, dict) else {}
    lines += [*scores_section(ours, checkpoint.dim), *data_section(ours)]
    lines += [*recipe_section(ours), ""]
    lines += [*licence_section(checkpoint.card, ours), ""]
    return "\n".join(lines)


def _front_matter(checkpoint: record.Checkpoint, model_name: str) -> dict[str, Any]:
    kept = dict(checkpoint.card)
    tags = kept.pop("tags", None)
    tags = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    is_portable = checkpoint.table_dtype != "int4"
    tags = [*tags, *TAGS] if is_portable else [tag for tag in tags if tag not in _PEERS] + [*_OURS]
    ours = {
        "library_name": "model2vec" if is_portable else "vecsmith",
        "pipeline_tag": kept.get("pipeline_tag", "sentence-similarity"),
        "tags": list(dict.fromkeys(tags)),
        "model_name": model_name,
    }
    return {**ours, **{key: value for key, value in kept.items() if key not in ours}}


def _summary(checkpoint: record.Checkpoint) -> list[str]:
    base = checkpoint.card.get("base_model")
    origin = ""
    if isinstance(base, str) and base:
        name = one_line(base)
        linked = f"[{name}](https://huggingface.co/{name})" if _HUB_ID.fullmatch(name) else name
        origin = f", made from {linked}"
    elif isinstance(base, list) and base:
        origin = f", made from {', '.join(one_line(str(name)) for name in base)}"
    return [
        f"A static text-embedding model of {checkpoint.dim} dimensions{origin}: the vector of a "
        "text is the mean of one table row per token. It needs no neural network to run."
    ]


def _usage(model_name: str, *, is_portable: bool) -> list[str]:
    name = json.dumps(model_name, ensure_ascii=False)
    lines = [
        "## Use",
        "",
        "```python",
        "from vecsmith import StaticModel",
        "",
        f"model = StaticModel.from_pretrained({name})",
        'vectors = model.encode(["It\'s dangerous to go alone!"])',
        "```",
    ]
    if not is_portable:
        return lines
    return [
        *lines,
        "",
        "model2vec and sentence-transformers open the same folder:",
        "",
        "```python",
        "from model2vec import StaticModel",
        "from sentence_transformers import SentenceTransformer",
        "",
        f'vectors = StaticModel.from_pretrained({name}).encode(["It\'s dangerous to go alone!"])',
        f'vectors = SentenceTransformer({name}).encode(["It\'s dangerous to go alone!"])',
        "```",
    ]


def _facts(checkpoint: record.Checkpoint) -> list[str]:
    length = "all" if checkpoint.max_length is None else f"the first {checkpoint.max_length}"
    unknown = "left out of the mean" if checkpoint.unknown == "drop" else "counted in the mean"
    rows = [
        ("dimensions", checkpoint.dim),
        ("token ids", checkpoint.n_tokens),
        ("rows of the table", len(checkpoint.table)),
        ("dtype of the table", checkpoint.table_dtype),
        ("vectors of unit length", "yes" if checkpoint.normalize else "no"),
        ("tokens of a text that count", length),
        ("unknown token", unknown),
        ("similarity", checkpoint.similarity),
    ]
    rows += [(f"prompt `{name}`", f"`{text}`") for name, text in checkpoint.prompts.items()]
    return ["## Facts", "", *markdown_table(("", ""), rows)]


def _parse_front_matter(lines: Sequence[str]) -> dict[str, Any]:
    front: dict[str, Any] = {}
    key = None
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = KEY.match(line)
        if match:
            key = match["key"]
            value = (match["value"] or "").strip()
            if value in ("|", ">", "|-", ">-", "|+", ">+") or value.startswith(("&", "*", "!")):
                key = None
            elif value:
                front[key] = _parse_scalar(value)
                key = None
            continue
        item = line.strip()
        if key is None or not item.startswith("- "):
            key = None  # a nested block: left out
            continue
        items = front.setdefault(key, [])
        inner = item[2:].strip()
        if KEY.match(inner):
            front.pop(key)  # a list of mappings: left out
            key = None
        else:
            items.append(_parse_scalar(inner))
    return front


def _parse_scalar(text: str) -> Any:
    """The value that a piece of YAML spells, as text where it is none of the simple kinds."""
    if text[0] in '"[{':
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    if text[0] == "'" and text[-1] == "'" and len(text) > 1:
        return text[1:-1].replace("''", "'")
    if text[0] == "[" and text[-1] == "]":
        return [_parse_scalar(item.strip()) for item in text[1:-1].split(",") if item.strip()]
    text = text.split(" #", 1)[0].rstrip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.lower() in ("null", "~"):
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
