"""Texts to vectors through any encoder, and the views of those vectors that are scored.

The one rule: a text is encoded once; every prefix and precision is made from those vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import Encoder, FloatArray
from vecsmith.results import View

Role = Literal["text", "query", "document"]

_ROLE_METHODS = {"text": "encode", "query": "encode_query", "document": "encode_document"}
# Far from rounding (float16 vectors included), and nearer than any vector that is not scaled
_UNIT_TOLERANCE = 5e-3


def encode_role(encoder: Encoder, texts: Sequence[str], role: Role) -> FloatArray:
    """Vectors of `texts` as the encoder makes them for their `role`, float32 [N, D].

    Queries and documents go through `encode_query` and `encode_document` where the encoder has
    them (they put a model's prompts before the text), else through `encode`.

    Raises:
        ValueError: If what comes back is not [N, D] or not finite.
    """
    method: Callable[[Sequence[str]], Any] = getattr(encoder, _ROLE_METHODS[role], encoder.encode)
    vectors = np.asarray(method(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise ValueError(
            f"the encoder gave shape {list(vectors.shape)} for {len(texts)} texts, "
            f"expected [{len(texts)}, D]"
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        place = int(np.flatnonzero(~finite)[0])
        raise ValueError(
            f"the encoder gave values that are not finite for {int((~finite).sum())} of "
            f"{len(texts)} texts, the first {texts[place][:60]!r}, expected finite vectors"
        )
    return vectors


def distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The texts without repetition, in order, and for each given text its place among them."""
    place: dict[str, int] = {}
    places = np.fromiter(
        (place.setdefault(text, len(place)) for text in texts), dtype=np.int64, count=len(texts)
    )
    return list(place), places


def is_unit(vectors: FloatArray) -> bool:
    """Whether every vector that is not zero has length 1, as those of a normalizing model."""
    lengths = np.linalg.norm(vectors, axis=1)
    return bool((np.abs(lengths[lengths > 0] - 1) < _UNIT_TOLERANCE).all())


def apply_view(vectors: FloatArray, view: View, *, unit: bool) -> FloatArray:
    """The vectors as they would be kept under `view`, back in float32, shape [N, view.dim].

    The prefix is taken first, then scaled to length 1 if `unit`, then rounded: int8 with the
    largest entry of each vector at 127, binary to the sign (1 above zero, else -1; the cosine of
    such vectors is 1 - 2 x Hamming distance / dims).

    Args:
        vectors: float32 [N, D].
        view: What to keep; its dim is at most D.
        unit: Whether the full vectors have length 1: then prefixes get it again.

    Raises:
        ValueError: If the view has more dims than the vectors.
    """
    if not 1 <= view.dim <= vectors.shape[1]:
        raise ValueError(
            f"a prefix of {view.dim} dims of vectors of {vectors.shape[1]}, "
            f"expected 1 to {vectors.shape[1]}"
        )
    rows = vectors[:, : view.dim]
    if unit and view.dim < vectors.shape[1]:
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    if view.precision == "float16":
        return _float32(rows.astype(np.float16))
    if view.precision == "int8":
        largest = np.abs(rows).max(axis=1, keepdims=True, initial=0).astype(np.float64)
        scales = np.divide(127, largest, out=np.zeros_like(largest), where=largest > 0)
        return _float32(np.rint(rows * scales))
    if view.precision == "binary":
        return np.where(rows > 0, np.float32(1), np.float32(-1))
    return np.ascontiguousarray(rows)


def _float32(rows: NDArray[Any]) -> FloatArray:
    as_float32: FloatArray = rows.astype(np.float32)
    return as_float32
