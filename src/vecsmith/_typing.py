"""Types that several parts share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

PathLike = str | os.PathLike[str]
TableDtype = Literal["float32", "float16", "int8"]
FloatArray = NDArray[np.float32]


class Encoder(Protocol):
    """Anything that turns texts into vectors, one row a text."""

    def encode(self, texts: Sequence[str], /) -> NDArray[Any]:
        """Vectors of `texts`, shape [N, D]."""
        ...
