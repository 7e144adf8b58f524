"""Small, fast text-embedding models: distil them, and run them at the speed of memory.

Importing this package loads numpy and the engine, nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vecsmith.errors import FormatError, HubError, MissingExtraError, RunFailed, VecsmithError
from vecsmith.model import StaticModel

if TYPE_CHECKING:
    from vecsmith.distillation import distill
    from vecsmith.evaluation import evaluate
    from vecsmith.training import train_static

__version__ = "0.1.0"

__all__ = [
    "FormatError",
    "HubError",
    "MissingExtraError",
    "RunFailed",
    "StaticModel",
    "VecsmithError",
    "__version__",
    "distill",
    "evaluate",
    "train_static",
]


def __getattr__(name: str) -> Any:
    if name == "distill":  # needs torch, so it is imported when it is asked for
        from vecsmith.distillation import distill

        return distill
    if name == "evaluate":
        from vecsmith.evaluation import evaluate

        return evaluate
    if name == "train_static":  # as distill
        from vecsmith.training import train_static

        return train_static
    raise AttributeError(f"module 'vecsmith' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
