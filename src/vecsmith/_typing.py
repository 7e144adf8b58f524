"""Types that several parts share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

PathLike = str | os.PathLike[str]
TableDtype = Literal["float32", "float16", "bfloat16", "int16", "int8", "int4"]
FloatArray = NDArray[np.float32]


@runtime_checkable
class Encoder(Protocol):
    """Whatever turns texts into vectors: a model of ours, of sentence-transformers, of yours.

    Where it also has `encode_query` and `encode_document` (for models with prompts), retrieval
    uses those.
    """

    def encode(self, texts: Sequence[str], /) -> Any:
        """Vectors of N texts, anything `numpy.asarray` takes, shape [N, D]."""
        ...
