"""How many parameters a model folder really holds, read from the headers of its safetensors.

The one rule: no tensor is read and nothing is unpickled; a folder that cannot be counted is
refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from vecsmith._files import read_text
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import object_of, parse_object, parse_value
from vecsmith.formats.layout import CONFIG_FILE, MODULES_FILE, TENSORS_FILE
from vecsmith.formats.safetensors import TensorFile

_INDEX_FILE: Final = "model.safetensors.index.json"
_MAX_SMALL_BYTES: Final = 64 * 2**20
# Masks and rotary frequencies that earlier transformers kept beside the parameters
_BUFFER: Final = re.compile(r"(^|\.)(attn|attention)\.(masked_)?bias$|\.inv_freq$")
# Heads stand on the backbone; an embedder has none
_HEAD: Final = re.compile(r"^(lm_head|embed_out|score|classifier)\.")


def model_folder(path: PathLike) -> Path:
    """The folder with config.json and weights in `path`, which may be a sentence transformer's.

    Raises:
        FormatError: If there is no config.json, or modules.json names no folder inside.
    """
    folder = Path(path).expanduser()
    if (folder / CONFIG_FILE).is_file():
        return folder
    if (folder / MODULES_FILE).is_file():
        first = folder / _first_module(folder / MODULES_FILE)
        if (first / CONFIG_FILE).is_file():
            return first
    raise FormatError(f"{folder}: no {CONFIG_FILE}, expected a folder that holds a model")


def read_config(folder: Path) -> Mapping[str, Any]:
    """The config.json of a model's folder.

    Raises:
        FormatError: If it is not a JSON object.
    """
    path = folder / CONFIG_FILE
    return parse_object(read_text(path, max_bytes=_MAX_SMALL_BYTES), source=str(path))


def count_stored(folder: Path) -> int:
    """Parameters of the backbone whose tensors `folder` holds, heads and buffers left out.

    Raises:
        FormatError: If there are no safetensors, or one of them is broken or missing.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in _tensor_files(folder):
        shapes.update({name: entry.shape for name, entry in TensorFile(path).entries.items()})
    return sum(
        math.prod(shape)
        for name, shape in shapes.items()
        if not _BUFFER.search(name) and not _HEAD.match(name)
    )


def _first_module(path: Path) -> str:
    modules = parse_value(read_text(path, max_bytes=_MAX_SMALL_BYTES), source=str(path))
    first = modules[0] if isinstance(modules, list) and modules else None
    inside = first.get("path") if isinstance(first, dict) else None
    if not isinstance(inside, str) or not _stays_inside(inside):
        raise FormatError(f"{path}: first module {first!r:.60}, expected one with a path inside")
    return inside


def _tensor_files(folder: Path) -> list[Path]:
    if (folder / TENSORS_FILE).is_file():
        return [folder / TENSORS_FILE]
    if not (folder / _INDEX_FILE).is_file():
        raise FormatError(
            f"{folder}: no {TENSORS_FILE}, expected one to check its count of parameters by; "
            "save the model again as safetensors, or give a catalogue its config alone"
        )
    source = str(folder / _INDEX_FILE)
    root = parse_object(read_text(source, max_bytes=_MAX_SMALL_BYTES), source=source)
    names = set(object_of(root, "weight_map", source=source).values())
    for name in names:
        if not isinstance(name, str) or not _stays_inside(name) or not (folder / name).is_file():
            raise FormatError(f"{source}: {name!r:.60}, expected a file beside it")
    return [folder / name for name in sorted(names)]


def _stays_inside(path: str) -> bool:
    return not Path(path).is_absolute() and ".." not in Path(path).parts
