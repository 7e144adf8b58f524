"""Hash of a task's texts and answers.

The one rule: the same rows hash the same, from any file format and on any machine.
"""

from __future__ import annotations

from dataclasses import fields
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy as np

from vecsmith.evaluation.tasks.task import Data, SimilarityData
from vecsmith.results import Kind

_CHUNK = 65_536  # texts


def data_hash(kind: Kind, split: str, metric: str, data: Data) -> str:
    """BLAKE2b of 128 bits, in hex, of all that a task's scores depend on but the model."""
    digest = blake2b(digest_size=16)
    _add(digest, [kind, split, metric])
    _add(digest, data)
    return digest.hexdigest()


def _add(digest: blake2b, value: Any) -> None:
    """Adds a value so that no two different ones add the same bytes."""
    if value is None:
        digest.update(b"none")
    elif isinstance(value, list):
        _add_texts(digest, value)
    elif isinstance(value, np.ndarray):
        positive_zero = value + 0  # -0.0 becomes 0.0
        numbers = positive_zero.astype("<f8" if value.dtype.kind == "f" else "<i8")
        digest.update(b"array" + len(numbers).to_bytes(8, "little") + numbers.tobytes())
    else:
        for field in fields(value):
            if _is_later(value, field.name):
                continue
            digest.update(field.name.encode() + b"=")
            _add(digest, getattr(value, field.name))


def _is_later(value: Any, name: str) -> bool:
    """Whether a field says nothing and was not there when hashes were first written down."""
    later = name == "own_documents" or (name == "subsets" and type(value) is not SimilarityData)
    return later and getattr(value, name) is None


def _add_texts(digest: blake2b, texts: list[str]) -> None:
    digest.update(b"texts" + len(texts).to_bytes(8, "little"))
    remaining = iter(texts)
    while chunk := [text.encode() for text in islice(remaining, _CHUNK)]:
        digest.update(np.array([len(text) for text in chunk], dtype="<i8").data)
        digest.update(b"".join(chunk))
