"""Texts to vectors through any encoder, and the views of those vectors that are scored.

The one rule: a text is encoded once; every prefix and precision is made from those vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._outputs import int8_codes
from vecsmith._similarity import unit_rows
from vecsmith._typing import Encoder, FloatArray
from vecsmith.results import View

Role = Literal["text", "query", "document"]

_ROLE_METHODS = {"text": "encode", "query": "encode_query", "document": "encode_document"}
# Far from rounding (float16 vectors included), and nearer than any vector that is not scaled
_UNIT_TOLERANCE = 5e-3
_BLOCK_ROWS = 2**15


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


def fingerprint_of(model: object) -> str:
    """The model's attribute `fingerprint`, "" where it has none: then nothing of it is kept.

    None and "" count as none, so that two models that say nothing are never taken for one.

    Raises:
        TypeError: If it is something else than a str.
    """
    fingerprint = getattr(model, "fingerprint", None)
    if fingerprint is None:
        return ""
    if not isinstance(fingerprint, str):
        raise TypeError(
            f"the fingerprint of {type(model).__name__} is of type {type(fingerprint).__name__}, "
            "expected a str that changes with the vectors (an attribute or a property), or None"
        )
    return fingerprint


def distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The texts without repetition, in order, and for each given text its place among them."""
    place: dict[str, int] = {}
    places = np.fromiter(
        (place.setdefault(text, len(place)) for text in texts), dtype=np.int64, count=len(texts)
    )
    return list(place), places


def is_unit(vectors: FloatArray) -> bool:
    """Whether every vector that is not zero has length 1, as those of a normalizing model."""
    for rows in _blocks(vectors):
        lengths = np.linalg.norm(rows, axis=1)
        if not (np.abs(lengths[lengths > 0] - 1) < _UNIT_TOLERANCE).all():
            return False
    return True


def apply_view(vectors: FloatArray, view: View, *, unit: bool) -> FloatArray:
    """The vectors as they would be kept under `view`, back in float32, shape [N, view.dim].

    The prefix is taken first, then scaled to length 1 if `unit`, then rounded: int8 in steps of a
    127th of the vector's largest entry, binary to the sign: 1 above zero, else -1, so that sums
    are exact (the cosine of such vectors is 1 - 2 x Hamming distance / dims).

    Args:
        vectors: float32 [N, D].
        view: What to keep; its dim is at most D.
        unit: Whether the full vectors have length 1: then prefixes get it again.

    Raises:
        ValueError: If the view has more dims than the vectors, or no such precision is known.
    """
    if not 1 <= view.dim <= vectors.shape[1]:
        raise ValueError(
            f"a prefix of {view.dim} dims of vectors of {vectors.shape[1]}, "
            f"expected 1 to {vectors.shape[1]}"
        )
    if view.precision not in _ROUNDINGS:
        raise ValueError(f"precision {view.precision!r}, expected one of {list(_ROUNDINGS)}")
    scale = unit and view.dim < vectors.shape[1]
    if view.precision == "float32" and not scale and view.dim == vectors.shape[1]:
        return vectors
    kept = np.empty((len(vectors), view.dim), dtype=np.float32)
    for rows, target in zip(_blocks(vectors[:, : view.dim]), _blocks(kept), strict=True):
        target[:] = _ROUNDINGS[view.precision](unit_rows(rows) if scale else rows)
    return kept


def _blocks(rows: FloatArray) -> Iterator[FloatArray]:
    """The rows, so many at a time that what is made of them is small."""
    for start in range(0, len(rows), _BLOCK_ROWS):
        yield rows[start : start + _BLOCK_ROWS]


def _int8(rows: FloatArray) -> NDArray[Any]:
    codes, steps = int8_codes(rows)
    return codes * steps  # at the length of the vectors they stand for


_ROUNDINGS: Mapping[str, Callable[[FloatArray], NDArray[Any]]] = {
    "float32": lambda rows: rows,
    "float16": lambda rows: rows.astype(np.float16),
    "int8": _int8,
    "binary": lambda rows: np.where(rows > 0, np.float32(1), np.float32(-1)),
}
