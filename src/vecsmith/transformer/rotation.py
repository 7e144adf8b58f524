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
from vecsmith.transformer.loading import load_model
from vecsmith.transformer.saving import check_encoder_folder, save_encoder
from vecsmith.transformer.text_encoder import TextEncoder

# Assumed: fifty texts for each dimension of usual models
MAX_TEXTS: Final = 20_000
_BLOCK: Final = 4096


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

    It is where nested training may begin, and by itself the prefix to compare it with.

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
        ValueError: If there are fewer texts than dimensions, or `out` is the base's own folder.
    """
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
    save_encoder(
        load_model(base.source, "float32", False, "pooler" in base.teacher.head.modes),
        base.source,
        out,
        rotation=torch.from_numpy(directions.astype(np.float32)),
        provenance={"recipe": {"rotation": "principal directions", "texts": n_texts}},
    )
    return TextEncoder.from_pretrained(out)


def _moment_of(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of outer products of the unit vectors."""
    rows = vectors.astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    moment: NDArray[np.float64] = rows.T @ rows
    return moment
