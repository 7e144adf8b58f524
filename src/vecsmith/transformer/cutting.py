"""A saved transformer -> a smaller one: its first layers, the first dimensions of its vectors.

The one rule: what is written gives the vectors that the whole model gives when it is asked for as
few, as `TextEncoder.from_pretrained(..., n_layers=, dim=)` asks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vecsmith._extras import require
from vecsmith._typing import PathLike
from vecsmith.transformer.depth import check_depth, count_layers
from vecsmith.transformer.loading import load_model
from vecsmith.transformer.saving import check_encoder_folder, save_encoder
from vecsmith.transformer.source import (
    TeacherSource,
    find_teacher,
    read_object,
    transformer_folder,
)

# Recorded of the whole model and not true of a part of it
_OF_THE_WHOLE = ("scores", "cut", "matryoshka_dims", "layers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nesting:
    """What a transformer was trained to be cut to, as its config.json says.

    Attributes:
        layers: Depths, ascending; empty if nothing is recorded.
        dims: Prefix lengths, ascending; empty if nothing is recorded.
    """

    layers: tuple[int, ...] = ()
    dims: tuple[int, ...] = ()


def read_record(source: TeacherSource) -> dict[str, Any]:
    """What config.json of the transformer at `source` says under "vecsmith"; {} for nothing."""
    ours = read_object(transformer_folder(source.folder) / "config.json").get("vecsmith")
    return dict(ours) if isinstance(ours, Mapping) else {}


def read_nesting(source: TeacherSource) -> Nesting:
    """What the transformer at `source` was trained to be cut to."""
    ours = read_record(source)
    return Nesting(layers=_numbers(ours.get("layers")), dims=_numbers(ours.get("matryoshka_dims")))


def cut(
    teacher: PathLike,
    out: PathLike,
    *,
    n_layers: int | None = None,
    dim: int | None = None,
    name: str | None = None,
) -> None:
    """Writes the first layers and dimensions of a transformer to a folder of its own.

    The weights of the layers left out are not written, so the files are smaller and less is run;
    dimensions are left out behind the pooling, by a module that sentence-transformers knows, which
    saves memory of vectors and time of search and not of the transformer.

    Args:
        teacher: A folder, Hub id or `package:NAME`; see `find_teacher`.
        out: Folder to write; one that vecsmith wrote before is replaced.
        n_layers: Layers to keep; None for all.
        dim: Dimensions to keep; None for all.
        name: What it is called in its card; None for the folder's name.

    Raises:
        FileExistsError: If `out` holds something else, which would be lost.
        FormatError: If a file of the model is missing or broken.
        HubError: If the model could not be fetched.
        ValueError: If neither is given, or the model has not as many.

    Example:
        >>> cut("nested", "small", n_layers=3, dim=96)
    """
    if n_layers is None and dim is None:
        raise ValueError("n_layers and dim are None, expected one of them: nothing is to be cut")
    source = find_teacher(teacher)
    check_encoder_folder(out, source)
    model = _as_stored(
        load_model(source, "bfloat16", trust_remote_code=False, needs_pooler=False), source
    )
    whole = count_layers(model)
    if n_layers is not None:
        check_depth(n_layers, model)
    kept = {key: value for key, value in read_record(source).items() if key not in _OF_THE_WHOLE}
    made: dict[str, Any] = {"of": source.name}
    if n_layers is not None:
        made["layers"] = f"{n_layers} of {whole}"
    if dim is not None:
        made["dim"] = dim
    nesting = read_nesting(source)
    save_encoder(
        model,
        source,
        out,
        n_layers=n_layers,
        dim=dim,
        dims=nesting.dims,
        layers=nesting.layers,
        provenance={**kept, "cut": made},
        name=name,
    )


def _as_stored(model: Any, source: TeacherSource) -> Any:
    """`model` in the type of its files, whose numbers it holds: float16 need not become wider."""
    torch = require("torch", extra="distill", purpose="cut a transformer")
    config = read_object(transformer_folder(source.folder) / "config.json")
    if "float16" in (config.get("dtype"), config.get("torch_dtype")):
        return model.to(torch.float16)
    return model


def _numbers(value: object) -> tuple[int, ...]:
    """Those of a list in a file that can be sizes."""
    if not isinstance(value, list):
        return ()
    return tuple(sorted({n for n in value if type(n) is int and 0 < n < 2**20}))
