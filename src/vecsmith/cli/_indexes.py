"""What the verbs on indexes share: the model of an index, opened and known to be the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsmith.errors import FormatError, RunFailed
from vecsmith.evaluation.encoding import encode_role, fingerprint_of

if TYPE_CHECKING:
    from vecsmith._typing import Encoder
    from vecsmith.retrieval.text_index import ModelRecord, TextIndex

_N_PROBES = 8
# Rounding to int8, another device and bfloat16 turn a vector less than this (bfloat16 moves it by a
# hundredth of its length, 1 - 5e-5); that further training turns it more is assumed.
_LEAST_COSINE = 0.9995


def record_of(name: str, encoder: Encoder, dim: int, options: dict[str, Any]) -> ModelRecord:
    """What an index keeps of its model; `name` is what the user called it."""
    from vecsmith.retrieval.text_index import ModelRecord

    path = Path(name).expanduser()
    return ModelRecord(
        name=str(path.resolve()) if path.exists() else name,
        fingerprint=fingerprint_of(encoder),
        dim=dim,
        **options,
    )


def open_model(name: str, **options: Any) -> tuple[Encoder, int]:
    """An encoder and the length of its vectors.

    Raises:
        FormatError: If there is no such model, or a broken one.
        ValueError: If it ranks words.
    """
    from vecsmith._typing import Encoder
    from vecsmith.cli._encoders import open_encoder

    encoder = open_encoder(name, **options, baselines=False)
    if not isinstance(encoder, Encoder):
        raise ValueError(f"{name} ranks words and has no vectors, expected a model")
    dim = getattr(encoder, "dim", None)
    if not isinstance(dim, int):
        dim = int(np.asarray(encoder.encode(["a"])).shape[-1])
    return encoder, dim


def model_of(index: TextIndex, other_place: str | None, *, device: str | None = None) -> Encoder:
    """The model that made the vectors of `index`.

    Its fingerprint says so; where that differs, as with another version of a library, some texts
    of the index are encoded anew and must come out as they are stored.

    Args:
        index: An open one.
        other_place: Where the model is now, None if it has not moved.
        device: Torch device of a transformer; None for the one that the index was made on.

    Raises:
        RunFailed: If it is another model.
        FormatError: If there is no model, or a broken one.
    """
    record = index.model
    name = record.name if other_place is None else other_place
    if other_place is None and os.path.isabs(name) and not os.path.exists(name):
        raise FormatError(
            f"{name}: gone, expected the model that {index.folder} was made with; name where it is "
            "now with --model"
        )
    encoder, dim = open_model(
        name, compute_dtype=record.compute_dtype, device=device or record.device
    )
    if record.fingerprint and fingerprint_of(encoder) == record.fingerprint:
        return encoder
    if dim != record.dim:
        raise RunFailed(_refusal(index, name, f"vectors of {dim} dims, the index of {record.dim}"))
    cosine = _least_cosine(index, encoder)
    if cosine is None or cosine < _LEAST_COSINE:
        how = (
            "" if cosine is None else f" (a text of the index is at cosine {cosine:.4f} of itself)"
        )
        raise RunFailed(_refusal(index, name, f"another model{how}"))
    return encoder


def _least_cosine(index: TextIndex, encoder: Encoder) -> float | None:
    """The least cosine of a text's vector and its stored one; None if there is no text."""
    numbers = index.sample(_N_PROBES)
    stored = index.vectors.vectors(numbers)
    is_vector = np.linalg.norm(stored, axis=1) > 0
    if not is_vector.any():
        return None
    texts = [
        text for text, there in zip(index.texts.texts(numbers), is_vector, strict=True) if there
    ]
    fresh, stored = encode_role(encoder, texts, "document"), stored[is_vector]
    lengths = np.linalg.norm(fresh, axis=1) * np.linalg.norm(stored, axis=1)
    products = np.einsum("nd,nd->n", fresh, stored)
    return float(np.where(lengths > 0, products / np.maximum(lengths, 1e-30), 0).min())


def _refusal(index: TextIndex, name: str, found: str) -> str:
    return (
        f"{name} is not the model of {index.folder}: {found}, expected the one that made its "
        f"vectors; name where that is now with --model, or index the texts anew with: vecsmith "
        f"index {name} {index.folder} --out NEW"
    )
