"""A transformer whose dimensions come in the order of their importance, without training.

The one rule: whole vectors keep all their lengths and cosines; only their prefixes get better.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._directions import principal_directions
from vecsmith._extras import require
from vecsmith._typing import PathLike
from vecsmith.transformer.cutting import read_nesting, read_record
from vecsmith.transformer.depth import count_layers
from vecsmith.transformer.loading import load_model
from vecsmith.transformer.saving import check_encoder_folder, save_encoder
from vecsmith.transformer.text_encoder import TextEncoder

# Assumed: fifty texts for each dimension of usual models
MAX_TEXTS: Final = 20_000
_BLOCK: Final = 4096
# Poolings of token states, and what a folder calls them; without a frame "balanced" is the mean
_POOLINGS: Final = {None: None, "balanced": "mean", "mean": "mean", "cls": "cls", "last": "last"}
# Recorded of the vectors as they were and not true of turned ones
_OF_THE_UNTURNED: Final = ("scores", "matryoshka_dims", "layers")


def rotate_encoder(
    base: TextEncoder,
    texts: Iterable[str],
    out: PathLike,
    *,
    max_texts: int = MAX_TEXTS,
    show_progress_bar: bool = False,
) -> TextEncoder:
    """`base` with its vectors turned to their principal directions, opened from `out`.

    A Dense module, which every version of sentence-transformers reads, multiplies vectors with the
    eigenvectors of the second moment of the texts' unit vectors, largest eigenvalue first: the
    projections of every length that keep most of them (Pearson, 1901; not centred). Distances and
    cosines of whole vectors do not change.

    It is where nested training may begin, and by itself the prefix to compare it with. What `base`
    was opened with holds for the rotated one too: its layers, its pooling, its length of texts.

    Example:
        >>> rotated = rotate_encoder(encoder, texts, "rotated")

    Args:
        base: The transformer.
        texts: Texts such as it will encode; the first `max_texts` are read.
        out: Folder to write; one that was written here before is replaced.
        max_texts: How many texts at most.
        show_progress_bar: Whether to show one, if this is a terminal.

    Raises:
        FileExistsError: If `out` holds something else, which would be lost.
        TypeError: If a text is not a str.
        ValueError: If there are fewer texts than dimensions, `out` is the base's own folder, or
            `base` was opened with a prefix or a pooling that no folder can say.
    """
    _check_opened(base)
    torch = require("torch", extra="distill", purpose="rotate a transformer's vectors")
    check_encoder_folder(out, base.source)
    moment = np.zeros((base.dim, base.dim))
    n_texts = 0
    remaining = islice(iter(texts), max_texts)
    while block := list(islice(remaining, _BLOCK)):
        moment += _moment_of(base.encode(block, show_progress_bar=show_progress_bar))
        n_texts += len(block)
    if n_texts < base.dim:
        raise ValueError(
            f"{n_texts} texts, expected at least {base.dim}, one for each dimension of "
            f"{base.name}'s vectors"
        )
    directions, _ = principal_directions(moment, base.dim)
    _write(base, torch.from_numpy(directions.astype(np.float32)), out, n_texts)
    same = ("device", "compute_dtype", "trust_remote_code")
    return TextEncoder.from_pretrained(out, **{name: base.opened[name] for name in same})


def _check_opened(base: TextEncoder) -> None:
    dim, pooling = base.opened["dim"], base.opened["pooling"]
    if dim is not None:
        raise ValueError(
            f"{base.name} was opened with dim={dim}, expected its whole vectors, which a rotation "
            "mixes: cut the rotated model"
        )
    if pooling not in _POOLINGS:
        raise ValueError(
            f"{base.name} was opened with pooling={pooling!r}, expected mean, cls or last, or its "
            "own way"
        )


def _write(base: TextEncoder, rotation: Any, out: PathLike, n_texts: int) -> None:
    """Writes the model as `base` runs it, times `rotation`."""
    opened, source = base.opened, base.source
    pooling, n_layers = _POOLINGS[opened["pooling"]], opened["n_layers"]
    needs_pooler = pooling is None and "pooler" in base.teacher.head.modes
    model = load_model(source, "float32", opened["trust_remote_code"], needs_pooler)
    recorded = read_record(source)
    told: dict[str, Any] = {k: v for k, v in recorded.items() if k not in _OF_THE_UNTURNED}
    if n_layers is not None:
        told["cut"] = {"of": source.name, "layers": f"{n_layers} of {count_layers(model)}"}
    told["rotation"] = {"of": source.name, "to": "principal directions", "texts": n_texts}
    save_encoder(
        model,
        source,
        out,
        n_layers=n_layers,
        rotation=rotation,
        pooling=pooling,
        max_length=opened["max_length"],
        layers=read_nesting(source).layers,
        provenance=told,
    )


def _moment_of(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of outer products of the unit vectors."""
    rows = vectors.astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    moment: NDArray[np.float64] = rows.T @ rows
    return moment
