"""Which kind of model a folder holds, told by its small files.

One rule: the answer needs no tensors where config.json or modules.json give it, so that a model
that is none of ours is refused before it is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from vecsmith._files import read_text
from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import parse_object, parse_value
from vecsmith.formats.safetensors import TensorFile

Layout = Literal["model2vec", "sentence-transformers"]

CONFIG_FILE = "config.json"
TENSORS_FILE = "model.safetensors"
# The other libraries know no table of four bits: under a name of its own it makes them say that
# there is no model, where a tensor of bytes would give them vectors that mean nothing.
INT4_FILE = "model.int4.safetensors"
TOKENIZER_FILE = "tokenizer.json"
MODULES_FILE = "modules.json"
SETTINGS_FILE = "config_sentence_transformers.json"
CARD_FILE = "README.md"

# Names of the table: the first is model2vec's and ours, the second sentence-transformers'.
TABLE = "embeddings"
EMBEDDING_WEIGHT = "embedding.weight"

# Where a StaticEmbedding may lie when modules.json does not say.
STATIC_FOLDERS = (".", "0_StaticEmbedding")


def read_layout(folder: Path) -> Layout:
    """How the model in `folder` is to be read.

    Raises:
        FormatError: If it holds no static model; the message says what it holds.
    """
    config = None
    if (folder / CONFIG_FILE).is_file():
        config = parse_object(read_text(folder / CONFIG_FILE), source=str(folder / CONFIG_FILE))
        if _is_static(config):
            return "model2vec"
    if _first_module_is_static(folder):
        # model2vec takes any config.json for its own, but only with its own name of the table
        if config is not None and config.get("model_type") is None and _has(folder, TABLE):
            return "model2vec"
        return "sentence-transformers"
    if config is not None and config.get("model_type") is None:
        if _has(folder, TABLE) or not (folder / TENSORS_FILE).is_file():
            return "model2vec"
    elif config is not None:
        raise FormatError(
            f"{folder / CONFIG_FILE}.model_type: {config['model_type']!r:.60}, expected "
            "'model2vec': it is not a static model; vecsmith distill makes one of a transformer"
        )
    if (folder / MODULES_FILE).is_file() or (folder / SETTINGS_FILE).is_file():
        return "sentence-transformers"
    if any(_has(folder / place, EMBEDDING_WEIGHT) for place in STATIC_FOLDERS):
        return "sentence-transformers"
    raise FormatError(
        f"{folder}: {_listing(folder)}, expected a static model: {CONFIG_FILE} or {MODULES_FILE} "
        f"with {TENSORS_FILE} and {TOKENIZER_FILE}"
    )


def is_other_model(folder: Path) -> bool:
    """Whether the folder holds a model that is none of ours, such as a transformer."""
    if not (folder / CONFIG_FILE).is_file():
        return False
    try:
        config = parse_object(read_text(folder / CONFIG_FILE), source=str(folder / CONFIG_FILE))
        is_ours = config.get("model_type") is None or _is_static(config)
        return not is_ours and not _first_module_is_static(folder)
    except FormatError:
        return False


def _is_static(config: Mapping[str, Any]) -> bool:
    """Whether config.json names a static model; a transformer of ours has a type of its own."""
    kind = config.get("model_type")
    return kind in ("model2vec", "vecsmith") or (kind is None and "vecsmith" in config)


def _first_module_is_static(folder: Path) -> bool:
    path = folder / MODULES_FILE
    if not path.is_file():
        return False
    modules: Any = parse_value(read_text(path), source=str(path))
    if not isinstance(modules, list) or not modules or not isinstance(modules[0], dict):
        return False
    return str(modules[0].get("type")).rsplit(".", 1)[-1] == "StaticEmbedding"


def _has(folder: Path, tensor: str) -> bool:
    path = folder / TENSORS_FILE
    return path.is_file() and tensor in TensorFile(path)


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "the folder is empty"
    shown = ", ".join(names[:8])
    return f"holds {shown}" + (f" and {len(names) - 8} more" if len(names) > 8 else "")
