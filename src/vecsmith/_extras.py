"""Optional dependencies, imported in one place so that a missing one names its extra."""

from __future__ import annotations

import importlib
from types import ModuleType

from vecsmith.errors import MissingExtraError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Imports an optional `module`.

    Args:
        module: Dotted name of the module.
        extra: The extra of this package that brings it.
        purpose: What it is needed for, as the end of "... needs it to ...".

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise  # the module is there, and one of its own dependencies is not
        raise MissingExtraError(
            f"{module.split('.')[0]} is not installed, expected it to {purpose}: "
            f'pip install "vecsmith[{extra}]"',
            name=module,
        ) from error
