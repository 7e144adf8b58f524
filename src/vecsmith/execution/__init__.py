"""Plans and sweeps carried out: cell by cell, resumable, one record a run."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vecsmith.execution.calibration import Calibration, calibrate
    from vecsmith.execution.planned import FinishedRun, run_plan
    from vecsmith.execution.sweeping import plan_sweep, sweep

# Name -> module; each is imported when it is asked for
_HOMES: Final = {
    "Calibration": "calibration",
    "FinishedRun": "planned",
    "calibrate": "calibration",
    "plan_sweep": "sweeping",
    "run_plan": "planned",
    "sweep": "sweeping",
}

__all__ = ["Calibration", "FinishedRun", "calibrate", "plan_sweep", "run_plan", "sweep"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"vecsmith.execution.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vecsmith.execution' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
