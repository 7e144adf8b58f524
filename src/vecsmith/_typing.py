"""Types that several parts share."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np
from numpy.typing import NDArray

PathLike = str | os.PathLike[str]
TableDtype = Literal["float32", "float16", "int8"]
FloatArray = NDArray[np.float32]
